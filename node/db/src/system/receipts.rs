//! `system.sync_receipts`: at an edge what its cloud signed that it holds, at a cloud what it signed last.

use std::sync::Arc;

use activestore_types::Result;
use arrow::array::{BooleanArray, TimestampNanosecondArray};
use arrow::record_batch::RecordBatch;

use super::{batch, count, optional, text};
use crate::receipts::ReceiptReport;
use crate::tables::Relations;

pub(super) fn sync_receipts(relations: &Relations) -> Result<RecordBatch> {
    let database = relations.database();
    let all: Vec<ReceiptReport> = database.map_or_else(Vec::new, |inner| inner.receipt_reports());
    let issued = all.iter().map(|receipt| {
        let ms = i64::try_from(receipt.issued_ms).ok();
        ms.map(|ms| ms.saturating_mul(1_000_000))
    });
    let verified = all.iter().map(|receipt| receipt.verified);
    batch(vec![
        ("side", text(all.iter().map(|one| one.side))),
        ("node", text(all.iter().map(|one| one.node.as_str()))),
        (
            "name",
            optional(
                all.iter()
                    .map(|one| (!one.name.is_empty()).then(|| one.name.clone())),
            ),
        ),
        ("cloud", optional(all.iter().map(|one| one.cloud.clone()))),
        ("epoch", text(all.iter().map(|one| one.epoch.as_str()))),
        ("seq", count(all.iter().map(|one| one.seq))),
        ("hash", text(all.iter().map(|one| one.hash.as_str()))),
        ("row_fragments", count(all.iter().map(|one| one.rows))),
        (
            "issued_at",
            Arc::new(issued.collect::<TimestampNanosecondArray>()),
        ),
        ("verified", Arc::new(verified.collect::<BooleanArray>())),
    ])
}
