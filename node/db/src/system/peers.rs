//! `system.sync_peers`: the edges of a cloud, what came from them and how far they hold its stream.

use std::sync::Arc;

use activestore_types::Result;
use arrow::array::{ArrayRef, BooleanArray, Int64Array, TimestampNanosecondArray};
use arrow::record_batch::RecordBatch;

use super::{batch, count, optional, text};
use crate::status::{PeerReport, peer_reports};
use crate::tables::Relations;

pub(super) fn sync_peers(relations: &Relations) -> Result<RecordBatch> {
    let Some(database) = relations.database() else {
        return batch(vec![("node", text(Vec::<String>::new()))]);
    };
    let all = peer_reports(&database);
    let some = |text: &String| (!text.is_empty()).then(|| text.clone());
    let maybe = |of: fn(&PeerReport) -> Option<u64>| -> ArrayRef {
        let numbers = all
            .iter()
            .map(|peer| of(peer).and_then(|n| i64::try_from(n).ok()));
        Arc::new(numbers.collect::<Int64Array>())
    };
    let seen = all.iter().map(|peer| {
        let ms = i64::try_from(peer.seen_ms).ok().filter(|ms| *ms > 0);
        ms.map(|ms| ms.saturating_mul(1_000_000))
    });
    let verified = all.iter().map(|peer| {
        let ms = i64::try_from(peer.verified?.at_ms).ok()?;
        Some(ms.saturating_mul(1_000_000))
    });
    batch(vec![
        ("node", text(all.iter().map(|peer| peer.node.as_str()))),
        ("name", optional(all.iter().map(|peer| some(&peer.name)))),
        (
            "labels",
            optional(all.iter().map(|peer| some(&peer.labels))),
        ),
        ("epoch", optional(all.iter().map(|peer| some(&peer.epoch)))),
        ("via", optional(all.iter().map(|peer| peer.via.clone()))),
        (
            "connected",
            Arc::new(
                all.iter()
                    .map(|peer| Some(peer.connected))
                    .collect::<BooleanArray>(),
            ),
        ),
        (
            "transport",
            optional(all.iter().map(|peer| peer.transport.map(str::to_owned))),
        ),
        (
            "durable_seq",
            count(all.iter().map(|peer| peer.durable_seq)),
        ),
        ("row_fragments", count(all.iter().map(|peer| peer.rows))),
        ("down_seq", maybe(|peer| peer.down_seq)),
        ("down_behind", maybe(|peer| peer.down_behind)),
        (
            "behind_alarm",
            maybe(|peer| peer.behind.map(|behind| behind.alarm)),
        ),
        (
            "behind_control",
            maybe(|peer| peer.behind.map(|behind| behind.control)),
        ),
        (
            "behind_live",
            maybe(|peer| peer.behind.map(|behind| behind.live)),
        ),
        (
            "behind_backlog",
            maybe(|peer| peer.behind.map(|behind| behind.backlog)),
        ),
        (
            "clock_offset_ms",
            Arc::new(
                all.iter()
                    .map(|peer| peer.clock_offset_ms)
                    .collect::<Int64Array>(),
            ),
        ),
        (
            "last_seen",
            Arc::new(seen.collect::<TimestampNanosecondArray>()),
        ),
        (
            "last_verified",
            Arc::new(verified.collect::<TimestampNanosecondArray>()),
        ),
        (
            "differences",
            maybe(|peer| peer.verified.map(|verified| verified.differences)),
        ),
        (
            "last_error",
            optional(all.iter().map(|peer| peer.last_error.clone())),
        ),
    ])
}
