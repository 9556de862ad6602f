//! What a running node knows that a trial of a plugin needs: components that are deployed, the keys of
//! tables, the settings of processors, and the limits of the sandbox. It only asks.

use std::collections::BTreeMap;
use std::time::Duration;

use activestore_db::{PluginInfo, PluginVersionInfo};
use activestore_plugin_host::HostOptions;
use activestore_types::{Error, Result, TableName};
use serde_json::Value;

use super::encoded;
use crate::client::{Client, SqlAnswer};
use crate::load::quoted;
use crate::sql::Grid;

/// The most bytes of a component that are fetched: more than a node takes.
const COMPONENT_BYTES_MAX: u64 = 64 * 1024 * 1024;

/// A table as far as its rows are asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TableKey {
    /// The table.
    pub name: TableName,
    /// The columns of its partition key.
    pub partition: Vec<String>,
    /// All columns of its key, each with whether it falls.
    pub all: Vec<(String, bool)>,
    /// The first time in its clustering key.
    pub time: Option<String>,
}

/// A processor of the node that uses a plugin on a table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Use {
    /// Its name.
    pub name: String,
    /// Its settings.
    pub settings: BTreeMap<String, String>,
    /// The table that it fills.
    pub into: Option<TableName>,
}

impl TableKey {
    /// Asks for a table's key.
    ///
    /// # Errors
    /// `NotFound` where the node has no such table; what the node says.
    pub fn of(client: &Client, name: &TableName) -> Result<TableKey> {
        let of_table = format!(
            "keyspace = {} AND \"table\" = {}",
            text(&name.keyspace),
            text(&name.table)
        );
        let columns = texts(
            client,
            &format!(
                "SELECT name, type, kind FROM system.columns WHERE {of_table} ORDER BY position"
            ),
        )?;
        let keys = texts(
            client,
            &format!(
                "SELECT partition_key, clustering_key FROM system.tables WHERE keyspace = {} AND name = {}",
                text(&name.keyspace),
                text(&name.table)
            ),
        )?;
        let [keys] = keys.as_slice() else {
            return Err(Error::not_found(format!("the node has no table {name}"))
                .with_hint("SHOW TABLES lists those that it has"));
        };
        let list = |at: usize| {
            let names = keys.get(at).map_or("", String::as_str).split(", ");
            names.filter(|name| !name.is_empty()).map(str::to_owned)
        };
        let partition: Vec<String> = list(0).collect();
        let clustering: Vec<(String, bool)> = list(1)
            .map(|name| match name.strip_suffix(" DESC") {
                Some(name) => (name.to_owned(), true),
                None => (name, false),
            })
            .collect();
        let is_time = |name: &str| {
            let mut columns = columns.iter();
            columns.any(|column| {
                column.first().is_some_and(|known| known == name)
                    && column
                        .get(1)
                        .is_some_and(|kind| kind.starts_with("TIMESTAMP"))
            })
        };
        let time = clustering.iter().find(|(name, _)| is_time(name));
        Ok(TableKey {
            name: name.clone(),
            time: time.map(|(name, _)| name.clone()),
            all: partition
                .iter()
                .map(|name| (name.clone(), false))
                .chain(clustering.iter().cloned())
                .collect(),
            partition,
        })
    }

    /// The names of the key's columns.
    pub fn columns(&self) -> Vec<String> {
        self.all.iter().map(|(name, _)| name.clone()).collect()
    }
}

/// The plugin of this name on the node.
///
/// # Errors
/// `NotFound` where there is none.
pub fn plugin(client: &Client, name: &str) -> Result<PluginInfo> {
    let mut all = plugins(client)?;
    match all.iter().position(|plugin| plugin.name == name) {
        Some(at) => Ok(all.swap_remove(at)),
        None => {
            let names: Vec<&str> = all.iter().map(|plugin| plugin.name.as_str()).collect();
            Err(
                Error::not_found(format!("the node has no plugin '{name}'")).with_hint(match names
                    .as_slice()
                {
                    [] => "none is deployed there".to_owned(),
                    _ => format!("add --name with one of {}", names.join(", ")),
                }),
            )
        }
    }
}

/// All plugins of the node.
///
/// # Errors
/// What the node says.
pub fn plugins(client: &Client) -> Result<Vec<PluginInfo>> {
    let mut answer = client.get("/v1/plugins")?;
    let list = answer.get_mut("plugins").map_or(Value::Null, Value::take);
    serde_json::from_value(list).map_err(|error| {
        Error::internal(format!(
            "the node's list of plugins is not understood: {error}"
        ))
        .with_hint("use the command of the node's release")
    })
}

