//! The files of the store as a table.

use std::sync::Arc;

use activestore_types::Result;
use arrow::array::BooleanArray;
use arrow::record_batch::RecordBatch;

use super::{batch, count, text};
use crate::tables::Relations;

pub(super) fn sstables(relations: &Relations) -> Result<RecordBatch> {
    let state = relations.catalog.state();
    let all = relations.store.sstables();
    let encodings = |info: &activestore_store::SstInfo| {
        let columns: Vec<_> = info
            .meta
            .columns
            .iter()
            .map(|column| {
                let mix: Vec<_> = column
                    .encodings
                    .iter()
                    .map(|(name, vectors)| format!("{name}×{vectors}"))
                    .collect();
                format!("{} {} B ({})", column.name, column.bytes, mix.join(" "))
            })
            .collect();
        columns.join("; ")
    };
    batch(vec![
        (
            "table",
            text(all.iter().map(|info| {
                state
                    .table_by_id(info.table)
                    .map_or_else(String::new, |table| table.name.to_string())
            })),
        ),
        ("file", text(all.iter().map(|info| info.path.as_str()))),
        ("rows", count(all.iter().map(|info| info.meta.rows))),
        ("bytes", count(all.iter().map(|info| info.meta.bytes))),
        (
            "level",
            count(all.iter().map(|info| u64::from(info.meta.level))),
        ),
        (
            "unique",
            Arc::new(BooleanArray::from_iter(
                all.iter().map(|info| Some(info.meta.unique)),
            )),
        ),
        ("columns", text(all.iter().map(encodings))),
    ])
}
