// Elements of the page. Everything that comes from a node goes in as text, never as markup.

/** An element with members and children: strings become text. */
export function element(tag, members = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(members)) {
    if (value === undefined || value === null || value === false) continue;
    if (name === "class") made.className = value;
    else if (name.startsWith("on")) made.addEventListener(name.slice(2), value);
    else made.setAttribute(name, value === true ? "" : value);
  }
  made.append(...children.filter(child => child !== null && child !== undefined && child !== false));
  return made;
}

/** A card with a heading. */
export const card = (title, ...children) => element("section", { class: "card" }, element("h2", {}, title), ...children);

/** A small table. Columns are [title, what gives the cell's text or element, whether it is a number]. */
export function plainTable(columns, rows, nothing) {
  if (rows.length === 0) return element("p", { class: "note soft" }, nothing);
  const cell = (tag, title, number, content) => element(tag, { class: number && "number", "data-name": title }, content ?? "");
  return element("div", { class: "wide" }, element("table", { class: "plain" },
    element("thead", {}, element("tr", {}, ...columns.map(([title, , number]) => cell("th", title, number, title)))),
    element("tbody", {}, ...rows.map(row => element("tr", {}, ...columns.map(([title, of, number]) => cell("td", title, number, of(row))))))));
}

/** Names with values. */
export const facts = pairs => element("dl", { class: "facts" }, ...pairs.map(([name, value, whole]) =>
  element("div", { class: whole && "whole" }, element("dt", {}, name), element("dd", {}, value ?? "–"))));

/** What went wrong, in the node's words. */
export function fault(error, ...more) {
  return element("div", { class: "fault", role: "alert" }, element("b", { class: "bad" }, error.message),
    ...more, error.hint ? element("span", { class: "soft" }, error.hint) : null);
}