/// A component that is deployed, with what is known of it.
///
/// # Errors
/// `NotFound` where there is no such plugin or version; what the node says.
pub fn component(
    client: &Client,
    name: &str,
    version: Option<&str>,
) -> Result<(PluginVersionInfo, Vec<u8>)> {
    let info = plugin(client, name)?;
    let wanted = info.versions.iter().find(|held| match version {
        Some(version) => held.version == version,
        None => held.in_force,
    });
    let Some(wanted) = wanted else {
        let all: Vec<&str> = info
            .versions
            .iter()
            .map(|held| held.version.as_str())
            .collect();
        return Err(Error::not_found(format!(
            "the node holds no version {} of plugin '{name}'",
            version.unwrap_or_default()
        ))
        .with_hint(format!("it holds {}", all.join(", "))));
    };
    let path = format!(
        "/v1/plugins/{}/component?version={}",
        encoded(name),
        encoded(&wanted.version)
    );
    let bytes = client.get_bytes(&path, COMPONENT_BYTES_MAX)?;
    Ok((wanted.clone(), bytes))
}

/// The processors that use a plugin, of any version, on a table.
///
/// # Errors
/// What the node says.
pub fn uses(client: &Client, plugin: &str, table: &TableName) -> Result<Vec<Use>> {
    let rows = texts(
        client,
        &format!(
            "SELECT name, source, options, \"into\" FROM system.processors WHERE \"table\" = {} ORDER BY name",
            text(&table.to_string())
        ),
    )?;
    let source = format!("plugin {plugin}");
    let pinned = format!("{source}@");
    let mut found = Vec::new();
    for row in rows {
        let cell = |at: usize| row.get(at).map_or("", String::as_str);
        if cell(1) != source && !cell(1).starts_with(&pinned) {
            continue;
        }
        found.push(Use {
            name: cell(0).to_owned(),
            settings: serde_json::from_str(cell(2)).map_err(|error| {
                Error::internal(format!(
                    "the settings of '{}' are not understood: {error}",
                    cell(0)
                ))
            })?,
            into: cell(3)
                .split(", ")
                .next()
                .and_then(|into| into.parse().ok()),
        });
    }
    Ok(found)
}

/// The limits of the node's sandbox.
///
/// # Errors
/// What the node says.
pub fn limits(client: &Client) -> Result<HostOptions> {
    let rows = texts(client, "SELECT name, value FROM system.settings")?;
    let number = |name: &str| -> Option<u64> {
        let row = rows
            .iter()
            .find(|row| row.first().is_some_and(|known| known == name))?;
        row.get(1)?.parse().ok()
    };
    let mut options = HostOptions::default();
    if let Some(bytes) = number("plugins.memory_bytes") {
        options.memory_bytes_max = usize::try_from(bytes).unwrap_or(usize::MAX);
    }
    if let Some(ms) = number("plugins.deadline_ms") {
        options.call_deadline = Duration::from_millis(ms);
    }
    Ok(options)
}

/// The rows of a small query as text; NULL is the empty string.
///
/// # Errors
/// What the node says.
pub fn texts(client: &Client, sql: &str) -> Result<Vec<Vec<String>>> {
    let SqlAnswer::Rows(reader) = client.sql(sql)? else {
        return Err(Error::internal("the node answered a query without rows"));
    };
    let mut grid = Grid::new(&reader.schema());
    for batch in reader {
        grid.push(&batch.map_err(broken_off)?)?;
    }
    let rows = grid.rows().iter();
    Ok(rows
        .map(|row| {
            row.iter()
                .map(|cell| cell.clone().unwrap_or_default())
                .collect()
        })
        .collect())
}

/// The error for an answer that ends too early.
pub fn broken_off(error: arrow::error::ArrowError) -> Error {
    Error::closed(format!("the node's answer broke off: {error}")).with_hint("its log says why")
}

/// A text as SQL writes it.
fn text(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

/// A statement that gives the wanted rows of a table, in the order of its key unless another is asked for.
///
/// # Errors
/// `Invalid` where a last time is asked for and the key has no time.
pub fn rows_of(key: &TableKey, select: &crate::cli::SelectArgs, what: &str) -> Result<String> {
    let mut conditions = Vec::new();
    if let Some(last) = &select.last {
        let Some(time) = &key.time else {
            return Err(
                Error::invalid(format!("the key of table {} has no time", key.name))
                    .with_hint("choose the rows with --where in place of --last"),
            );
        };
        conditions.push(format!(
            "{} > now() - INTERVAL '{} milliseconds'",
            quoted(time),
            last.0.as_millis()
        ));
    }
    if let Some(condition) = &select.condition {
        // A comment at its end must not swallow what follows.
        conditions.push(format!("({condition}\n)"));
    }
    let mut sql = format!(
        "SELECT {what} FROM {}.{}",
        quoted(&key.name.keyspace),
        quoted(&key.name.table)
    );
    if !conditions.is_empty() {
        sql.push_str(" WHERE ");
        sql.push_str(&conditions.join(" AND "));
    }
    Ok(sql)
}

/// The end of a statement that puts rows into their order and cuts them off.
pub fn in_order(key: &TableKey, select: &crate::cli::SelectArgs) -> String {
    let order = select.order_by.clone().unwrap_or_else(|| {
        let columns = key.all.iter().map(|(name, falls)| {
            let direction = if *falls { " DESC" } else { "" };
            format!("{}{direction}", quoted(name))
        });
        columns.collect::<Vec<_>>().join(", ")
    });
    let mut end = format!(" ORDER BY {order}");
    if let Some(limit) = select.limit {
        end.push_str(&format!(" LIMIT {limit}"));
    }
    end
}
