//! MQTT's rows into the database: acknowledged to the sender only when durable. Clients of the listener log in as
//! roles, and each message is checked against the rights that the role has at that moment; what the node itself
//! subscribes to at brokers is of whoever configured it.

use std::net::IpAddr;
use std::sync::Arc;

use activestore_db::{Credentials, Db, Principal, Scope};
use activestore_ingest::{RowSink, Visitor};
use activestore_types::{Error, NamedBatch, Result, TableName, TableSchema};
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

    fn admit<'a>(
        &'a self,
        login: Option<(&'a str, &'a str)>,
        from: IpAddr,
    ) -> BoxFuture<'a, Result<Option<Arc<dyn Visitor>>>> {
        Box::pin(async move {
            if !self.0.requires_login() {
                return Ok(None);
            }
            let (user, password) =
                login.ok_or_else(|| Error::denied("the client gave no name and password"))?;
            let credentials = Credentials::Password { user, password };
            let principal = self.0.login(credentials, from).await?;
            Ok(Some(self.visitor(user, principal)))
        })
    }

    fn anybody(&self) -> Arc<dyn Visitor> {
        self.visitor("", Principal::Anybody)
    }
}

impl DbSink {
    fn visitor(&self, name: &str, principal: Principal) -> Arc<dyn Visitor> {
        Arc::new(RoleVisitor {
            name: name.to_owned(),
            db: self.0.acting_as(principal),
        })
    }
}

/// A client with the rights of a role.
struct RoleVisitor {
    name: String,
    db: Db,
}

impl Visitor for RoleVisitor {
    fn name(&self) -> &str {
        &self.name
    }

    fn may_write(&self, batches: &[NamedBatch]) -> Result<()> {
        self.db.check_write(batches)
    }

    fn may_read(&self, keyspace: &str, table: Option<&str>) -> Result<()> {
        self.db.check_select(&match table {
            Some(table) => Scope::Table(TableName::new(keyspace, table)),
            None => Scope::Keyspace(keyspace.to_owned()),
        })
    }
}
