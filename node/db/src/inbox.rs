//! The cloud's end of the sync: applies segments, each once, and offers definitions and files.
//!
//! Rows and progress are one log record, so a segment is either applied and acknowledged for ever or
//! not at all. Rows keep the stamp and the origin they were written with.

mod late;
mod progress;

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use activestore_catalog::{
    Change, ClusteringDefinition, ColumnDefinition, KeyspaceDef, TableDefinition,
};
use activestore_store::{Note, WriteSet};
use activestore_sync_proto::reconcile::Holdings;
use activestore_sync_proto::{
    ChainHash, Follow, FollowAnswer, Health, Inbox, PeerStatus, PluginHealth, Progress, Receipt,
    SealedSegment, TableDigest,
};
use activestore_types::{
    Epoch, Error, ErrorKind, Labels, NodeId, Result, SyncMode, TableName, TableSchema,
};
use bytes::Bytes;
use parking_lot::Mutex;

use crate::db::Inner;
use crate::incoming::{Incoming, same_key};
use crate::options::Role;
use crate::outbox::segment::{Section, Segment};
use crate::reconcile::Mirror;
use crate::relay::rows_by_origin;
use crate::set_aside::{Part, lasts};
use late::Late;
use progress::note_key;

pub(crate) use progress::{KeptProgress, all_progress, kept};

/// The cloud's side of one database.
pub(crate) struct Receiver {
    inner: Arc<Inner>,
    mirror: Mirror,
    /// One segment at a time for a node: two connections of one edge must not race.
    turns: Mutex<HashMap<NodeId, Arc<Mutex<()>>>>,
}

impl Receiver {
    pub(crate) fn new(inner: Arc<Inner>) -> Self {
        Receiver {
            mirror: Mirror {
                inner: inner.clone(),
                further: None,
            },
            inner,
            turns: Mutex::new(HashMap::new()),
        }
    }

    /// Whether only this node writes to the table.
    fn is_ours_alone(&self, table: &TableName) -> bool {
        let state = self.inner.catalog.state();
        let schema = state.tables.get(table);
        state.views.contains_key(table)
            || schema.is_some_and(|schema| schema.sync == SyncMode::Down)
    }
}

impl Inbox for Receiver {
    fn progress(&self, node: NodeId, epoch: Epoch) -> Result<Option<Progress>> {
        Ok(kept(&self.inner, node, epoch)?.map(|kept| Progress {
            seq: kept.seq,
            hash: kept.hash,
        }))
    }

    fn apply(&self, node: NodeId, epoch: Epoch, segment: &SealedSegment) -> Result<()> {
        let bytes = segment.payload.len();
        let _in_span =
            tracing::debug_span!("apply_segment", %node, seq = segment.seq, bytes).entered();
        let inner = &self.inner;
        let turn = self.turns.lock().entry(node).or_default().clone();
        let _turn = turn.lock();
        let before = kept(inner, node, epoch)?;
        let (seq, hash) = before.map_or((0, ChainHash::GENESIS), |kept| (kept.seq, kept.hash));
        if segment.seq == seq && segment.hash == hash {
            return Ok(());
        }
        if segment.seq != seq + 1 || segment.prev_hash != hash {
            return Err(Error::conflict(format!(
                "segment {} of node {node} does not follow segment {seq}",
                segment.seq
            )));
        }
        let content = Segment::unpack(&segment.payload)?;
        let relayed = match &content.origins {
            Some(origins) => Some((origins, inner.relayed(node, origins)?)),
            None => None,
        };
        let origin = inner.store.origin_id(node)?;
        let mut incoming = Incoming::from_below();
        let mut refused = 0;
        let mut aside = Vec::new();
        let horizons = inner.horizons();
        let mut late = Late::new(node, &horizons);
        // At a gateway they would go no further, though the edge is told that they arrived; and what a gateway
        // passes on has writers of its own. There a row that does not fit holds up its chain.
        let may_wait = relayed.is_none() && inner.options.role == Role::Cloud;
        for (index, section) in content.sections.iter().enumerate() {
            let taken = if self.is_ours_alone(&section.table) {
                refused += u64::from(section.rows);
                if !may_wait {
                    continue;
                }
                Err(ours_alone(inner, &section.table))
            } else {
                table_of(inner, section)
                    .map_err(unfit)
                    .and_then(|schema| section.batch(&schema, origin.0))
            };
            let mut batch = match taken {
                Ok(batch) => batch,
                Err(error) if may_wait && lasts(&error) => {
                    aside.push(Part::of(index, section, &error));
                    continue;
                }
                Err(error) => return Err(error),
            };
            if let Some((origins, relayed)) = &relayed {
                batch.origin = origins.rows(index, batch.rows, &relayed.local)?;
            }
            let (batch, deletes) = late.sifted(inner, batch, &content.erased)?;
            incoming.rows(batch);
            deletes.into_iter().for_each(|rows| incoming.rows(rows));
        }
        for (index, erased) in content.erased.iter().enumerate() {
            let origin = match &relayed {
                Some((origins, relayed)) => origins.of_erased(index, &relayed.local),
                None => origin,
            };
            // A segment names its tables: what it erases in them may still be on its way.
            if let Some(schema) = inner.catalog.state().tables.get(&erased.table)
                && !self.is_ours_alone(&erased.table)
            {
                incoming.erased(schema, erased, origin);
            }
        }
        if refused > 0 {
            inner.down.refused.fetch_add(refused, Ordering::Relaxed);
            tracing::warn!(%node, refused, "rows of tables that are the cloud's own were not taken");
        }
        let _aside = (!aside.is_empty() || !late.is_empty()).then(|| inner.set_aside.turn());
        if !late.is_empty() {
            let note = late.note(inner, usize::from(!aside.is_empty()))?;
            incoming.notes.push(note);
        }
        if !aside.is_empty() {
            let rows: u64 = aside.iter().map(|part| u64::from(part.rows)).sum();
            match inner.set_aside(node, false, aside, &segment.payload, 0) {
                Ok(note) => incoming.notes.push(note),
                // What is the cloud's own has no claim to hold up what is not.
                Err(_) if rows == refused => {}
                Err(error) => return Err(error),
            }
        }
        let progress = KeptProgress {
            seq: segment.seq,
            hash: segment.hash,
            rows: before.map_or(0, |kept| kept.rows) + content.rows(),
        };
        let value = postcard::to_stdvec(&progress)
            .map_err(|error| Error::internal(format!("progress cannot be kept: {error}")))?;
        let note = Note {
            key: note_key(node, epoch),
            value: Some(value),
        };
        let came = relayed.map(|(_, relayed)| {
            incoming.notes.extend(relayed.notes);
            rows_by_origin(&incoming.batches)
        });
        if before.is_none() {
            let began = inner.note_of_beginning(node, epoch);
            incoming.notes.extend(began);
        }
        let lsn = inner.take_in(incoming, note)?;
        if let Some(came) = came {
            inner.count_relayed(node, came);
        }
        inner.arrived(node, epoch, progress, lsn);
        Ok(())
    }

