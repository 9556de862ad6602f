//! `activestore start`: opens the database, starts the listeners around it, and stops them in the
//! reverse order when the process is told to.
//!
//! 1. Open the data directory (a second node on it is refused here).
//! 2. Start what takes rows in and what ships them: QUIC, MQTT, HTTP, the PostgreSQL and Arrow Flight SQL wires.
//! 3. Print the listeners and write `listeners.json`: ready.
//! 4. On SIGTERM or SIGINT: HTTP drains, MQTT and QUIC say goodbye, the database closes; exit 0.

mod carrier;
mod compared;
mod connections;
mod courier;
mod door;
mod governor;
mod listeners;
#[cfg(feature = "mqtt")]
mod mqtt;
mod peers;
mod rest;
mod settings;
#[cfg(feature = "mqtt")]
mod sink;
mod uplinks;

use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};

use activestore_db::{Db, DbOptions, FurtherCloud, Role};
use activestore_gateway::Gateway;
use activestore_plugin_host::Trust;
use activestore_sync_quic::{ClientOptions, EdgeIdentity, SyncClient};
use activestore_types::{Error, Result};
use tokio::runtime::{Builder, Runtime};
use tokio::signal::unix::{SignalKind, signal};

use crate::backup::role_of;
use crate::cli::{JoinArgs, StartArgs};
use crate::key;
use crate::otlp::{self, SpanLayer};
use carrier::SinkCarrier;
use courier::HttpCourier;
use governor::Governor;
use listeners::Listeners;
#[cfg(feature = "mqtt")]
use mqtt::Mqtt;
pub use peers::EDGES_IDENTITY_DIR;
use peers::{IDENTITY_DIR, Peers};
use rest::Rest;
pub use settings::Settings;

/// Threads for blocking work (syncs of the log, plugins); more work waits.
const BLOCKING_THREADS_MAX: usize = 32;

/// How long a blocking thread stays without work: an idle edge gives its stack back.
const BLOCKING_IDLE: Duration = Duration::from_secs(5);

/// How long `join` waits for the cloud.
const JOIN_MAX: Duration = Duration::from_secs(30);

/// How long one try of it may take: two by UDP and one over TCP fit in.
const JOIN_TRY: Duration = Duration::from_secs(5);

const JOIN_POLL: Duration = Duration::from_millis(50);

/// What follows spans, where the settings name a collector. What is wrong with them is told when they are gathered.
pub fn spans(args: &StartArgs) -> Option<SpanLayer> {
    let config = Settings::written(args).ok()?;
    let collector = otlp::address(config.telemetry.otlp.as_deref()?).ok()?;
    let name = args.name.clone().or(config.node.name);
    otlp::start(collector, name.as_deref().unwrap_or("node")).ok()
}

/// Runs a node until it is told to stop.
///
/// # Errors
/// What keeps it from starting, in one sentence.
pub fn run(args: &StartArgs) -> Result<ExitCode> {
    let settings = Settings::gather(args)?;
    let runtime = runtime(settings.workers)?;
    let outcome = runtime.block_on(serve(settings));
    // A query that does not end must not keep the process from ending.
    runtime.shutdown_timeout(Duration::from_secs(2));
    otlp::finish();
    outcome.map(|()| ExitCode::SUCCESS)
}

fn runtime(workers: usize) -> Result<Runtime> {
    Builder::new_multi_thread()
        .worker_threads(workers)
        .max_blocking_threads(BLOCKING_THREADS_MAX)
        .thread_keep_alive(BLOCKING_IDLE)
        .enable_all()
        .build()
        .map_err(|error| Error::internal(format!("the runtime cannot be started: {error}")))
}

async fn serve(settings: Settings) -> Result<()> {
    // Before anything else, so that a signal during the start is not lost.
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let started = Instant::now();
    let db = open(settings.db.clone()).await?;
    Listeners::forget(&settings.db.data_dir);
    db.deliver_by(Arc::new(HttpCourier::default()))?;
    db.carry_by(Arc::new(SinkCarrier::new(db.node_id().to_string())))?;
    if let Err(error) = door::prepare(&settings, &db).await {
        // The first error is the one to report.
        let _ = db.shutdown().await;
        return Err(error);
    }
    let running = match Running::start(&settings, db.clone()).await {
        Ok(running) => running,
        Err(error) => {
            // The first error is the one to report.
            let _ = db.shutdown().await;
            return Err(error);
        }
    };
    tracing::info!(
        name = db.name(),
        role = db.role().name(),
        node = %db.node_id(),
        data_dir = %settings.db.data_dir.display(),
        took_ms = started.elapsed().as_millis() as u64,
        "ready"
    );
    if settings.db.plugin_trust == Trust::Anybody {
        tracing::warn!(
            "this node is for development: plugins are run whoever made them. In production leave out --dev and allow_unsigned, and name those whom you trust in [plugins] trusted_keys"
        );
    }
    let _rest = Rest::start();
    tokio::select! {
        _ = terminate.recv() => tracing::info!("stopping on SIGTERM"),
        _ = interrupt.recv() => tracing::info!("stopping on SIGINT"),
    }
    running.stop().await;
    db.shutdown().await?;
    tracing::info!("stopped");
    Ok(())
}

