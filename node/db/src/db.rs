//! The database: opened once, shared by everything that talks to it. Public calls are asynchronous
//! and run their blocking work off the caller's thread; what they call is synchronous.

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::Duration;

use activestore_catalog::{Catalog, CatalogState, Change};
use activestore_env::{Env, Keyring};
use activestore_plugin_host::{HostOptions, PluginHost};
use activestore_query::{Engine, EngineOptions};
use activestore_store::{Snapshot, Store, StoreOptions, open_keyring};
use activestore_sync_proto::{Inbox, Outbox, PeerStatus, Replica};
use activestore_types::{
    Error, ErrorKind, HlcClock, NamedBatch, NodeId, Result, TableName, TableSchema,
};
use parking_lot::Mutex;
use tokio::sync::Semaphore;

use crate::auth::{Logins, Principal};
use crate::blobs::Blobs;
use crate::clouds::{self, Clouds};
use crate::conflicts::Conflicts;
use crate::down::Down;
use crate::events::{self, Events};
use crate::eviction::{self, Eviction};
use crate::files::Files;
use crate::identity::Identity;
use crate::inbox::Receiver;
use crate::options::{DbOptions, Role};
use crate::outbox::by_table::ByTable;
use crate::outbox::opening::open_own;
use crate::outbox::{LogHold, Sealer, Sources};
use crate::outgoing::Outgoing;
use crate::plugins::{Plugins, services};
use crate::receipts::Receipts;
use crate::reconcile::{Mirror, Reconcile};
use crate::relay::Relays;
use crate::replica::Adopter;
use crate::rollouts::{self, Rollouts};
use crate::set_aside::SetAside;
use crate::sinks::Sinks;
use crate::statements::Statements;
use crate::subscribe::Subscribers;
use crate::tables::Relations;
use crate::views::{Views, hold_the_log};
use crate::visit::Visits;
use crate::write::WriteReceipt;
use crate::write::gates::Gates;
use crate::write::timer::{self, Alarm};

/// The definitions, in the data directory.
pub(crate) const CATALOG_FILE: &str = "catalog.redb";
/// Writes that may be under way at once; more wait their turn.
const WRITES_MAX: usize = 128;
/// How often the space that the data directory takes is looked at again.
const SPACE_CHECK_EVERY: Duration = Duration::from_secs(1);
const WASM_BYTES_MAX: usize = 32 * 1024 * 1024;

/// An open database; clones share it.
#[derive(Clone)]
pub struct Db {
    pub(crate) inner: Arc<Inner>,
    receiver: Arc<Receiver>,
    writes: Arc<Semaphore>,
    /// Who asks.
    pub(crate) principal: Principal,
}

/// What happened since the start.
#[derive(Debug, Default)]
pub(crate) struct Counts {
    pub(crate) writes: AtomicU64,
    pub(crate) rows_written: AtomicU64,
    pub(crate) rows_received: AtomicU64,
    pub(crate) writes_refused: AtomicU64,
    pub(crate) statements: AtomicU64,
    pub(crate) statements_failed: AtomicU64,
    pub(crate) stamps_ahead: AtomicU64,
    pub(crate) outbox_refused: AtomicU64,
    /// Rows written here because rows of others came that a merge function joins with what was here.
    pub(crate) rows_joined: AtomicU64,
}

