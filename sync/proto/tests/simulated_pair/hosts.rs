//! Hosts in memory that know what is durable, fail at times and check the protocol's promises from
//! below.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use activestore_sync_proto::segment::sha256;
use activestore_sync_proto::{
    ChainHash, Inbox, Outbox, OutboxChain, OutboxPosition, PeerStatus, Progress, Replica,
    SealedSegment, TableDigest,
};
use activestore_types::{Epoch, Error, NodeId, Result, SyncClass, TableName};
use bytes::Bytes;
use parking_lot::Mutex;

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

pub fn digest_of(rows: &BTreeSet<u64>) -> Vec<TableDigest> {
    let mut hash = 0_u128;
    for row in rows {
        let bytes = sha256(&row.to_le_bytes());
        hash = hash.wrapping_add(u128::from_le_bytes(bytes[..16].try_into().unwrap()));
    }
    vec![TableDigest {
        table: TableName::new("plant", "readings"),
        rows: rows.len() as u64,
        hash: hash.to_le_bytes(),
    }]
}

fn rows_of(payload: &[u8]) -> Vec<u64> {
    payload
        .chunks_exact(8)
        .map(|bytes| u64::from_le_bytes(bytes.try_into().unwrap()))
        .collect()
}

/// A chain of segments.
#[derive(Clone, Debug)]
pub struct Chain {
    pub class: SyncClass,
    pub epoch: Epoch,
    pub acked: u64,
    pub acked_hash: ChainHash,
    pub last_sealed: u64,
    pub last_hash: ChainHash,
    pub segments: BTreeMap<u64, SealedSegment>,
    /// Acknowledged, perhaps not on the disk yet.
    pub noted: u64,
}

impl Chain {
    fn fresh(class: SyncClass, epoch: Epoch) -> Self {
        Chain {
            class,
            epoch,
            acked: 0,
            acked_hash: ChainHash::GENESIS,
            last_sealed: 0,
            last_hash: ChainHash::GENESIS,
            segments: BTreeMap::new(),
            noted: 0,
        }
    }

    fn seal(&mut self, node: NodeId, rows: u64, payload: Bytes) {
        let segment = SealedSegment::seal(
            node,
            self.epoch,
            self.last_sealed + 1,
            self.last_hash,
            rows,
            payload,
        );
        self.last_sealed += 1;
        self.last_hash = segment.hash;
        self.segments.insert(segment.seq, segment);
    }

    fn settle(&mut self) {
        if self.noted > self.acked {
            self.acked_hash = self.segments[&self.noted].hash;
            self.acked = self.noted;
            let acked = self.acked;
            self.segments.retain(|seq, _| *seq > acked);
        }
    }

    fn position(&self) -> OutboxPosition {
        let noted = self.segments.get(&self.noted);
        OutboxPosition {
            first_unacked: self.noted + 1,
            last_sealed: self.last_sealed,
            acked_hash: noted.map_or(self.acked_hash, |segment| segment.hash),
        }
    }

    fn behind(&self) -> u64 {
        self.last_sealed - self.noted
    }
}

/// What is on the edge's disk.
#[derive(Clone, Debug)]
pub struct Image {
    /// Live rows first, alarms, then backlogs.
    pub chains: Vec<Chain>,
    pub catalog_version: u64,
    pub blobs: BTreeSet<[u8; 32]>,
}

struct EdgeState {
    disk: Image,
    rng: Rng,
    failing: bool,
    written: BTreeSet<u64>,
    epochs_started: u64,
    rotations: u64,
    adopted: u64,
}

pub struct SimEdge {
    node: NodeId,
    state: Mutex<EdgeState>,
    cloud: Arc<SimCloud>,
}

