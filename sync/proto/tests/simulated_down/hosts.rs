//! Hosts in memory: a cloud's stream with its tables, and edges that keep rows and place together.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use activestore_sync_proto::{
    ChainHash, DownPosition, Follow, FollowAnswer, Inbox, Outbox, OutboxPosition, PeerStatus,
    Progress, Replica, SealedSegment, StartOver, TableDigest,
};
use activestore_types::{Epoch, Error, NodeId, Result};
use bytes::Bytes;
use parking_lot::Mutex;

pub const CLOUD: NodeId = NodeId([9; 16]);
/// Rows in a piece of the tables.
const PIECE: usize = 6;

/// SplitMix64 (Steele et al., 2014): small, and the same everywhere.
#[derive(Clone, Debug)]
pub struct Rng(pub u64);

impl Rng {
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    pub fn below(&mut self, n: u64) -> u64 {
        self.next() % n.max(1)
    }

    pub fn chance(&mut self, percent: u64) -> bool {
        self.below(100) < percent
    }
}

/// Key to stamp; an odd stamp is a tombstone. The highest stamp wins.
pub type Rows = BTreeMap<u64, u64>;

fn pack(rows: impl Iterator<Item = (u64, u64)>) -> Bytes {
    rows.flat_map(|(key, stamp)| [key.to_be_bytes(), stamp.to_be_bytes()])
        .flatten()
        .collect::<Vec<u8>>()
        .into()
}

fn number(bytes: &[u8]) -> u64 {
    u64::from_be_bytes(bytes.try_into().unwrap())
}

fn merge(into: &mut Rows, payload: &[u8]) {
    for row in payload.chunks_exact(16) {
        let (key, stamp) = (number(&row[..8]), number(&row[8..]));
        let kept = into.entry(key).or_default();
        *kept = stamp.max(*kept);
    }
}

struct CloudState {
    epoch: Epoch,
    /// What was trimmed, and what is kept after it.
    trimmed: Progress,
    last: Progress,
    segments: BTreeMap<u64, SealedSegment>,
    rows: Rows,
    stamp: u64,
    failing: bool,
    rng: Rng,
}

pub struct SimCloud(Mutex<CloudState>);

impl SimCloud {
    pub fn new(mut rng: Rng) -> Self {
        SimCloud(Mutex::new(CloudState {
            epoch: Epoch(rng.next() | 1),
            trimmed: Progress::default(),
            last: Progress::default(),
            segments: BTreeMap::new(),
            rows: Rows::new(),
            stamp: 0,
            failing: true,
            rng,
        }))
    }

    /// Writes some rows and seals them.
    pub fn write(&self) {
        let state = &mut *self.0.lock();
        let count = 1 + state.rng.below(8);
        let rows: Vec<(u64, u64)> = (0..count)
            .map(|_| {
                state.stamp += 2;
                let dead = u64::from(state.rng.chance(20));
                (state.rng.below(200), state.stamp + dead)
            })
            .collect();
        let payload = pack(rows.into_iter());
        merge(&mut state.rows, &payload);
        let seq = state.last.seq + 1;
        let sealed = SealedSegment::seal(CLOUD, state.epoch, seq, state.last.hash, count, payload);
        state.last = Progress {
            seq,
            hash: sealed.hash,
        };
        state.segments.insert(seq, sealed);
    }

    /// Lets go of everything that is sealed.
    pub fn trim(&self) {
        let mut state = self.0.lock();
        state.segments.clear();
        state.trimmed = state.last;
    }

    pub fn new_epoch(&self) {
        let mut state = self.0.lock();
        state.epoch = Epoch(state.rng.next() | 1);
        state.segments.clear();
        state.trimmed = Progress::default();
        state.last = Progress::default();
    }

    pub fn behave(&self) {
        self.0.lock().failing = false;
    }

    pub fn rows(&self) -> Rows {
        self.0.lock().rows.clone()
    }

    pub fn last(&self) -> (Epoch, u64) {
        let state = self.0.lock();
        (state.epoch, state.last.seq)
    }
}

impl CloudState {
    fn stumble(&mut self, percent: u64) -> Result<()> {
        if self.failing && self.rng.chance(percent) {
            return Err(Error::internal("the simulated disk stumbled"));
        }
        Ok(())
    }
}

impl Inbox for SimCloud {
    fn progress(&self, _: NodeId, _: Epoch) -> Result<Option<Progress>> {
        Ok(None)
    }

    fn apply(&self, _: NodeId, _: Epoch, _: &SealedSegment) -> Result<()> {
        panic!("nothing is shipped up here")
    }

    fn catalog_version(&self) -> u64 {
        1
    }

    fn catalog_bundle(&self, _node: NodeId) -> Result<(u64, Vec<u8>)> {
        Ok((1, Vec::new()))
    }

    fn blob(&self, _: [u8; 32]) -> Result<Option<Bytes>> {
        Ok(None)
    }

    fn digests(&self, _: NodeId) -> Result<Vec<TableDigest>> {
        Ok(Vec::new())
    }

    fn peer_seen(&self, _: PeerStatus) {}

    fn follow(&self, _: NodeId, follow: &Follow) -> Result<FollowAnswer> {
        let mut state = self.0.lock();
        state.stumble(5)?;
        let known = match state.segments.get(&follow.seq) {
            Some(segment) => Some(segment.hash),
            None => (state.trimmed.seq == follow.seq).then_some(state.trimmed.hash),
        };
        if follow.epoch == state.epoch && known == Some(follow.hash) {
            return Ok(FollowAnswer::Fits {
                last_sealed: state.last.seq,
            });
        }
        Ok(FollowAnswer::StartOver(StartOver {
            id: 0,
            node: CLOUD,
            epoch: state.epoch,
            seq: state.last.seq,
            hash: state.last.hash,
            definitions: 1,
            reason: "it is not kept".to_owned(),
        }))
    }