pub(crate) struct Inner {
    pub(crate) options: DbOptions,
    pub(crate) node: NodeId,
    pub(crate) env: Env,
    pub(crate) clock: HlcClock,
    /// What the cloud's clock says more than ours, in milliseconds, as of the last handshake.
    pub(crate) clock_offset_ms: AtomicI64,
    pub(crate) store: Arc<Store>,
    pub(crate) catalog: Arc<Catalog>,
    pub(crate) blobs: Arc<Blobs>,
    pub(crate) files: Files,
    pub(crate) plugins: Arc<Plugins>,
    pub(crate) engine: Engine,
    pub(crate) outbox: Option<Arc<Sealer>>,
    pub(crate) clouds: Clouds,
    /// What of the log outboxes and stream need.
    pub(crate) hold: Arc<LogHold>,
    pub(crate) down: Down,
    pub(crate) relays: Relays,
    pub(crate) receipts: Receipts,
    pub(crate) eviction: Arc<Eviction>,
    pub(crate) reconcile: Reconcile,
    pub(crate) processing: Mutex<()>,
    /// Wakes the thread that lets timers go off.
    pub(crate) alarm: Arc<Alarm>,
    /// Requests of processors to hosts outside.
    pub(crate) outgoing: Arc<Outgoing>,
    /// Threads that work beside the calls.
    pub(crate) visits: Arc<Visits>,
    pub(crate) gates: Gates,
    /// One change of the definitions at a time, with everything that follows from it.
    pub(crate) changing: Mutex<()>,
    /// One backup at a time.
    pub(crate) backing_up: Mutex<()>,
    /// The keys of an encrypted directory.
    pub(crate) keyring: Option<Arc<Keyring>>,
    pub(crate) peers: Mutex<HashMap<NodeId, PeerStatus>>,
    pub(crate) rollouts: Arc<Rollouts>,
    pub(crate) by_table: ByTable,
    /// What edges said last of their clocks: how much this node's says more, in milliseconds.
    pub(crate) edge_clocks: Mutex<HashMap<NodeId, i64>>,
    pub(crate) events: Arc<Events>,
    pub(crate) conflicts: Conflicts,
    pub(crate) set_aside: SetAside,
    pub(crate) logins: Logins,
    pub(crate) subscribers: Arc<Subscribers>,
    pub(crate) statements: Arc<Statements>,
    pub(crate) views: Arc<Views>,
    pub(crate) sinks: Arc<Sinks>,
    pub(crate) counts: Counts,
    pub(crate) started: Duration,
    space: Mutex<(Duration, u64)>,
}

/// The database as the sync protocol sees it.
#[derive(Clone)]
pub struct SyncHosts {
    /// Segments to ship; `None` where nothing is sealed.
    pub outbox: Option<Arc<dyn Outbox>>,
    /// Takes definitions from the cloud.
    pub replica: Arc<dyn Replica>,
    /// Takes segments from edges.
    pub inbox: Arc<dyn Inbox>,
}

impl Db {
    /// Opens or makes the database in `options.data_dir`. Blocks while the log is replayed.
    ///
    /// # Errors
    /// `Conflict` when another process has the directory open, or a key was given for one that is
    /// not encrypted; `Denied` when it is, and the key is missing or another one; `Corrupt` when its
    /// files are not what was written; what the file system says otherwise.
    pub fn open(options: DbOptions) -> Result<Db> {
        std::fs::create_dir_all(&options.data_dir).map_err(|error| {
            Error::from(error).context(format!("data directory {}", options.data_dir.display()))
        })?;
        let env = Env::real(&options.data_dir)?;
        Db::open_in(options, env)
    }

