//! The table that rows go to, as the node describes it, and what of a file goes into which of its columns.

use std::collections::HashMap;

use activestore_types::{DataType, Error, ErrorKind, NamedBatch, Result, TableName};
use arrow::array::{Array, AsArray};

use super::quoted;
use crate::cli::LoadArgs;
use crate::client::{Client, SqlAnswer};

/// A table of the node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// Its name.
    pub name: TableName,
    /// Its columns by name.
    pub columns: HashMap<String, DataType>,
    /// The columns of its primary key.
    pub key: Vec<String>,
    /// Whether columns that it lacks are added.
    pub flexible: bool,
    /// What tells it from one of the same name that was there before; empty where it is not made yet.
    pub stamp: String,
}

impl Target {
    /// Asks the node; `None` where it has no such table.
    ///
    /// # Errors
    /// What the node says.
    pub fn of(client: &Client, name: &TableName) -> Result<Option<Target>> {
        let text = |name: &str| name.replace('\'', "''");
        let answer = client.sql(&format!(
            "SELECT c.name, c.type, c.kind, CAST(t.flexible AS TEXT) AS flexible \
             FROM system.columns c JOIN system.tables t \
             ON t.keyspace = c.keyspace AND t.name = c.\"table\" \
             WHERE c.keyspace = '{}' AND c.\"table\" = '{}' ORDER BY c.position",
            text(&name.keyspace),
            text(&name.table)
        ))?;
        let SqlAnswer::Rows(batches) = answer else {
            return Err(Error::internal("the node does not describe its tables"));
        };
        let mut target = Target {
            name: name.clone(),
            columns: HashMap::new(),
            key: Vec::new(),
            flexible: false,
            stamp: String::new(),
        };
        for batch in batches {
            let batch = batch?;
            let columns: Vec<_> = batch
                .columns()
                .iter()
                .map(|column| arrow::compute::cast(column, &DataType::Text.arrow()))
                .collect::<std::result::Result<_, _>>()?;
            let cell = |column: usize, row: usize| {
                columns
                    .get(column)
                    .map_or("", |column| column.as_string::<i32>().value(row))
            };
            for row in 0..batch.num_rows() {
                let column = cell(0, row).to_owned();
                if cell(2, row) != "regular" {
                    target.key.push(column.clone());
                }
                target.flexible |= cell(3, row).starts_with('t');
                target.columns.insert(column, cell(1, row).parse()?);
            }
        }
        if target.columns.is_empty() {
            return Ok(None);
        }
        target.stamp = match number(client, name)? {
            Some(number) => number,
            // A node that does not tell it: a table of other columns is another.
            None => {
                let mut columns: Vec<_> = target.columns.iter().collect();
                columns.sort_by_key(|(name, _)| *name);
                format!("{columns:?} {:?}", target.key)
            }
        };
        Ok(Some(target))
    }

    /// Whether it holds no row at all; one that may not be read is taken to hold some.
    pub fn is_empty(&self, client: &Client) -> bool {
        holds_nothing(
            client,
            &format!(
                "SELECT 1 FROM {}.{} LIMIT 1",
                quoted(&self.name.keyspace),
                quoted(&self.name.table)
            ),
        )
    }

    /// Says what of the first rows does not go into the table, before one of them is sent.
    ///
    /// # Errors
    /// `Invalid`, naming the column.
    pub fn check(&self, first: &NamedBatch, mapping: &Mapping) -> Result<()> {
        for key in &self.key {
            if first.column(key).is_none() {
                return Err(Error::invalid(format!(
                    "column '{key}' belongs to the primary key of {} and the file has none of this name",
                    self.name
                ))
                .with_hint(format!(
                    "it has {}; map one with --map NAME={key}",
                    listed(first)
                )));
            }
        }
        for column in &first.columns {
            let Some(data_type) = self.columns.get(&column.name) else {
                if self.flexible {
                    continue;
                }
                let name = mapping.file_name(&column.name);
                let error = Error::invalid(format!(
                    "the file has a column '{name}' that table {} lacks",
                    self.name
                ));
                let near = self.nearest(&column.name).map_or_else(
                    || format!("map it with --map {name}=COLUMN"),
                    |near| format!("is it '{near}'? map it with --map {name}={near}"),
                );
                return Err(error.with_hint(format!(
                    "{near}, leave it out with --skip {name}, or ALTER TABLE {} ADD COLUMN",
                    self.name
                )));
            };
            let nothing = column.array.null_count() == column.array.len();
            if !nothing && column.array.data_type() != &data_type.arrow() {
                // One row of the kind shows whether values of the kind go into the column at all.
                let empty = column.array.slice(0, 0);
                activestore_query::cast_lossless(&column.name, *data_type, &empty)?;
            }
        }
        Ok(())
    }

