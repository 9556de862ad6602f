//! The configuration file: TOML, one per node, every key optional, an unknown key an error that
//! names the line and the nearest known key. This module only reads settings; what they mean is
//! decided by the crates they are handed to.
//!
//! A setting comes from, in falling order: a command-line flag, an `ACTIVESTORE_*` variable, the
//! file, the default.

mod also;
mod environment;
mod telemetry;
mod units;
mod unknown;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use activestore_ingest::mqtt_config::MqttConfig;
use activestore_types::{Error, Result};
use serde::Deserialize;

pub use also::{Also, EvictAfterSetting, FullOutboxSetting};
pub use environment::apply as apply_environment;
pub use telemetry::Telemetry;
pub use units::{ByteSize, Span};

/// Everything the file can say. A key that is left out is `None` or empty.
#[derive(Clone, Debug, Default, Deserialize, PartialEq)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Who the node is.
    pub node: Node,
    /// Where it listens.
    pub listen: Listen,
    /// What it may use.
    pub limits: Limits,
    /// How it stores.
    pub storage: Storage,
    /// Whom it sends rows to.
    pub sync: Sync,
    /// Who has to log in.
    pub auth: Auth,
    /// What plugins may use.
    pub plugins: Plugins,
    /// What the node tells of itself.
    pub telemetry: Telemetry,
    /// Which broker it reads from and where messages go.
    pub mqtt: MqttConfig,
}

/// `[node]`.
#[derive(Clone, Debug, Default, Deserialize, PartialEq)]
#[serde(default, deny_unknown_fields)]
pub struct Node {
    /// `edge`, `gateway` or `cloud`.
    pub role: Option<RoleSetting>,
    /// The node's name for people.
    pub name: Option<String>,
    /// The directory that holds everything.
    pub data_dir: Option<PathBuf>,
}

/// The part a node plays.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum RoleSetting {
    /// Takes rows in and ships them.
    Edge,
    /// Both: takes edges in, and ships what they bring with its own rows to a cloud.
    Gateway,
    /// Receives rows from edges and gives them definitions.
    Cloud,
}

/// `[listen]`.
#[derive(Clone, Debug, Default, Deserialize, PartialEq)]
#[serde(default, deny_unknown_fields)]
pub struct Listen {
    /// HTTP address.
    pub http: Option<SocketAddr>,
    /// Address of the PostgreSQL wire.
    pub pg: Option<SocketAddr>,
    /// Whether there is a PostgreSQL wire. Yes unless it is told.
    pub pg_on: Option<bool>,
    /// The certificate of the PostgreSQL wire, a PEM file.
    pub pg_tls_cert: Option<PathBuf>,
    /// Its key, a PEM file.
    pub pg_tls_key: Option<PathBuf>,
    /// Address of the Arrow Flight SQL wire.
    pub flight: Option<SocketAddr>,
    /// Whether there is an Arrow Flight SQL wire. Yes unless it is told.
    pub flight_on: Option<bool>,
    /// The certificate of the Arrow Flight SQL wire, a PEM file.
    pub flight_tls_cert: Option<PathBuf>,
    /// Its key, a PEM file.
    pub flight_tls_key: Option<PathBuf>,
    /// QUIC (UDP) address for edges; clouds and gateways only.
    pub quic: Option<SocketAddr>,
    /// Whether edges that UDP does not reach are taken over TCP, at the same address and port. Yes unless it is
    /// told.
    pub sync_tcp: Option<bool>,
    /// Address of the MQTT listener.
    pub mqtt: Option<SocketAddr>,
}

