//! The changes a catalog can undergo. Each is applied whole or not at all.

use activestore_types::{DataType, TableName};

use crate::bundle::Bundle;
use crate::definition::{
    FunctionDef, FunctionKind, KeyspaceDef, ModelDef, ProcessorDef, TableDefinition,
};
use crate::options::{KeyspaceOptions, TableOptions};
use crate::plugin::PluginDef;
use crate::role::RoleChange;
use crate::rollout::{Rollout, RolloutStep};
use crate::sharing::FilterDef;
use crate::sink::SinkChange;
use crate::view::ViewDef;

/// One change. `if_not_exists` and `if_exists` turn the error of a thing that is already there, or
/// already gone, into no change; `or_replace` replaces it.
#[derive(Clone, Debug, PartialEq)]
pub enum Change {
    /// `CREATE KEYSPACE`.
    CreateKeyspace {
        /// The keyspace.
        def: KeyspaceDef,
        /// No error when it exists.
        if_not_exists: bool,
    },
    /// `ALTER KEYSPACE … SET`; tables made before keep what they have.
    AlterKeyspace {
        /// The keyspace.
        name: String,
        /// What to change.
        options: KeyspaceOptions,
    },
    /// `DROP KEYSPACE`; it must be empty.
    DropKeyspace {
        /// The keyspace.
        name: String,
        /// No error when it is missing.
        if_exists: bool,
    },
    /// `CREATE TABLE`.
    CreateTable {
        /// The table by names; ids are given here.
        definition: TableDefinition,
        /// No error when it exists.
        if_not_exists: bool,
    },
    /// `ALTER TABLE … ADD COLUMN`, and the growth of a flexible table.
    AddColumns {
        /// The table.
        table: TableName,
        /// New columns.
        columns: Vec<(String, DataType)>,
        /// A column that is there with the same type is no error; another type always is.
        if_not_exists: bool,
    },
    /// `ALTER TABLE … SET (…)`.
    AlterOptions {
        /// The table.
        table: TableName,
        /// What to change.
        options: TableOptions,
    },
    /// `DROP TABLE`; no processor may name it.
    DropTable {
        /// The table.
        name: TableName,
        /// No error when it is missing.
        if_exists: bool,
    },
    /// `CREATE MATERIALIZED VIEW`.
    CreateView {
        /// The table that holds its rows.
        definition: TableDefinition,
        /// What it is made of.
        def: ViewDef,
        /// The tables that it looks something up in for each row of its base.
        joined: Vec<TableName>,
        /// No error when it exists.
        if_not_exists: bool,
        /// Whether a table of this name, key and columns becomes the view: one without rows, as another node's
        /// definitions brought it.
        takes_over: bool,
    },
    /// `DROP MATERIALIZED VIEW`; no other one may stand on it.
    DropView {
        /// The view.
        name: TableName,
        /// No error when it is missing.
        if_exists: bool,
    },
    /// `CREATE [OR REPLACE] FUNCTION` or `AGGREGATE`.
    CreateFunction {
        /// The function.
        def: FunctionDef,
        /// What the statement says that it is. The plugin decides; a node refuses the statement where
        /// they differ.
        kind: FunctionKind,
        /// Replace one of the same name.
        or_replace: bool,
    },
    /// `DROP FUNCTION` or `DROP AGGREGATE`: they share their names.
    DropFunction {
        /// The function.
        name: String,
        /// No error when it is missing.
        if_exists: bool,
    },
    /// `CREATE [OR REPLACE] PROCESSOR`.
    CreateProcessor {
        /// The processor.
        def: ProcessorDef,
        /// Replace one of the same name.
        or_replace: bool,
    },
    /// `DROP PROCESSOR`.
    DropProcessor {
        /// The processor.
        name: String,
        /// No error when it is missing.
        if_exists: bool,
    },
    /// `CREATE [OR REPLACE] MODEL`.
    CreateModel {
        /// The model.
        def: ModelDef,
        /// Replace one of the same name.
        or_replace: bool,
    },
    /// `DROP MODEL`; no processor may use it.
    DropModel {
        /// The model.
        name: String,
        /// No error when it is missing.
        if_exists: bool,
    },
    /// `CREATE [OR REPLACE] MERGE FUNCTION`.
    CreateMerge {
        /// The function.
        def: FunctionDef,
        /// Replace one of the same name.
        or_replace: bool,
    },
    /// `DROP MERGE FUNCTION`; no table may use it.
    DropMerge {
        /// The function.
        name: String,
        /// No error when it is missing.
        if_exists: bool,
    },
    /// `CREATE [OR REPLACE] FILTER`.
    CreateFilter {
        /// The filter.
        def: FilterDef,
        /// Replace one of the same name.
        or_replace: bool,
    },
    /// `DROP FILTER`; no table may use it.
    DropFilter {
        /// The filter.
        name: String,
        /// No error when it is missing.
        if_exists: bool,
    },
    /// A plugin deployed or rolled back: this version comes into force, earlier ones are kept.
    PutPlugin(PluginDef),
    /// A plugin removed with all its versions; nothing may use it.
    DropPlugin {
        /// The plugin.
        name: String,
        /// No error when it is missing.
        if_exists: bool,
    },
    /// A new version of a plugin begins to go to the edges.
    StartRollout(Rollout),
    /// Something happens to a rollout.
    StepRollout {
        /// The plugin.
        plugin: String,
        /// The wave at which it was decided; a step that comes too late is refused.
        wave: Option<u32>,
        /// What happens.
        step: RolloutStep,
        /// When, in milliseconds since 1970.
        at_ms: u64,
    },
    /// Something happens to the roles.
    Role(RoleChange),
    /// Something happens to the sinks.
    Sink(SinkChange),
    /// Another node's definitions taken over by name.
    AdoptBundle(Bundle),
}
