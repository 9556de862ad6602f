//! Rows that flow down: a cloud seals one stream for all its edges, of its own rows and theirs, and each
//! edge follows it from where it stands. One that cannot fetches the tables first.
//!
//! [`stream`] is the cloud's stream and who follows it, [`rows`] what an edge fetches that starts over, and
//! [`following`] the edge's side; [`horizon`] is how far back deletes are remembered and [`forgotten`] what becomes of
//! older rows, but for those that are [`spared`]; with [`pruning`], [`passing_on`] what a gateway says of it to its own edges. A stream is only sealed where a table travels down. Its epoch ends when
//! what it holds is no longer the whole story: a table with rows begins to travel, bytes are to be erased.

pub(crate) mod following;
pub(crate) mod forgotten;
pub(crate) mod horizon;
mod passing_on;
mod pruning;
pub(crate) mod rows;
mod spared;
pub(crate) mod stream;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use activestore_catalog::CatalogState;
use activestore_store::WriteSet;
use activestore_types::{Error, Result, SyncMode, TableId};
use parking_lot::{Mutex, RwLock};

use crate::counters::Figures;
use crate::db::Inner;
use crate::options::Role;
use crate::outbox::{Direction, LogFollower, News};
use stream::Stream;

/// The note of an edge's place in its cloud's stream.
pub(crate) const NOTE: &[u8] = b"sync/down";

type Waker = Box<dyn Fn() + Send + Sync>;

/// What a database holds for rows that flow down.
#[derive(Default)]
pub(crate) struct Down {
    stream: RwLock<Option<Arc<Stream>>>,
    waker: Arc<Mutex<Option<Waker>>>,
    pub(crate) horizons: horizon::Horizons,
    /// One step of the edge's side at a time.
    pub(crate) following: Mutex<()>,
    /// Rows of edges that were not taken: the table is the cloud's own.
    pub(crate) refused: AtomicU64,
    /// Rows from above that no table here could take.
    pub(crate) skipped: AtomicU64,
    /// Times that this edge started over since it was opened.
    pub(crate) started_over: AtomicU64,
}

impl Down {
    /// The cloud's stream, where there is one.
    pub(crate) fn stream(&self) -> Option<Arc<Stream>> {
        self.stream.read().clone()
    }

    /// Who is to be woken when the stream grows.
    pub(crate) fn wake_by(&self, waker: Waker) {
        *self.waker.lock() = Some(waker);
    }
}

/// Whether a record's rows came from above, or have been there: then they are not shipped up again, whoever wrote
/// them.
pub(crate) fn came_down(set: &WriteSet) -> bool {
    let stays = [
        NOTE,
        crate::reconcile::MENDED_NOTE,
        crate::relay::RETURNED_NOTE,
    ];
    set.notes
        .iter()
        .any(|note| stays.contains(&note.key.as_slice()))
}

/// Whether a table's rows flow down.
pub(crate) fn travels_down(sync: SyncMode) -> bool {
    matches!(sync, SyncMode::Down | SyncMode::Both)
}

/// The tables whose rows flow down.
fn travelling(state: &CatalogState) -> BTreeSet<TableId> {
    let tables = state.tables.values();
    let tables = tables.filter(|table| travels_down(table.sync));
    tables.map(|table| table.id).collect()
}

impl Inner {
    /// Starts the stream where a table travels down, and another one where a table that may hold rows
    /// has begun to; `before` are the definitions before a change, `None` at the start.
    pub(crate) fn mind_stream(&self, before: Option<&CatalogState>) -> Result<()> {
        if !self.options.role.has_edges() {
            if before.is_none() {
                // Its log is not held for a stream from when this node had edges.
                Stream::remove(&self.options.data_dir)?;
            }
            return Ok(());
        }
        if before.is_none() {
            self.load_horizons()?;
        }
        let now = travelling(&self.catalog.state());
        let mut current = self.down.stream.write();
        let Some(stream) = current.clone() else {
            if now.is_empty() {
                if before.is_none() {
                    Stream::remove(&self.options.data_dir)?;
                    self.hold.hold(&LogFollower::of(Direction::Down), None);
                }
                return Ok(());
            }
            let resume = before.is_none();
            let waker = self.down.waker.clone();
            *current = Some(Stream::start(self, resume, &now, waker)?);
            return Ok(());
        };
        let known = stream.travelling()?;
        let may_hold_rows =
            |id: &TableId| before.is_none_or(|before| before.table_by_id(*id).is_some());
        if now.difference(&known).any(may_hold_rows) {
            stream.begin_anew("other tables flow down")?;
        }
        if now != known {
            stream.travel(&now)?;
        }
        Ok(())
    }