impl SimEdge {
    pub fn new(node: NodeId, rng: Rng, cloud: Arc<SimCloud>, image: Option<Image>) -> Self {
        let mut rng = rng;
        let mut fresh = |class| Chain::fresh(class, Epoch(rng.next()));
        let disk = image.unwrap_or_else(|| Image {
            chains: vec![fresh(SyncClass::Live), fresh(SyncClass::Alarm)],
            catalog_version: 0,
            blobs: BTreeSet::new(),
        });
        SimEdge {
            node,
            state: Mutex::new(EdgeState {
                disk,
                rng,
                failing: true,
                written: BTreeSet::new(),
                epochs_started: 0,
                rotations: 0,
                adopted: 0,
            }),
            cloud,
        }
    }

    /// Seals a segment of these rows; it is on the disk when this returns.
    pub fn seal(&self, class: SyncClass, rows: &[u64]) {
        let mut state = self.state.lock();
        state.written.extend(rows);
        let payload: Vec<u8> = rows.iter().flat_map(|row| row.to_le_bytes()).collect();
        let mut chains = state.disk.chains.iter_mut();
        let chain = chains.find(|chain| chain.class == class).unwrap();
        chain.seal(self.node, rows.len() as u64, payload.into());
    }

    pub fn image(&self) -> Image {
        self.state.lock().disk.clone()
    }

    /// The power went: what was not on the disk is gone.
    pub fn crash(&self) {
        for chain in &mut self.state.lock().disk.chains {
            chain.noted = chain.acked;
        }
    }

    /// The disk is replaced by an older image of itself.
    pub fn restore(&self, image: Image) {
        self.state.lock().disk = image;
        self.crash();
    }

    pub fn unacked_rows(&self) -> BTreeSet<u64> {
        let state = self.state.lock();
        let chains = state.disk.chains.iter();
        chains
            .flat_map(|chain| chain.segments.values())
            .flat_map(|segment| rows_of(&segment.payload))
            .collect()
    }

    pub fn behind(&self) -> u64 {
        let state = self.state.lock();
        state.disk.chains.iter().map(Chain::behind).sum()
    }

    pub fn written(&self) -> BTreeSet<u64> {
        self.state.lock().written.clone()
    }

    pub fn behave(&self) {
        self.state.lock().failing = false;
    }

    pub fn counts(&self) -> (u64, u64, u64) {
        let state = self.state.lock();
        (state.epochs_started, state.adopted, state.rotations)
    }
}

impl EdgeState {
    fn stumble(&mut self, percent: u64) -> Result<()> {
        if self.failing && self.rng.chance(percent) {
            return Err(Error::internal("the simulated disk stumbled"));
        }
        Ok(())
    }

    fn chain(&mut self, epoch: Epoch) -> Option<&mut Chain> {
        let mut chains = self.disk.chains.iter_mut();
        chains.find(|chain| chain.epoch == epoch)
    }
}

impl Outbox for SimEdge {
    fn identity(&self) -> (NodeId, String, Epoch) {
        let epoch = self.state.lock().disk.chains[0].epoch;
        (self.node, "edge".to_owned(), epoch)
    }

    fn position(&self) -> OutboxPosition {
        self.state.lock().disk.chains[0].position()
    }

    fn chains(&self) -> Vec<OutboxChain> {
        let state = self.state.lock();
        let chains = state.disk.chains.iter();
        chains
            .map(|chain| OutboxChain {
                class: chain.class,
                epoch: chain.epoch,
                position: chain.position(),
            })
            .collect()
    }

    fn connection(&self, protocol: Option<u16>) {
        let mut state = self.state.lock();
        if protocol.is_some_and(|protocol| protocol >= 3) && state.disk.chains[0].behind() > 4 {
            state.rotations += 1;
            let fresh = Chain::fresh(SyncClass::Live, Epoch(state.rng.next()));
            let mut old = std::mem::replace(&mut state.disk.chains[0], fresh);
            old.class = SyncClass::Backlog;
            state.disk.chains.push(old);
        }
    }

    fn segment(&self, epoch: Epoch, seq: u64) -> Result<Option<SealedSegment>> {
        let mut state = self.state.lock();
        state.stumble(2)?;
        let chain = state.chain(epoch);
        Ok(chain.and_then(|chain| chain.segments.get(&seq).cloned()))
    }