    /// The column whose name is most like this one.
    fn nearest(&self, name: &str) -> Option<&str> {
        const LIKE: f64 = 0.75;
        self.columns
            .keys()
            .map(|column| {
                let like = strsim::jaro_winkler(&column.to_lowercase(), &name.to_lowercase());
                (like, column.as_str())
            })
            .filter(|(like, _)| *like > LIKE)
            .max_by(|one, other| one.0.total_cmp(&other.0))
            .map(|(_, column)| column)
    }
}

/// Whether a keyspace holds no table; one that may not be looked at is taken to hold some.
pub fn is_bare(client: &Client, keyspace: &str) -> bool {
    let keyspace = keyspace.replace('\'', "''");
    holds_nothing(
        client,
        &format!("SELECT 1 FROM system.tables WHERE keyspace = '{keyspace}' LIMIT 1"),
    )
}

fn holds_nothing(client: &Client, select: &str) -> bool {
    match client.sql(select) {
        Ok(SqlAnswer::Rows(batches)) => {
            let rows = batches.map(|batch| batch.map_or(1, |batch| batch.num_rows()));
            rows.sum::<usize>() == 0
        }
        _ => false,
    }
}

/// The number of a table on its node, which no other one gets; `None` where the node does not tell it.
fn number(client: &Client, name: &TableName) -> Result<Option<String>> {
    let text = |name: &str| name.replace('\'', "''");
    let answer = client.sql(&format!(
        "SELECT CAST(id AS TEXT) AS id FROM system.tables WHERE keyspace = '{}' AND name = '{}'",
        text(&name.keyspace),
        text(&name.table)
    ));
    let batches = match answer {
        Ok(SqlAnswer::Rows(batches)) => batches,
        Err(error) if error.kind() != ErrorKind::Invalid => return Err(error),
        _ => return Ok(None),
    };
    for batch in batches {
        let batch = batch?;
        if batch.num_rows() > 0 {
            let id = arrow::compute::cast(batch.column(0), &DataType::Text.arrow())?;
            return Ok(Some(id.as_string::<i32>().value(0).to_owned()));
        }
    }
    Ok(None)
}

fn listed(batch: &NamedBatch) -> String {
    const SHOWN: usize = 20;
    let names: Vec<_> = batch
        .columns
        .iter()
        .take(SHOWN)
        .map(|column| column.name.as_str())
        .collect();
    names.join(", ")
}

/// Which column of the file goes where.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Mapping {
    /// A name in the file, and the column that it goes into.
    renamed: Vec<(String, String)>,
    /// Names in the file that are left out.
    skipped: Vec<String>,
}

impl Mapping {
    /// What is asked for.
    pub fn of(args: &LoadArgs) -> Mapping {
        Mapping {
            renamed: args.map.clone(),
            skipped: args.skip.clone(),
        }
    }

    /// The column that a name of the file goes into; `None` where it is left out.
    pub fn column<'a>(&'a self, name: &'a str) -> Option<&'a str> {
        if self.skipped.iter().any(|skipped| skipped == name) {
            return None;
        }
        let renamed = self.renamed.iter().find(|(from, _)| from == name);
        Some(renamed.map_or(name, |(_, to)| to.as_str()))
    }

    /// The name in the file of what goes into a column.
    pub fn file_name<'a>(&'a self, column: &'a str) -> &'a str {
        let renamed = self.renamed.iter().find(|(_, to)| to == column);
        renamed.map_or(column, |(from, _)| from.as_str())
    }

    /// Says which names the file does not have.
    ///
    /// # Errors
    /// `Invalid`, naming one.
    pub fn check(&self, names: &[String]) -> Result<()> {
        let asked = self.renamed.iter().map(|(from, _)| from);
        for name in asked.chain(&self.skipped) {
            if !names.contains(name) {
                return Err(Error::invalid(format!("the file has no column '{name}'"))
                    .with_hint(format!("it has {}", names.join(", "))));
            }
        }
        Ok(())
    }

    /// The batch under the table's names.
    pub fn apply(&self, batch: &mut NamedBatch) {
        if self.renamed.is_empty() && self.skipped.is_empty() {
            return;
        }
        batch.columns.retain_mut(|column| {
            let name = self.column(&column.name).map(str::to_owned);
            let stays = name.is_some();
            column.name = name.unwrap_or_default();
            stays
        });
    }
}
