//! What a node is started with: flags over variables over the file over defaults.

mod allowance;
mod also;
mod flight;
#[cfg(not(feature = "mqtt"))]
mod mqtt;
mod postgres;

use std::net::SocketAddr;
#[cfg(any(feature = "flight", feature = "pgwire"))]
use std::path::Path;
use std::path::PathBuf;
use std::time::Duration;

use activestore_db::{DbOptions, Role};
use activestore_gateway::GatewayOptions;
use activestore_ingest::mqtt_config::MqttConfig;
use activestore_plugin_host::{SignerKey, Trust};
use activestore_store::WalSync;
use activestore_sync_quic::{AdmissionOptions, AllowanceOptions, TransportOptions};
use activestore_types::{Error, Result};

use super::connections;
use super::governor::Watch;
use crate::cli::{DEFAULT_HTTP, DEFAULT_QUIC, StartArgs};
use crate::config::{
    ByteSize, Config, EvictAfterSetting, LinkSetting, Plugins, RoleSetting, TransportSetting,
    WalSyncSetting, apply_environment,
};
use crate::{key, otlp};
pub use also::Further;

/// Where a node keeps everything unless told otherwise.
const DEFAULT_DATA_DIR: &str = "activestore-data";

/// How often the log is synced with `wal_sync = "interval"` unless told otherwise.
const DEFAULT_WAL_INTERVAL: Duration = Duration::from_millis(100);

/// Threads that run requests and queries unless told otherwise.
const DEFAULT_WORKERS: usize = 2;

/// The share of the machine's memory that is the store's unless told otherwise, where that is more than a role has anyway,
/// and how often that much at most.
const MEMORY_SHARE: u64 = 96;
const MEMORY_TIMES_MAX: usize = 4;

/// How long one query may work unless told otherwise.
const QUERY_TIME: Duration = Duration::from_secs(3600);

/// Everything that starting a node takes.
#[derive(Clone, Debug)]
pub struct Settings {
    /// For the database.
    pub db: DbOptions,
    /// For the HTTP listener.
    pub gateway: GatewayOptions,
    /// The listener for edges; clouds and gateways only.
    pub quic: Option<SocketAddr>,
    /// Whether edges are taken over TCP too.
    pub sync_tcp: bool,
    /// The MQTT listener.
    pub mqtt_listen: Option<SocketAddr>,
    /// Brokers and the mapping of topics.
    pub mqtt: MqttConfig,
    /// The cloud nodes to ship to.
    pub peers: Vec<String>,
    /// Further clouds that get what goes up.
    pub also: Vec<Further>,
    /// What the link to them is like.
    pub link: LinkSetting,
    /// What carries the connection to them.
    pub transport: TransportSetting,
    /// How connections are kept.
    pub wire: TransportOptions,
    /// How fast a cloud lets edges in.
    pub admission: AdmissionOptions,
    /// Edges that a cloud serves at once.
    pub edges: usize,
    /// What an edge sends in a second at most, in bytes.
    pub bandwidth: Option<u64>,
    /// When an edge may send, and how much in a month.
    pub allowance: AllowanceOptions,
    /// Joins the peer first.
    pub token: Option<String>,
    /// The file with the password of the superuser `admin`.
    pub admin_password_file: Option<PathBuf>,
    /// When compaction rests.
    pub watch: Watch,
    /// Threads.
    pub workers: usize,
}

impl Settings {
    /// From the command line, this process's variables and the file that it names.
    ///
    /// # Errors
    /// `Invalid`, naming the setting and where it comes from.
    pub fn gather(args: &StartArgs) -> Result<Settings> {
        Settings::resolve(args, Settings::written(args)?)
    }

    /// What the file and this process's variables say.
    ///
    /// # Errors
    /// `Invalid`, naming the setting and where it comes from.
    pub fn written(args: &StartArgs) -> Result<Config> {
        let mut config = match &args.config {
            Some(path) => Config::read(path)?,
            None => Config::default(),
        };
        apply_environment(&mut config, |name| std::env::var(name).ok())?;
        Ok(config)
    }

