// The node at a glance: whether it is well, how full it is, what it does, what somebody should do.

import { concerns } from "./concerns.js";
import { card, element, fault, plainTable } from "./element.js";
import { bytes, count, duration, short } from "./figure.js";
import { handOver } from "./handed.js";
import { figures, json, rows } from "./node.js";
import { repeat } from "./repeat.js";

const EVERY_MS = 3000;
/** Points of a rate that are kept: five minutes. */
const KEPT = 100;

/** A number that grows, as a number a second. */
function rateOf() {
  let before = null;
  const points = [];
  return {
    points,
    take(value) {
      const now = performance.now();
      if (before && value >= before.value) points.push((value - before.value) / ((now - before.now) / 1000));
      if (points.length > KEPT) points.shift();
      before = { now, value };
      return points.at(-1);
    },
  };
}

const SVG = "http://www.w3.org/2000/svg";

function spark(points) {
  const drawing = document.createElementNS(SVG, "svg");
  drawing.setAttribute("viewBox", "0 0 100 30");
  drawing.setAttribute("preserveAspectRatio", "none");
  drawing.setAttribute("aria-hidden", "true");
  const line = document.createElementNS(SVG, "polyline");
  line.setAttribute("class", "spark");
  const most = Math.max(...points, 1e-9);
  const from = KEPT - points.length;
  line.setAttribute("points", points.map((value, place) => `${((from + place) / (KEPT - 1) * 100).toFixed(1)},${(28 - value / most * 26).toFixed(1)}`).join(" "));
  drawing.append(line);
  return drawing;
}

function gauge(used, limit) {
  if (!limit) return null;
  const share = Math.min(100, used / limit * 100);
  const bar = element("div", { class: `gauge ${share > 95 ? "bad" : share > 85 ? "warn" : ""}`, role: "meter", "aria-valuenow": share.toFixed(0), "aria-valuemin": 0, "aria-valuemax": 100 }, element("i"));
  bar.style.setProperty("--share", share);
  return bar;
}

const tile = (name, value, note, drawn) => element("div", { class: "card tile" },
  element("span", { class: "soft small" }, name), element("b", {}, value), element("span", { class: "soft small" }, note || "\u00a0"), drawn);

export function overview(box) {
  const actions = element("div");
  const tiles = element("div", { class: "tiles" });
  const tables = element("div");
  box.append(actions, tiles, tables);
  const rates = { written: rateOf(), statements: rateOf(), shipped: rateOf() };

  async function refresh() {
    let status;
    try {
      status = await json("/v1/status");
    } catch (error) {
      actions.replaceChildren(element("section", { class: "card" }, fault(error)));
      return;
    }
    const [sync, seen, aside] = await Promise.all([
      json("/v1/sync").catch(error => ({ refusedTo: error })),
      figures().catch(() => ({})),
      rows("SELECT count(*) AS n FROM system.rejected_writes").catch(() => []),
    ]);
    const found = concerns(status, sync, seen, aside[0]?.n ?? 0);
    actions.replaceChildren(found.length
      ? card(`Needs action (${found.length})`, element("ul", { class: "actions" }, ...found.map(({ bad, what, then }) =>
        element("li", { class: bad ? "bad" : "" }, element("span", {}, what), element("span", { class: "soft small" }, then)))))
      : element("section", { class: "card" }, element("p", { class: "note good" }, "✓ Nothing needs action.")));
    const written = rates.written.take(seen.activestore_rows_written_total ?? 0);
    const run = rates.statements.take((seen.activestore_statements_total ?? 0));
    const received = rates.shipped.take(seen.activestore_sync_rows_received_total ?? 0);
    const rate = value => value === undefined ? "…" : `${short(value)} /s`;
    const peers = sync.peers ?? [];
    tiles.replaceChildren(
      tile("Rows written", rate(written), `${count(seen.activestore_rows_written_total ?? 0)} since the start`, spark(rates.written.points)),
      tile("Statements", rate(run), `${count(seen.activestore_queries_running ?? 0)} running`, spark(rates.statements.points)),
      status.role === "edge"
        ? tile("Waits for the cloud", `${count(sync.pending_rows ?? 0)} rows`, bytes(sync.pending_bytes ?? 0))
        : tile("Rows from edges", rate(received), `${peers.filter(peer => peer.connected).length} of ${peers.length} edges connected`, spark(rates.shipped.points)),
      tile("Memory", bytes(status.memory_bytes), `fresh rows: ${bytes(seen.activestore_memtable_bytes ?? 0)} of ${bytes(status.memory_limit_bytes)}`, gauge(seen.activestore_memtable_bytes ?? 0, status.memory_limit_bytes)),
      tile("Disk", bytes(status.disk_bytes), status.disk_limit_bytes ? `of ${bytes(status.disk_limit_bytes)}` : "no limit set", gauge(status.disk_bytes, status.disk_limit_bytes)),
      tile("Rows in files", count(status.sst_rows), `${bytes(status.sst_bytes)} in ${count(seen.activestore_sst_files ?? 0)} files`),
      tile("Up for", duration(status.uptime_s), `${count(status.tables)} tables`),
    );
    const listed = await rows("SELECT keyspace, name, columns, row_fragments, sync, sync_class, ttl_s FROM system.tables ORDER BY keyspace, name LIMIT 500").catch(() => []);
    tables.replaceChildren(card("Tables", plainTable([
      ["Table", row => element("a", {
        href: "#sql",
        onclick: event => { event.preventDefault(); handOver(`SELECT * FROM ${quoted(row.keyspace)}.${quoted(row.name)} LIMIT 100`); },
      }, `${row.keyspace}.${row.name}`)],
      ["Columns", row => count(row.columns), true],
      ["Row fragments", row => count(row.row_fragments), true],
      ["Sync", row => row.sync === "none" ? "–" : [row.sync, row.sync_class].filter(Boolean).join(", ")],
      ["Kept for", row => row.ttl_s ? duration(row.ttl_s) : "ever"],
    ], listed, "There are no tables yet. CREATE TABLE makes one; so does a write to a keyspace whose tables are flexible.")));
  }
  return repeat(refresh, EVERY_MS);
}

/** A name in a statement. */
const quoted = name => /^[a-z_][a-z0-9_]*$/.test(name) ? name : `"${name.replaceAll('"', '""')}"`;
