//! `system.rejected_writes`: rows that a processor refused, and rows of other nodes that are set aside.

use std::sync::Arc;

use activestore_types::Result;
use arrow::array::TimestampNanosecondArray;
use arrow::record_batch::RecordBatch;

use super::{batch, count, optional, text};
use crate::tables::Relations;
use crate::write::read_rejected;

/// Rows that were refused for one reason.
struct Refused {
    at_ns: i64,
    table: String,
    processor: Option<String>,
    reason: String,
    row: Option<String>,
    source: &'static str,
    node: String,
    rows: u64,
}

pub(super) fn rejected_writes(relations: &Relations) -> Result<RecordBatch> {
    let by_processors = read_rejected(&relations.store).into_iter();
    let mut all: Vec<Refused> = by_processors
        .map(|refused| Refused {
            at_ns: refused.at_ns,
            table: refused.table,
            processor: Some(refused.processor),
            reason: refused.reason,
            row: Some(refused.row),
            source: "processor",
            node: relations.node.to_string(),
            rows: 1,
        })
        .collect();
    if let Some(inner) = relations.database() {
        let aside = inner.parts_aside().into_iter();
        all.extend(aside.map(|(aside, part, row)| Refused {
            at_ns: aside.at_ns,
            table: part.table.to_string(),
            processor: None,
            reason: part.reason,
            row,
            source: if aside.down { "cloud" } else { "edge" },
            node: aside.from.to_string(),
            rows: u64::from(part.rows),
        }));
    }
    batch(vec![
        (
            "at",
            Arc::new(TimestampNanosecondArray::from_iter_values(
                all.iter().map(|one| one.at_ns),
            )),
        ),
        ("table", text(all.iter().map(|one| one.table.as_str()))),
        (
            "processor",
            optional(all.iter().map(|one| one.processor.clone())),
        ),
        ("reason", text(all.iter().map(|one| one.reason.as_str()))),
        ("row", optional(all.iter().map(|one| one.row.clone()))),
        ("source", text(all.iter().map(|one| one.source))),
        ("node", text(all.iter().map(|one| one.node.as_str()))),
        ("rows", count(all.iter().map(|one| one.rows))),
    ])
}
