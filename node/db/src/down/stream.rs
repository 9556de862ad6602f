//! The cloud's stream: sealed segments as in an outbox, and how far each edge holds them.
//!
//! A segment is kept until every edge that follows holds it, but for an edge that was not heard of for too
//! long, and within a bound of bytes; who needs more starts over. What edges acknowledge is kept beside the
//! segments without a sync: after a crash a little more is kept than needed.

mod follower;

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use activestore_sync_proto::{ChainHash, Follow, FollowAnswer, SealedSegment, StartOver};
use activestore_types::{Epoch, Error, Lsn, NodeId, Result, TableId};
use parking_lot::Mutex;

use super::Waker;
use crate::db::Inner;
use crate::outbox::queue::Queue;
use crate::outbox::{Addressee, News, Sealer, Sources};
use follower::Follower;

const FILE: &str = "downstream.redb";
const FOLLOWER: &str = "follower/";
const TRAVELLING: &str = "travelling";

/// The stream of one cloud.
pub(crate) struct Stream {
    node: NodeId,
    sealer: Sealer,
    /// Locked from the look at what is kept until the follower is noted, so that nothing is let go between.
    followers: Mutex<BTreeMap<NodeId, Follower>>,
    keep: Duration,
    keep_bytes: u64,
    start_overs: AtomicU64,
}

impl Stream {
    /// Goes on with the stream in the data directory if that is told and it fits, or begins another one.
    pub(super) fn start(
        inner: &Inner,
        resume: bool,
        travelling: &BTreeSet<TableId>,
        waker: Arc<Mutex<Option<Waker>>>,
    ) -> Result<Arc<Stream>> {
        let dir = &inner.options.data_dir;
        if !resume {
            Stream::remove(dir)?;
        }
        let queue = Queue::open(
            &dir.join(FILE),
            inner.node,
            &inner.env.rng,
            Lsn(inner.store.last_lsn().0 + 1),
            inner.keyring.as_ref(),
        )?;
        let lost = match &inner.keyring {
            Some(keyring) => queue.lacks_a_key(keyring)?,
            None => false,
        };
        let fits = travelling.is_subset(&kept_tables(&queue)?);
        if lost || !fits {
            queue.clear()?;
        }
        keep_tables(&queue, travelling)?;
        let mut followers = BTreeMap::new();
        for (node, bytes) in queue.kept(FOLLOWER)? {
            let follower = postcard::from_bytes::<Follower>(&bytes);
            if let (Ok(node), Ok(follower)) = (node.parse::<NodeId>(), follower) {
                followers.insert(node, follower);
            }
        }
        let sealer = Sealer::start(
            Addressee::edges(),
            inner.node,
            inner.options.name.clone(),
            Sources {
                env: inner.env.clone(),
                store: inner.store.clone(),
                catalog: inner.catalog.clone(),
                plugins: inner.plugins.clone(),
                events: inner.events.clone(),
                hold: inner.hold.clone(),
            },
            queue,
            inner.options.seal_after,
        )?;
        let stream = Arc::new(Stream {
            node: inner.node,
            sealer,
            followers: Mutex::new(followers),
            keep: inner.options.down_keep,
            keep_bytes: inner.options.down_keep_bytes,
            start_overs: AtomicU64::new(0),
        });
        let (held, clock) = (Arc::downgrade(&stream), inner.env.clock.clone());
        let wake = move || {
            if let Some(stream) = held.upgrade()
                && let Err(error) = stream.trim(clock.wall_ms())
            {
                tracing::warn!(%error, "the stream to the edges could not be trimmed");
            }
            if let Some(waker) = waker.lock().as_ref() {
                waker();
            }
        };
        activestore_sync_proto::Outbox::on_sealed(&stream.sealer, Box::new(wake));
        Ok(stream)
    }

