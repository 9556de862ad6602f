//! The cloud's end of the sync: applies segments, each once, and offers definitions and files.
//!
//! Rows and progress are one log record, so a segment is either applied and acknowledged for ever or
//! not at all. Rows keep the stamp and the origin they were written with.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use activestore_catalog::{
    Change, ClusteringDefinition, ColumnDefinition, KeyspaceDef, TableDefinition,
};
use activestore_store::{Note, WriteSet};
use activestore_sync_proto::{ChainHash, Inbox, PeerStatus, Progress, SealedSegment, TableDigest};
use activestore_types::{Epoch, Error, Hlc, NodeId, RangeTombstone, Result, SyncMode, TableSchema};
use bytes::Bytes;
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};

use crate::db::Inner;
use crate::outbox::segment::{Section, Segment};

const PREFIX: &str = "sync/in/";

/// The cloud's side of one database.
pub(crate) struct Receiver {
    inner: Arc<Inner>,
    /// One segment at a time for a node: two connections of one edge must not race.
    turns: Mutex<HashMap<NodeId, Arc<Mutex<()>>>>,
}

#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(crate) struct KeptProgress {
    pub(crate) seq: u64,
    hash: ChainHash,
    /// Row fragments applied in this epoch.
    pub(crate) rows: u64,
}

impl Receiver {
    pub(crate) fn new(inner: Arc<Inner>) -> Self {
        Receiver {
            inner,
            turns: Mutex::new(HashMap::new()),
        }
    }