    /// Flags over the configuration.
    ///
    /// # Errors
    /// `Invalid` where settings do not go together.
    pub fn resolve(args: &StartArgs, config: Config) -> Result<Settings> {
        let role = match args.role.or(config.node.role) {
            Some(RoleSetting::Cloud) => Role::Cloud,
            Some(RoleSetting::Gateway) => Role::Gateway,
            Some(RoleSetting::Edge) | None => Role::Edge,
        };
        let peers = if args.peers.is_empty() {
            config.sync.peers.clone()
        } else {
            args.peers.clone()
        };
        let quic = args.quic.or(config.listen.quic);
        match role {
            Role::Cloud if !peers.is_empty() => {
                return Err(Error::invalid("a cloud node ships to no peer")
                    .with_hint("leave out --peer, or start it with --role gateway, which takes edges in and ships to a cloud"));
            }
            Role::Edge if quic.is_some() => {
                return Err(Error::invalid("an edge node takes in no edges").with_hint(
                    "leave out --quic, or start it with --role gateway, or with --role cloud",
                ));
            }
            Role::Gateway if peers.is_empty() => {
                return Err(
                    Error::invalid("a gateway ships to a cloud, and none is named")
                        .with_hint("add --peer HOST:PORT, or start it with --role cloud"),
                );
            }
            Role::Edge if args.token.is_some() && peers.is_empty() => {
                return Err(Error::invalid("a token is of use only with a peer to join")
                    .with_hint("add --peer HOST:PORT"));
            }
            _ => {}
        }
        one_cloud(&peers)?;
        let data_dir = args
            .data_dir
            .clone()
            .or(config.node.data_dir)
            .unwrap_or_else(|| PathBuf::from(DEFAULT_DATA_DIR));
        let mut db = DbOptions::new(data_dir, role);
        if let Some(name) = args.name.clone().or(config.node.name) {
            db.name = name;
        }
        db.memory_bytes = store_memory(db.memory_bytes, activestore_env::memory_of_machine());
        set_bytes(&mut db.memory_bytes, config.limits.memory)?;
        set_bytes(&mut db.query_memory_bytes, config.limits.query_memory)?;
        if let Some(each) = config.limits.query_memory_each {
            let mut bytes = 0;
            set_bytes(&mut bytes, Some(each))?;
            db.query_memory_each_bytes = Some(bytes);
        }
        let query_time = config.limits.query_time.map_or(QUERY_TIME, |span| span.0);
        db.query_time = (!query_time.is_zero()).then_some(query_time);
        if let Some(collector) = &config.telemetry.otlp {
            otlp::address(collector)?;
        }
        db.slow_statement = config.telemetry.slow_statement(db.slow_statement);
        set_bytes(&mut db.plugin_memory_bytes, config.plugins.memory)?;
        set_bytes(
            &mut db.subscriber_bytes_max,
            config.limits.subscriber_buffer,
        )?;
        db.subscribers_max = config.limits.subscribers.unwrap_or(db.subscribers_max);
        db.disk_bytes_max = config.limits.disk.map(|size| size.0);
        if let Some(deadline) = config.plugins.deadline {
            db.plugin_deadline = deadline.0;
        }
        let keys = trusted_keys(&config.plugins)?;
        db.plugin_compile = config.plugins.compile.unwrap_or(true);
        db.plugin_image_signers.clone_from(&keys);
        db.plugin_trust = trust(&config.plugins, keys, args.dev);
        db.plugin_cache = args.plugin_cache.clone().or(config.plugins.cache_dir);
        if let Some(seal_after) = config.sync.seal_after {
            db.seal_after = seal_after.0;
        }
        let interval = config
            .storage
            .wal_sync_interval
            .map_or(DEFAULT_WAL_INTERVAL, |interval| interval.0);
        match config.storage.wal_sync {
            Some(WalSyncSetting::Batch) => db.wal_sync = WalSync::Batch,
            Some(WalSyncSetting::Always) => db.wal_sync = WalSync::Always,
            Some(WalSyncSetting::Interval) => db.wal_sync = WalSync::Interval(interval),
            None => {}
        }
        db.copy_dir.clone_from(&config.storage.copy_dir);
        db.encryption_key = key::find(config.storage.encryption_key_file.as_deref())?;
        db.compaction_bytes_s = config.storage.compaction_rate.map(|rate| rate.0);
        let watch = Watch {
            celsius_max: config.storage.pause_above_celsius,
            on_battery: config.storage.pause_on_battery.unwrap_or(false),
            io_pressure_max: config.storage.pause_above_io_pressure,
        };
        db.outbox = role.has_cloud() && !peers.is_empty();
        if let Some(span) = &config.sync.max_offline {
            db.down_keep = span.0;
        }
        if let Some(bytes) = config.sync.down_bytes {
            db.down_keep_bytes = bytes.0;
        }
        db.outbox_bytes_max = config.sync.outbox_bytes.map(|bytes| bytes.0);
        if let Some(every) = &config.sync.verify_every {
            db.verify_every = (!every.0.is_zero()).then_some(every.0);
        }
        let workers = config.limits.workers.unwrap_or(DEFAULT_WORKERS).max(1);
        db.query_partitions = workers;
        db.auth_required = config.auth.required.unwrap_or(false);

        let http = match args.http.or(config.listen.http) {
            Some(address) => address,
            None => address(DEFAULT_HTTP)?,
        };
        let mut gateway = GatewayOptions::listening_on(http);
        gateway.query_threads = workers;
        gateway.metrics_open = config.auth.open_metrics.unwrap_or(true);
        if let Some(requests) = config.limits.requests {
            gateway.requests_max = requests.max(1);
        }
        set_bytes(&mut gateway.body_bytes_max, config.limits.request_body)?;
        postgres::wire(&mut gateway, args.pg, &config.listen, &config.limits)?;
        flight::wire(&mut gateway, args.flight, &config.listen, &config.limits)?;
        let mqtt_listen = args.mqtt.or(config.listen.mqtt);
        #[cfg(not(feature = "mqtt"))]
        mqtt::refuse(mqtt_listen, &config.mqtt)?;
        let quic = match (role.has_edges(), quic) {
            (true, Some(address)) => Some(address),
            (true, None) => Some(address(DEFAULT_QUIC)?),
            (false, _) => None,
        };
        let allowance = allowance::allowance(&config.sync, &db.data_dir)?;
        let also = also::further(&config.sync, &peers, &db.data_dir)?;
        db.also = Some(also.iter().map(|further| further.cloud.clone()).collect());
        db.receipts_of_all = config.sync.evict_after == Some(EvictAfterSetting::All);
        Ok(Settings {
            db,
            gateway,
            quic,
            sync_tcp: config.listen.sync_tcp.unwrap_or(true),
            mqtt_listen,
            mqtt: config.mqtt,
            peers,
            also,
            link: config.sync.link.unwrap_or_default(),
            transport: config.sync.transport.unwrap_or_default(),
            wire: connections::kept(&config.sync)?,
            admission: connections::let_in(&config.sync)?,
            edges: connections::served(&config.sync)?,
            bandwidth: bandwidth(config.sync.bandwidth)?,
            allowance,
            token: args.token.clone(),
            admin_password_file: config.auth.admin_password_file,
            watch,
            workers,
        })
    }
}

