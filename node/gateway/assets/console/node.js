// The node that served the page. A login is kept as long as the tab, and goes out in a header alone: with it in cookies, other
// pages could ask in its name.

/** An answer above this is broken off: the page would hold all of it. */
const ANSWER_BYTES_MAX = 64 * 1024 * 1024;
const LOGIN = "activestore.login";

/** What a node said that went wrong. */
export class Fault extends Error {
  constructor({ message, hint, code }, status) {
    super(message);
    this.hint = hint;
    this.code = code;
    this.status = status;
  }
}

let askForLogin = async () => false;

/** Who is called where the node wants a login; it says whether there is another one to try. */
export const onLogin = ask => { askForLogin = ask; };

export const login = () => sessionStorage.getItem(LOGIN);
export const forgetLogin = () => sessionStorage.removeItem(LOGIN);

/** Keeps a login: a token alone, or a name with a password. */
export function keepLogin(name, secret) {
  const pair = new TextEncoder().encode(`${name}:${secret}`);
  const header = name ? `Basic ${btoa(String.fromCharCode(...pair))}` : `Bearer ${secret}`;
  sessionStorage.setItem(LOGIN, header);
}

/** Sends a request, with the login where there is one; asks for one where the node wants it. */
export async function ask(path, { headers = {}, ...rest } = {}) {
  for (;;) {
    const sent = login();
    const all = sent ? { ...headers, authorization: sent } : headers;
    let response;
    try {
      response = await fetch(path, { ...rest, headers: all, credentials: "omit", cache: "no-store" });
    } catch (error) {
      if (error.name === "AbortError") throw error;
      throw new Fault({ message: "The node did not answer.", hint: "It may be down, or this machine may have lost its network." });
    }
    if (response.status !== 401) return response;
    const said = await response.json().catch(() => ({}));
    if (login() !== sent) continue;
    if (!await askForLogin(sent ? said.error?.message : "")) throw new Fault(said.error ?? { message: "The node wants a login." }, 401);
  }
}

/** The body as text, within the bound. */
async function text(response) {
  const reader = response.body.getReader();
  const decoder = new TextDecoder();
  const parts = [];
  let size = 0;
  for (;;) {
    const { done, value } = await reader.read();
    if (done) break;
    size += value.length;
    if (size > ANSWER_BYTES_MAX) {
      await reader.cancel();
      throw new Fault({ message: "The answer is larger than 64 MiB, and was broken off.", hint: "Add a LIMIT, or load it with activestore export." });
    }
    parts.push(decoder.decode(value, { stream: true }));
  }
  parts.push(decoder.decode());
  return parts.join("");
}

/** An answer as JSON; a fault where it is one. */
export async function json(path, options) {
  const response = await ask(path, options);
  const body = await text(response);
  let value;
  try {
    value = JSON.parse(body);
  } catch {
    throw new Fault({ message: `The answer cannot be read (status ${response.status}).`, hint: body.slice(0, 200) }, response.status);
  }
  if (value?.error) throw new Fault(value.error, response.status);
  return value;
}

/** Runs a statement. */
export const sql = (statement, { params = [], signal } = {}) => json("/v1/sql", {
  method: "POST",
  headers: { "content-type": "application/json", accept: "application/json" },
  body: JSON.stringify({ sql: statement, params }),
  signal,
});

/** The rows of a statement as objects. */
export async function rows(statement) {
  const { columns, rows } = await sql(statement);
  return rows.map(row => Object.fromEntries(columns.map(({ name }, place) => [name, row[place]])));
}

/** Counters and gauges without labels, by name. */
export async function figures() {
  const response = await ask("/metrics");
  if (!response.ok) return {};
  const found = {};
  for (const line of (await text(response)).split("\n")) {
    const match = /^(activestore_\w+) (\S+)$/.exec(line);
    if (match) found[match[1]] = Number(match[2]);
  }
  return found;
}

/** The lines of JSON of an answer without an end. */
export async function* lines(path, signal) {
  const response = await ask(path, { signal });
  if (!response.ok) throw new Fault((await response.json()).error, response.status);
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  let left = "";
  for (;;) {
    const { done, value } = await reader.read();
    if (done) return;
    const parts = (left + value).split("\n");
    left = parts.pop();
    for (const part of parts) if (part) yield JSON.parse(part);
  }
}