    /// The same in a world of the caller's: `env.disk` has its root in `options.data_dir`, which exists.
    ///
    /// # Errors
    /// As [`Db::open`].
    pub fn open_in(options: DbOptions, env: Env) -> Result<Db> {
        crate::backup::refuse_unfinished(&options.data_dir)?;
        clouds::check_all(options.also.as_deref().unwrap_or_default())?;
        let dir = options.data_dir.clone();
        // First of all, so that a wrong key touches nothing.
        let holds_data = env.disk.exists(CATALOG_FILE);
        let keyring = open_keyring(&env, options.encryption_key.as_ref(), holds_data)?;
        let identity = Identity::open(&dir, env.rng.as_ref())?;
        let catalog = Catalog::open_with(&dir.join(CATALOG_FILE), keyring.as_ref())?;
        let catalog = Arc::new(catalog);
        let blobs = Arc::new(Blobs::open(&dir.join("blobs"), keyring.as_ref())?);
        let files = Files::open(&dir.join("files"), keyring.as_ref())?;
        let store = Store::open(
            env.clone(),
            StoreOptions {
                encryption: keyring.clone(),
                ..store_options(&options, identity.node)
            },
        )?;
        for schema in catalog.state().tables.values() {
            store.put_schema(schema.clone())?;
        }
        let host = PluginHost::new(HostOptions {
            cache_dir: Some(
                options
                    .plugin_cache
                    .clone()
                    .unwrap_or_else(|| dir.join("plugin-cache")),
            ),
            memory_bytes_max: options.plugin_memory_bytes,
            call_deadline: options.plugin_deadline,
            trust: options.plugin_trust.clone(),
            compile: options.plugin_compile,
            image_signers: options.plugin_image_signers.clone(),
            wasm_bytes_max: WASM_BYTES_MAX,
            ..HostOptions::default()
        })?;
        let plugins = Arc::new(Plugins::new(
            host.clone(),
            blobs.clone(),
            store.clone(),
            env.clock.clone(),
        ));
        let relations = Arc::new(Relations::new(
            options.clone(),
            identity.node,
            env.clone(),
            catalog.clone(),
            store.clone(),
            plugins.clone(),
        ));
        host.serve(services(&relations));
        let engine = Engine::new(
            EngineOptions {
                memory_bytes: options.query_memory_bytes,
                query_memory_bytes: options.query_memory_each_bytes,
                query_time: options.query_time,
                partitions: options.query_partitions,
            },
            relations.clone(),
            relations.clone(),
        )?;
        plugins.refresh(&catalog.state(), &engine);
        let happened = events::read(&store);
        let events = Arc::new(Events::new(env.clock.clone(), happened));
        let hold = Arc::new(LogHold::new(
            store.clone(),
            options.outbox || options.role == Role::Gateway || hold_the_log(&catalog.state()),
        ));
        let sources = Sources {
            hold: hold.clone(),
            env: env.clone(),
            store: store.clone(),
            catalog: catalog.clone(),
            plugins: plugins.clone(),
            events: events.clone(),
        };
        let outbox = open_own(&dir, &options, &identity, &sources, keyring.as_ref())?;
        let clouds = Clouds::open(&dir, &options, &identity, &sources, keyring.as_ref())?;
        let inner = Arc::new(Inner {
            node: identity.node,
            clock: HlcClock::starting_at(store.max_hlc()),
            clock_offset_ms: AtomicI64::new(0),
            started: env.clock.monotonic(),
            catalog,
            blobs,
            files,
            plugins,
            engine,
            outbox,
            clouds,
            hold,
            down: Down::default(),
            relays: Relays::default(),
            receipts: Receipts::default(),
            eviction: Arc::default(),
            reconcile: Reconcile::default(),
            processing: Mutex::new(()),
            alarm: Arc::default(),
            outgoing: Arc::new(Outgoing::open(&store)),
            visits: Arc::default(),
            gates: Gates::default(),
            changing: Mutex::new(()),
            backing_up: Mutex::new(()),
            store,
            keyring: keyring.clone(),
            peers: Mutex::new(HashMap::new()),
            rollouts: Arc::default(),
            by_table: ByTable::default(),
            edge_clocks: Mutex::default(),
            events,
            conflicts: Conflicts::default(),
            set_aside: SetAside::default(),
            logins: Logins::new(env.rng.as_ref()),
            subscribers: Arc::new(Subscribers::new(options.subscriber_bytes_max)),
            statements: Arc::new(Statements::new(env.clock.clone(), options.slow_statement)),
            views: Arc::new(Views::new(env.clock.clone())),
            sinks: Arc::new(Sinks::new(env.clock.clone())),
            counts: Counts::default(),
            space: Mutex::new((Duration::ZERO, 0)),
            env,
            options,
        });
        relations.attach(&inner);
        inner.end_drops()?;
        inner.mind_stream(None)?;
        inner.open_views()?;
        inner.open_sinks();
        inner.hold.all_told();
        inner.end_erasures();
        inner.forget_lost_processors()?;
        inner.end_whole()?;
        timer::start(&inner)?;
        eviction::start(&inner)?;
        rollouts::start(&inner)?;
        events::start(&inner)?;
        Ok(Db {
            receiver: Arc::new(Receiver::new(inner.clone())),
            inner,
            writes: Arc::new(Semaphore::new(WRITES_MAX)),
            principal: Principal::Node,
        })
    }

    /// This node's identity.
    pub fn node_id(&self) -> NodeId {
        self.inner.node
    }

    /// The part this node plays.
    pub fn role(&self) -> Role {
        self.inner.options.role
    }

    /// The node's name for people.
    pub fn name(&self) -> &str {
        &self.inner.options.name
    }

