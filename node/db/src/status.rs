//! What the node tells people of itself: `/v1/status` and `/v1/sync`.

use std::collections::BTreeMap;
use std::sync::atomic::Ordering;

use activestore_sync_proto::PeerStatus;
use activestore_sync_proto::reconcile::Outcome;
use activestore_types::{Epoch, NodeId, SyncClass};
use serde::Serialize;

use crate::clouds::ShippingReport;
use crate::db::{Db, Inner};
use crate::inbox::all_progress;
use crate::outbox::chain::Standing;
use crate::outbox::{ClassReport, LetGoReport};
use crate::receipts::ReceiptReport;
use crate::relay::relayed_reports;
use crate::resident::resident_bytes;

/// The node at a glance.
#[derive(Clone, Debug, Serialize)]
pub struct Status {
    /// The node's identity, 32 hex digits.
    pub node: String,
    /// Its name for people.
    pub name: String,
    /// `edge`, `gateway` or `cloud`.
    pub role: &'static str,
    /// The program's version.
    pub version: &'static str,
    /// Seconds since it was opened.
    pub uptime_s: u64,
    /// Tables defined.
    pub tables: usize,
    /// The version of the definitions.
    pub catalog_version: u64,
    /// Resident memory of the process, in bytes; 0 where the system does not tell.
    pub memory_bytes: u64,
    /// What the store may hold in memory, in bytes.
    pub memory_limit_bytes: usize,
    /// What the data directory takes, in bytes.
    pub disk_bytes: u64,
    /// What it may take, in bytes; `null` means as much as the disk has.
    pub disk_limit_bytes: Option<u64>,
    /// The newest log record.
    pub last_lsn: u64,
    /// The newest stamp, in milliseconds since 1970.
    pub hlc_ms: u64,
    /// How far the cloud's clock is ahead of this one, in milliseconds.
    pub clock_offset_ms: i64,
    /// Row fragments in files.
    pub sst_rows: u64,
    /// Bytes of the files.
    pub sst_bytes: u64,
    /// Definitions that could not be loaded, with the reason.
    pub problems: Vec<String>,
}

/// Where shipping stands.
#[derive(Clone, Debug, Serialize)]
pub struct SyncStatus {
    /// The node's identity.
    pub node: String,
    /// The epoch it ships live rows in, 16 hex digits; empty where nothing is shipped.
    pub epoch: String,
    /// The lowest sequence that is not acknowledged.
    pub first_unacked: u64,
    /// The highest sealed sequence.
    pub last_sealed: u64,
    /// What waits of each class of rows.
    pub classes: Vec<ClassReport>,
    /// Rows sealed and not acknowledged.
    pub pending_rows: u64,
    /// Bytes sealed and not acknowledged.
    pub pending_bytes: u64,
    /// Log records that are not looked at yet.
    pub unsealed_records: u64,
    /// Failed attempts to seal since the start.
    pub seal_failures: u64,
    /// Why nothing can be sealed now; `null` while it can.
    pub blocked: Option<String>,
    /// Rows that will not be shipped, because the outbox was full; see `sync_at_limit`.
    pub let_go: Vec<LetGoReport>,
    /// Why rows that may be let go cannot be; `null` while they can.
    pub no_room: Option<String>,
    /// Why the cloud refused a segment last; `null` when it takes them.
    pub refused: Option<String>,
    /// The newest receipt that is held here, or was issued; `null` where there is none.
    pub receipt: Option<ReceiptReport>,
    /// Why a receipt of the cloud was refused last; `null` where none was since.
    pub receipt_refused: Option<String>,
    /// The rows that flow down; `null` where none did yet.
    pub down: Option<DownReport>,
    /// At an edge: its last comparison with the cloud; `null` before the first.
    pub verified: Option<VerifiedReport>,
    /// Where shipping to further clouds stands.
    pub also: Vec<ShippingReport>,
    /// On a cloud or a gateway: every edge that has shipped here or follows its stream, and those whose rows came
    /// through gateways.
    pub peers: Vec<PeerReport>,
}

/// A comparison of an edge's rows with what its cloud holds of them.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct VerifiedReport {
    /// When it began, in milliseconds since 1970.
    pub at_ms: u64,
    /// Rows that differed and were not mended.
    pub differences: u64,
    /// Rows that were mended.
    pub mended: u64,
    /// Segments that had not arrived: differences are no surprise then.
    pub behind: u64,
}

fn verified_report(inner: &Inner, writer: NodeId) -> Option<VerifiedReport> {
    let outcome = inner.compared(writer).filter(|outcome| outcome.at_ms > 0)?;
    Some(VerifiedReport::from(outcome))
}

impl From<Outcome> for VerifiedReport {
    fn from(outcome: Outcome) -> Self {
        VerifiedReport {
            at_ms: outcome.at_ms,
            differences: outcome.left(),
            mended: outcome.mended_here.saturating_add(outcome.mended_there),
            behind: outcome.behind,
        }
    }
}