    fn acknowledged(&self, epoch: Epoch, seq: u64) -> Result<()> {
        let mut state = self.state.lock();
        let Some(chain) = state.chain(epoch) else {
            return Ok(());
        };
        assert!(
            seq <= chain.last_sealed,
            "acknowledged what was never sealed"
        );
        if !self.cloud.holds(self.node, epoch, seq) {
            self.cloud
                .complain(format!("segment {seq} was acknowledged and is not durable"));
        }
        state.stumble(5)?;
        let settles = state.rng.chance(50);
        let chain = state.chain(epoch).unwrap();
        chain.noted = chain.noted.max(seq);
        let ends = chain.class == SyncClass::Backlog && chain.behind() == 0;
        if settles || ends {
            chain.settle();
        }
        let chains = &mut state.disk.chains;
        chains.retain(|chain| chain.class != SyncClass::Backlog || !chain.segments.is_empty());
        Ok(())
    }

    fn new_epoch(&self, epoch: Epoch) -> Result<()> {
        let mut state = self.state.lock();
        state.stumble(10)?;
        state.epochs_started += 1;
        let fresh = Epoch(state.rng.next());
        let Some(chain) = state.chain(epoch) else {
            return Ok(());
        };
        chain.settle();
        let old = std::mem::replace(chain, Chain::fresh(chain.class, fresh));
        for segment in old.segments.into_values() {
            chain.seal(self.node, segment.rows, segment.payload);
        }
        Ok(())
    }

    fn on_sealed(&self, _: Box<dyn Fn() + Send + Sync>) {}
}

impl Replica for SimEdge {
    fn catalog_version(&self) -> u64 {
        self.state.lock().disk.catalog_version
    }

    fn adopt_catalog(&self, version: u64, bundle: &[u8]) -> Result<()> {
        let missing = self.missing_blobs(bundle)?;
        assert!(missing.is_empty(), "adopted without its blobs");
        let mut state = self.state.lock();
        state.stumble(10)?;
        state.disk.catalog_version = version;
        state.adopted += 1;
        Ok(())
    }

    fn missing_blobs(&self, bundle: &[u8]) -> Result<Vec<[u8; 32]>> {
        let state = self.state.lock();
        Ok(bundle
            .chunks_exact(32)
            .map(|name| name.try_into().unwrap())
            .filter(|name| !state.disk.blobs.contains(name))
            .collect())
    }

    fn put_blob(&self, name: [u8; 32], bytes: Vec<u8>) -> Result<()> {
        assert_eq!(sha256(&bytes), name);
        let mut state = self.state.lock();
        state.stumble(10)?;
        state.disk.blobs.insert(name);
        Ok(())
    }

    fn digests(&self) -> Result<Vec<TableDigest>> {
        Ok(digest_of(&self.state.lock().written))
    }

    fn observe_clock(&self, _: u64, rtt: Duration) {
        assert!(rtt < Duration::from_secs(60));
    }
}

#[derive(Default)]
struct CloudState {
    progress: BTreeMap<(NodeId, Epoch), Progress>,
    rows: BTreeSet<u64>,
    applied: u64,
    /// How far the chains were that are forgotten; a copy of the edge may hear of it later.
    forgotten: BTreeMap<(NodeId, Epoch), u64>,
    version: u64,
    blobs: BTreeMap<[u8; 32], Bytes>,
    failing: bool,
    complaint: Option<String>,
    /// The mutation: forgets to check what it has.
    apply_repeats: bool,
}

pub struct SimCloud {
    state: Mutex<CloudState>,
    rng: Mutex<Rng>,
}

impl SimCloud {
    pub fn new(rng: Rng, apply_repeats: bool) -> Self {
        SimCloud {
            state: Mutex::new(CloudState {
                failing: true,
                apply_repeats,
                ..CloudState::default()
            }),
            rng: Mutex::new(rng),
        }
    }

