// A line chart of a time series: the first column of time across, numbers up, one line for each text of another column.

import { element } from "./element.js";
import { isNumber, short } from "./figure.js";
import { colour } from "./theme.js";

const SERIES_MAX = 8;
const LEFT = 54;
const BOTTOM = 22;
const TOP = 8;
const STEPS_MS = [1, 5, 10, 50, 100, 500, 1e3, 5e3, 15e3, 60e3, 300e3, 900e3, 3600e3, 3 * 3600e3, 6 * 3600e3, 12 * 3600e3, 86400e3, 7 * 86400e3, 30 * 86400e3, 365 * 86400e3];

const isTime = type => /^(TIMESTAMP|DATE)/i.test(type);

/** Which columns of an answer can be drawn; nothing where it is no time series. */
export function drawable(columns) {
  const time = columns.findIndex(({ type }) => isTime(type));
  const numbers = columns.map(({ type }, place) => isNumber(type) ? place : -1).filter(place => place >= 0);
  if (time < 0 || numbers.length === 0) return null;
  return { time, numbers, names: columns.findIndex(({ type }) => /^TEXT/i.test(type)) };
}

/** The lines of one column of numbers, each in the order of time. */
function seriesOf(rows, { time, names }, column) {
  const found = new Map();
  let left = 0;
  for (const row of rows) {
    const at = Date.parse(row[time]);
    const value = Number(row[column]);
    if (row[column] === null || !Number.isFinite(value) || Number.isNaN(at)) continue;
    const name = names < 0 ? "" : String(row[names]);
    if (!found.has(name)) {
      if (found.size >= SERIES_MAX) { left++; continue; }
      found.set(name, []);
    }
    found.get(name).push([at, value]);
  }
  for (const points of found.values()) points.sort((a, b) => a[0] - b[0]);
  return { lines: [...found], left };
}

function ends(lines) {
  let [t0, t1, low, high] = [Infinity, -Infinity, Infinity, -Infinity];
  for (const [, points] of lines) {
    for (const [at, value] of points) {
      t0 = Math.min(t0, at); t1 = Math.max(t1, at);
      low = Math.min(low, value); high = Math.max(high, value);
    }
  }
  const room = (high - low || Math.abs(high) || 1) * 0.06;
  return { t0, t1: t1 === t0 ? t0 + 1 : t1, low: low - room, high: high + room };
}

function ticks(low, high, wanted) {
  const rough = (high - low) / wanted;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 5, 10].map(factor => factor * power).find(step => step >= rough);
  const found = [];
  for (let at = Math.ceil(low / step) * step; at <= high && found.length < 20; at += step) found.push(Math.abs(at) < step / 1e6 ? 0 : at);
  return found;
}

function clock(at, step) {
  const text = new Date(at).toISOString();
  if (step >= 86400e3) return text.slice(0, 10);
  if (step >= 60e3) return text.slice(11, 16) === "00:00" ? text.slice(5, 10) : text.slice(11, 16);
  return step >= 1e3 ? text.slice(11, 19) : text.slice(17, 23);
}

