//! SHOW and DESCRIBE: short names for queries over the system tables.

use activestore_query::{Param, Show};
use activestore_types::{Error, Result, TableName};
use serde_json::Value;

use super::SqlOutcome;
use crate::db::Db;

impl Db {
    pub(super) async fn show(&self, show: &Show) -> Result<SqlOutcome> {
        let (sql, params) = match show {
            Show::Tables { keyspace: None } => (
                "SELECT keyspace, name, partition_key, clustering_key, flexible, ttl_s, sync \
                 FROM system.tables ORDER BY keyspace, name",
                vec![],
            ),
            Show::Tables {
                keyspace: Some(keyspace),
            } => {
                self.inner.catalog.state().keyspace(keyspace)?;
                (
                    "SELECT keyspace, name, partition_key, clustering_key, flexible, ttl_s, sync \
                     FROM system.tables WHERE keyspace = $1 ORDER BY name",
                    vec![Value::String(keyspace.clone())],
                )
            }
            Show::Keyspaces => (
                "SELECT schema_name AS keyspace FROM information_schema.schemata ORDER BY 1",
                vec![],
            ),
            Show::Functions => ("SELECT * FROM system.functions ORDER BY name", vec![]),
            Show::Processors => ("SELECT * FROM system.processors ORDER BY name", vec![]),
            Show::Models => ("SELECT * FROM system.models ORDER BY name", vec![]),
            Show::MergeFunctions => ("SELECT * FROM system.merge_functions ORDER BY name", vec![]),
            Show::Filters => ("SELECT * FROM system.filters ORDER BY name", vec![]),
            Show::Sinks => ("SELECT * FROM system.sinks ORDER BY name", vec![]),
            Show::Roles => ("SELECT * FROM system.roles ORDER BY name", vec![]),
            Show::Tokens => ("SELECT * FROM system.tokens ORDER BY role, id", vec![]),
            Show::Grants { role: None } => (
                "SELECT * FROM system.grants ORDER BY role, \"on\", privilege",
                vec![],
            ),
            Show::Grants { role: Some(role) } => return self.grants_of(role).await,
            Show::Plugins => ("SELECT * FROM system.plugins ORDER BY name", vec![]),
        };
        Ok(SqlOutcome::Rows(
            self.engine().query(sql, &Param::all(&params)).await?,
        ))
    }

    /// What a role was granted itself or has by membership.
    async fn grants_of(&self, role: &str) -> Result<SqlOutcome> {
        let state = self.inner.catalog.state();
        if !self.rights().sees_role(role) {
            return Err(
                Error::denied(format!("the grants of role '{role}' are not yours to see"))
                    .with_hint("SHOW GRANTS shows your own"),
            );
        }
        state.role(role)?;
        let names = state.membership(role).into_iter().map(quoted);
        let sql = format!(
            "SELECT * FROM system.grants WHERE role IN ({}) ORDER BY role, \"on\", privilege",
            names.collect::<Vec<_>>().join(", ")
        );
        Ok(SqlOutcome::Rows(self.engine().query(&sql, &[]).await?))
    }

    pub(super) async fn describe(&self, name: &TableName) -> Result<SqlOutcome> {
        if name.keyspace != activestore_catalog::SYSTEM_KEYSPACE {
            self.inner.catalog.state().table(name)?;
            return Ok(SqlOutcome::Rows(
                self.engine()
                    .query(
                        "SELECT name, type, kind FROM system.columns \
                         WHERE keyspace = $1 AND \"table\" = $2 ORDER BY position",
                        &names(name),
                    )
                    .await?,
            ));
        }
        let rows = self
            .engine()
            .query(
                "SELECT column_name AS name, data_type AS type FROM information_schema.columns \
                 WHERE table_schema = $1 AND table_name = $2 ORDER BY ordinal_position",
                &names(name),
            )
            .await?;
        Ok(SqlOutcome::Rows(rows))
    }
}

/// Keyspace and table as parameters.
fn names(name: &TableName) -> [Param; 2] {
    [&name.keyspace, &name.table].map(|part| Param::Json(Value::String(part.clone())))
}

/// A text in single quotes, for SQL.
fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}
