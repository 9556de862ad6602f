// A table that stays fast whatever the number of rows: only those that are seen are in the page.

import { element } from "./element.js";
import { cellText, isNumber } from "./figure.js";

const ROW = 28;
const AHEAD = 12;
/** Rows that a column's width is taken from. */
const MEASURED = 200;
const WIDTH_MIN = 7;
const WIDTH_MAX = 44;
/** Browsers make nothing taller than some 30 million points; behind that many rows scrolling goes in larger steps. */
const HEIGHT_MAX = 8_000_000;

/** A grid in a box. `columns` are {name, type}; rows are lists of cells. */
export function grid(label) {
  const names = element("div", { class: "names", role: "row" });
  const space = element("div", { class: "space", role: "rowgroup" });
  const box = element("div", { class: "grid", tabindex: "0", role: "table", "aria-label": label }, names, space);
  let columns = [];
  let rows = [];
  let template = "";
  let planned = 0;

  function measure() {
    const widths = columns.map(({ name, type }, place) => {
      let width = name.length + (type ? type.length + 2 : 0);
      for (const row of rows.slice(0, MEASURED)) width = Math.max(width, Math.min(WIDTH_MAX, cellText(row[place]).length));
      return Math.max(WIDTH_MIN, Math.min(WIDTH_MAX, width)) + 3;
    });
    // Columns share what is left over.
    template = widths.map(width => `minmax(${width}ch, ${width}fr)`).join(" ");
    names.style.gridTemplateColumns = template;
    const least = widths.reduce((sum, width) => sum + width, 0);
    space.style.width = names.style.width = `max(100%, ${least}ch)`;
  }

  const shownRow = place => {
    const row = rows[place];
    const line = element("div", { class: "row", role: "row", "aria-rowindex": place + 2 });
    line.style.gridTemplateColumns = template;
    columns.forEach(({ type, kind }, column) => {
      const value = row[column];
      const text = cellText(value);
      const name = value === null || value === undefined ? "null" : kind ? kind(value) : isNumber(type ?? "") ? "number" : "";
      line.append(element("div", { class: name, role: "cell", title: text.length > WIDTH_MAX - 4 ? text.slice(0, 4000) : null }, text));
    });
    return line;
  };

  function draw() {
    planned = 0;
    const height = Math.min(rows.length * ROW, HEIGHT_MAX);
    space.style.height = `${height}px`;
    const view = Math.max(ROW, box.clientHeight - names.offsetHeight);
    const most = box.scrollHeight - box.clientHeight;
    const top = Math.max(0, Math.min(box.scrollTop, most));
    // How far the rows are scrolled: as far as the page is, or in larger steps.
    const scrolled = most > 0 ? top / most * Math.max(0, rows.length * ROW - view) : 0;
    const at = Math.floor(scrolled / ROW);
    const first = Math.max(0, at - AHEAD);
    const last = Math.min(rows.length, at + Math.ceil(view / ROW) + 1 + AHEAD);
    const lines = [];
    for (let place = first; place < last; place++) {
      const line = shownRow(place);
      line.style.transform = `translateY(${top + place * ROW - scrolled}px)`;
      lines.push(line);
    }
    space.replaceChildren(...lines);
  }

  const plan = () => { planned ||= requestAnimationFrame(draw); };
  box.addEventListener("scroll", plan, { passive: true });
  new ResizeObserver(plan).observe(box);

  return {
    box,
    /** Shows other rows. */
    show(newColumns, newRows) {
      columns = newColumns;
      rows = newRows;
      names.replaceChildren(...columns.map(({ name, type }) =>
        element("div", { role: "columnheader", title: name, class: isNumber(type ?? "") ? "number" : null }, name, type ? element("small", {}, type.toLowerCase()) : "")));
      box.setAttribute("aria-rowcount", rows.length + 1);
      box.scrollTop = 0;
      measure();
      plan();
    },
    /** The rows have become others, of the same columns. */
    changed(newRows) {
      const few = rows.length < 20;
      rows = newRows;
      box.setAttribute("aria-rowcount", rows.length + 1);
      if (few) measure();
      plan();
    },
  };
}