/** A chart of an answer that can be drawn, and the choice of its column where there is one. */
export function chart(columns, rows, plan) {
  const canvas = element("canvas", { role: "img", tabindex: "0" });
  const legend = element("div", { class: "legend" });
  const tip = element("div", { class: "tip", hidden: true });
  const pick = element("select", { "aria-label": "Column that is drawn" }, ...plan.numbers.map(place => element("option", { value: place }, columns[place].name)));
  const box = element("div", { class: "chart" }, canvas, legend, tip);
  let lines = [];
  let range = null;
  let colours = [];

  const x = at => LEFT + (at - range.t0) / (range.t1 - range.t0) * (canvas.clientWidth - LEFT - 8);
  const y = value => TOP + (range.high - value) / (range.high - range.low) * (canvas.clientHeight - TOP - BOTTOM);

  function draw(over = null) {
    if (!canvas.clientWidth || !range) return;
    const scale = devicePixelRatio || 1;
    canvas.width = canvas.clientWidth * scale;
    canvas.height = canvas.clientHeight * scale;
    const pen = canvas.getContext("2d");
    pen.scale(scale, scale);
    pen.font = "12px system-ui, 'DejaVu Sans', sans-serif";
    pen.fillStyle = colour("soft");
    pen.strokeStyle = colour("line");
    pen.lineWidth = 1;
    pen.textAlign = "right";
    pen.textBaseline = "middle";
    for (const tick of ticks(range.low, range.high, 5)) {
      const at = Math.round(y(tick)) + .5;
      pen.beginPath(); pen.moveTo(LEFT, at); pen.lineTo(canvas.clientWidth - 8, at); pen.stroke();
      pen.fillText(short(tick), LEFT - 7, at);
    }
    const wanted = (range.t1 - range.t0) / Math.max(2, canvas.clientWidth / 90);
    const step = STEPS_MS.find(step => step >= wanted) ?? STEPS_MS.at(-1);
    pen.textAlign = "center";
    for (let at = Math.ceil(range.t0 / step) * step; at <= range.t1; at += step) {
      const text = clock(at, step);
      pen.fillText(text, Math.min(x(at), canvas.clientWidth - pen.measureText(text).width / 2 - 2), canvas.clientHeight - 8);
    }
    pen.lineWidth = 1.7;
    pen.lineJoin = "round";
    lines.forEach(([, points], place) => line(pen, points, colours[place]));
    if (over !== null) {
      pen.strokeStyle = colour("soft");
      pen.lineWidth = 1;
      pen.beginPath(); pen.moveTo(x(over), TOP); pen.lineTo(x(over), canvas.clientHeight - BOTTOM); pen.stroke();
    }
  }

  /** Of the points of one column of dots the first, the lowest, the highest and the last: what is seen of all of them. */
  function line(pen, points, ink) {
    pen.strokeStyle = pen.fillStyle = ink;
    pen.beginPath();
    let dot = null;
    let of = [];
    const flush = () => {
      if (of.length === 0) return;
      const values = of.map(([, value]) => value);
      for (const value of of.length < 4 ? values : [values[0], Math.min(...values), Math.max(...values), values.at(-1)]) pen.lineTo(dot, y(value));
    };
    for (const point of points) {
      const at = Math.round(x(point[0]) * 2) / 2;
      if (at !== dot) { flush(); dot = at; of = []; }
      of.push(point);
    }
    flush();
    pen.stroke();
    if (points.length < 40) for (const [at, value] of points) { pen.beginPath(); pen.arc(x(at), y(value), 2.4, 0, 7); pen.fill(); }
  }

  function nearest(points, at) {
    let [low, high] = [0, points.length - 1];
    while (high - low > 1) {
      const middle = (low + high) >> 1;
      if (points[middle][0] < at) low = middle; else high = middle;
    }
    return Math.abs(points[low][0] - at) < Math.abs(points[high][0] - at) ? points[low] : points[high];
  }

  function point(event) {
    const bounds = canvas.getBoundingClientRect();
    const at = range.t0 + (event.clientX - bounds.left - LEFT) / (bounds.width - LEFT - 8) * (range.t1 - range.t0);
    if (!range || at < range.t0 || at > range.t1 || lines.length === 0) return away();
    const near = lines.map(([name, points]) => [name, nearest(points, at)]);
    const moment = near.map(([, [time]]) => time).reduce((a, b) => Math.abs(a - at) < Math.abs(b - at) ? a : b);
    tip.replaceChildren(element("div", { class: "soft" }, new Date(moment).toISOString().replace("T", " ").slice(0, 23)),
      ...near.map(([name, [, value]], place) => { const key = element("b", {}, short(value)); key.style.color = colours[place]; return element("div", {}, name ? `${name} ` : "", key); }));
    tip.hidden = false;
    const left = event.clientX - bounds.left;
    tip.style.left = `${left > bounds.width / 2 ? Math.max(0, left - tip.offsetWidth - 10) : left + 24}px`;
    draw(moment);
  }
  const away = () => { tip.hidden = true; draw(); };

  function take() {
    const { lines: found, left } = seriesOf(rows, plan, Number(pick.value));
    lines = found;
    range = lines.length ? ends(lines) : null;
    paint();
    canvas.setAttribute("aria-label", `${columns[Number(pick.value)].name} over ${columns[plan.time].name}, ${lines.length} lines`);
    legend.replaceChildren(...lines.filter(([name]) => name).map(([name], place) => {
      const key = element("i");
      key.style.background = colours[place];
      return element("span", {}, key, name);
    }), left ? element("span", { class: "soft" }, `the first ${SERIES_MAX} series`) : "");
    if (!range) legend.replaceChildren(element("span", { class: "soft" }, "There is no number with a time to draw."));
  }
  function paint() {
    colours = Array.from({ length: SERIES_MAX }, (_, place) => colour(`series-${place + 1}`));
    draw();
  }

  pick.addEventListener("change", take);
  canvas.addEventListener("pointermove", point);
  canvas.addEventListener("pointerleave", away);
  new ResizeObserver(() => draw()).observe(canvas);
  addEventListener("themechange", () => { if (box.isConnected) take(); });
  requestAnimationFrame(take);
  return { box, pick: plan.numbers.length > 1 ? pick : null };
}
