//! Where MQTT rows go. The daemon implements this over the database.

use std::net::IpAddr;
use std::sync::Arc;

use activestore_types::{NamedBatch, Result, TableName, TableSchema};
use futures::future::BoxFuture;

/// A client, and what it may do at the moment that it asks.
pub trait Visitor: Send + Sync {
    /// What tells its sessions from those of others; empty for who did not have to log in.
    fn name(&self) -> &str;
    /// Whether it may write these rows.
    ///
    /// # Errors
    /// `Denied`, with what is missing.
    fn may_write(&self, batches: &[NamedBatch]) -> Result<()>;
    /// Whether it may be given messages that go to a table, or to any table of a keyspace.
    ///
    /// # Errors
    /// `Denied`, with what is missing.
    fn may_read(&self, keyspace: &str, table: Option<&str>) -> Result<()>;
}

/// Who may do everything.
pub struct Anyone;

impl Visitor for Anyone {
    fn name(&self) -> &str {
        ""
    }

    fn may_write(&self, _batches: &[NamedBatch]) -> Result<()> {
        Ok(())
    }

    fn may_read(&self, _keyspace: &str, _table: Option<&str>) -> Result<()> {
        Ok(())
    }
}

/// Takes rows and says when they are durable.
pub trait RowSink: Send + Sync + 'static {
    /// Writes the batches, all or nothing. `Ok` means that every row is durable: the sender's
    /// acknowledgement goes out on the strength of it. An `Invalid`, `NotFound`, `Conflict` or
    /// `Denied` error means that these rows will never be taken; any other kind means that a later
    /// attempt may succeed.
    fn write(&self, batches: Vec<NamedBatch>) -> BoxFuture<'_, Result<()>>;

    /// Lets a client in with the name and password that it gave, if any; `None` where nobody has to log in.
    ///
    /// # Errors
    /// `Denied` for a wrong login and for none; `Overloaded` where too many failed.
    fn admit<'a>(
        &'a self,
        _login: Option<(&'a str, &'a str)>,
        _from: IpAddr,
    ) -> BoxFuture<'a, Result<Option<Arc<dyn Visitor>>>> {
        Box::pin(async { Ok(None) })
    }

    /// A client of a time at which nobody has to log in.
    fn anybody(&self) -> Arc<dyn Visitor> {
        Arc::new(Anyone)
    }

    /// The schema of a table, so that text and numbers of a payload become exactly its columns'
    /// types. Without one, types are taken as the payload has them.
    fn schema(&self, _table: &TableName) -> Option<Arc<TableSchema>> {
        None
    }
}
