//! One immutable version of the catalog.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use activestore_types::{Error, Result, SyncClass, TableId, TableName, TableSchema};

use crate::at_limit::AtLimit;
use crate::bundle::Bundle;
use crate::definition::{FunctionDef, KeyspaceDef, ModelDef, ProcessorDef, TableDefinition};
use crate::keeping::Keeping;
use crate::names::nearest;
use crate::plugin::{PluginDef, PluginReference, PluginVersion};
use crate::role::RoleDef;
use crate::rollout::Rollout;
use crate::sharing::{FilterDef, Sharing};
use crate::sink::SinkDef;
use crate::view::{self, ViewDef};

/// The keyspace whose tables the node makes on demand; never stored, never changed by a statement.
pub const SYSTEM_KEYSPACE: &str = "system";
/// The keyspace of a table named without one; every catalog has it.
pub const DEFAULT_KEYSPACE: &str = "public";

/// Everything that is defined, at one version.
#[derive(Clone, Debug, PartialEq)]
pub struct CatalogState {
    /// Rises by one with each change that changed something that other nodes see.
    pub version: u64,
    /// Keyspaces by name.
    pub keyspaces: BTreeMap<String, KeyspaceDef>,
    /// Tables by name.
    pub tables: BTreeMap<TableName, Arc<TableSchema>>,
    /// Functions by name.
    pub functions: BTreeMap<String, FunctionDef>,
    /// Processors by name.
    pub processors: BTreeMap<String, ProcessorDef>,
    /// Models by name.
    pub models: BTreeMap<String, ModelDef>,
    /// Plugins by name, the version in force with the earlier ones inside.
    pub plugins: BTreeMap<String, PluginDef>,
    /// Merge functions by name.
    pub merges: BTreeMap<String, FunctionDef>,
    /// Sync filters by name.
    pub filters: BTreeMap<String, FilterDef>,
    /// How the rows of tables are shared with other nodes; only of those of which something is said.
    pub sharing: BTreeMap<TableName, Sharing>,
    /// How urgent the rows of tables are on their way up; only of those that are not live.
    pub classes: BTreeMap<TableName, SyncClass>,
    /// How long edges keep the rows of tables; only of those of which something is said.
    pub keeping: BTreeMap<TableName, Keeping>,
    /// The tables of which the values are kept that lose a conflict.
    pub keep_conflicts: BTreeSet<TableName>,
    /// What becomes of tables' rows that wait when the outbox is full; only of those that do not hold.
    pub at_limit: BTreeMap<TableName, AtLimit>,
    /// The last rollout of each plugin that had one. They are the cloud's alone: no bundle holds them.
    pub rollouts: BTreeMap<String, Rollout>,
    /// Materialized views by the name of their table. They are kept where they were made: no bundle holds them.
    pub views: BTreeMap<TableName, ViewDef>,
    /// The tables that views look something up in for each row of their base, by the view; only of those that do. As
    /// the views.
    pub joined: BTreeMap<TableName, Vec<TableName>>,
    /// Sinks by name. They run where they were made: no bundle holds them.
    pub sinks: BTreeMap<String, SinkDef>,
    /// Roles by name.
    pub roles: BTreeMap<String, RoleDef>,
    /// What the last adopted bundle says otherwise than this node and could not be taken over
    /// (a column's type, a primary key): one sentence each. Empty when all is in agreement.
    pub disagreements: Vec<String>,
    pub(crate) next_table: TableId,
}

impl Default for CatalogState {
    fn default() -> Self {
        CatalogState {
            version: 0,
            keyspaces: BTreeMap::from([(
                DEFAULT_KEYSPACE.to_owned(),
                KeyspaceDef::named(DEFAULT_KEYSPACE),
            )]),
            tables: BTreeMap::new(),
            functions: BTreeMap::new(),
            processors: BTreeMap::new(),
            models: BTreeMap::new(),
            plugins: BTreeMap::new(),
            merges: BTreeMap::new(),
            filters: BTreeMap::new(),
            sharing: BTreeMap::new(),
            classes: BTreeMap::new(),
            keeping: BTreeMap::new(),
            keep_conflicts: BTreeSet::new(),
            at_limit: BTreeMap::new(),
            rollouts: BTreeMap::new(),
            views: BTreeMap::new(),
            joined: BTreeMap::new(),
            sinks: BTreeMap::new(),
            roles: BTreeMap::new(),
            disagreements: Vec::new(),
            next_table: TableId(1),
        }
    }
}

impl CatalogState {
    /// The table with this name.
    ///
    /// # Errors
    /// `NotFound`, with the nearest table's name as a hint.
    pub fn table(&self, name: &TableName) -> Result<&Arc<TableSchema>> {
        self.tables.get(name).ok_or_else(|| {
            if !self.keyspaces.contains_key(&name.keyspace) {
                return self.keyspace_missing(&name.keyspace);
            }
            let names: Vec<String> = self.tables.keys().map(ToString::to_string).collect();
            missing("table", &name.to_string(), names.iter().map(String::as_str))
        })
    }