/// The stream of rows that flow down: sealed here by a cloud, followed by an edge.
#[derive(Clone, Debug, Serialize)]
pub struct DownReport {
    /// The stream's epoch, 16 hex digits.
    pub epoch: String,
    /// The highest sequence sealed here, or applied here.
    pub seq: u64,
    /// Whether the cloud's tables are being fetched.
    pub fetching: bool,
    /// At an edge: row fragments taken since it last started over.
    pub rows: u64,
    /// At an edge: rows since the start that no table could take.
    pub skipped: u64,
    /// At a cloud: bytes that are kept for edges.
    pub kept_bytes: u64,
    /// At a cloud: log records that are not looked at yet.
    pub unsealed_records: u64,
}

/// One edge as the cloud sees it.
#[derive(Clone, Debug, Serialize)]
pub struct PeerReport {
    /// The edge.
    pub node: String,
    /// Its name; empty until it has connected since the start.
    pub name: String,
    /// Its labels, as `ring=canary,site=north`; empty for none.
    pub labels: String,
    /// The epoch.
    pub epoch: String,
    /// The gateway that its rows came through last; `null` for one that comes here itself.
    pub via: Option<String>,
    /// Whether a connection is up.
    pub connected: bool,
    /// Segments that the edge has sealed and that are not here, by class; `null` where it is not connected.
    pub behind: Option<Behind>,
    /// What carries the connection: `quic` or `tcp`.
    pub transport: Option<&'static str>,
    /// The last sequence that is durable here.
    pub durable_seq: u64,
    /// Row fragments applied in this epoch.
    pub rows: u64,
    /// The last sequence of this node's stream that it holds; `null` where it does not follow.
    pub down_seq: Option<u64>,
    /// How many segments of the stream it lacks.
    pub down_behind: Option<u64>,
    /// How much this node's clock says more than the edge's, in milliseconds, to the second; `null` until it has said so.
    pub clock_offset_ms: Option<i64>,
    /// When it was last heard of, in milliseconds since 1970; 0 when not since the start.
    pub seen_ms: u64,
    /// What went wrong last.
    pub last_error: Option<String>,
    /// Its last comparison with this node since the start; `null` where there was none.
    pub verified: Option<VerifiedReport>,
}

/// How many segments of each class the cloud lacks, as far as the edge has said.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Behind {
    /// Of alarms.
    pub alarm: u64,
    /// Of control rows.
    pub control: u64,
    /// Of live rows.
    pub live: u64,
    /// Of the backlog that is being shipped.
    pub backlog: u64,
}

impl Behind {
    fn of(peer: &PeerStatus) -> Behind {
        let mut behind = Behind::default();
        for lane in &peer.lanes {
            let of_class = match lane.class {
                SyncClass::Alarm => &mut behind.alarm,
                SyncClass::Control => &mut behind.control,
                SyncClass::Live => &mut behind.live,
                SyncClass::Backlog => &mut behind.backlog,
            };
            *of_class += lane.behind;
        }
        behind
    }
}

impl Db {
    /// The node at a glance.
    pub fn status(&self) -> Status {
        let inner = &self.inner;
        let state = inner.catalog.state();
        let stats = inner.store.stats();
        Status {
            node: inner.node.to_string(),
            name: inner.options.name.clone(),
            role: inner.options.role.name(),
            version: env!("CARGO_PKG_VERSION"),
            uptime_s: inner
                .env
                .clock
                .monotonic()
                .saturating_sub(inner.started)
                .as_secs(),
            tables: state.tables.len(),
            catalog_version: state.version,
            memory_bytes: resident_bytes(),
            memory_limit_bytes: inner.options.memory_bytes,
            disk_bytes: inner.disk_bytes(),
            disk_limit_bytes: inner.options.disk_bytes_max,
            last_lsn: inner.store.last_lsn().0,
            hlc_ms: inner.clock.last().wall_ms(),
            clock_offset_ms: inner.clock_offset_ms.load(Ordering::Relaxed),
            sst_rows: stats.sst_rows,
            sst_bytes: stats.sst_bytes,
            problems: inner
                .plugins
                .current()
                .failed
                .iter()
                .map(|(what, why)| format!("{what}: {why}"))
                .chain(state.disagreements.iter().cloned())
                .collect(),
        }
    }

