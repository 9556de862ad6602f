// Plugins: what they are, what they may use, what they did, what they say.

import { card, element, facts, fault } from "./element.js";
import { bytes, count, duration } from "./figure.js";
import { json, rows } from "./node.js";
import { repeat } from "./repeat.js";

const EVERY_MS = 3000;
const LINES_KEPT = 500;

const stateTag = state => element("span", { class: `tag ${state === "ready" ? "good" : state === "off" ? "warn" : "bad"}` }, state === "ready" || state === "off" ? state : "cannot be loaded");

/** The log of one plugin, which goes on while it is open. */
function log(name) {
  const level = element("select", { "aria-label": "Level" }, ...["debug", "info", "warn", "error"].map(level => element("option", { value: level }, level)));
  const lines = element("div", { class: "logs", tabindex: "0", role: "log", "aria-label": `Log of ${name}` });
  let after = 0;
  level.addEventListener("change", () => { after = 0; lines.replaceChildren(); read(); });
  async function read() {
    try {
      const { logs, last, gap } = await json(`/v1/plugins/${encodeURIComponent(name)}/logs?after=${after}&level=${level.value}`);
      const below = lines.scrollTop + lines.clientHeight >= lines.scrollHeight - 8;
      if (after > 0 && gap) lines.append(element("div", { class: "warn" }, "… lines in between are not kept any more"));
      lines.append(...logs.map(({ time, at, level, message, text }) => element("div", { class: level === "error" ? "bad" : level === "warn" ? "warn" : null },
        `${String(time ?? at ?? "").replace("T", " ").slice(0, 23)}  ${String(level).padEnd(5)} ${message ?? text ?? ""}`)));
      while (lines.childElementCount > LINES_KEPT) lines.firstChild.remove();
      if (after === 0 && !lines.childElementCount) lines.append(element("div", { class: "soft" }, "It has said nothing yet."));
      else if (logs.length && lines.firstChild.className === "soft") lines.firstChild.remove();
      after = last ?? after;
      if (below) lines.scrollTop = lines.scrollHeight;
    } catch (error) {
      lines.replaceChildren(element("div", { class: "bad" }, error.message));
    }
  }
  return { box: element("div", {}, element("div", { class: "bar" }, element("b", {}, "Log"), level), lines), read };
}

export function plugins(box) {
  const list = element("div");
  list.className = "list";
  box.append(list);
  const known = new Map();
  let limits = null;

  function one(plugin) {
    if (!known.has(plugin.name)) {
      const told = element("div");
      const open = element("button", { type: "button", "aria-expanded": "false" }, "Log");
      const place = element("div");
      const made = { told, open, place, log: null };
      open.addEventListener("click", () => {
        made.log = made.log ? null : log(plugin.name);
        open.setAttribute("aria-expanded", String(Boolean(made.log)));
        place.replaceChildren(made.log?.box ?? "");
        made.log?.read();
      });
      made.head = element("div", { class: "head" });
      made.card = element("section", { class: "card", "data-plugin": plugin.name }, made.head, told, place);
      known.set(plugin.name, made);
    }
    const made = known.get(plugin.name);
    made.head.replaceChildren(element("h2", {}, plugin.name), element("span", { class: "soft" }, `${plugin.kind} ${plugin.version}`), stateTag(plugin.state), element("span", { class: "end" }, made.open));
    const each = plugin.calls ? plugin.busy_ns / plugin.calls / 1e9 : 0;
    made.told.replaceChildren(facts([
      ["Calls", count(plugin.calls)],
      ["Rows", count(plugin.rows)],
      ["Time of a call", plugin.calls ? each < 1e-3 ? `${(each * 1e6).toFixed(1)} µs` : duration(each) : "–"],
      ["Time in all", duration(plugin.busy_ns / 1e9)],
      ["Stopped or failed", element("span", { class: plugin.traps ? "bad" : "" }, count(plugin.traps))],
      ["Memory at most", `${bytes(plugin.memory_bytes_peak)}${limits?.memory ? ` of ${bytes(limits.memory)}` : ""}`],
      ["May take", limits?.deadline ? `${duration(limits.deadline / 1000)} a call` : "–"],
      ["Size", bytes(plugin.size_bytes)],
      ["May reach", (plugin.grants ?? []).join(", ") || "nothing"],
      ["Signed by", plugin.signed_by ?? "nobody"],
      ["Hash", element("span", { class: "mono" }, plugin.sha256.slice(0, 12))],
      ...(plugin.functions ?? []).length ? [["Functions", plugin.functions.join(", "), true]] : [],
    ]), plugin.last_fault || !/^(ready|off)$/.test(plugin.state)
      ? element("p", { class: "note bad small" }, [/^(ready|off)$/.test(plugin.state) ? null : plugin.state, plugin.last_fault].filter(Boolean).join(" · "), plugin.off_for_s ? ` (off for ${duration(plugin.off_for_s)})` : "") : "");
    return made;
  }

  async function refresh() {
    let all;
    try {
      all = (await json("/v1/plugins")).plugins;
    } catch (error) {
      list.replaceChildren(element("section", { class: "card" }, fault(error)));
      return;
    }
    if (!limits) {
      const settings = await rows("SELECT name, value FROM system.settings WHERE name LIKE 'plugins.%'").catch(() => []);
      const of = name => Number(settings.find(setting => setting.name === name)?.value) || 0;
      limits = { memory: of("plugins.memory_bytes"), deadline: of("plugins.deadline_ms") };
    }
    const cards = all.map(one);
    // Cards that stay are not moved: a log that is scrolled would jump.
    const wanted = cards.map(made => made.card);
    if (wanted.length !== list.childElementCount || wanted.some((card, place) => list.children[place] !== card)) list.replaceChildren(...wanted);
    if (all.length === 0) list.replaceChildren(card("Plugins", element("p", { class: "note soft" }, "No plugin is deployed. activestore plugin new begins one.")));
    for (const made of cards) made.log?.read();
  }
  return repeat(refresh, EVERY_MS);
}