    /// Removes what a stream left that nobody seals any more.
    pub(super) fn remove(dir: &Path) -> Result<()> {
        match std::fs::remove_file(dir.join(FILE)) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error.into()),
            _ => Ok(()),
        }
    }

    /// Seals what is committed, now.
    pub(crate) fn seal(&self) -> Result<()> {
        self.sealer.seal()
    }

    pub(super) fn committed(&self, news: News) {
        self.sealer.committed(news);
    }

    /// Seals what is committed, ends the thread and makes durable what edges said.
    pub(crate) fn stop(&self) {
        self.sealer.stop();
        let followers = self.followers.lock();
        for (node, follower) in followers.iter() {
            if let Err(error) = self.note(*node, follower, true) {
                tracing::warn!(%node, %error, "an edge's place in the stream was not kept");
            }
        }
    }

    /// Records that are not looked at yet, given the last one.
    pub(crate) fn unsealed(&self, last: Lsn) -> u64 {
        (last.0 + 1).saturating_sub(self.sealer.queue().cursor().0)
    }

    /// Lets go of everything and begins another epoch: every edge starts over.
    pub(super) fn begin_anew(&self, why: &str) -> Result<()> {
        tracing::info!("the stream to the edges begins anew: {why}");
        self.sealer.begin_anew()
    }

    pub(super) fn travelling(&self) -> Result<BTreeSet<TableId>> {
        kept_tables(self.sealer.queue())
    }

    pub(super) fn travel(&self, tables: &BTreeSet<TableId>) -> Result<()> {
        keep_tables(self.sealer.queue(), tables)
    }

    pub(crate) fn position(&self) -> (Epoch, u64) {
        let state = self.sealer.live();
        (state.epoch, state.last_sealed)
    }

    pub(crate) fn segment(&self, epoch: Epoch, seq: u64) -> Result<Option<SealedSegment>> {
        self.sealer.queue().segment(epoch, seq)
    }

    /// Whether an edge can go on from there; what it needs is kept for it from now on.
    pub(crate) fn follow(
        &self,
        node: NodeId,
        follow: &Follow,
        definitions: u64,
        now_ms: u64,
    ) -> Result<FollowAnswer> {
        let mut followers = self.followers.lock();
        let state = self.sealer.live();
        let known = follow.epoch == state.epoch
            && self.sealer.queue().hash_at(follow.epoch, follow.seq)? == Some(follow.hash);
        let mut follower = Follower {
            epoch: state.epoch,
            seq: follow.seq,
            seen_ms: now_ms,
            connected: true,
            current: known && !follow.fetching,
            ..followers.get(&node).copied().unwrap_or_default()
        };
        let answer = if known {
            FollowAnswer::Fits {
                last_sealed: state.last_sealed,
            }
        } else {
            follower.seq = state.last_sealed;
            self.start_overs.fetch_add(1, Ordering::Relaxed);
            FollowAnswer::StartOver(StartOver {
                id: follow.id,
                node: self.node,
                epoch: state.epoch,
                seq: state.last_sealed,
                hash: state.last_hash,
                definitions,
                reason: reason(follow, state.epoch, state.acknowledged),
            })
        };
        // An edge that is not known keeps nothing here for itself.
        let known = followers.get(&node);
        let is_news = known.is_none_or(|known| known.epoch != follower.epoch);
        self.note(node, &follower, is_news)?;
        followers.insert(node, follower);
        drop(followers);
        self.trim(now_ms)?;
        Ok(answer)
    }

    /// An edge holds the stream up to there.
    pub(crate) fn acknowledged(
        &self,
        node: NodeId,
        epoch: Epoch,
        seq: u64,
        now_ms: u64,
    ) -> Result<()> {
        {
            let mut followers = self.followers.lock();
            if epoch != self.sealer.live().epoch {
                return Ok(());
            }
            let follower = Follower {
                epoch,
                seq,
                seen_ms: now_ms,
                connected: true,
                current: true,
                ..followers.get(&node).copied().unwrap_or_default()
            };
            self.note(node, &follower, false)?;
            followers.insert(node, follower);
        }
        self.trim(now_ms)
    }

    /// Lets go of what no edge needs any more, and of what is too much.
    fn trim(&self, now_ms: u64) -> Result<()> {
        let mut followers = self.followers.lock();
        let state = self.sealer.live();
        let gone: Vec<NodeId> = followers
            .iter()
            .filter(|(_, follower)| self.was_away(follower, now_ms))
            .map(|(node, _)| *node)
            .collect();
        for node in gone {
            self.sealer.queue().keep(&name_of(node), None, false)?;
            followers.remove(&node);
            tracing::info!(%node, "an edge was away for too long; it will start over");
        }
        // Of another epoch they start over anyway.
        let needed = followers
            .values()
            .filter(|follower| follower.epoch == state.epoch)
            .map(|follower| follower.seq);
        let mut upto = needed.min().unwrap_or(state.last_sealed);
        let mut bytes = state.pending_bytes;
        let queue = self.sealer.queue();
        // Bytes of what goes by itself count too: the bound is reached a little early rather than late.
        while bytes > self.keep_bytes && upto < state.last_sealed {
            upto += 1;
            let segment = queue.segment(state.epoch, upto)?;
            bytes = bytes.saturating_sub(segment.map_or(0, |one| one.payload.len() as u64));
        }
        queue.acknowledge(state.epoch, upto)
    }

    fn note(&self, node: NodeId, follower: &Follower, durably: bool) -> Result<()> {
        let bytes = postcard::to_stdvec(follower)
            .map_err(|error| Error::internal(format!("an edge's place: {error}")))?;
        self.sealer
            .queue()
            .keep(&name_of(node), Some(&bytes), durably)
    }
}

fn reason(follow: &Follow, epoch: Epoch, kept_after: u64) -> String {
    if follow.epoch == Epoch::default() {
        "this edge never held the cloud's tables".to_owned()
    } else if follow.epoch != epoch {
        "the cloud's stream began anew".to_owned()
    } else if follow.seq < kept_after && follow.hash != ChainHash::GENESIS {
        format!(
            "this edge stands at segment {} and the stream is kept after {kept_after}",
            follow.seq
        )
    } else {
        format!(
            "segment {} is another one here than at the edge",
            follow.seq
        )
    }
}

fn name_of(node: NodeId) -> String {
    format!("{FOLLOWER}{node}")
}

fn kept_tables(queue: &Queue) -> Result<BTreeSet<TableId>> {
    let kept = queue.kept(TRAVELLING)?;
    let ids = kept.first().map(|(_, bytes)| postcard::from_bytes(bytes));
    match ids {
        Some(Ok(ids)) => Ok(ids),
        // Then every table counts as one that begins to travel.
        Some(Err(_)) | None => Ok(BTreeSet::new()),
    }
}

fn keep_tables(queue: &Queue, tables: &BTreeSet<TableId>) -> Result<()> {
    let bytes = postcard::to_stdvec(tables)
        .map_err(|error| Error::internal(format!("the tables that travel: {error}")))?;
    queue.keep(TRAVELLING, Some(&bytes), true)
}
