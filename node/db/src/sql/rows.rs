//! INSERT, UPDATE and DELETE: the engine works out rows, keys and ranges; the write path stores them.

use std::sync::Arc;

use activestore_query::{Delete, DeletePlan, Insert, Param, Rows, Update};
use activestore_types::{KeyRange, NamedBatch, Result, TableName, TableSchema};
use arrow::record_batch::RecordBatch;
use futures::StreamExt;

use super::SqlOutcome;
use crate::db::Db;
use crate::write::effect::Erasure;

impl Db {
    /// Rows of VALUES are one write; rows of a query are written batch by batch as they come.
    pub(super) async fn insert(&self, insert: Insert, params: &[Param]) -> Result<SqlOutcome> {
        let schema = self.inner.catalog.state().table(&insert.table)?.clone();
        let rows = self
            .engine()
            .evaluate_source(&schema, &insert.columns, &insert.source, params)
            .await?;
        let written = self.store(&insert.table, rows, insert.ttl_s).await?;
        Ok(SqlOutcome::counted("INSERT", written))
    }

    /// Reads the rows that match, evaluates the assignments, and upserts the assigned columns. It is
    /// not atomic against other writers: the last stamp wins, per cell.
    pub(super) async fn update(&self, update: Update, params: &[Param]) -> Result<SqlOutcome> {
        let schema = self.inner.catalog.state().table(&update.table)?.clone();
        let rows = self
            .engine()
            .evaluate_update(&schema, &update, params)
            .await?;
        let written = self.store(&update.table, rows, update.ttl_s).await?;
        Ok(SqlOutcome::counted("UPDATE", written))
    }

    /// A filter on the key alone is one range tombstone; any other selects rows and erases each.
    pub(super) async fn delete(&self, delete: Delete, params: &[Param]) -> Result<SqlOutcome> {
        let schema = self.inner.catalog.state().table(&delete.table)?.clone();
        let filter = delete.filter.as_deref();
        let engine = self.engine();
        match engine.delete_plan(&schema, filter, params).await? {
            DeletePlan::Keys(keys) => {
                let erased = self.erase_rows(&schema, keys).await?;
                Ok(SqlOutcome::counted("DELETE", erased))
            }
            DeletePlan::Ranges(ranges) => {
                self.erase_ranges(&schema, ranges).await?;
                // A range is erased without being read, so nobody knows how many rows it held.
                Ok(SqlOutcome::definition("DELETE"))
            }
            DeletePlan::Select => {
                let mut rows = engine.evaluate_keys(&schema, filter, params).await?;
                let mut erased = 0;
                while let Some(keys) = rows.stream.next().await {
                    erased += self.erase_rows(&schema, keys?).await?;
                }
                Ok(SqlOutcome::counted("DELETE", erased))
            }
        }
    }

    pub(super) async fn store(
        &self,
        table: &TableName,
        mut rows: Rows,
        ttl_s: Option<u64>,
    ) -> Result<u64> {
        let mut written = 0;
        while let Some(batch) = rows.stream.next().await {
            let mut batch = NamedBatch::from_record_batch(table.clone(), &batch?);
            batch.ttl_s = ttl_s;
            written += self.write_checked(vec![batch]).await?.rows;
        }
        Ok(written)
    }

    async fn erase_ranges(&self, schema: &Arc<TableSchema>, ranges: Vec<KeyRange>) -> Result<()> {
        let (inner, schema) = (self.inner.clone(), schema.clone());
        self.blocking(move || inner.erase(Erasure::Ranges { schema, ranges }))
            .await
    }

    async fn erase_rows(&self, schema: &Arc<TableSchema>, keys: RecordBatch) -> Result<u64> {
        let rows = keys.num_rows();
        if rows == 0 {
            return Ok(0);
        }
        let (inner, schema) = (self.inner.clone(), schema.clone());
        self.blocking(move || inner.erase(Erasure::Rows { schema, keys }))
            .await?;
        Ok(rows as u64)
    }
}