    fn down_position(&self) -> Option<(Epoch, u64)> {
        Some(self.last())
    }

    fn down_segment(&self, epoch: Epoch, seq: u64) -> Result<Option<SealedSegment>> {
        let mut state = self.0.lock();
        state.stumble(2)?;
        let here = epoch == state.epoch;
        Ok(state.segments.get(&seq).filter(|_| here).cloned())
    }

    fn down_rows(&self, cursor: &[u8]) -> Result<(Bytes, Option<Bytes>)> {
        let mut state = self.0.lock();
        state.stumble(5)?;
        let from = if cursor.is_empty() { 0 } else { number(cursor) };
        let piece: Vec<_> = state.rows.range(from..).take(PIECE).collect();
        let next = piece.get(PIECE - 1).map(|(key, _)| *key + 1);
        let payload = pack(piece.into_iter().map(|(key, stamp)| (*key, *stamp)));
        Ok((payload, next.map(|key| key.to_be_bytes().to_vec().into())))
    }
}

#[derive(Clone, Default)]
struct EdgeState {
    position: DownPosition,
    rows: Rows,
    applied: u64,
    pieces: u64,
    started_over: u64,
}

/// An edge; whatever a call changes is durable when it returns.
pub struct SimEdge {
    node: NodeId,
    state: Mutex<EdgeState>,
    rng: Mutex<Rng>,
    failing: Mutex<bool>,
}

impl SimEdge {
    pub fn new(node: NodeId, rng: Rng) -> Arc<Self> {
        Arc::new(SimEdge {
            node,
            state: Mutex::default(),
            rng: Mutex::new(rng),
            failing: Mutex::new(true),
        })
    }

    pub fn behave(&self) {
        *self.failing.lock() = false;
    }

    pub fn rows(&self) -> Rows {
        self.state.lock().rows.clone()
    }

    pub fn position(&self) -> DownPosition {
        self.state.lock().position.clone()
    }

    /// Segments applied, pieces applied, times started over.
    pub fn counts(&self) -> (u64, u64, u64) {
        let state = self.state.lock();
        (state.applied, state.pieces, state.started_over)
    }

    fn stumble(&self, percent: u64) -> Result<()> {
        if *self.failing.lock() && self.rng.lock().chance(percent) {
            return Err(Error::internal("the simulated disk stumbled"));
        }
        Ok(())
    }
}

impl Outbox for SimEdge {
    fn identity(&self) -> (NodeId, String, Epoch) {
        (self.node, "edge".to_owned(), Epoch(7))
    }

    fn position(&self) -> OutboxPosition {
        OutboxPosition {
            first_unacked: 1,
            last_sealed: 0,
            acked_hash: ChainHash::GENESIS,
        }
    }

    fn segment(&self, _: Epoch, _: u64) -> Result<Option<SealedSegment>> {
        Ok(None)
    }

    fn acknowledged(&self, _: Epoch, _: u64) -> Result<()> {
        Ok(())
    }

    fn new_epoch(&self, _: Epoch) -> Result<()> {
        panic!("nothing is shipped up here")
    }

    fn on_sealed(&self, _: Box<dyn Fn() + Send + Sync>) {}
}

impl Replica for SimEdge {
    fn catalog_version(&self) -> u64 {
        1
    }

    fn adopt_catalog(&self, _: u64, _: &[u8]) -> Result<()> {
        Ok(())
    }

    fn missing_blobs(&self, _: &[u8]) -> Result<Vec<[u8; 32]>> {
        Ok(Vec::new())
    }

    fn put_blob(&self, _: [u8; 32], _: Vec<u8>) -> Result<()> {
        Ok(())
    }

    fn digests(&self) -> Result<Vec<TableDigest>> {
        Ok(Vec::new())
    }

    fn observe_clock(&self, _: u64, _: Duration) {}

    fn down_position(&self) -> Result<DownPosition> {
        self.stumble(5)?;
        Ok(self.position())
    }

    fn start_over(&self, start: &StartOver) -> Result<()> {
        self.stumble(10)?;
        let mut state = self.state.lock();
        state.started_over += 1;
        state.position = DownPosition {
            node: start.node,
            epoch: start.epoch,
            progress: Progress {
                seq: start.seq,
                hash: start.hash,
            },
            cursor: Some(Bytes::new()),
        };
        Ok(())
    }

    fn apply_down(&self, node: NodeId, epoch: Epoch, segment: &SealedSegment) -> Result<()> {
        self.stumble(5)?;
        let state = &mut *self.state.lock();
        let at = &state.position;
        let progress = Progress {
            seq: segment.seq,
            hash: segment.hash,
        };
        let here = at.node == node && at.epoch == epoch && at.cursor.is_none();
        if here && at.progress == progress {
            return Ok(());
        }
        if !here || segment.seq != at.progress.seq + 1 || segment.prev_hash != at.progress.hash {
            return Err(Error::conflict("it does not follow"));
        }
        merge(&mut state.rows, &segment.payload);
        state.position.progress = progress;
        state.applied += 1;
        Ok(())
    }

    fn apply_rows(
        &self,
        epoch: Epoch,
        from: &[u8],
        payload: &[u8],
        next: Option<&[u8]>,
    ) -> Result<()> {
        self.stumble(5)?;
        let state = &mut *self.state.lock();
        if state.position.epoch != epoch || state.position.cursor.as_deref() != Some(from) {
            return Err(Error::conflict("it was not asked for"));
        }
        merge(&mut state.rows, payload);
        state.position.cursor = next.map(Bytes::copy_from_slice);
        state.pieces += 1;
        Ok(())
    }
}
