//! `system.sync_tables`: what waits for the cloud, by table and class.

use std::sync::Arc;

use activestore_types::Result;
use arrow::array::{BooleanArray, Float64Array};
use arrow::record_batch::RecordBatch;

use super::{batch, count, text};
use crate::outbox::by_table::TableLag;
use crate::tables::Relations;

pub(super) fn sync_tables(relations: &Relations) -> Result<RecordBatch> {
    let database = relations.database();
    let all: Vec<TableLag> = database.map_or_else(Vec::new, |inner| inner.lags_by_table());
    let part = |table: &str, at: usize| table.split('.').nth(at).unwrap_or_default().to_owned();
    batch(vec![
        ("keyspace", text(all.iter().map(|one| part(&one.table, 0)))),
        ("table", text(all.iter().map(|one| part(&one.table, 1)))),
        ("class", text(all.iter().map(|one| one.class))),
        ("rows", count(all.iter().map(|one| one.rows))),
        ("bytes", count(all.iter().map(|one| one.bytes))),
        (
            "oldest_s",
            Arc::new(Float64Array::from_iter_values(
                all.iter().map(|one| one.oldest_s),
            )),
        ),
        (
            "exact",
            Arc::new(BooleanArray::from_iter(
                all.iter().map(|one| Some(one.exact)),
            )),
        ),
    ])
}
