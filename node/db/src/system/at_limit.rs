//! What `system.tables` says of what becomes of rows when the outbox is full, and what became of them.

use std::sync::Arc;

use activestore_catalog::{AtLimit, CatalogState};
use activestore_types::TableSchema;
use arrow::array::{ArrayRef, TimestampNanosecondArray};

use super::{count, optional, text};
use crate::outbox::Gone;
use crate::tables::Relations;

/// One row a table.
pub(super) fn columns(
    relations: &Relations,
    state: &CatalogState,
    tables: &[&Arc<TableSchema>],
) -> Vec<(&'static str, ArrayRef)> {
    let database = relations.database();
    let outbox = database
        .as_ref()
        .and_then(|database| database.outbox.as_ref());
    let let_go = outbox.map(|outbox| outbox.let_go()).unwrap_or_default();
    let gone: Vec<Gone> = tables
        .iter()
        .map(|table| let_go.get(&table.name).copied().unwrap_or_default())
        .collect();
    let said = |table: &TableSchema| state.at_limit.get(&table.name);
    let at = |of: fn(&Gone) -> u64| -> ArrayRef {
        let times = gone.iter().map(|gone| {
            let ms = (gone.rows > 0).then(|| of(gone))?;
            Some(i64::try_from(ms).ok()?.saturating_mul(1_000_000))
        });
        Arc::new(times.collect::<TimestampNanosecondArray>())
    };
    vec![
        (
            "sync_at_limit",
            text(
                tables
                    .iter()
                    .map(|table| said(table).map_or("hold", AtLimit::name)),
            ),
        ),
        (
            "sync_at_limit_filter",
            optional(
                tables
                    .iter()
                    .map(|table| Some(said(table)?.filter()?.to_owned())),
            ),
        ),
        ("rows_let_go", count(gone.iter().map(|gone| gone.rows))),
        ("let_go_from", at(|gone| gone.first_ms)),
        ("let_go_until", at(|gone| gone.last_ms)),
    ]
}
