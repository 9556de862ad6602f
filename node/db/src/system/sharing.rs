//! Merge functions, sync filters, and what of which table they have to do with.

use std::sync::Arc;

use activestore_catalog::Sharing;
use activestore_types::{Result, SyncMode, TableName};
use arrow::array::BooleanArray;
use arrow::record_batch::RecordBatch;

use super::{batch, count, optional, text};
use crate::tables::Relations;

/// The tables of which this holds, by name.
fn users(relations: &Relations, uses: impl Fn(&Sharing) -> bool) -> String {
    let state = relations.catalog.state();
    let users = state.sharing.iter().filter(|(_, sharing)| uses(sharing));
    let users: Vec<String> = users.map(|(table, _)| table.to_string()).collect();
    users.join(", ")
}

pub(super) fn merge_functions(relations: &Relations) -> Result<RecordBatch> {
    let state = relations.catalog.state();
    let loaded = relations.plugins.current();
    let all: Vec<_> = state.merges.values().collect();
    batch(vec![
        ("name", text(all.iter().map(|f| f.name.as_str()))),
        ("plugin", text(all.iter().map(|f| f.plugin.to_string()))),
        ("function", text(all.iter().map(|f| f.function.as_str()))),
        (
            "types",
            optional(all.iter().map(|f| {
                let functions = loaded.merge(&f.name).ok()?.iter();
                let types: Vec<_> = functions
                    .map(|function| function.data_type().to_string())
                    .collect();
                Some(types.join(", "))
            })),
        ),
        (
            "used_by",
            text(all.iter().map(|f| {
                users(relations, |sharing| {
                    sharing.merges.values().any(|name| *name == f.name)
                })
            })),
        ),
        (
            "error",
            optional(all.iter().map(|f| {
                let failed = loaded.failed.get(&format!("merge function {}", f.name));
                failed.cloned()
            })),
        ),
    ])
}

pub(super) fn filters(relations: &Relations) -> Result<RecordBatch> {
    let state = relations.catalog.state();
    let loaded = relations.plugins.current();
    let all: Vec<_> = state.filters.values().collect();
    batch(vec![
        ("name", text(all.iter().map(|f| f.name.as_str()))),
        ("plugin", text(all.iter().map(|f| f.plugin.to_string()))),
        (
            "options",
            text(all.iter().map(|f| {
                let options = f.options.iter();
                let options: Vec<_> = options
                    .map(|(name, value)| format!("{name} = '{value}'"))
                    .collect();
                options.join(", ")
            })),
        ),
        (
            "used_by",
            text(all.iter().map(|f| {
                users(relations, |sharing| {
                    sharing.filter.as_ref() == Some(&f.name)
                })
            })),
        ),
        (
            "error",
            optional(
                all.iter()
                    .map(|f| loaded.failed.get(&format!("filter {}", f.name)).cloned()),
            ),
        ),
    ])
}

/// Tables that several nodes write to, or of which not everything leaves: how their values come together, what
/// stayed here since the start, and how many values lost a conflict here.
pub(super) fn shared_tables(relations: &Relations) -> Result<RecordBatch> {
    let state = relations.catalog.state();
    let nothing = Sharing::default();
    let tables = state.tables.values();
    let tables = tables
        .filter(|table| table.sync == SyncMode::Both || state.sharing.contains_key(&table.name));
    let all: Vec<_> = tables
        .map(|table| {
            (
                &table.name,
                state.sharing.get(&table.name).unwrap_or(&nothing),
            )
        })
        .collect();
    let database = relations.database();
    let conflicts = database.as_ref();
    let conflicts = conflicts.map(|inner| inner.conflict_counts());
    let conflicts = conflicts.unwrap_or_default();
    let lost = |table: &TableName| {
        let table = state.tables.get(table);
        table.and_then(|table| conflicts.get(&table.id)).copied()
    };
    let outbox = database
        .as_ref()
        .and_then(|database| database.outbox.as_ref());
    let held: Vec<_> = all
        .iter()
        .map(|(table, _)| {
            outbox
                .map(|outbox| outbox.held_back(table))
                .unwrap_or_default()
        })
        .collect();
    batch(vec![
        (
            "keyspace",
            text(all.iter().map(|(table, _)| table.keyspace.as_str())),
        ),
        (
            "table",
            text(all.iter().map(|(table, _)| table.table.as_str())),
        ),
        (
            "merges",
            text(all.iter().map(|(_, sharing)| {
                let merges = sharing.merges.iter();
                let merges: Vec<_> = merges
                    .map(|(column, function)| format!("{column} {function}"))
                    .collect();
                merges.join(", ")
            })),
        ),
        (
            "sync_where",
            optional(all.iter().map(|(_, sharing)| sharing.condition.clone())),
        ),
        (
            "sync_columns",
            optional(
                all.iter()
                    .map(|(_, sharing)| Some(sharing.columns.as_ref()?.join(", "))),
            ),
        ),
        (
            "sync_filter",
            optional(all.iter().map(|(_, sharing)| sharing.filter.clone())),
        ),
        ("rows_seen", count(held.iter().map(|held| held.seen))),
        ("rows_held_back", count(held.iter().map(|held| held.rows))),
        ("cells_held_back", count(held.iter().map(|held| held.cells))),
        (
            "conflicts",
            count(all.iter().map(|(table, _)| lost(table).unwrap_or(0))),
        ),
        (
            "keep_conflicts",
            Arc::new(BooleanArray::from_iter(
                all.iter()
                    .map(|(table, _)| Some(state.keep_conflicts.contains(*table))),
            )),
        ),
        (
            "blocked",
            Arc::new(BooleanArray::from_iter(
                held.iter().map(|held| Some(held.error.is_some())),
            )),
        ),
        (
            "error",
            optional(held.iter().map(|held| held.error.clone())),
        ),
    ])
}