    pub fn holds(&self, node: NodeId, epoch: Epoch, seq: u64) -> bool {
        let state = self.state.lock();
        let progress = state.progress.get(&(node, epoch)).map(|one| one.seq);
        let forgotten = state.forgotten.get(&(node, epoch)).copied();
        progress.max(forgotten).is_some_and(|held| held >= seq)
    }

    pub fn complain(&self, what: String) {
        self.state.lock().complaint.get_or_insert(what);
    }

    pub fn complaint(&self) -> Option<String> {
        self.state.lock().complaint.clone()
    }

    pub fn behave(&self) {
        self.state.lock().failing = false;
    }

    pub fn rows(&self) -> BTreeSet<u64> {
        self.state.lock().rows.clone()
    }

    /// Segments applied, chains forgotten.
    pub fn counts(&self) -> (u64, u64) {
        let state = self.state.lock();
        (state.applied, state.forgotten.len() as u64)
    }

    pub fn progress_seen(&self) -> BTreeMap<(NodeId, Epoch), u64> {
        let state = self.state.lock();
        state
            .progress
            .iter()
            .map(|(key, p)| (*key, p.seq))
            .collect()
    }

    /// New definitions, with a blob of that many bytes.
    pub fn change_catalog(&self, blob_bytes: usize) {
        let mut state = self.state.lock();
        state.version += 1;
        let blob = vec![state.version as u8; blob_bytes];
        state.blobs.insert(sha256(&blob), blob.into());
    }
}

impl Inbox for SimCloud {
    fn progress(&self, node: NodeId, epoch: Epoch) -> Result<Option<Progress>> {
        Ok(self.state.lock().progress.get(&(node, epoch)).copied())
    }

    fn apply(&self, node: NodeId, epoch: Epoch, segment: &SealedSegment) -> Result<()> {
        let mut state = self.state.lock();
        if state.failing && self.rng.lock().chance(3) {
            return Err(Error::overloaded("the simulated cloud is busy"));
        }
        let apply_repeats = state.apply_repeats;
        let progress = state.progress.entry((node, epoch)).or_default();
        let mut again = false;
        if (segment.seq, segment.hash) == (progress.seq, progress.hash) {
            if !apply_repeats {
                return Ok(());
            }
            again = true;
        } else if segment.seq != progress.seq + 1 || segment.prev_hash != progress.hash {
            return Err(Error::conflict("the segment does not follow"));
        }
        *progress = Progress {
            seq: segment.seq,
            hash: segment.hash,
        };
        state.applied += 1;
        state.rows.extend(rows_of(&segment.payload));
        if again {
            state
                .complaint
                .get_or_insert(format!("segment {} was applied twice", segment.seq));
        }
        Ok(())
    }

    fn forget(&self, node: NodeId, epoch: Epoch) -> Result<()> {
        let mut state = self.state.lock();
        if let Some(progress) = state.progress.remove(&(node, epoch)) {
            state.forgotten.insert((node, epoch), progress.seq);
        }
        Ok(())
    }

    fn catalog_version(&self) -> u64 {
        self.state.lock().version
    }

    fn catalog_bundle(&self, _node: NodeId) -> Result<(u64, Vec<u8>)> {
        let state = self.state.lock();
        // The version in front, so that every bundle has a name of its own.
        let mut bundle: Vec<u8> = state.blobs.keys().flatten().copied().collect();
        bundle.extend(state.version.to_le_bytes());
        Ok((state.version, bundle))
    }

    fn blob(&self, name: [u8; 32]) -> Result<Option<Bytes>> {
        Ok(self.state.lock().blobs.get(&name).cloned())
    }

    fn digests(&self, _: NodeId) -> Result<Vec<TableDigest>> {
        Ok(digest_of(&self.state.lock().rows))
    }

    fn peer_seen(&self, status: PeerStatus) {
        assert!(status.durable_seq <= status.last_sealed.max(status.durable_seq));
    }
}