async fn open(options: DbOptions) -> Result<Db> {
    tokio::task::spawn_blocking(move || Db::open(options))
        .await
        .map_err(|_| Error::internal("opening the database failed"))?
}

/// Everything around the database.
struct Running {
    gateway: Gateway,
    #[cfg(feature = "mqtt")]
    mqtt: Mqtt,
    peers: Arc<Peers>,
    governor: Option<Governor>,
    _listeners: Listeners,
}

impl Running {
    async fn start(settings: &Settings, db: Db) -> Result<Running> {
        let mut listeners = Listeners::default();
        let peers = Arc::new(Peers::start(settings, &db)?);
        #[cfg(feature = "mqtt")]
        let mqtt = Mqtt::start(settings, &db).await?;
        #[cfg(feature = "mqtt")]
        peers.show(mqtt.counts());
        let gateway = Gateway::start(settings.gateway.clone(), db.clone(), peers.clone()).await?;
        listeners.add("http", gateway.local_addr());
        #[cfg(feature = "pgwire")]
        if let Some(address) = gateway.pg_addr() {
            listeners.add("pg", address);
        }
        #[cfg(feature = "flight")]
        if let Some(address) = gateway.flight_addr() {
            listeners.add("flight", address);
        }
        if let Some(address) = peers.local_addr() {
            listeners.add("quic", address);
        }
        #[cfg(feature = "mqtt")]
        if let Some(address) = mqtt.local_addr() {
            listeners.add("mqtt", address);
        }
        listeners.announce(&settings.db.data_dir, &db.node_id().to_string())?;
        Ok(Running {
            gateway,
            #[cfg(feature = "mqtt")]
            mqtt,
            peers,
            governor: Governor::start(settings.watch, db),
            _listeners: listeners,
        })
    }

    async fn stop(self) {
        drop(self.governor);
        self.gateway.shutdown().await;
        #[cfg(feature = "mqtt")]
        self.mqtt.shutdown().await;
        self.peers.shutdown().await;
    }
}

/// Enrols a data directory at a cloud node and stops again.
///
/// # Errors
/// What the cloud says, or that it did not answer in time.
pub fn join(args: &JoinArgs) -> Result<()> {
    let role = match role_of(&args.data_dir) {
        Role::Gateway => Role::Gateway,
        _ => Role::Edge,
    };
    let mut options = DbOptions::new(args.data_dir.clone(), role);
    options.name.clone_from(&args.name);
    options.outbox = true;
    options.evicts = false;
    options.encryption_key = key::find(args.key.encryption_key_file.as_deref())?;
    runtime(1)?.block_on(async {
        let db = open(options).await?;
        let joined = join_with(&db, args).await;
        let closed = db.shutdown().await;
        joined.and(closed)
    })
}

async fn join_with(db: &Db, args: &JoinArgs) -> Result<()> {
    let directory = match &args.further {
        None => IDENTITY_DIR.to_owned(),
        Some(name) => {
            let further = FurtherCloud::named(name);
            further.check()?;
            further.directory()
        }
    };
    let directory = args.data_dir.join(directory);
    let identity = Arc::new(EdgeIdentity::open_or_create(&directory)?);
    if identity.joined() {
        let already = Error::conflict(match &args.further {
            None => "this data directory has joined already".to_owned(),
            Some(name) => format!("this data directory has joined '{name}' already"),
        });
        return Err(match &args.further {
            None => already.with_hint("start it with --peer; no token is needed any more"),
            Some(_) => already.with_hint(format!(
                "name it in [[sync.also]] and start; to join another cloud under the name, remove {} first",
                directory.display()
            )),
        });
    }
    let hosts = db.sync_hosts();
    let outbox = hosts
        .outbox
        .ok_or_else(|| Error::internal("the database seals nothing"))?;
    let mut options = ClientOptions::new(
        vec![args.peer.clone()],
        identity.clone(),
        Some(args.token.clone()),
        outbox,
        hosts.replica,
    );
    options.connect_timeout = JOIN_TRY;
    options.joins_only = true;
    let client = SyncClient::start(options)?;
    let waiting = async {
        while !identity.joined() {
            tokio::time::sleep(JOIN_POLL).await;
        }
    };
    let in_time = tokio::time::timeout(JOIN_MAX, waiting).await.is_ok();
    let said = client.status().last_error;
    client.shutdown().await;
    if in_time {
        return Ok(());
    }
    Err(Error::overloaded(match said {
        Some(sentence) => format!("{} did not let this edge in: {sentence}", args.peer),
        None => format!("{} did not answer", args.peer),
    })
    .with_hint("check the address and the token, then try again"))
}
