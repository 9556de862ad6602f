//! `system.sync_clouds`: what waits for each cloud of a node, its own and further ones.

use std::sync::Arc;

use activestore_types::Result;
use arrow::array::{Float64Array, Int64Array, TimestampNanosecondArray};
use arrow::record_batch::RecordBatch;

use super::{batch, count, optional, text};
use crate::clouds::ShippingReport;
use crate::tables::Relations;

pub(super) fn sync_clouds(relations: &Relations) -> Result<RecordBatch> {
    let database = relations.database();
    let all: Vec<ShippingReport> = database.map_or_else(Vec::new, |inner| inner.shipping_reports());
    let oldest = all.iter().map(|one| {
        let ages = one.classes.iter().filter_map(|class| class.oldest_s);
        ages.reduce(f64::max)
    });
    let signed = all.iter().map(|one| {
        let ms = i64::try_from(one.receipt.as_ref()?.issued_ms).ok()?;
        Some(ms.saturating_mul(1_000_000))
    });
    let bytes = all.iter().map(|one| i64::try_from(one.outbox_bytes?).ok());
    let let_go = |one: &ShippingReport| one.let_go.iter().map(|gone| gone.rows).sum();
    batch(vec![
        ("cloud", text(all.iter().map(|one| one.cloud.as_str()))),
        ("tables", text(all.iter().map(|one| one.tables.join(", ")))),
        ("epoch", text(all.iter().map(|one| one.epoch.as_str()))),
        (
            "first_unacked",
            count(all.iter().map(|one| one.first_unacked)),
        ),
        ("last_sealed", count(all.iter().map(|one| one.last_sealed))),
        (
            "pending_rows",
            count(all.iter().map(|one| one.pending_rows)),
        ),
        (
            "pending_bytes",
            count(all.iter().map(|one| one.pending_bytes)),
        ),
        ("oldest_s", Arc::new(oldest.collect::<Float64Array>())),
        ("outbox_bytes", Arc::new(bytes.collect::<Int64Array>())),
        ("at_limit", text(all.iter().map(|one| one.at_limit))),
        ("rows_let_go", count(all.iter().map(let_go))),
        (
            "last_receipt",
            Arc::new(signed.collect::<TimestampNanosecondArray>()),
        ),
        (
            "refused",
            optional(all.iter().map(|one| one.refused.clone())),
        ),
        (
            "blocked",
            optional(all.iter().map(|one| one.blocked.clone())),
        ),
    ])
}