    /// The table with this id.
    pub fn table_by_id(&self, id: TableId) -> Option<&Arc<TableSchema>> {
        self.tables.values().find(|table| table.id == id)
    }

    /// How urgent a table's rows are on their way up.
    pub fn class(&self, table: &TableName) -> SyncClass {
        self.classes.get(table).copied().unwrap_or_default()
    }

    /// Whether a table had this id and was dropped.
    pub fn was_dropped(&self, id: TableId) -> bool {
        id < self.next_table && self.table_by_id(id).is_none()
    }

    /// The keyspace with this name.
    ///
    /// # Errors
    /// `NotFound`, with the nearest name as a hint.
    pub fn keyspace(&self, name: &str) -> Result<&KeyspaceDef> {
        self.keyspaces
            .get(name)
            .ok_or_else(|| self.keyspace_missing(name))
    }

    /// The plugin with this name.
    ///
    /// # Errors
    /// `NotFound`, with the nearest name as a hint.
    pub fn plugin(&self, name: &str) -> Result<&PluginDef> {
        self.plugins
            .get(name)
            .ok_or_else(|| missing("plugin", name, self.plugins.keys().map(String::as_str)))
    }

    /// The version that a reference names: the pinned one, or the one in force.
    ///
    /// # Errors
    /// `NotFound` for an unknown plugin or version.
    pub fn plugin_version(&self, reference: &PluginReference) -> Result<PluginVersion> {
        let plugin = self.plugin(&reference.name)?;
        plugin.find(reference.version.as_deref()).ok_or_else(|| {
            let known: Vec<&str> = std::iter::once(plugin.version.as_str())
                .chain(
                    plugin
                        .earlier
                        .iter()
                        .map(|earlier| earlier.version.as_str()),
                )
                .collect();
            Error::not_found(format!("plugin '{reference}' is not deployed"))
                .with_hint(format!("its versions are {}", known.join(", ")))
        })
    }

    /// The function with this name.
    ///
    /// # Errors
    /// `NotFound`, with the nearest name as a hint.
    pub fn function(&self, name: &str) -> Result<&FunctionDef> {
        self.functions
            .get(name)
            .ok_or_else(|| missing("function", name, self.functions.keys().map(String::as_str)))
    }

    /// The processor with this name.
    ///
    /// # Errors
    /// `NotFound`, with the nearest name as a hint.
    pub fn processor(&self, name: &str) -> Result<&ProcessorDef> {
        self.processors.get(name).ok_or_else(|| {
            missing(
                "processor",
                name,
                self.processors.keys().map(String::as_str),
            )
        })
    }

    /// The model with this name.
    ///
    /// # Errors
    /// `NotFound`, with the nearest name as a hint.
    pub fn model(&self, name: &str) -> Result<&ModelDef> {
        self.models
            .get(name)
            .ok_or_else(|| missing("model", name, self.models.keys().map(String::as_str)))
    }

    /// The processors that see writes to a table, by name.
    pub fn processors_on<'a>(
        &'a self,
        table: &'a TableName,
    ) -> impl Iterator<Item = &'a ProcessorDef> + 'a {
        self.processors
            .values()
            .filter(move |processor| processor.table == *table)
    }

    /// All definitions by name, for other nodes.
    pub fn bundle(&self) -> Bundle {
        Bundle {
            keyspaces: self.keyspaces.clone(),
            tables: self
                .tables
                .values()
                .filter(|table| view::is_offered(self, &table.name, table.sync))
                .map(|table| TableDefinition::from_schema(table))
                .collect(),
            functions: self.functions.clone(),
            processors: self.processors.clone(),
            models: self.models.clone(),
            plugins: self.plugins.clone(),
            merges: self.merges.clone(),
            filters: self.filters.clone(),
            sharing: self.sharing.clone(),
            classes: self.classes.clone(),
            keeping: self.keeping.clone(),
            keep_conflicts: self.keep_conflicts.clone(),
            roles: Some(self.roles.clone()),
            at_limit: self.at_limit.clone(),
        }
    }

    fn keyspace_missing(&self, name: &str) -> Error {
        let error = missing("keyspace", name, self.keyspaces.keys().map(String::as_str));
        if error.hint().is_some() {
            error
        } else {
            error.with_hint(format!("make it with CREATE KEYSPACE {name}"))
        }
    }
}

pub(crate) fn missing<'a>(
    what: &str,
    name: &str,
    known: impl IntoIterator<Item = &'a str>,
) -> Error {
    let error = Error::not_found(format!("there is no {what} '{name}'"));
    match nearest(name, known) {
        Some(near) => error.with_hint(format!("did you mean '{near}'?")),
        None => error,
    }
}
