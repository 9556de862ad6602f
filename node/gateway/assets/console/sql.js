// The SQL editor: a statement, its rows, a chart of them, or its plan.

import { chart, drawable } from "./chart.js";
import { element, fault } from "./element.js";
import { count } from "./figure.js";
import { grid } from "./grid.js";
import { takeOver } from "./handed.js";
import { forget, remember, statements } from "./history.js";
import { sql } from "./node.js";

/** Where a message says that the fault is: line and column, from 1. */
function placeOf(message) {
  const found = /line (\d+), column (\d+)/i.exec(message);
  return found && { line: Number(found[1]), column: Number(found[2]) };
}

/** The line of a statement with the place in it marked. */
function excerpt(text, { line, column }) {
  const words = text.split("\n")[line - 1];
  if (words === undefined) return null;
  const rest = words.slice(column - 1);
  const marked = /^\w+|^./.exec(rest)?.[0] ?? " ";
  return element("pre", {}, `${line} │ ${words.slice(0, column - 1)}`, element("mark", {}, marked), rest.slice(marked.length));
}

export function sqlEditor(box) {
  const text = element("textarea", { id: "statement", spellcheck: "false", autocapitalize: "off", autocomplete: "off", "aria-label": "SQL statement", rows: "6", placeholder: "SELECT …" });
  const lines = element("div", { class: "lines", "aria-hidden": "true" });
  const run = element("button", { class: "main", type: "button", id: "run", title: "Ctrl+Enter" }, "Run");
  const cancel = element("button", { type: "button", id: "cancel", disabled: true }, "Cancel");
  const explain = element("button", { type: "button", id: "explain" }, "Explain");
  const analyze = element("button", { type: "button", title: "Runs the statement, and tells what it took" }, "Analyze");
  const past = element("button", { type: "button", id: "history", "aria-expanded": "false" }, "History");
  const took = element("span", { class: "soft small end number", id: "took", "aria-live": "polite" });
  const list = element("div", { class: "history", hidden: true });
  const views = element("div", { class: "bar", hidden: true });
  const result = element("section", { class: "card", id: "result", "aria-label": "Result" }, element("p", { class: "note soft" }, "The result appears here."));
  const table = grid("Result");
  let running = null;

  box.append(element("section", { class: "card", "aria-label": "Statement" },
    element("div", { class: "editor" }, lines, text),
    element("div", { class: "bar" }, run, cancel, explain, analyze, past, took), list), result);

  function number(wrong = 0) {
    const all = text.value.split("\n").length;
    text.rows = Math.max(6, all);
    lines.replaceChildren(...Array.from({ length: all }, (_, place) =>
      element("span", { class: place + 1 === wrong && "at" }, String(place + 1))));
  }

  /** What is selected, or all of it; with the place where it begins. */
  function chosen() {
    const { selectionStart, selectionEnd, value } = text;
    const part = value.slice(selectionStart, selectionEnd);
    return part.trim() ? { words: part, from: selectionStart } : { words: value, from: 0 };
  }

  function failed(error, words, prefix, from) {
    const place = placeOf(error.message);
    if (place && place.line === 1) place.column -= prefix.length;
    const shown = place && place.column > 0 ? place : null;
    result.replaceChildren(fault(error, shown && excerpt(words, shown)));
    if (!shown) return;
    const before = words.split("\n").slice(0, shown.line - 1).reduce((sum, line) => sum + line.length + 1, from) + shown.column - 1;
    const end = /^\w+/.exec(text.value.slice(before))?.[0].length ?? 1;
    text.focus();
    text.setSelectionRange(before, before + end);
    number(text.value.slice(0, before).split("\n").length);
  }

  function plans({ columns, rows }) {
    const kind = columns.findIndex(({ name }) => name === "plan_type");
    const plan = columns.findIndex(({ name }) => name === "plan");
    if (plan < 0) return false;
    result.replaceChildren(...rows.flatMap(row => [
      element("h2", {}, kind < 0 ? "Plan" : String(row[kind]).replaceAll("_", " ")),
      element("pre", { class: "plan" }, String(row[plan])),
    ]));
    return true;
  }

  function answered({ columns, rows, stats }) {
    if (columns.length === 0) {
      result.replaceChildren(element("p", { class: "note" }, stats.tag || "Done."));
      return;
    }
    if (plans({ columns, rows })) return;
    const plan = rows.length > 1 ? drawable(columns) : null;
    const asTable = element("button", { type: "button", id: "as-table" }, "Table");
    const asChart = element("button", { type: "button", id: "as-chart" }, "Chart");
    const place = element("div");
    const pick = view => {
      asTable.classList.toggle("main", view === "table");
      asChart.classList.toggle("main", view === "chart");
      const drawn = view === "chart" ? chart(columns, rows, plan) : null;
      views.replaceChildren(...[asTable, asChart, drawn?.pick].filter(Boolean));
      place.replaceChildren(drawn?.box ?? table.box);
      if (!drawn) table.show(columns, rows);
    };
    asTable.addEventListener("click", () => pick("table"));
    asChart.addEventListener("click", () => pick("chart"));
    views.hidden = !plan;
    result.replaceChildren(views, place);
    pick("table");
  }

  async function go(prefix = "") {
    const { words, from } = chosen();
    if (running || !words.trim()) return;
    running = new AbortController();
    run.disabled = explain.disabled = analyze.disabled = true;
    cancel.disabled = false;
    took.textContent = "running …";
    number();
    remember(words.trim());
    const began = performance.now();
    try {
      const answer = await sql(prefix + words, { signal: running.signal });
      const ms = performance.now() - began;
      const counted = answer.columns.length ? `${count(answer.rows.length)} ${answer.rows.length === 1 ? "row" : "rows"}` : "done";
      took.textContent = `${counted} · ${ms < 1000 ? `${ms.toFixed(1)} ms` : `${(ms / 1000).toFixed(2)} s`}`;
      answered(answer);
    } catch (error) {
      const stopped = error.name === "AbortError";
      took.textContent = stopped ? "cancelled" : "failed";
      if (stopped) result.replaceChildren(element("p", { class: "note soft" }, "The statement was cancelled."));
      else failed(error, words, prefix, from);
    } finally {
      running = null;
      run.disabled = explain.disabled = analyze.disabled = false;
      cancel.disabled = true;
    }
  }

  function fill() {
    const all = statements();
    list.replaceChildren(...all.map(words => element("button", { type: "button", title: words.slice(0, 2000), onclick: () => { put(words); list.hidden = true; past.setAttribute("aria-expanded", "false"); } },
      words.replace(/\s+/g, " ").slice(0, 300))),
      all.length ? element("button", { type: "button", class: "soft", onclick: () => { forget(); fill(); } }, "Forget all")
        : element("p", { class: "note soft" }, "Statements that were run in this browser are kept here."));
  }

  function put(words) {
    text.value = words;
    number();
    text.focus();
  }

  run.addEventListener("click", () => go());
  explain.addEventListener("click", () => go("EXPLAIN "));
  analyze.addEventListener("click", () => go("EXPLAIN ANALYZE "));
  cancel.addEventListener("click", () => running?.abort());
  past.addEventListener("click", () => { fill(); list.hidden = !list.hidden; past.setAttribute("aria-expanded", String(!list.hidden)); });
  text.addEventListener("input", () => number());
  text.addEventListener("keydown", event => {
    if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) { event.preventDefault(); go(); }
    if (event.key === "Escape") running?.abort();
  });
  put(statements()[0] ?? "SELECT keyspace, name, row_fragments, sync FROM system.tables");

  return {
    seen() {
      const words = takeOver();
      if (words) { put(words); go(); }
      text.focus();
    },
  };
}
