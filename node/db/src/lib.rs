//! One database: the order of the stages for a write, a query and a change of the definitions. It
//! wires store, catalog, query engine, plugins and the sync's two ends, and opens no socket.
//!
//! ```
//! use activestore_db::{Db, DbOptions, Role, SqlOutcome};
//!
//! # let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
//! # runtime.block_on(async {
//! let dir = tempfile::tempdir().unwrap();
//! let db = Db::open(DbOptions::new(dir.path(), Role::Edge)).unwrap();
//! db.sql("CREATE KEYSPACE plant", &[]).await.unwrap();
//! db.sql("CREATE TABLE plant.t (d TEXT, n BIGINT, PRIMARY KEY ((d)))", &[]).await.unwrap();
//! let done = db.sql("INSERT INTO plant.t (d, n) VALUES ('a', 1), ('b', 2)", &[]).await.unwrap();
//! assert!(matches!(done[0], SqlOutcome::Done { affected: 2, .. }));
//! db.shutdown().await.unwrap();
//! # });
//! ```

mod auth;
pub mod backup;
mod blobs;
mod clouds;
mod compaction;
mod comparable;
mod conflicts;
mod counters;
mod db;
mod defined;
mod down;
mod drops;
mod events;
mod eviction;
mod files;
mod identity;
mod inbox;
mod incoming;
mod merging;
mod options;
mod outbox;
mod outgoing;
mod plugin_registry;
mod plugins;
mod receipts;
mod reconcile;
mod relay;
mod replica;
mod resident;
mod rollouts;
mod set_aside;
mod sinks;
mod sql;
mod statements;
mod status;
mod subscribe;
mod system;
mod tables;
mod views;
mod visit;
mod write;

pub use activestore_catalog::{Scope, SinkAddress, SinkOptions};
pub use activestore_plugin_host::LogLevel;
pub use activestore_store::PauseReason;
pub use auth::{
    Credentials, LoginWay, Principal, Proof, RoleSetUp, ScramLogin, make_verifier, set_up_role,
};
pub use blobs::BLOB_BYTES_MAX;
pub use clouds::{FurtherHosts, OWN_CLOUD, ShippingReport, further_outboxes};
pub use counters::{Counter, CounterKind};
pub use db::{Db, SyncHosts};
pub use defined::{check_blobs, defined_tables};
pub use events::{EventReport, EventsAfter};
pub use options::{DbOptions, FullOutbox, FurtherCloud, Role};
pub use outbox::LetGoReport;
pub use outbox::by_table::TableLag;
pub use outgoing::{Answer, Courier};
pub use plugin_registry::{PluginInfo, PluginLogs, PluginVersionInfo};
pub use receipts::ReceiptReport;
pub use rollouts::{RolloutAct, RolloutInfo, RolloutPlan};
pub use set_aside::RetryReport;
pub use sinks::{Carried, Carrier, Parcel, Setback, SinkLine};
pub use sql::{Prepared, SqlOutcome};
pub use status::{DownReport, PeerReport, Status, SyncStatus, VerifiedReport};
pub use subscribe::{Bounds, Change, Changes, Subscription, Told, What};
pub use write::{RefusedRow, WriteReceipt};

#[cfg(test)]
mod tests;