/// Below this rate a greeting would take longer than a peer waits for it.
const BANDWIDTH_MIN: u64 = 1000;

fn bandwidth(bytes_s: Option<ByteSize>) -> Result<Option<u64>> {
    match bytes_s {
        Some(ByteSize(bytes_s)) if bytes_s < BANDWIDTH_MIN => Err(Error::invalid(format!(
            "sync.bandwidth of {bytes_s} bytes a second is less than the {BANDWIDTH_MIN} that a connection needs"
        ))
        .with_hint("write the bytes of a second, as in bandwidth = \"100KB\"")),
        bytes_s => Ok(bytes_s.map(|bytes_s| bytes_s.0)),
    }
}

/// The certificate of a wire, by the two settings that name its files.
#[cfg(any(feature = "flight", feature = "pgwire"))]
fn certificate<T>(
    files: (&Option<PathBuf>, &Option<PathBuf>),
    [certificate, key]: [&str; 2],
    read: impl FnOnce(&Path, &Path) -> Result<T>,
) -> Result<Option<T>> {
    match files {
        (Some(chain), Some(secret)) => read(chain, secret).map(Some),
        (None, None) => Ok(None),
        _ => Err(Error::invalid(format!(
            "{certificate} and {key} belong together, and one of them is missing"
        ))
        .with_hint("name both in [listen], or neither")),
    }
}

fn address(text: &str) -> Result<SocketAddr> {
    text.parse()
        .map_err(|_| Error::internal(format!("'{text}' is not an address")))
}

/// Refuses addresses that are none, or of more than one cloud.
fn one_cloud(peers: &[String]) -> Result<()> {
    if let Some(peer) = peers.iter().find(|peer| !is_host_and_port(peer)) {
        return Err(
            Error::invalid(format!("the peer '{peer}' is not HOST:PORT"))
                .with_hint("write cloud.example:7490"),
        );
    }
    if let Some(second) = peers.get(1) {
        return Err(Error::invalid(format!(
            "a cloud has one address, and '{second}' is a second"
        ))
        .with_hint("name one peer here, and further clouds in [[sync.also]]"));
    }
    Ok(())
}

fn is_host_and_port(peer: &str) -> bool {
    peer.rsplit_once(':')
        .is_some_and(|(host, port)| !host.is_empty() && port.parse::<u16>().is_ok())
}

/// What the store may hold in memory unless told: as much as its role has on a small machine, and a share of a large one,
/// whose files have indexes that are worth to be kept.
fn store_memory(least: usize, machine: Option<u64>) -> usize {
    let share = machine.map_or(0, |bytes| bytes / MEMORY_SHARE);
    let share = usize::try_from(share).unwrap_or(usize::MAX);
    share.clamp(least, least.saturating_mul(MEMORY_TIMES_MAX))
}

fn set_bytes(target: &mut usize, size: Option<ByteSize>) -> Result<()> {
    if let Some(size) = size {
        *target = usize::try_from(size.0)
            .map_err(|_| Error::invalid("a limit is larger than this machine can address"))?;
    }
    Ok(())
}

fn trusted_keys(plugins: &Plugins) -> Result<Vec<SignerKey>> {
    let keys = plugins.trusted_keys.iter().map(|key| key.parse());
    keys.collect::<Result<_>>()
        .map_err(|error: Error| error.context("[plugins] trusted_keys"))
}

/// Whose plugins are run: unless somebody says so, only those of trusted keys.
fn trust(plugins: &Plugins, keys: Vec<SignerKey>, dev: bool) -> Trust {
    if dev || plugins.allow_unsigned.unwrap_or(false) {
        Trust::Anybody
    } else {
        Trust::Signers(keys)
    }
}

#[cfg(test)]
mod tests;
