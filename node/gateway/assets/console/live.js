// Rows as they are written.

import { element, fault } from "./element.js";
import { count } from "./figure.js";
import { grid } from "./grid.js";
import { lines } from "./node.js";

/** Events that are kept; older ones go. */
const KEPT_MAX = 5000;
const AGAIN_MS = [500, 1000, 2000, 5000, 10000];
const MINUTE = 60_000;

export function live(box) {
  const query = element("input", { class: "grow mono", id: "live-query", spellcheck: "false", autocapitalize: "off", "aria-label": "What to follow", placeholder: "SELECT * FROM keyspace.table WHERE …" });
  const snapshot = element("input", { type: "checkbox", id: "snapshot" });
  const start = element("button", { class: "main", type: "submit", id: "follow" }, "Follow");
  const pause = element("button", { type: "button", id: "pause", disabled: true }, "Pause");
  const clear = element("button", { type: "button" }, "Clear");
  const filter = element("input", { class: "grow", id: "filter", type: "search", placeholder: "Show what contains …", "aria-label": "Show what contains" });
  const said = element("span", { class: "soft small end number", id: "told", "aria-live": "polite" }, "not following");
  const place = element("div", {}, element("p", { class: "note soft" }, "Rows appear here as they are written: upserts as they are then, deletes by their key. Any condition that looks at one row will do."));
  const table = grid("Events");
  const form = element("form", { class: "bar" }, query, element("label", { class: "switch" }, snapshot, "Begin with what is there"), start, pause, clear);
  box.append(element("section", { class: "card" }, form, element("div", { class: "bar" }, filter, said)),
    element("section", { class: "card", id: "events", "aria-label": "Events" }, place));

  let events = [];
  let columns = [];
  let waiting = 0;
  let total = 0;
  let paused = false;
  let stop = null;
  let times = [];
  let planned = 0;
  let shown = [];

  const matches = row => !filter.value || row.some(cell => cell !== null && String(typeof cell === "object" ? JSON.stringify(cell) : cell).toLowerCase().includes(filter.value.toLowerCase()));

  function draw(again = false) {
    planned = 0;
    if (!columns.length) return;
    if (again || !table.box.isConnected) {
      place.replaceChildren(table.box);
      shown = [];
    }
    if (!paused || again) {
      const rows = events.filter(matches);
      if (again || shown.length === 0) table.show(columns, rows); else table.changed(rows);
      shown = rows;
      waiting = 0;
    }
    tell();
  }

  function tell() {
    const since = Date.now() - MINUTE;
    times = times.filter(([second]) => second > since);
    const rate = `${count(total)} ${total === 1 ? "event" : "events"}, ${count(times.reduce((sum, [, number]) => sum + number, 0))} in the last minute`;
    said.textContent = `${stop ? paused ? `paused, ${count(waiting)} new` : "following" : "not following"}${total ? ` · ${rate}` : ""}`;
  }

  /** Columns as they come: a row may have some that those before it had not. */
  function cellsOf(object) {
    for (const name of Object.keys(object)) {
      if (!columns.some(column => column.name === name)) columns = [...columns, { name }];
    }
    return columns.slice(2).map(({ name }) => object[name] ?? null);
  }

  function take(event) {
    if (event.op === "beat" || event.op === "live") return;
    if (columns.length === 0) columns = [{ name: "received" }, { name: "what", kind: op => `op-${op}` }];
    const before = columns.length;
    const about = event.op === "dropped" ? { note: `${event.events ?? "some"} events were left out: this page did not keep up` }
      : event.op === "erase" ? { note: JSON.stringify({ from: event.from, through: event.through, before: event.before }) }
      : event.row ?? event.key ?? {};
    const cells = cellsOf(about);
    const now = new Date();
    events.unshift([now.toISOString().slice(11, 23), event.op, ...cells]);
    if (events.length > KEPT_MAX) events.length = KEPT_MAX;
    total++;
    const second = Math.floor(now.getTime() / 1000) * 1000;
    if (times.at(-1)?.[0] === second) times.at(-1)[1]++; else times.push([second, 1]);
    if (paused) waiting++;
    if (columns.length !== before) shown = [];
    planned ||= requestAnimationFrame(() => draw(columns.length !== before));
  }

  async function follow(statement) {
    stop = new AbortController();
    const { signal } = stop;
    let from = null;
    let failures = 0;
    while (!signal.aborted) {
      const ask = new URLSearchParams({ sql: statement, format: "ndjson" });
      if (from) ask.set("from", from);
      try {
        for await (const event of lines(`/v1/subscribe?${ask}`, signal)) {
          failures = 0;
          if (event.id) from = event.id;
          if (event.op === "end") throw Object.assign(new Error(event.error.message), { hint: event.error.hint, status: event.error.code === "closed" || event.error.code === "overloaded" ? 0 : 400 });
          if (event.op === "live") tell();
          take(event);
        }
      } catch (error) {
        if (signal.aborted) break;
        // What the node refuses it will refuse again; a connection that broke comes back.
        if (error.status) {
          place.replaceChildren(fault(error));
          break;
        }
      }
      if (signal.aborted) break;
      said.textContent = "the connection broke; going on behind the last event …";
      await new Promise(resolve => setTimeout(resolve, AGAIN_MS[Math.min(failures++, AGAIN_MS.length - 1)]));
    }
    if (stop?.signal === signal) end();
  }

  function end() {
    stop?.abort();
    stop = null;
    start.textContent = "Follow";
    pause.disabled = true;
    tell();
  }

  function clean() {
    events = [];
    columns = [];
    shown = [];
    total = waiting = 0;
    times = [];
  }

  form.addEventListener("submit", event => {
    event.preventDefault();
    if (stop) return end();
    if (!query.value.trim()) return query.focus();
    clean();
    paused = false;
    pause.textContent = "Pause";
    pause.disabled = false;
    start.textContent = "Stop";
    place.replaceChildren(element("p", { class: "note soft" }, "Waiting for the first row …"));
    const words = query.value.trim().replace(/;$/, "");
    const begins = snapshot.checked ? "snapshot = true, on_slow = 'drop'" : "on_slow = 'drop'";
    follow(/^subscribe\b/i.test(words) ? words : `SUBSCRIBE ${words} WITH (${begins})`);
    tell();
  });
  pause.addEventListener("click", () => {
    paused = !paused;
    pause.textContent = paused ? "Go on" : "Pause";
    draw(!paused);
  });
  clear.addEventListener("click", () => { const kept = columns; clean(); columns = kept; draw(true); });
  filter.addEventListener("input", () => draw(true));
  setInterval(() => { if (stop && box.isConnected && !document.hidden) tell(); }, 1000);

  return { seen() { if (!query.value) query.focus(); } };
}