    fn forget(&self, node: NodeId, epoch: Epoch) -> Result<()> {
        let turn = self.turns.lock().entry(node).or_default().clone();
        let _turn = turn.lock();
        self.inner.departed(node, epoch);
        let mut notes = vec![Note {
            key: note_key(node, epoch),
            value: None,
        }];
        notes.extend(self.inner.note_of_end(node, epoch));
        self.inner.store.commit(WriteSet {
            notes,
            ..WriteSet::default()
        })?;
        Ok(())
    }

    fn catalog_version(&self) -> u64 {
        self.inner.catalog.state().version
    }

    fn catalog_bundle(&self, node: NodeId) -> Result<(u64, Vec<u8>)> {
        let state = self.inner.catalog.state();
        let labels = self.inner.rollouts.labels(node);
        let bytes = postcard::to_stdvec(&state.bundle_for(&labels)?)
            .map_err(|error| Error::internal(format!("definitions cannot be sent: {error}")))?;
        Ok((state.version, bytes))
    }

    fn blob(&self, sha256: [u8; 32]) -> Result<Option<Bytes>> {
        Ok(self.inner.blobs.get(&sha256)?.map(Bytes::from))
    }

    fn digests(&self, origin: NodeId) -> Result<Vec<TableDigest>> {
        self.inner.digests(Some(origin))
    }

    fn attest(&self, node: NodeId, epoch: Epoch) -> Result<Option<Receipt>> {
        self.inner.attest(node, epoch)
    }

    fn holdings(&self) -> Option<&dyn Holdings> {
        Some(&self.mirror)
    }

    fn peer_seen(&self, status: PeerStatus) {
        if let Some(stream) = self.inner.down.stream() {
            // As far as it has said: what is on its way at that moment is not long under way.
            let level = status.lanes.iter().all(|lane| lane.behind == 0);
            stream.seen(status.node, status.connected, level, self.inner.wall_ms());
            self.inner.settle();
        }
        let news = |before: &PeerStatus| {
            (before.connected, before.catalog_version) != (status.connected, status.catalog_version)
                || before.refused_definitions != status.refused_definitions
        };
        let mut peers = self.inner.peers.lock();
        // A connection that is given up late must not hide the one that took its place: an edge may greet
        // with another epoch each time.
        let outlived = |known: &PeerStatus| known.connected && known.epoch != status.epoch;
        if !status.connected && peers.get(&status.node).is_some_and(outlived) {
            return;
        }
        let before = peers.get(&status.node);
        self.inner.tell_of_peer(before, &status);
        let news = before.is_none_or(news);
        peers.insert(status.node, status);
        drop(peers);
        if news {
            self.inner.rollouts.wake();
        }
    }