    /// The local table of a section, made or grown where it has to be.
    fn table(&self, section: &Section) -> Result<Arc<TableSchema>> {
        let inner = &self.inner;
        let state = inner.catalog.state();
        let schema = match state.tables.get(&section.table) {
            Some(schema) => schema.clone(),
            None => {
                if !state.keyspaces.contains_key(&section.table.keyspace) {
                    inner.catalog.apply(Change::CreateKeyspace {
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
                let state = inner.catalog.apply(Change::CreateTable {
                    definition,
                    if_not_exists: true,
                })?;
                state.table(&section.table)?.clone()
            }
        };
        same_key(&schema, section)?;
        let missing: Vec<_> = section
            .column_types()
            .filter(|(name, _)| schema.column(name).is_none())
            .map(|(name, data_type)| (name.to_owned(), data_type))
            .collect();
        let schema = if missing.is_empty() {
            schema
        } else {
            let state = inner.catalog.apply(Change::AddColumns {
                table: section.table.clone(),
                columns: missing,
                if_not_exists: true,
            })?;
            state.table(&section.table)?.clone()
        };
        inner.store.put_schema(schema.clone())?;
        Ok(schema)
    }
}

fn same_key(schema: &TableSchema, section: &Section) -> Result<()> {
    let name = |id| schema.column_by_id(id).map(|column| column.name.as_str());
    let partition = schema.partition_key.iter().map(|id| name(*id));
    let clustering = schema
        .clustering_key
        .iter()
        .map(|key| (name(key.id), key.descending));
    let same = partition.eq(section.partition_key.iter().map(|name| Some(name.as_str())))
        && clustering.eq(section
            .clustering_key
            .iter()
            .map(|(name, descending)| (Some(name.as_str()), *descending)));
    if same {
        Ok(())
    } else {
        Err(Error::conflict(format!(
            "table {} has another primary key here than at the sender",
            schema.name
        ))
        .with_hint("drop one of the two tables or rename it"))
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
        let origin = inner.store.origin_id(node)?;
        let mut batches = Vec::with_capacity(content.sections.len());
        let mut highest = Hlc::ZERO;
        for section in &content.sections {
            let schema = self.table(section)?;
            let batch = section.batch(&schema, origin.0)?;
            if batch.rows > 0 {
                highest = highest.max(batch.max_hlc());
                batches.push(batch);
            }
        }
        let mut tombstones = Vec::with_capacity(content.erased.len());
        for erased in &content.erased {
            // A segment names its tables: what it erases in them may still be on its way.
            if let Some(schema) = inner.catalog.state().tables.get(&erased.table) {
                tombstones.push(RangeTombstone {
                    table: schema.id,
                    start: erased.start.clone(),
                    end: erased.end.clone(),
                    hlc: Hlc(erased.hlc),
                    origin,
                });
            }
        }
        if inner.clock.observe(highest, inner.wall_ms()).is_err() {
            // The rows are kept as they are; this node's own clock is not dragged along.
            inner.counts.stamps_ahead.fetch_add(1, Ordering::Relaxed);
        }
        let progress = KeptProgress {
            seq: segment.seq,
            hash: segment.hash,
            rows: before.map_or(0, |kept| kept.rows) + content.rows(),
        };
        let value = postcard::to_stdvec(&progress)
            .map_err(|error| Error::internal(format!("progress cannot be kept: {error}")))?;
        let touched = content.sections.iter().map(|section| &section.table);
        let touched = touched.chain(content.erased.iter().map(|erased| &erased.table));
        let state = inner.catalog.state();
        let touched = touched.filter_map(|name| state.tables.get(name));
        let gates = touched
            .map(|schema| (schema.id, inner.way_of(schema)))
            .collect();
        let _passage = inner.gates.pass_blocking(gates);
        let own = inner.joins_for(&batches, &tombstones)?;
        let joined = !own.is_empty();
        batches.extend(own);
        inner.store.commit(WriteSet {
            batches,
            tombstones,
            notes: vec![Note {
                key: note_key(node, epoch),
                value: Some(value),
            }],
        })?;
        inner
            .counts
            .rows_received
            .fetch_add(content.rows(), Ordering::Relaxed);
        if let Some(outbox) = inner.outbox.as_ref().filter(|_| joined) {
            outbox.wake();
        }
        Ok(())
    }

    fn catalog_version(&self) -> u64 {
        self.inner.catalog.state().version
    }

    fn catalog_bundle(&self) -> Result<(u64, Vec<u8>)> {
        let state = self.inner.catalog.state();
        let bytes = postcard::to_stdvec(&state.bundle())
            .map_err(|error| Error::internal(format!("definitions cannot be sent: {error}")))?;
        Ok((state.version, bytes))
    }

    fn blob(&self, sha256: [u8; 32]) -> Result<Option<Bytes>> {
        Ok(self.inner.blobs.get(&sha256)?.map(Bytes::from))
    }

    fn digests(&self, origin: NodeId) -> Result<Vec<TableDigest>> {
        self.inner.digests(Some(origin))
    }

    fn peer_seen(&self, status: PeerStatus) {
        self.inner.peers.lock().insert(status.node, status);
    }
}

fn note_key(node: NodeId, epoch: Epoch) -> Vec<u8> {
    format!("{PREFIX}{node}/{:016x}", epoch.0).into_bytes()
}

fn kept(inner: &Inner, node: NodeId, epoch: Epoch) -> Result<Option<KeptProgress>> {
    inner
        .store
        .note(&note_key(node, epoch))
        .map(|bytes| {
            postcard::from_bytes(&bytes).map_err(|error| {
                Error::corrupt(format!(
                    "the progress of node {node} cannot be read: {error}"
                ))
            })
        })
        .transpose()
}

/// Every edge that has shipped here: node, epoch and how far.
pub(crate) fn all_progress(inner: &Inner) -> Vec<(NodeId, Epoch, KeptProgress)> {
    inner
        .store
        .notes(PREFIX.as_bytes())
        .into_iter()
        .filter_map(|(key, value)| {
            let key = String::from_utf8(key).ok()?;
            let (node, epoch) = key.strip_prefix(PREFIX)?.split_once('/')?;
            Some((
                node.parse().ok()?,
                Epoch(u64::from_str_radix(epoch, 16).ok()?),
                postcard::from_bytes(&value).ok()?,
            ))
        })
        .collect()
}
