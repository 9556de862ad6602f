//! The catalog: definitions of keyspaces, tables, functions, processors, models, filters, plugins
//! and roles, kept in one redb file. It holds no rows, loads no plugin and opens no socket.
//!
//! Readers take an immutable [`CatalogState`]; a writer hands in a [`Change`], which is checked
//! against the newest state, made durable and then published. Every change is one transaction.
//!
//! ```
//! use activestore_catalog::{Catalog, Change, KeyspaceDef, ColumnDefinition, TableDefinition};
//! use activestore_types::{DataType, TableName};
//!
//! let catalog = Catalog::in_memory().unwrap();
//! catalog.apply(Change::CreateKeyspace { def: KeyspaceDef::named("plant"), if_not_exists: false }).unwrap();
//! let mut table = TableDefinition::named(TableName::new("plant", "readings"));
//! table.columns = vec![
//!     ColumnDefinition::new("device", DataType::Text),
//!     ColumnDefinition::new("ts", DataType::Timestamp),
//! ];
//! table.partition_key = vec!["device".into()];
//! let state = catalog.apply(Change::CreateTable { definition: table, if_not_exists: false }).unwrap();
//! assert!(state.table(&TableName::new("plant", "readings")).is_ok());
//! ```

mod adopt;
mod apply;
mod at_limit;
mod bundle;
mod change;
mod conflicts;
mod definition;
mod duration;
mod file;
mod grant;
mod keeping;
mod late;
mod names;
mod options;
mod plugin;
mod role;
mod rollout;
mod seal;
mod sharing;
mod sink;
mod state;
mod view;

pub use at_limit::{AtLimit, AtLimitOptions};
pub use bundle::Bundle;
pub use change::Change;
pub use definition::{
    ClusteringDefinition, ColumnDefinition, FunctionDef, FunctionKind, KeyspaceDef, ModelDef,
    ProcessorDef, ProcessorSource, TableDefinition,
};
pub use duration::{format_duration_s, parse_duration};
pub use file::Catalog;
pub use grant::{Grant, Privilege, Scope};
pub use keeping::{Keeping, KeepingOptions};
pub use late::{Late, late_table};
pub use names::{
    MAX_COLUMNS, MAX_NAME_BYTES, check_column_name, check_identifier, check_keyspace_name,
    check_plugin_name, check_table_name, nearest,
};
pub use options::{KeyspaceOptions, TableOptions};
pub use plugin::{MAX_PLUGIN_VERSIONS, PluginDef, PluginReference, PluginVersion};
pub use role::{MAX_GRANTS, MAX_ROLES, MAX_TOKENS, RoleChange, RoleDef, ScramVerifier, TokenDef};
pub use rollout::{
    ALL_CALLS_PPM, EdgeView, MAX_SOAK_MS, MAX_WAVES, Next, Rollout, RolloutState, RolloutStep,
    Used, Wave,
};
pub use sharing::{FilterDef, Sharing, SharingOptions};
pub use sink::{MAX_SINKS, OnBehind, SinkAddress, SinkChange, SinkDef, SinkOptions};
pub use state::{CatalogState, DEFAULT_KEYSPACE, SYSTEM_KEYSPACE};
pub use view::{MAX_VIEWS, ViewDef, ViewOptions};

#[cfg(test)]
mod tests;
