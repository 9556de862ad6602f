//! Rights as the query engine asks for them.

use activestore_catalog::{Privilege, SYSTEM_KEYSPACE, Scope};
use activestore_query::Access;
use activestore_types::{Error, Result, TableName};
use arrow::array::{AsArray, BooleanArray};
use arrow::compute::filter_record_batch;
use arrow::record_batch::RecordBatch;

use super::rights::{FILTERED, Rights};

/// The rights of one query.
pub(crate) struct Guard(pub(crate) Rights);

impl Access for Guard {
    fn may_read(&self, table: &TableName) -> Result<()> {
        if table.keyspace == SYSTEM_KEYSPACE && FILTERED.contains(&table.table.as_str()) {
            return self.0.admitted();
        }
        self.0.table(Privilege::Select, table)
    }

    fn sees_keyspace(&self, keyspace: &str) -> bool {
        self.0.sees_keyspace(keyspace)
    }

    fn system_rows(&self, table: &str, rows: RecordBatch) -> Result<RecordBatch> {
        if self.0.sees_whole(table) {
            return Ok(rows);
        }
        let column = |name: &str| {
            let column = rows.column_by_name(name);
            column
                .and_then(|column| column.as_string_opt::<i32>())
                .ok_or_else(|| Error::internal(format!("system.{table} has no column '{name}'")))
        };
        let seen: BooleanArray = match table {
            "tables" | "columns" => {
                let name = if table == "tables" { "name" } else { "table" };
                let both = column("keyspace")?.iter().zip(column(name)?);
                both.map(|pair| {
                    let (Some(keyspace), Some(table)) = pair else {
                        return Some(false);
                    };
                    Some(self.0.sees(&TableName::new(keyspace, table)))
                })
                .collect()
            }
            "functions" | "models" => {
                let names = column("name")?.iter();
                names
                    .map(|name| {
                        name.map(|name| match table {
                            "functions" => self.may_call(name).is_ok(),
                            _ => self.may_predict(name).is_ok(),
                        })
                    })
                    .collect()
            }
            "roles" | "grants" | "tokens" => {
                let name = if table == "roles" { "name" } else { "role" };
                let names = column(name)?.iter();
                names
                    .map(|name| name.map(|name| self.0.sees_role(name)))
                    .collect()
            }
            _ => {
                return Err(Error::denied(format!("system.{table} may not be read")));
            }
        };
        Ok(filter_record_batch(&rows, &seen)?)
    }

    fn may_call(&self, function: &str) -> Result<()> {
        self.0
            .need(Privilege::Execute, &Scope::Function(function.to_owned()))
    }

    fn may_predict(&self, model: &str) -> Result<()> {
        self.0
            .need(Privilege::Execute, &Scope::Model(model.to_owned()))
    }
}
