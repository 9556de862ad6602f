//! MQTT's rows into the database: acknowledged to the sender only when durable.

use std::sync::Arc;

use activestore_db::Db;
use activestore_ingest::RowSink;
use activestore_types::{NamedBatch, Result, TableName, TableSchema};
use futures::future::BoxFuture;

/// The sink.
pub struct DbSink(pub Db);

impl RowSink for DbSink {
    fn schema(&self, table: &TableName) -> Option<Arc<TableSchema>> {
        self.0.table_schema(table)
    }

    fn write(&self, batches: Vec<NamedBatch>) -> BoxFuture<'_, Result<()>> {
        Box::pin(async move { self.0.write(batches).await.map(drop) })
    }
}
