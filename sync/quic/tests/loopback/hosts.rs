//! Hosts in memory for both ends.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use activestore_sync_proto::segment::sha256;
use activestore_sync_proto::{
    ChainHash, Inbox, Outbox, OutboxChain, OutboxPosition, PeerStatus, Progress, Replica,
    SealedSegment, TableDigest,
};
use activestore_types::{Epoch, Error, NodeId, Result, SyncClass, TableName};
use bytes::Bytes;
use parking_lot::Mutex;

fn digest_of(payloads: &BTreeSet<Bytes>) -> Vec<TableDigest> {
    let mut hash = 0_u128;
    for payload in payloads {
        let bytes = sha256(payload);
        hash = hash.wrapping_add(u128::from_le_bytes(bytes[..16].try_into().unwrap()));
    }
    vec![TableDigest {
        table: TableName::new("plant", "readings"),
        rows: payloads.len() as u64,
        hash: hash.to_le_bytes(),
    }]
}

#[derive(Default)]
struct Chain {
    class: SyncClass,
    epoch: Epoch,
    segments: Vec<SealedSegment>,
    acked: u64,
}

impl Chain {
    fn position(&self) -> OutboxPosition {
        OutboxPosition {
            first_unacked: self.acked + 1,
            last_sealed: self.segments.len() as u64,
            acked_hash: match self.acked {
                0 => ChainHash::GENESIS,
                acked => self.segments[acked as usize - 1].hash,
            },
        }
    }
}

#[derive(Default)]
struct EdgeState {
    live: Chain,
    alarms: Chain,
    catalog: Option<(u64, Vec<u8>)>,
    blobs: BTreeMap<[u8; 32], Vec<u8>>,
    server_wall_ms: u64,
}

impl EdgeState {
    fn chain(&mut self, epoch: Epoch) -> &mut Chain {
        match epoch == self.live.epoch {
            true => &mut self.live,
            false => &mut self.alarms,
        }
    }
}

type Waker = Box<dyn Fn() + Send + Sync>;

pub struct MemoryEdge {
    pub node: NodeId,
    state: Mutex<EdgeState>,
    waker: Mutex<Option<Waker>>,
}

impl MemoryEdge {
    pub fn new(n: u8) -> Self {
        let node = NodeId([n; 16]);
        MemoryEdge {
            node,
            state: Mutex::new(EdgeState {
                live: Chain {
                    epoch: Epoch(u64::from(n)),
                    ..Chain::default()
                },
                alarms: Chain {
                    class: SyncClass::Alarm,
                    epoch: Epoch(1000 + u64::from(n)),
                    ..Chain::default()
                },
                ..EdgeState::default()
            }),
            waker: Mutex::default(),
        }
    }

    pub fn seal(&self, payload: Vec<u8>) {
        self.seal_in(|state| &mut state.live, payload);
    }

    pub fn seal_alarm(&self, payload: Vec<u8>) {
        self.seal_in(|state| &mut state.alarms, payload);
    }

    fn seal_in(&self, chain: impl Fn(&mut EdgeState) -> &mut Chain, payload: Vec<u8>) {
        let mut state = self.state.lock();
        let chain = chain(&mut state);
        let prev = chain.segments.last().map_or(ChainHash::GENESIS, |s| s.hash);
        let seq = chain.segments.len() as u64 + 1;
        let segment = SealedSegment::seal(self.node, chain.epoch, seq, prev, 1, payload.into());
        chain.segments.push(segment);
        drop(state);
        if let Some(waker) = &*self.waker.lock() {
            waker();
        }
    }

    pub fn acked(&self) -> u64 {
        self.state.lock().live.acked
    }

    pub fn acked_alarms(&self) -> u64 {
        self.state.lock().alarms.acked
    }

    pub fn catalog(&self) -> Option<(u64, Vec<u8>)> {
        self.state.lock().catalog.clone()
    }

    pub fn blob(&self, name: [u8; 32]) -> Option<Vec<u8>> {
        self.state.lock().blobs.get(&name).cloned()
    }

    pub fn server_wall_ms(&self) -> u64 {
        self.state.lock().server_wall_ms
    }
}

impl Outbox for MemoryEdge {
    fn identity(&self) -> (NodeId, String, Epoch) {
        (
            self.node,
            "pump station".to_owned(),
            self.state.lock().live.epoch,
        )
    }

    fn position(&self) -> OutboxPosition {
        self.state.lock().live.position()
    }

    fn chains(&self) -> Vec<OutboxChain> {
        let state = self.state.lock();
        let mut chains = vec![&state.live];
        // As the database has it: there is such a chain once something is in it.
        chains.extend((!state.alarms.segments.is_empty()).then_some(&state.alarms));
        chains
            .into_iter()
            .map(|chain| OutboxChain {
                class: chain.class,
                epoch: chain.epoch,
                position: chain.position(),
            })
            .collect()
    }

    fn segment(&self, epoch: Epoch, seq: u64) -> Result<Option<SealedSegment>> {
        let mut state = self.state.lock();
        Ok(state.chain(epoch).segments.get(seq as usize - 1).cloned())
    }

    fn acknowledged(&self, epoch: Epoch, seq: u64) -> Result<()> {
        let mut state = self.state.lock();
        let chain = state.chain(epoch);
        chain.acked = chain.acked.max(seq);
        Ok(())
    }

