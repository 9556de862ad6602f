//! `system.conflicts`: values that lost against newer ones whose writers had not seen them.

use std::sync::Arc;

use activestore_types::Result;
use arrow::array::TimestampNanosecondArray;
use arrow::record_batch::RecordBatch;

use super::{batch, optional, text};
use crate::conflicts::KeptConflict;
use crate::tables::Relations;

pub(super) fn conflicts(relations: &Relations) -> Result<RecordBatch> {
    let database = relations.database();
    let all: Vec<KeptConflict> = database.map_or_else(Vec::new, |inner| inner.kept_conflicts());
    let ns = |ms: u64| i64::try_from(ms).unwrap_or(0).saturating_mul(1_000_000);
    let times = |of: &dyn Fn(&KeptConflict) -> i64| {
        Arc::new(TimestampNanosecondArray::from_iter_values(
            all.iter().map(of),
        ))
    };
    batch(vec![
        ("time", times(&|one| one.at_ns)),
        (
            "keyspace",
            text(all.iter().map(|one| one.table.keyspace.as_str())),
        ),
        (
            "table",
            text(all.iter().map(|one| one.table.table.as_str())),
        ),
        ("key", text(all.iter().map(|one| one.key.as_str()))),
        ("column", optional(all.iter().map(|one| one.column.clone()))),
        (
            "losing_value",
            optional(all.iter().map(|one| one.losing.clone())),
        ),
        (
            "losing_node",
            text(all.iter().map(|one| one.loser.to_string())),
        ),
        ("losing_written", times(&|one| ns(one.lost_ms))),
        (
            "winning_value",
            optional(all.iter().map(|one| one.winning.clone())),
        ),
        (
            "winning_node",
            text(all.iter().map(|one| one.winner.to_string())),
        ),
        ("winning_written", times(&|one| ns(one.won_ms))),
    ])
}