    fn member(&self, node: NodeId, labels: &Labels) {
        self.inner.rollouts.member(node, labels);
    }

    fn enrolled(&self, node: NodeId, renewed: bool) {
        self.inner.events.enrolled(node, renewed);
    }

    fn turned_away(&self, node: NodeId, reason: &str) {
        self.inner.events.turned_away(node, reason);
    }

    fn health(&self, node: NodeId, mut health: Health) {
        // An edge cannot make this node keep more than there are plugins.
        let state = self.inner.catalog.state();
        let known = |plugin: &PluginHealth| state.plugins.contains_key(&plugin.plugin);
        health.plugins.retain(known);
        self.inner.tell_of_edge_clock(node, health.clock_offset_ms);
        let at_ms = self.inner.wall_ms();
        self.inner.rollouts.told(node, health, at_ms);
    }

    fn follow(&self, node: NodeId, follow: &Follow) -> Result<FollowAnswer> {
        match self.inner.down.stream() {
            Some(stream) => {
                let definitions = self.inner.catalog.state().version;
                stream.follow(node, follow, definitions, self.inner.wall_ms())
            }
            None => Ok(FollowAnswer::Nothing),
        }
    }

    fn down_position(&self) -> Option<(Epoch, u64)> {
        self.inner.down.stream().map(|stream| stream.position())
    }

    fn down_segment(&self, epoch: Epoch, seq: u64) -> Result<Option<SealedSegment>> {
        match self.inner.down.stream() {
            Some(stream) => stream.segment(epoch, seq),
            None => Ok(None),
        }
    }

    fn down_acknowledged(&self, node: NodeId, epoch: Epoch, seq: u64) -> Result<()> {
        match self.inner.down.stream() {
            Some(stream) => stream.acknowledged(node, epoch, seq, self.inner.wall_ms()),
            None => Ok(()),
        }
    }

    fn down_rows(&self, cursor: &[u8]) -> Result<(Bytes, Option<Bytes>)> {
        self.inner.down_rows(cursor)
    }

    fn on_down_sealed(&self, waker: Box<dyn Fn() + Send + Sync>) {
        self.inner.down.wake_by(waker);
    }
}

/// The local table of a section, made or grown where it has to be.
pub(crate) fn table_of(inner: &Inner, section: &Section) -> Result<Arc<TableSchema>> {
    let state = inner.catalog.state();
    if state.views.contains_key(&section.table) {
        return Err(ours_alone(inner, &section.table));
    }
    let schema = match state.tables.get(&section.table) {
        Some(schema) => schema.clone(),
        None => {
            if !state.keyspaces.contains_key(&section.table.keyspace) {
                inner.catalog.apply_for_others(Change::CreateKeyspace {
                    def: KeyspaceDef {
                        sync: SyncMode::Up,
                        ..KeyspaceDef::named(&section.table.keyspace)
                    },
                    if_not_exists: true,
                })?;
            }
            let mut definition = TableDefinition::named(section.table.clone());
            definition.columns = section
                .column_types()
                .map(|(name, data_type)| ColumnDefinition::new(name, data_type))
                .collect();
            definition.partition_key.clone_from(&section.partition_key);
            definition.clustering_key = section
                .clustering_key
                .iter()
                .map(|(name, descending)| ClusteringDefinition {
                    name: name.clone(),
                    descending: *descending,
                })
                .collect();
            definition.options.flexible = Some(section.flexible);
            definition.options.ttl_s = section.ttl_s;
            definition.options.sync = Some(SyncMode::Up);
            let state = inner.catalog.apply_for_others(Change::CreateTable {
                definition,
                if_not_exists: true,
            })?;
            state.table(&section.table)?.clone()
        }
    };
    same_key(&schema, section)?;
    let schema = inner.grown(schema, section)?;
    inner.store.put_schema(schema.clone())?;
    Ok(schema)
}

pub(crate) fn ours_alone(inner: &Inner, table: &TableName) -> Error {
    if inner.catalog.state().views.contains_key(table) {
        return Error::conflict(format!(
            "{table} is a materialized view here, and nobody but its query writes it"
        ))
        .with_hint("give the table or the view at the sender another name");
    }
    Error::denied(format!(
        "table {table} has sync = 'down' at the cloud: its rows are the cloud's own"
    ))
    .with_hint("make it sync = 'both' to have edges write to it")
}

/// The same error where the definitions here are what the rows do not fit, as ever so many columns.
fn unfit(error: Error) -> Error {
    match error.kind() {
        ErrorKind::Invalid => Error::conflict(error.message()),
        _ => error,
    }
}
