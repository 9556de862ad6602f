//! `pg_catalog`: what tools of PostgreSQL ask about tables, columns, keys, types and roles, answered from the
//! definitions that the asker may see. Relations are made when they are asked for and kept nowhere; what this program
//! has nothing of is a relation without rows.
//!
//! The statements of such tools use words that are PostgreSQL's alone (`OPERATOR(pg_catalog.~)`, `::regclass`,
//! `COLLATE`); [`rewrite`] brings them to ours, in statements that name the catalog and no others.

mod calls;
mod columns;
mod emptiness;
mod functions;
mod lists;
mod objects;
mod relation;
mod relations;
mod rewrite;
mod subquery;
mod types;

use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use datafusion::catalog::{MemTable, SchemaProvider, TableProvider};
use datafusion::common::Result as DataFusionResult;

use crate::error::to_datafusion;
use crate::tables::Tables;

pub(crate) use functions::register;
pub(crate) use rewrite::{mentions, rewrite};

/// The schema's name.
pub(crate) const PG_CATALOG: &str = "pg_catalog";

/// The schema of one asker.
pub(crate) struct PgCatalog(pub(crate) Arc<dyn Tables>);

impl fmt::Debug for PgCatalog {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PgCatalog")
    }
}

#[async_trait]
impl SchemaProvider for PgCatalog {
    fn table_names(&self) -> Vec<String> {
        relations::names().map(str::to_owned).collect()
    }

    async fn table(&self, name: &str) -> DataFusionResult<Option<Arc<dyn TableProvider>>> {
        let Some(batch) = relations::relation(self.0.as_ref(), name).map_err(to_datafusion)? else {
            return Ok(None);
        };
        let table = MemTable::try_new(batch.schema(), vec![vec![batch]])?;
        Ok(Some(Arc::new(table)))
    }

    fn table_exist(&self, name: &str) -> bool {
        relations::names().any(|known| known == name)
    }
}
