// What of a node's state somebody should do something about, and what.

import { ago, bytes, count } from "./figure.js";

const DISK_FULL = 0.9;

export function concerns(status, sync, seen, aside) {
  const found = [];
  const say = (bad, what, then) => found.push({ bad, what, then });
  for (const problem of status.problems ?? []) say(true, problem, "Deploy the plugin again, or drop what uses it.");
  if (status.disk_limit_bytes && status.disk_bytes > status.disk_limit_bytes * DISK_FULL) {
    say(status.disk_bytes > status.disk_limit_bytes * 0.97, `The disk is ${Math.round(status.disk_bytes / status.disk_limit_bytes * 100)} % full: ${bytes(status.disk_bytes)} of ${bytes(status.disk_limit_bytes)}.`,
      "Raise limits.disk, shorten the ttl of a table, or let rows go after their receipt.");
  }
  if (sync.blocked) say(true, `Nothing can be sealed: ${sync.blocked}`, "Rows stay in the log, and the log grows.");
  if (sync.refused) say(true, `The cloud refuses rows: ${sync.refused}`, "See the events of the sync, under Edges.");
  if (sync.no_room) say(true, `The queue to the cloud is full: ${sync.no_room}`, "Raise sync.outbox, or let the link carry more.");
  if (sync.receipt_refused) say(true, `A receipt of the cloud was refused: ${sync.receipt_refused}`, "Rows are not evicted until one is good.");
  for (const gone of sync.let_go ?? []) say(false, `Rows of ${gone.table ?? "a table"} were let go because the queue was full.`, "They are still here; a comparison ships them.");
  for (const peer of sync.peers ?? []) {
    const name = peer.name || peer.node.slice(0, 8);
    if (!peer.connected && peer.seen_ms) say(false, `${name} is not connected; it was heard of ${ago(peer.seen_ms)}.`, peer.last_error || "It goes on by itself once its link is back.");
    else if (peer.last_error) say(false, `${name}: ${peer.last_error}`, "See Edges.");
    if (peer.verified?.differences) say(true, `${name}: rows that differ from what the edge holds: ${count(peer.verified.differences)}.`, "activestore sync verify --repair compares and mends.");
  }
  const counters = [
    ["activestore_flush_errors_total", true, "Failed writes of files", "Look at the disk and at the node's log."],
    ["activestore_compaction_errors_total", true, "Failed compactions", "Look at the disk and at the node's log."],
    ["activestore_definitions_failed", true, "Definitions that cannot be loaded", "SELECT * FROM system.plugins says why."],
    ["activestore_sync_rows_aside", false, "Rows of edges that wait because they do not fit", "SELECT * FROM system.rejected_writes; then mend the table and send them again."],
  ];
  for (const [name, bad, what, then] of counters) if (seen[name] > 0) say(bad, `${what}: ${count(seen[name])}.`, then);
  if (aside > 0 && !(seen.activestore_sync_rows_aside > 0)) say(false, `Rejected writes: ${count(aside)}.`, "SELECT * FROM system.rejected_writes says which and why.");
  return found;
}
