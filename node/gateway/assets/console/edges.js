// Edges with their lag, what waits here for the cloud, and what happened to the sync.

import { card, element, facts, fault, plainTable } from "./element.js";
import { ago, bytes, count, duration } from "./figure.js";
import { json } from "./node.js";
import { repeat } from "./repeat.js";

const EVERY_MS = 3000;
const EVENTS_SHOWN = 200;

const tag = (words, kind) => element("span", { class: `tag ${kind}` }, words);

function behindOf({ behind }) {
  if (!behind) return "–";
  const parts = Object.entries(behind).filter(([, segments]) => segments > 0).map(([name, segments]) => `${count(segments)} ${name}`);
  return parts.length ? parts.join(", ") : tag("up to date", "good");
}

/** How an edge is connected to one of its clouds. */
function connection({ cloud, connected_to, transport, rtt_ms, last_error }) {
  const name = cloud && cloud !== "own" ? `${cloud}: ` : "";
  if (!connected_to) return `${name}none${last_error ? `, ${last_error}` : ""}`;
  return `${name}${connected_to} over ${transport}, ${Math.round(rtt_ms)} ms`;
}

function verified({ verified }) {
  if (!verified) return "–";
  const when = ago(verified.at_ms);
  return verified.differences ? element("span", { class: "bad" }, `${count(verified.differences)} rows differ, ${when}`) : `the same, ${when}`;
}

export function edges(box) {
  const peers = element("div");
  const own = element("div");
  const past = element("div");
  box.append(peers, own, past);

  function shipping(sync) {
    if (!sync.epoch && !(sync.also ?? []).length) return null;
    const waits = (sync.classes ?? []).filter(one => one.segments > 0);
    return card("To the cloud", facts([
      ["Connection", (sync.connections ?? []).length ? sync.connections.map(connection).join(", ") : "none"],
      ["Waits", `${count(sync.pending_rows)} rows, ${bytes(sync.pending_bytes)}`],
      ["Acknowledged up to", `${count(Math.max(0, sync.first_unacked - 1))} of ${count(sync.last_sealed)} segments`],
      ["Not looked at yet", `${count(sync.unsealed_records)} log records`],
      ["Last receipt", sync.receipt ? ago(sync.receipt.issued_ms) : "none"],
      ["From the cloud", sync.down ? `${count(sync.down.rows)} rows${sync.down.fetching ? ", fetching" : ""}` : "nothing"],
    ]), waits.length ? plainTable([
      ["Waits, by class", one => one.class],
      ["Rows", one => count(one.rows), true],
      ["Bytes", one => bytes(one.bytes), true],
      ["Oldest", one => one.oldest_s === null ? "–" : duration(one.oldest_s), true],
    ], waits, "") : null);
  }

  async function refresh() {
    let sync;
    try {
      sync = await json("/v1/sync");
    } catch (error) {
      peers.replaceChildren(element("section", { class: "card" }, fault(error)));
      own.replaceChildren();
      past.replaceChildren();
      return;
    }
    const all = sync.peers ?? [];
    const rtt = new Map((sync.connections ?? []).map(one => [one.node, one.rtt_ms ?? 0]));
    peers.replaceChildren(card(all.length ? `Edges (${all.filter(peer => peer.connected).length} of ${all.length} connected)` : "Edges", plainTable([
      ["Edge", peer => element("div", {}, element("b", {}, peer.name || peer.node.slice(0, 8)), element("div", { class: "soft small" }, peer.labels || peer.node.slice(0, 8)))],
      ["State", peer => peer.connected ? tag(peer.transport ?? "connected", "good") : tag(peer.via ? "via gateway" : "away", peer.via ? "soft" : "warn")],
      ["Behind, in segments", behindOf],
      ["Rows", peer => count(peer.rows), true],
      ["Round trip", peer => peer.connected && rtt.has(peer.node) ? `${rtt.get(peer.node).toFixed(1)} ms` : "–", true],
      ["Heard of", peer => peer.connected ? "now" : ago(peer.seen_ms)],
      ["Down", peer => peer.down_behind === null ? "–" : peer.down_behind ? `${count(peer.down_behind)} behind` : "up to date"],
      ["Compared", verified],
      ["Clock", peer => peer.clock_offset_ms === null ? "–" : `${peer.clock_offset_ms < 0 ? "−" : "+"}${duration(Math.abs(peer.clock_offset_ms) / 1000)}`, true],
      ["Last fault", peer => peer.last_error ? element("span", { class: "bad" }, peer.last_error) : "–"],
    ], all, "No edge ships here. activestore token create makes a token, activestore join brings an edge.")));
    own.replaceChildren(shipping(sync) ?? "");
    const { events = [] } = await json("/v1/sync/events").catch(() => ({}));
    past.replaceChildren(card("What happened", plainTable([
      ["When", event => new Date(event.last_ms).toISOString().replace("T", " ").slice(0, 19)],
      ["What", event => event.kind.replaceAll("_", " ")],
      ["Node", event => (event.name || event.node || "").slice(0, 24)],
      ["Told", event => event.times > 1 ? `${event.text} (${count(event.times)} times)` : event.text],
    ], events.slice(-EVENTS_SHOWN).reverse(), "Nothing yet.")));
  }
  return repeat(refresh, EVERY_MS);
}
