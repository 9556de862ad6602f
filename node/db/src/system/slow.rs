//! `system.slow_queries`: statements that took long, oldest first.

use std::sync::Arc;
use std::time::Duration;

use activestore_types::Result;
use arrow::array::{Float64Array, TimestampNanosecondArray};
use arrow::record_batch::RecordBatch;

use super::{batch, count, text};
use crate::tables::Relations;

pub(super) fn slow_queries(relations: &Relations) -> Result<RecordBatch> {
    let database = relations.database();
    let all = database.map_or_else(Vec::new, |inner| inner.statements.slow());
    let ms = |time: Duration| time.as_secs_f64() * 1e3;
    let times = all.iter().map(|one| {
        let ns = i64::try_from(one.ended_ms).unwrap_or(0);
        ns.saturating_mul(1_000_000)
    });
    let took: Float64Array = all.iter().map(|one| Some(ms(one.took))).collect();
    let first: Float64Array = all.iter().map(|one| one.first.map(ms)).collect();
    batch(vec![
        ("number", count(all.iter().map(|one| one.number))),
        (
            "time",
            Arc::new(TimestampNanosecondArray::from_iter_values(times)),
        ),
        ("who", text(all.iter().map(|one| one.who.as_str()))),
        ("kind", text(all.iter().map(|one| one.kind))),
        ("statement", text(all.iter().map(|one| one.text.as_str()))),
        ("took_ms", Arc::new(took)),
        ("first_row_ms", Arc::new(first)),
        ("rows", count(all.iter().map(|one| one.rows))),
        (
            "rows_scanned",
            count(all.iter().map(|one| one.scanned.rows_scanned)),
        ),
        (
            "vectors_read",
            count(all.iter().map(|one| one.scanned.vectors_read)),
        ),
        (
            "bytes_decoded",
            count(all.iter().map(|one| one.scanned.bytes_decoded)),
        ),
        ("outcome", text(all.iter().map(|one| one.outcome))),
    ])
}
