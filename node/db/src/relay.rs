//! Rows of other nodes that a gateway brings up: whose they are, which gateways they have passed through, and that
//! none goes round in circles.
//!
//! The log record of such rows says through whom they came, so a gateway that seals them tells the next one. Who finds
//! itself among those has had the rows before: it takes them, which changes nothing, and they go no further.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};

use activestore_store::{Note, WriteSet};
use activestore_types::{Error, Labels, NodeId, OriginId, Result, RowBatch};
use parking_lot::Mutex;

use crate::counters::Figures;
use crate::db::Inner;
use crate::outbox::origins::Origins;
use crate::status::PeerReport;

/// In the record of rows that came through gateways: which.
const VIA_NOTE: &[u8] = b"sync/via";
/// In the record of rows that have passed through this node before.
pub(crate) const RETURNED_NOTE: &[u8] = b"sync/returned";
/// Followed by a node's id: the gateway that its rows came through last.
const THROUGH: &str = "sync/through/";
/// The label of a node that may bring rows of others.
const GATEWAY: &str = "role=gateway";
/// The last gateways of a way that are remembered: a loop of more is not recognised.
const DEPTH_MAX: usize = 8;
/// No fleet has ways that long.
const VIA_MAX: usize = 64;
/// The part of the room for notes, in eighths, that names of writers below gateways may fill.
const THROUGH_EIGHTHS: usize = 6;

/// What came of one node's rows through gateways since the start.
#[derive(Clone, Copy, Debug, Default)]
struct Came {
    rows: u64,
    at_ms: u64,
}

/// What a database knows of rows that gateways brought.
#[derive(Default)]
pub(crate) struct Relays {
    came: Mutex<BTreeMap<NodeId, Came>>,
    rows: AtomicU64,
    returned: AtomicU64,
}

/// A segment that a gateway brings, as this node reads it.
pub(crate) struct Relayed {
    /// The nodes it names, as origins of this store.
    pub(crate) local: Vec<u32>,
    /// What is noted in the record of its rows.
    pub(crate) notes: Vec<Note>,
}

/// The gateways that the rows of a record have passed through on their way up to this node.
pub(crate) fn way_of(set: &WriteSet) -> Result<Vec<NodeId>> {
    let note = set.notes.iter().find(|note| note.key == VIA_NOTE);
    let Some(bytes) = note.and_then(|note| note.value.as_deref()) else {
        return Ok(Vec::new());
    };
    postcard::from_bytes(bytes)
        .map_err(|error| Error::corrupt(format!("the way that rows took cannot be read: {error}")))
}

impl Inner {
    /// Looks at whose rows `sender` brings.
    ///
    /// # Errors
    /// `Denied` where it may not bring those of others; `Invalid` for ways that no fleet has.
    pub(crate) fn relayed(&self, sender: NodeId, origins: &Origins) -> Result<Relayed> {
        let Some(via) = &origins.via else {
            return Err(Error::invalid(
                "a segment that flows up is written as one that flows down",
            ));
        };
        if !self.is_gateway(sender) {
            return Err(Error::denied(format!(
                "node {sender} brings rows of other nodes and did not join as a gateway"
            ))
            .with_hint(format!(
                "if it is one, run activestore token label {sender} --label {GATEWAY} at the node above it"
            )));
        }
        if via.len() > VIA_MAX {
            return Err(Error::invalid(format!(
                "rows have passed through {} gateways",
                via.len() + 1
            )));
        }
        let local = origins.local(|node| self.store.origin_id(node))?;
        let mut notes = self.through_notes(sender, origins);
        if via.contains(&self.node) {
            self.relays.returned.fetch_add(1, Ordering::Relaxed);
            tracing::warn!(%sender, "rows came back that had passed through this node: a gateway below it is above it too");
            notes.push(note(RETURNED_NOTE, Vec::new()));
        }
        let mut way = via.clone();
        way.push(sender);
        // The way from far below is forgotten rather than that the node above refuses what this one took.
        way.drain(..way.len().saturating_sub(DEPTH_MAX));
        let way = postcard::to_stdvec(&way)
            .map_err(|error| Error::internal(format!("the way that rows took: {error}")))?;
        notes.push(note(VIA_NOTE, way));
        Ok(Relayed { local, notes })
    }

    /// Whether a node may bring rows of others.
    pub(crate) fn is_gateway(&self, node: NodeId) -> bool {
        let mut gateway = Labels::default();
        gateway.add(GATEWAY).is_ok() && self.rollouts.labels(node).hold(&gateway)
    }