    /// Takes rows in; they are durable when it returns. All batches or none.
    ///
    /// # Errors
    /// `NotFound` and `Invalid` for rows that do not fit the tables; `DiskFull`, `Poisoned` and
    /// `Overloaded` from the store; `Denied` where who asks may not insert into a table.
    pub async fn write(&self, batches: Vec<NamedBatch>) -> Result<WriteReceipt> {
        self.check_write(&batches)?;
        self.write_checked(batches).await
    }

    /// Rows of a statement whose rights were looked at.
    pub(crate) async fn write_checked(&self, batches: Vec<NamedBatch>) -> Result<WriteReceipt> {
        let inner = self.inner.clone();
        // Made here, where the span around it is known.
        let span = tracing::debug_span!(
            "write",
            tables = batches.len(),
            rows = batches.iter().map(|batch| batch.rows).sum::<usize>(),
        );
        self.blocking(move || {
            let _in_span = span.enter();
            let done = inner.write(&batches);
            if done.is_err() {
                inner.counts.writes_refused.fetch_add(1, Ordering::Relaxed);
            }
            done
        })
        .await
    }

    /// The table as it is defined now.
    pub fn table_schema(&self, name: &TableName) -> Option<Arc<TableSchema>> {
        self.inner.catalog.state().tables.get(name).cloned()
    }

    /// All definitions as they are now.
    pub fn definitions(&self) -> Arc<CatalogState> {
        self.inner.catalog.state()
    }

    /// The database as the sync protocol sees it.
    pub fn sync_hosts(&self) -> SyncHosts {
        SyncHosts {
            outbox: self
                .inner
                .outbox
                .clone()
                .map(|outbox| outbox as Arc<dyn Outbox>),
            replica: Arc::new(Adopter {
                mirror: Mirror {
                    inner: self.inner.clone(),
                    further: None,
                },
                inner: self.inner.clone(),
            }),
            inbox: self.receiver.clone(),
        }
    }

    /// Seals everything that is committed, without waiting for [`DbOptions::seal_after`]: segments for the cloud,
    /// and the stream of rows that flow down. Durable when it returns.
    ///
    /// # Errors
    /// When rows cannot be sealed; they are tried again later.
    pub async fn seal(&self) -> Result<()> {
        let inner = self.inner.clone();
        self.blocking(move || {
            let stream = inner.down.stream();
            inner.outboxes().try_for_each(|outbox| outbox.seal())?;
            stream.iter().try_for_each(|stream| stream.seal())
        })
        .await
    }

    /// Seals what is committed, ends the threads and closes the log. Writes after it fail; once the last clone is
    /// gone the directory can be opened again.
    ///
    /// # Errors
    /// What the store says.
    pub async fn shutdown(&self) -> Result<()> {
        let inner = self.inner.clone();
        self.blocking(move || {
            inner.subscribers.close();
            inner.views.close();
            inner.sinks.close();
            inner.alarm.close();
            inner.outgoing.close();
            inner.eviction.close();
            inner.rollouts.close();
            inner.events.close();
            inner.visits.close();
            inner.write_events();
            inner.note_sinks();
            inner.outboxes().for_each(|outbox| outbox.stop());
            if let Some(stream) = inner.down.stream() {
                stream.stop();
            }
            inner.store.close()
        })
        .await
    }

    /// Runs blocking work off the asynchronous workers, a bounded number at once.
    pub(crate) async fn blocking<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let permit = self
            .writes
            .clone()
            .acquire_owned()
            .await
            .map_err(|_| Error::closed("the node is shutting down"))?;
        Self::unqueued(move || {
            let done = work();
            drop(permit);
            done
        })
        .await
    }

    /// Runs blocking work off the asynchronous workers at once: for who holds something that those
    /// in the queue of writes may be waiting for.
    pub(crate) async fn unqueued<T: Send + 'static>(
        work: impl FnOnce() -> Result<T> + Send + 'static,
    ) -> Result<T> {
        tokio::task::spawn_blocking(work)
            .await
            .map_err(|error| Error::internal(format!("a task of the database failed: {error}")))?
    }
}