/// `[limits]`.
#[derive(Clone, Debug, Default, Deserialize, PartialEq)]
#[serde(default, deny_unknown_fields)]
pub struct Limits {
    /// What the store holds in memory: rows before writers wait, parts of files. 64 MiB of an edge, 256 MiB of a cloud, and
    /// of a larger machine a 96th, up to four times as much.
    pub memory: Option<ByteSize>,
    /// The most the data directory may take.
    pub disk: Option<ByteSize>,
    /// Memory for all queries together.
    pub query_memory: Option<ByteSize>,
    /// What one query may have of it.
    pub query_memory_each: Option<ByteSize>,
    /// How long one query may work.
    pub query_time: Option<Span>,
    /// The largest HTTP request body.
    pub request_body: Option<ByteSize>,
    /// HTTP requests answered at once.
    pub requests: Option<usize>,
    /// Subscriptions that run at once.
    pub subscribers: Option<usize>,
    /// Events that may wait for one subscriber, in memory.
    pub subscriber_buffer: Option<ByteSize>,
    /// Connections of PostgreSQL clients.
    pub pg_connections: Option<usize>,
    /// How long a statement of a PostgreSQL client may take; 0s is without a limit.
    pub pg_statement_timeout: Option<Span>,
    /// Connections of Arrow Flight SQL clients.
    pub flight_connections: Option<usize>,
    /// How long a statement of an Arrow Flight SQL client may take; 0s is without a limit.
    pub flight_statement_timeout: Option<Span>,
    /// Threads that run queries and requests.
    pub workers: Option<usize>,
}

/// `[storage]`.
#[derive(Clone, Debug, Default, Deserialize, PartialEq)]
#[serde(default, deny_unknown_fields)]
pub struct Storage {
    /// When the log is synced.
    pub wal_sync: Option<WalSyncSetting>,
    /// How often, with `wal_sync = "interval"`.
    pub wal_sync_interval: Option<Span>,
    /// The file with the key that encrypts the data directory.
    pub encryption_key_file: Option<PathBuf>,
    /// The folder that `COPY` reads and writes files in; without it there is no `COPY`.
    pub copy_dir: Option<PathBuf>,
    /// What compaction writes in a second at most.
    pub compaction_rate: Option<ByteSize>,
    /// Compaction rests while the hottest sensor is above this, in degrees Celsius.
    pub pause_above_celsius: Option<f64>,
    /// Compaction rests while the machine runs on battery.
    pub pause_on_battery: Option<bool>,
    /// Compaction rests while tasks wait for the disk for more than this part of the time, in
    /// percent over ten seconds.
    pub pause_above_io_pressure: Option<f64>,
}

/// `storage.wal_sync`.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
pub enum WalSyncSetting {
    /// One sync for all writes that wait together; each is durable when it is acknowledged.
    Batch,
    /// One sync a write.
    Always,
    /// At fixed intervals: a power cut loses what was acknowledged since the last.
    Interval,
}

/// `[sync]`.
#[derive(Clone, Debug, Default, Deserialize, PartialEq)]
#[serde(default, deny_unknown_fields)]
pub struct Sync {
    /// The cloud's addresses, `host:port`: tried beside each other, in this order a little apart.
    pub peers: Vec<String>,
    /// The longest a row waits before it is shipped; alarms and control rows wait less.
    pub seal_after: Option<Span>,
    /// What the link is like.
    pub link: Option<LinkSetting>,
    /// What carries the connection to the cloud.
    pub transport: Option<TransportSetting>,
    /// What an edge sends in a second at most; alarms go first.
    pub bandwidth: Option<ByteSize>,
    /// How long a cloud keeps rows that flow down for an edge that is away, and remembers deletes of shared tables.
    pub max_offline: Option<Span>,
    /// What they may take on its disk at most.
    pub down_bytes: Option<ByteSize>,
    /// What may wait for the cloud at most; writes beyond it are refused.
    pub outbox_bytes: Option<ByteSize>,
    /// How often an edge compares its rows with what its cloud holds of them; 0s is never.
    pub verify_every: Option<Span>,
    /// After how much silence an edge gives a sign of life; 0s is never.
    pub keep_alive: Option<Span>,
    /// After how much silence a connection is given up.
    pub idle_timeout: Option<Span>,
    /// The largest packet that is tried, as the payload of UDP in bytes; 1200 is none larger than every path takes.
    pub packet_max: Option<u16>,
    /// Whether connections move with their edges to another address; at the cloud.
    pub migration: Option<bool>,
    /// Whether a resumed session begins with rows in its first packet.
    pub early_data: Option<bool>,
    /// Edges that a cloud serves at once.
    pub edges: Option<usize>,
    /// Edges that a cloud lets in in a second.
    pub edges_per_second: Option<u32>,
    /// Edges that are on their way in at once.
    pub handshakes: Option<usize>,
    /// What may cross the link to the cloud in a month, both ways.
    pub monthly_bytes: Option<ByteSize>,
    /// The day of the month that the month begins on, in UTC; the first.
    pub month_starts: Option<u8>,
    /// The part of the month's bytes that is kept for alarms and control rows, in percent.
    pub alarm_share: Option<u8>,
    /// What happens when the month's bytes are used.
    pub at_budget: Option<AtBudgetSetting>,
    /// When rows that are not urgent are sent; always where it is empty.
    pub schedule: Vec<String>,
    /// How far the schedule's clock is ahead of UTC: `+01:00`.
    pub schedule_offset: Option<String>,
    /// Which clouds have to have signed before old rows go from an edge.
    pub evict_after: Option<EvictAfterSetting>,
    /// Further clouds that get what goes up.
    pub also: Vec<Also>,
}

