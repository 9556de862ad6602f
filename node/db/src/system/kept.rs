//! What `system.tables` says of how long rows are kept here and what went.

use std::sync::Arc;

use activestore_catalog::{CatalogState, Keeping};
use activestore_types::TableSchema;
use arrow::array::{ArrayRef, BooleanArray, Int64Array, TimestampNanosecondArray};

use super::{count, optional};
use crate::eviction::EvictedRows;
use crate::tables::Relations;

/// One row a table.
pub(super) fn columns(
    relations: &Relations,
    state: &CatalogState,
    tables: &[&Arc<TableSchema>],
) -> Vec<(&'static str, ArrayRef)> {
    let database = relations.database();
    let keeping = |table: &TableSchema| -> Option<Keeping> {
        let keeping = state.keeping.get(&table.name).copied();
        keeping.filter(|keeping| keeping.keep_local_s.is_some())
    };
    let evicted: Vec<EvictedRows> = tables
        .iter()
        .map(|table| {
            let evicted = database
                .as_ref()
                .and_then(|inner| inner.evicted_rows(table));
            evicted.unwrap_or_default()
        })
        .collect();
    let kept_s = tables.iter().map(|table| {
        let kept_s = keeping(table)?.keep_local_s?;
        i64::try_from(kept_s).ok()
    });
    vec![
        ("keep_local_s", Arc::new(kept_s.collect::<Int64Array>())),
        (
            "evict_after_receipt",
            Arc::new(
                tables
                    .iter()
                    .map(|table| Some(keeping(table)?.needs_receipt()))
                    .collect::<BooleanArray>(),
            ),
        ),
        (
            "evicted_before",
            Arc::new(
                evicted
                    .iter()
                    .map(|rows| rows.before_ns)
                    .collect::<TimestampNanosecondArray>(),
            ),
        ),
        ("evicted_rows", count(evicted.iter().map(|rows| rows.rows))),
        (
            "evicted_bytes",
            count(evicted.iter().map(|rows| rows.bytes)),
        ),
        (
            "eviction_waits",
            optional(tables.iter().map(|table| {
                let inner = database.as_ref()?;
                inner.eviction.waiting(table.id)
            })),
        ),
    ]
}
