//! Keyspaces and tables as DataFusion sees them: schemas and table providers, looked up when a
//! statement names them and kept nowhere.

use std::fmt;
use std::sync::Arc;

use activestore_catalog::SYSTEM_KEYSPACE;
use activestore_store::Snapshot;
use activestore_types::{Result, TableName};
use arrow::record_batch::RecordBatch;
use async_trait::async_trait;
use datafusion::catalog::{CatalogProvider, MemTable, SchemaProvider, TableProvider};
use datafusion::common::Result as DataFusionResult;
use datafusion::logical_expr::TableType;

use crate::error::to_datafusion;
use crate::information::{INFORMATION_SCHEMA, Information};
use crate::pg_catalog::{PG_CATALOG, PgCatalog};
use crate::provider::StoredTable;

/// What the engine reads; `db` has it.
pub trait Tables: Send + Sync {
    /// The keyspaces of user tables.
    fn keyspaces(&self) -> Vec<String>;
    /// The tables of one keyspace.
    fn tables(&self, keyspace: &str) -> Vec<String>;
    /// A user table as it is now; `None` when there is none of this name.
    ///
    /// # Errors
    /// What the store says.
    fn snapshot(&self, name: &TableName) -> Result<Option<Snapshot>>;
    /// The query of a materialized view; `None` for a table.
    fn view(&self, _name: &TableName) -> Option<String> {
        None
    }
    /// A table of keyspace `system`, made now; `None` when there is none of this name.
    ///
    /// # Errors
    /// What its maker says.
    fn system_table(&self, name: &str) -> Result<Option<RecordBatch>>;
    /// The tables of keyspace `system`.
    fn system_tables(&self) -> Vec<String>;
    /// The node's clock: nanoseconds since 1970, for `now()` and for what has expired.
    fn now_ns(&self) -> i64;
}

/// All keyspaces.
pub(crate) struct Keyspaces(pub(crate) Arc<dyn Tables>);

impl fmt::Debug for Keyspaces {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Keyspaces")
    }
}

impl CatalogProvider for Keyspaces {
    fn schema_names(&self) -> Vec<String> {
        let mut names = self.0.keyspaces();
        names.extend([SYSTEM_KEYSPACE, INFORMATION_SCHEMA].map(str::to_owned));
        names
    }

    fn schema(&self, name: &str) -> Option<Arc<dyn SchemaProvider>> {
        if name == PG_CATALOG {
            return Some(Arc::new(PgCatalog(self.0.clone())));
        }
        if name == INFORMATION_SCHEMA {
            return Some(Arc::new(Information(self.0.clone())));
        }
        let known = name == SYSTEM_KEYSPACE || self.0.keyspaces().iter().any(|known| known == name);
        known.then(|| {
            Arc::new(Keyspace {
                name: name.to_owned(),
                tables: self.0.clone(),
            }) as Arc<dyn SchemaProvider>
        })
    }
}

struct Keyspace {
    name: String,
    tables: Arc<dyn Tables>,
}

impl fmt::Debug for Keyspace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Keyspace({})", self.name)
    }
}

#[async_trait]
impl SchemaProvider for Keyspace {
    fn table_names(&self) -> Vec<String> {
        if self.name == SYSTEM_KEYSPACE {
            self.tables.system_tables()
        } else {
            self.tables.tables(&self.name)
        }
    }

    async fn table(&self, name: &str) -> DataFusionResult<Option<Arc<dyn TableProvider>>> {
        if self.name == SYSTEM_KEYSPACE {
            let Some(batch) = self.tables.system_table(name).map_err(to_datafusion)? else {
                return Ok(None);
            };
            let table = MemTable::try_new(batch.schema(), vec![vec![batch]])?;
            return Ok(Some(Arc::new(table)));
        }
        let full = TableName::new(&self.name, name);
        let snapshot = self.tables.snapshot(&full).map_err(to_datafusion)?;
        Ok(snapshot.map(|snapshot| {
            let now_ms = u64::try_from(self.tables.now_ns() / 1_000_000).unwrap_or(0);
            Arc::new(StoredTable::new(snapshot, now_ms)) as Arc<dyn TableProvider>
        }))
    }

    async fn table_type(&self, name: &str) -> DataFusionResult<Option<TableType>> {
        Ok(self.table_exist(name).then_some(TableType::Base))
    }

    fn table_exist(&self, name: &str) -> bool {
        self.table_names().iter().any(|known| known == name)
    }
}