/// `sync.at_budget`.
#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
pub enum AtBudgetSetting {
    /// Alarms and control rows still go.
    #[default]
    Alarms,
    /// Nothing does.
    Hold,
}

/// `sync.link`.
#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
pub enum LinkSetting {
    /// Metered: few signs of life, long waits between attempts.
    #[default]
    Frugal,
    /// A wire: a link that works again is noticed within two seconds.
    Quick,
}

/// `sync.transport`.
#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
pub enum TransportSetting {
    /// QUIC, and TCP where no UDP gets through.
    #[default]
    Auto,
    /// QUIC alone.
    Quic,
    /// TCP alone.
    Tcp,
}

/// `[plugins]`.
#[derive(Clone, Debug, Default, Deserialize, PartialEq)]
#[serde(default, deny_unknown_fields)]
pub struct Plugins {
    /// What one instance may hold in memory.
    pub memory: Option<ByteSize>,
    /// How long one call may take.
    pub deadline: Option<Span>,
    /// Where compiled plugins are kept.
    pub cache_dir: Option<PathBuf>,
    /// Whether plugins are compiled here; if not, they run by the images that they carry and a trusted
    /// key signed. Yes unless it is told; never in a program without the compiler.
    pub compile: Option<bool>,
    /// The public keys of those whose signed plugins are run: `ed25519:…`.
    pub trusted_keys: Vec<String>,
    /// Whether unsigned plugins, and those of others, are run all the same: for development, as `start --dev`. No
    /// unless it is told.
    pub allow_unsigned: Option<bool>,
}

/// `[auth]`.
#[derive(Clone, Debug, Default, Deserialize, PartialEq)]
#[serde(default, deny_unknown_fields)]
pub struct Auth {
    /// Whether everybody has to log in even while no role can; from the first one on everybody has to anyway.
    pub required: Option<bool>,
    /// The file with the password of the superuser `admin`, who is made or given it at each start.
    pub admin_password_file: Option<PathBuf>,
    /// Whether `GET /metrics` is answered without a login. Yes unless it is told.
    pub open_metrics: Option<bool>,
}

impl Config {
    /// Reads the file.
    ///
    /// # Errors
    /// `Invalid` with the file's name, the line and what is wrong there.
    pub fn read(path: &Path) -> Result<Config> {
        let text = std::fs::read_to_string(path).map_err(|error| {
            Error::invalid(format!(
                "the configuration file {} cannot be read: {error}",
                path.display()
            ))
        })?;
        Config::parse(&text, &path.display().to_string())
    }

    /// Reads the text of a file called `name`.
    ///
    /// # Errors
    /// As [`Config::read`].
    pub fn parse(text: &str, name: &str) -> Result<Config> {
        toml::from_str(text).map_err(|error| unknown::explain(text, name, &error))
    }
}

#[cfg(test)]
mod tests;