    /// Lets go of what the stream holds, for it may hold bytes that are to be gone.
    pub(crate) fn erase_stream(&self) -> Result<()> {
        match self.down.stream() {
            Some(stream) => stream.begin_anew("rows were erased for good"),
            None => Ok(()),
        }
    }

    /// Says that records were committed.
    pub(crate) fn wake_sealers(&self, news: News) {
        self.subscribers.wake();
        self.views.wake();
        self.sinks.wake(self.store.log_bytes());
        self.outboxes().for_each(|outbox| outbox.committed(news));
        if let Some(stream) = self.down.stream.read().as_ref() {
            stream.committed(news);
        }
    }

    /// Refuses to write to tables whose rows come from the cloud alone.
    pub(crate) fn refuse_from_below(&self, set: &WriteSet) -> Result<()> {
        if !self.options.role.has_cloud() {
            return Ok(());
        }
        let state = self.catalog.state();
        let mut above = state.tables.values().filter(|t| t.sync == SyncMode::Down);
        let touched = |id: TableId| {
            set.batches.iter().any(|batch| batch.table == id)
                || set.tombstones.iter().any(|range| range.table == id)
        };
        match above.find(|table| touched(table.id)) {
            Some(table) => Err(Error::denied(format!(
                "table {} has sync = 'down': its rows come from the cloud, and this node is {}",
                table.name,
                match self.options.role {
                    Role::Gateway => "a gateway",
                    _ => "an edge",
                }
            ))
            .with_hint("write to it at the cloud, or make it sync = 'both'")),
            None => Ok(()),
        }
    }

    /// Whether rows with older stamps than this node's may still come from above.
    pub(crate) fn takes_rows_from_above(&self) -> bool {
        let state = self.catalog.state();
        state.tables.values().any(|table| travels_down(table.sync))
    }

    pub(crate) fn down_figures(&self, all: &mut Figures) {
        let count = |counter: &AtomicU64| counter.load(Ordering::Relaxed) as f64;
        if let Some(stream) = self.down.stream() {
            let report = stream.report();
            all.gauge(
                "activestore_down_last_sealed",
                "The highest sealed sequence of the stream to the edges.",
                report.last_sealed as f64,
            );
            all.gauge(
                "activestore_down_kept_bytes",
                "Bytes of the stream that are kept for edges.",
                report.kept_bytes as f64,
            );
            all.gauge(
                "activestore_down_behind_max",
                "Segments that the edge lacks that is the furthest behind in the stream.",
                report.behind_max as f64,
            );
            all.counter(
                "activestore_down_start_overs_total",
                "Times an edge was told to fetch the tables anew.",
                report.start_overs as f64,
            );
            all.counter(
                "activestore_down_seal_failures_total",
                "Failed attempts to seal the stream.",
                report.seal_failures as f64,
            );
        }
        self.horizon_figures(all);
        let peers = self.peers.lock();
        let connected = || peers.values().filter(|peer| peer.connected);
        let over_tcp = connected().filter(|peer| peer.transport == Some("tcp"));
        all.gauge(
            "activestore_edges_connected",
            "Edges that are connected.",
            connected().count() as f64,
        );
        all.gauge(
            "activestore_edges_connected_tcp",
            "Edges that are connected over TCP, since no UDP gets through.",
            over_tcp.count() as f64,
        );
        drop(peers);
        all.counter(
            "activestore_down_rows_refused_total",
            "Rows of edges that were not taken, for their table is the cloud's own.",
            count(&self.down.refused),
        );
        all.counter(
            "activestore_down_rows_skipped_total",
            "Rows from above that no table here could take.",
            count(&self.down.skipped),
        );
        all.counter(
            "activestore_down_started_over_total",
            "Times this edge fetched the cloud's tables anew.",
            count(&self.down.started_over),
        );
    }
}