    /// Where shipping stands.
    pub fn sync_status(&self) -> SyncStatus {
        let inner = &self.inner;
        let outbox = inner.outbox.as_ref();
        let standing = outbox.map(|outbox| outbox.standing());
        let queue = standing.as_ref().map(Standing::live);
        let lags = outbox.map(|outbox| outbox.lags()).unwrap_or_default();
        SyncStatus {
            node: inner.node.to_string(),
            epoch: queue.map_or_else(String::new, |queue| format!("{:016x}", queue.epoch.0)),
            first_unacked: queue.map_or(0, |queue| queue.acknowledged + 1),
            last_sealed: queue.map_or(0, |queue| queue.last_sealed),
            pending_rows: lags.iter().map(|lag| lag.rows).sum(),
            pending_bytes: lags.iter().map(|lag| lag.bytes).sum(),
            classes: lags
                .iter()
                .map(|lag| ClassReport::of(lag, inner.wall_ms()))
                .collect(),
            unsealed_records: standing.as_ref().map_or(0, |standing| {
                (inner.store.last_lsn().0 + 1).saturating_sub(standing.cursor.0)
            }),
            seal_failures: outbox.map_or(0, |outbox| outbox.failures()),
            blocked: outbox.and_then(|outbox| outbox.blocked()),
            let_go: outbox.map_or_else(Vec::new, |outbox| LetGoReport::all_of(outbox)),
            no_room: outbox.and_then(|outbox| outbox.no_room()),
            refused: outbox.and_then(|outbox| outbox.refused()),
            receipt: inner
                .receipt_reports()
                .into_iter()
                .filter(|receipt| receipt.is_of(None))
                .max_by_key(|receipt| receipt.issued_ms),
            receipt_refused: inner.refused_receipt(),
            down: down_report(inner),
            verified: verified_report(inner, inner.node),
            also: inner.shipping_reports().into_iter().skip(1).collect(),
            peers: peer_reports(inner),
        }
    }
}

fn down_report(inner: &Inner) -> Option<DownReport> {
    if let Some(stream) = inner.down.stream() {
        let (epoch, seq) = stream.position();
        return Some(DownReport {
            epoch: format!("{:016x}", epoch.0),
            seq,
            fetching: false,
            rows: 0,
            skipped: 0,
            kept_bytes: stream.report().kept_bytes,
            unsealed_records: stream.unsealed(inner.store.last_lsn()),
        });
    }
    // One that cannot be read is reported where it is needed.
    let place = inner.place().ok().flatten()?;
    Some(DownReport {
        epoch: format!("{:016x}", place.epoch.0),
        seq: place.seq,
        fetching: place.cursor.is_some(),
        rows: place.rows,
        skipped: inner.down.skipped.load(Ordering::Relaxed),
        kept_bytes: 0,
        unsealed_records: 0,
    })
}

/// Every edge that has shipped here, those that only follow, those that were here since the start, and those whose
/// rows gateways brought.
pub(crate) fn peer_reports(inner: &Inner) -> Vec<PeerReport> {
    let stream = inner.down.stream();
    let peers = inner.peers.lock();
    // What came in other lanes of a connection counts where the edge's live rows do.
    let mut known: BTreeMap<(NodeId, Option<Epoch>), (u64, u64)> = BTreeMap::new();
    for (node, epoch, kept) in all_progress(inner) {
        let of_lane = |peer: &&PeerStatus| peer.lanes.iter().any(|lane| lane.epoch == epoch);
        let greeted = peers.get(&node).filter(of_lane).map(|peer| peer.epoch);
        let row = known.entry((node, greeted.or(Some(epoch)))).or_default();
        row.1 += kept.rows;
        if greeted.is_none_or(|greeted| greeted == epoch) {
            row.0 = kept.seq;
        }
    }
    for node in stream.iter().flat_map(|stream| stream.followers()) {
        if !known.keys().any(|(shipping, _)| *shipping == node) {
            known.insert((node, None), (0, 0));
        }
    }
    for node in peers.keys() {
        if !known.keys().any(|(shipping, _)| shipping == node) {
            known.insert((*node, None), (0, 0));
        }
    }
    let reports = known
        .into_iter()
        .map(|((node, epoch), (durable_seq, rows))| {
            let seen = peers.get(&node);
            let here = |peer: &&PeerStatus| epoch.is_none_or(|epoch| peer.epoch == epoch);
            let connected = seen.filter(here).filter(|peer| peer.connected);
            let standing = stream.as_ref().and_then(|stream| stream.standing(node));
            PeerReport {
                node: node.to_string(),
                name: seen.map_or_else(String::new, |peer| peer.name.clone()),
                labels: inner.rollouts.labels(node).to_string(),
                epoch: epoch.map_or_else(String::new, |epoch| format!("{:016x}", epoch.0)),
                via: None,
                connected: connected.is_some(),
                behind: connected.map(Behind::of),
                transport: connected.and_then(|peer| peer.transport),
                durable_seq,
                rows,
                down_seq: standing.map(|(follower, _)| follower.seq),
                down_behind: standing.map(|(_, behind)| behind),
                clock_offset_ms: inner.edge_clocks.lock().get(&node).copied(),
                seen_ms: seen.map_or(0, |peer| peer.seen_wall_ms),
                last_error: seen.and_then(|peer| peer.last_error.clone()),
                verified: verified_report(inner, node),
            }
        });
    reports.chain(relayed_reports(inner)).collect()
}
