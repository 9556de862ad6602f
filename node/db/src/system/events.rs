//! `system.sync_events`: what happened to this node's sync, oldest first.

use std::sync::Arc;

use activestore_types::Result;
use arrow::array::TimestampNanosecondArray;
use arrow::record_batch::RecordBatch;

use super::{batch, count, optional, text};
use crate::events::EventReport;
use crate::tables::Relations;

pub(super) fn sync_events(relations: &Relations) -> Result<RecordBatch> {
    let database = relations.database();
    let all: Vec<EventReport> = database.map_or_else(Vec::new, |inner| inner.event_reports(0));
    let times = |of: fn(&EventReport) -> u64| {
        let ns = |ms: u64| i64::try_from(ms).unwrap_or(0).saturating_mul(1_000_000);
        Arc::new(TimestampNanosecondArray::from_iter_values(
            all.iter().map(|one| ns(of(one))),
        ))
    };
    batch(vec![
        ("number", count(all.iter().map(|one| one.number))),
        ("time", times(|one| one.last_ms)),
        ("first", times(|one| one.first_ms)),
        ("kind", text(all.iter().map(|one| one.kind))),
        ("node", optional(all.iter().map(|one| one.node.clone()))),
        ("name", optional(all.iter().map(|one| one.name.clone()))),
        ("times", count(all.iter().map(|one| one.times))),
        ("text", text(all.iter().map(|one| one.text.as_str()))),
    ])
}