    /// The gateway that a node's rows came through last, where they came through one.
    pub(crate) fn came_through(&self, node: NodeId) -> Option<NodeId> {
        let note = self.store.note(format!("{THROUGH}{node}").as_bytes())?;
        note.try_into().ok().map(NodeId)
    }

    /// Says of whom rows came through a gateway, where that is news.
    fn through_notes(&self, sender: NodeId, origins: &Origins) -> Vec<Note> {
        let others = origins.nodes().iter();
        let others = others.filter(|node| **node != sender && **node != self.node);
        let keyed = others.map(|node| format!("{THROUGH}{node}").into_bytes());
        let news = keyed.filter(|key| self.store.note(key).as_deref() != Some(&sender.0[..]));
        let notes: Vec<Note> = news.map(|key| note(&key, sender.0.to_vec())).collect();
        let changes = notes
            .iter()
            .map(|note| (note.key.as_slice(), note.value.as_deref()));
        // They are for people: edges' progress must find room before them.
        match self.store.admit_notes(changes, THROUGH_EIGHTHS) {
            Ok(()) => notes,
            Err(_) => Vec::new(),
        }
    }

    /// Counts rows that came through a gateway, by their origins.
    pub(crate) fn count_relayed(&self, sender: NodeId, rows: BTreeMap<u32, u64>) {
        let at_ms = self.wall_ms();
        let mut came = self.relays.came.lock();
        for (origin, rows) in rows {
            let node = self.store.origin_node(OriginId(origin));
            let Some(node) = node.filter(|node| *node != sender && *node != self.node) else {
                continue;
            };
            let known = came.entry(node).or_default();
            known.rows += rows;
            known.at_ms = at_ms;
            self.relays.rows.fetch_add(rows, Ordering::Relaxed);
        }
    }

    pub(crate) fn relay_figures(&self, all: &mut Figures) {
        let count = |counter: &AtomicU64| counter.load(Ordering::Relaxed) as f64;
        all.counter(
            "activestore_relayed_rows_total",
            "Row fragments of other nodes that gateways brought.",
            count(&self.relays.rows),
        );
        all.counter(
            "activestore_relay_loops_total",
            "Segments that came back to this node through a gateway below it: it is above it too.",
            count(&self.relays.returned),
        );
    }
}

/// How many rows each origin has among these.
pub(crate) fn rows_by_origin(batches: &[RowBatch]) -> BTreeMap<u32, u64> {
    let mut rows: BTreeMap<u32, u64> = BTreeMap::new();
    for origin in batches.iter().flat_map(|batch| batch.origin.iter()) {
        *rows.entry(*origin).or_default() += 1;
    }
    rows
}

/// Every node whose rows came through a gateway.
pub(crate) fn relayed_writers(inner: &Inner) -> Vec<NodeId> {
    let notes = inner.store.notes(THROUGH.as_bytes()).into_iter();
    let nodes = notes.filter_map(|(key, _)| {
        let key = String::from_utf8(key).ok()?;
        key.strip_prefix(THROUGH)?.parse().ok()
    });
    nodes.collect()
}

/// Every node whose rows came through a gateway; rows are counted from the start on.
pub(crate) fn relayed_reports(inner: &Inner) -> Vec<PeerReport> {
    let came = inner.relays.came.lock();
    let notes = inner.store.notes(THROUGH.as_bytes()).into_iter();
    let reports = notes.filter_map(|(key, value)| {
        let node = String::from_utf8(key).ok()?;
        let node: NodeId = node.strip_prefix(THROUGH)?.parse().ok()?;
        let via = NodeId(value.try_into().ok()?);
        let known = came.get(&node).copied().unwrap_or_default();
        Some(PeerReport {
            clock_offset_ms: None,
            node: node.to_string(),
            name: String::new(),
            labels: String::new(),
            epoch: String::new(),
            via: Some(via.to_string()),
            connected: false,
            behind: None,
            transport: None,
            durable_seq: 0,
            rows: known.rows,
            down_seq: None,
            down_behind: None,
            seen_ms: known.at_ms,
            last_error: None,
            verified: None,
        })
    });
    reports.collect()
}

fn note(key: &[u8], value: Vec<u8>) -> Note {
    Note {
        key: key.to_vec(),
        value: Some(value),
    }
}