    fn new_epoch(&self, _: Epoch) -> Result<()> {
        panic!("nothing here should need a new epoch")
    }

    fn on_sealed(&self, waker: Waker) {
        *self.waker.lock() = Some(waker);
    }
}

impl Replica for MemoryEdge {
    fn catalog_version(&self) -> u64 {
        self.state
            .lock()
            .catalog
            .as_ref()
            .map_or(0, |(version, _)| *version)
    }

    fn adopt_catalog(&self, version: u64, bundle: &[u8]) -> Result<()> {
        assert!(self.missing_blobs(bundle)?.is_empty());
        self.state.lock().catalog = Some((version, bundle.to_vec()));
        Ok(())
    }

    fn missing_blobs(&self, bundle: &[u8]) -> Result<Vec<[u8; 32]>> {
        let state = self.state.lock();
        Ok(bundle
            .chunks_exact(32)
            .map(|name| name.try_into().unwrap())
            .filter(|name| !state.blobs.contains_key(name))
            .collect())
    }

    fn put_blob(&self, name: [u8; 32], bytes: Vec<u8>) -> Result<()> {
        assert_eq!(sha256(&bytes), name);
        self.state.lock().blobs.insert(name, bytes);
        Ok(())
    }

    fn digests(&self) -> Result<Vec<TableDigest>> {
        let state = self.state.lock();
        let payloads = state
            .live
            .segments
            .iter()
            .map(|s| s.payload.clone())
            .collect();
        Ok(digest_of(&payloads))
    }

    fn observe_clock(&self, server_wall_ms: u64, _: Duration) {
        self.state.lock().server_wall_ms = server_wall_ms;
    }
}

#[derive(Default)]
struct CloudState {
    members: Vec<String>,
    progress: BTreeMap<(NodeId, Epoch), Progress>,
    payloads: BTreeMap<NodeId, BTreeSet<Bytes>>,
    applied: u64,
    catalog: (u64, Vec<u8>),
    blobs: BTreeMap<[u8; 32], Bytes>,
    seen: BTreeMap<NodeId, PeerStatus>,
}

#[derive(Default)]
pub struct MemoryCloud {
    state: Mutex<CloudState>,
}

impl MemoryCloud {
    /// New definitions that need this blob.
    pub fn define(&self, blob: Vec<u8>) -> [u8; 32] {
        let name = sha256(&blob);
        let mut state = self.state.lock();
        state.blobs.insert(name, blob.into());
        state.catalog = (state.catalog.0 + 1, name.to_vec());
        name
    }

    /// What was told of members: who is one now, and who not any more.
    pub fn told_of_members(&self) -> Vec<String> {
        self.state.lock().members.clone()
    }

    /// How many segments were applied, repeats included.
    pub fn applied(&self) -> u64 {
        self.state.lock().applied
    }

    pub fn payloads(&self, node: NodeId) -> BTreeSet<Bytes> {
        self.state
            .lock()
            .payloads
            .get(&node)
            .cloned()
            .unwrap_or_default()
    }

    /// A row of that origin is lost here.
    pub fn lose_one(&self, node: NodeId) {
        self.state
            .lock()
            .payloads
            .entry(node)
            .or_default()
            .pop_first();
    }

    pub fn seen(&self, node: NodeId) -> Option<PeerStatus> {
        self.state.lock().seen.get(&node).cloned()
    }
}

impl Inbox for MemoryCloud {
    fn enrolled(&self, node: NodeId, renewed: bool) {
        let text = format!("enrolled {node} {renewed}");
        self.state.lock().members.push(text);
    }

    fn turned_away(&self, _: NodeId, reason: &str) {
        self.state.lock().members.push(reason.to_owned());
    }

    fn progress(&self, node: NodeId, epoch: Epoch) -> Result<Option<Progress>> {
        Ok(self.state.lock().progress.get(&(node, epoch)).copied())
    }

    fn apply(&self, node: NodeId, epoch: Epoch, segment: &SealedSegment) -> Result<()> {
        let mut state = self.state.lock();
        let progress = state.progress.entry((node, epoch)).or_default();
        if (segment.seq, segment.hash) == (progress.seq, progress.hash) {
            return Ok(());
        }
        if segment.seq != progress.seq + 1 || segment.prev_hash != progress.hash {
            return Err(Error::conflict("the segment does not follow"));
        }
        *progress = Progress {
            seq: segment.seq,
            hash: segment.hash,
        };
        state.applied += 1;
        let payloads = state.payloads.entry(node).or_default();
        payloads.insert(segment.payload.clone());
        Ok(())
    }

    fn catalog_version(&self) -> u64 {
        self.state.lock().catalog.0
    }

    fn catalog_bundle(&self, _node: NodeId) -> Result<(u64, Vec<u8>)> {
        Ok(self.state.lock().catalog.clone())
    }

    fn blob(&self, name: [u8; 32]) -> Result<Option<Bytes>> {
        Ok(self.state.lock().blobs.get(&name).cloned())
    }

    fn digests(&self, origin: NodeId) -> Result<Vec<TableDigest>> {
        Ok(digest_of(&self.payloads(origin)))
    }

    fn peer_seen(&self, status: PeerStatus) {
        self.state.lock().seen.insert(status.node, status);
    }
}
