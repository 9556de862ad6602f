//! What a database is opened with: plain data, no file format and no flag names.

use std::path::PathBuf;
use std::time::Duration;

use activestore_env::MasterKey;
use activestore_plugin_host::{SignerKey, Trust};
use activestore_store::WalSync;
use serde::{Deserialize, Serialize};

const MIB: usize = 1024 * 1024;

/// The part a node plays.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Takes rows in and ships them.
    Edge,
    /// An edge to a cloud that is a cloud to edges of its own: their rows go on upward with its own, and what comes
    /// down goes on to them.
    Gateway,
    /// The place rows arrive at, and where definitions come from.
    Cloud,
}

impl Role {
    /// `edge`, `gateway` or `cloud`.
    pub fn name(self) -> &'static str {
        match self {
            Role::Edge => "edge",
            Role::Gateway => "gateway",
            Role::Cloud => "cloud",
        }
    }

    /// Whether it has a cloud above it.
    pub fn has_cloud(self) -> bool {
        matches!(self, Role::Edge | Role::Gateway)
    }

    /// Whether edges come to it.
    pub fn has_edges(self) -> bool {
        matches!(self, Role::Cloud | Role::Gateway)
    }
}

/// A further cloud, that gets a copy of rows that go up and nothing else to do with this node.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FurtherCloud {
    /// What this node calls it: names a directory, so small letters, digits and `-`.
    pub name: String,
    /// The tables that it takes of those that travel up: `KEYSPACE.TABLE`, `KEYSPACE.*`, or `*`.
    pub tables: Vec<String>,
    /// Bytes of sealed rows that may wait for it.
    pub outbox_bytes_max: u64,
    /// What happens then.
    pub at_limit: FullOutbox,
}

/// What happens when as much waits for a further cloud as may. Writes are never refused for its sake.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum FullOutbox {
    /// What waits stays; rows that come are passed over until there is room.
    #[default]
    Hold,
    /// The oldest rows that wait are let go for those that come.
    DropOldest,
}

/// How to open a database.
#[derive(Clone, Debug)]
pub struct DbOptions {
    /// The directory that holds everything.
    pub data_dir: PathBuf,
    /// The part this node plays.
    pub role: Role,
    /// The node's name for people; defaults to the role.
    pub name: String,
    /// What the store may hold in memory, in bytes; writers wait where it would hold more.
    pub memory_bytes: usize,
    /// The most the data directory may take, in bytes; a write beyond it is refused.
    pub disk_bytes_max: Option<u64>,
    /// When the log is synced.
    pub wal_sync: WalSync,
    /// Encrypts everything in the directory that users wrote; a directory is made with a key or
    /// without one and stays so.
    pub encryption_key: Option<MasterKey>,
    /// What compaction writes in a second at most, in bytes; `None` is no limit.
    pub compaction_bytes_s: Option<u64>,
    /// What queries may hold in memory together, in bytes.
    pub query_memory_bytes: usize,
    /// What one query may hold of it; `None` is all.
    pub query_memory_each_bytes: Option<usize>,
    /// How long one query may work; `None` is for ever.
    pub query_time: Option<Duration>,
    /// From which time on a statement is told as a slow one; `None` is never.
    pub slow_statement: Option<Duration>,
    /// Where `COPY` reads and writes files; without it there is no `COPY`.
    pub copy_dir: Option<PathBuf>,
    /// What one plugin instance may hold in memory, in bytes.
    pub plugin_memory_bytes: usize,
    /// How long one call into a plugin may take.
    pub plugin_deadline: Duration,
    /// Whose plugins are run.
    pub plugin_trust: Trust,
    /// Whether plugins are compiled here. If not, and in a program without the compiler, they run by the
    /// images that they carry.
    pub plugin_compile: bool,
    /// Whose images are run where nothing is compiled; they are native code.
    pub plugin_image_signers: Vec<SignerKey>,
    /// Where compiled plugins are kept; `None` means inside the data directory. Nodes of one machine
    /// may share it.
    pub plugin_cache: Option<PathBuf>,
    /// Whether rows are dropped that are old and that the cloud has, as tables say; tools that open a directory for
    /// something else leave them.
    pub evicts: bool,
    /// Whether committed rows are sealed into segments for shipping.
    pub outbox: bool,
    /// Further clouds that rows that go up are shipped to as well. `None` is those that the directory has; of others that it
    /// has, what waits is let go.
    pub also: Option<Vec<FurtherCloud>>,
    /// Whether rows are covered by receipts only where every cloud that takes them has signed.
    pub receipts_of_all: bool,
    /// Bytes of sealed rows that may wait for the cloud; writes beyond it are refused. `None` is no limit.
    pub outbox_bytes_max: Option<u64>,
    /// The longest a committed row waits before its segment is sealed, while somebody is there to ship to;
    /// otherwise up to a minute. Urgent rows wait less. With [`Duration::MAX`] all wait until
    /// [`Db::seal`](crate::Db::seal) says so.
    pub seal_after: Duration,
    /// How long a cloud keeps the stream of rows for an edge that is away; after that the edge fetches
    /// the tables anew.
    pub down_keep: Duration,
    /// What the stream may take at most, in bytes.
    pub down_keep_bytes: u64,
    /// How often an edge compares with its cloud what both hold of its rows; `None` is never.
    pub verify_every: Option<Duration>,
    /// How many parts of a scan run at once.
    pub query_partitions: usize,
    /// Whether who talks to the node has to log in even while no role can.
    pub auth_required: bool,
    /// Subscriptions that may run at once.
    pub subscribers_max: usize,
    /// Events that may wait for one subscriber, in bytes; those of all take eight times as much at the most.
    pub subscriber_bytes_max: usize,
}

impl DbOptions {
    /// The defaults of a role.
    pub fn new(data_dir: impl Into<PathBuf>, role: Role) -> Self {
        let edge = role.has_cloud();
        DbOptions {
            data_dir: data_dir.into(),
            role,
            name: role.name().to_owned(),
            memory_bytes: if edge { 64 * MIB } else { 256 * MIB },
            disk_bytes_max: None,
            wal_sync: WalSync::Batch,
            encryption_key: None,
            compaction_bytes_s: None,
            query_memory_bytes: if edge { 64 * MIB } else { 512 * MIB },
            query_memory_each_bytes: None,
            query_time: None,
            slow_statement: Some(Duration::from_secs(5)),
            copy_dir: None,
            plugin_memory_bytes: 64 * MIB,
            plugin_deadline: Duration::from_secs(1),
            plugin_trust: Trust::Anybody,
            plugin_compile: true,
            plugin_image_signers: Vec::new(),
            plugin_cache: None,
            evicts: true,
            outbox: edge,
            also: None,
            receipts_of_all: false,
            outbox_bytes_max: None,
            seal_after: Duration::from_secs(1),
            down_keep: Duration::from_secs(30 * 24 * 3600),
            down_keep_bytes: 1024 * MIB as u64,
            verify_every: edge.then_some(Duration::from_secs(7 * 24 * 3600)),
            query_partitions: 2,
            auth_required: false,
            subscribers_max: if edge { 32 } else { 256 },
            subscriber_bytes_max: if edge { MIB } else { 4 * MIB },
        }
    }
}