impl Inner {
    /// The wall clock, corrected by what the cloud said at the last handshake.
    pub(crate) fn wall_ms(&self) -> u64 {
        let offset = self.clock_offset_ms.load(Ordering::Relaxed);
        self.env.clock.wall_ms().saturating_add_signed(offset)
    }

    /// Applies a change of the definitions and everything that follows: the store learns schemas,
    /// dropped tables lose their files, plugins are loaded or let go.
    pub(crate) fn change(&self, change: Change) -> Result<Arc<CatalogState>> {
        let _turn = self.changing.lock();
        let before = self.catalog.state();
        self.check_views_after(&change)?;
        self.check_sinks_after(&change)?;
        let state = self.catalog.apply(change)?;
        for (name, schema) in &state.tables {
            if before.tables.get(name) != Some(schema) {
                self.store.put_schema(schema.clone())?;
            }
        }
        self.mind_stream(Some(before.as_ref()))?;
        self.mind_shared(&before)?;
        self.outboxes().for_each(|outbox| outbox.redefined());
        self.mind_whole(&before, &state)?;
        self.mind_keeping(&state);
        for schema in before.tables.values() {
            if state.table_by_id(schema.id).is_none() {
                self.drop_rows(schema.id)?;
            }
        }
        let plugins_touched = before.functions != state.functions
            || before.models != state.models
            || before.processors != state.processors
            || before.merges != state.merges
            || before.filters != state.filters
            || before.plugins != state.plugins;
        if plugins_touched {
            self.plugins.refresh(&state, &self.engine);
        }
        self.subscribers.wake();
        self.views.redefined();
        self.mind_sinks(&state);
        let gone = before.processors.keys();
        let gone: Vec<String> = gone
            .filter(|name| !state.processors.contains_key(*name))
            .cloned()
            .collect();
        self.forget_processors(&gone)?;
        if plugins_touched {
            self.alarm.set(); // some may ask to be shown old rows
        }
        Ok(state)
    }

    /// The rows of a table of the definitions; `None` where it was dropped since they were read.
    /// Definitions are published before the store has followed: who comes in between waits for it.
    pub(crate) fn snapshot_of(&self, schema: &TableSchema) -> Result<Option<Snapshot>> {
        match self.store.snapshot(schema.id) {
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            found => return found.map(Some),
        }
        let _still = self.changing.lock();
        match self.catalog.state().table_by_id(schema.id) {
            Some(schema) => {
                self.store.put_schema(schema.clone())?;
                self.store.snapshot(schema.id).map(Some)
            }
            None => Ok(None),
        }
    }

    /// Refuses a write when the data directory is at its limit.
    pub(crate) fn admit(&self) -> Result<()> {
        let Some(limit) = self.options.disk_bytes_max else {
            return Ok(());
        };
        let used = self.disk_bytes();
        if used >= limit {
            return Err(Error::disk_full(format!(
                "the data directory takes {used} bytes and limits.disk allows {limit}"
            ))
            .with_hint("raise limits.disk, drop a table or shorten its ttl; reading goes on"));
        }
        Ok(())
    }

    /// Bytes that the data directory takes, looked at once a second at the most.
    pub(crate) fn disk_bytes(&self) -> u64 {
        let now = self.env.clock.monotonic();
        let mut space = self.space.lock();
        if space.1 == 0 || now.saturating_sub(space.0) >= SPACE_CHECK_EVERY {
            *space = (now, directory_bytes(&self.options.data_dir));
        }
        space.1
    }
}

fn store_options(options: &DbOptions, node: NodeId) -> StoreOptions {
    StoreOptions {
        wal_sync: options.wal_sync,
        compaction_bytes_s: options.compaction_bytes_s,
        ..StoreOptions::within_memory(node, options.memory_bytes)
    }
}

/// Bytes of the files below a directory; what vanishes meanwhile counts nothing.
fn directory_bytes(dir: &Path) -> u64 {
    let Ok(entries) = std::fs::read_dir(dir) else {
        return 0;
    };
    entries
        .filter_map(std::result::Result::ok)
        .map(|entry| match entry.metadata() {
            Ok(meta) if meta.is_dir() => directory_bytes(&entry.path()),
            Ok(meta) => meta.len(),
            Err(_) => 0,
        })
        .sum()
}
