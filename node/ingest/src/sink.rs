//! Where MQTT rows go. The daemon implements this over the database.

use std::sync::Arc;

use activestore_types::{NamedBatch, Result, TableName, TableSchema};
use futures::future::BoxFuture;

/// Takes rows and says when they are durable.
pub trait RowSink: Send + Sync + 'static {
    /// Writes the batches, all or nothing. `Ok` means that every row is durable: the sender's
    /// acknowledgement goes out on the strength of it. An `Invalid`, `NotFound`, `Conflict` or
    /// `Denied` error means that these rows will never be taken; any other kind means that a later
    /// attempt may succeed.
    fn write(&self, batches: Vec<NamedBatch>) -> BoxFuture<'_, Result<()>>;

    /// The schema of a table, so that text and numbers of a payload become exactly its columns'
    /// types. Without one, types are taken as the payload has them.
    fn schema(&self, _table: &TableName) -> Option<Arc<TableSchema>> {
        None
    }
}
