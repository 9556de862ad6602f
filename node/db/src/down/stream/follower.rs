//! How far an edge holds the stream, and what else the cloud knows of it.

use std::sync::atomic::Ordering;

use activestore_types::{Epoch, NodeId};
use serde::{Deserialize, Serialize};

use super::Stream;

/// How far an edge holds the stream.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Follower {
    pub(super) epoch: Epoch,
    pub(crate) seq: u64,
    /// When it was last heard of, in milliseconds since 1970.
    pub(crate) seen_ms: u64,
    #[serde(skip)]
    pub(super) connected: bool,
    /// Whether it has said where it stands, and the stream goes on from there, since it was away for too long or
    /// this process began.
    #[serde(skip)]
    pub(super) current: bool,
    /// Whether everything that it has sealed is here, as far as it has said.
    #[serde(skip)]
    pub(super) level: bool,
    /// When that was so last; 0 for not since this process began.
    #[serde(skip)]
    pub(super) level_ms: u64,
}

/// The stream at a glance.
#[derive(Clone, Copy, Debug)]
pub(crate) struct StreamReport {
    pub(crate) last_sealed: u64,
    pub(crate) kept_bytes: u64,
    pub(crate) behind_max: u64,
    pub(crate) start_overs: u64,
    pub(crate) seal_failures: u64,
}

impl Stream {
    /// An edge was heard of, or left; whether all that it has sealed is here.
    pub(crate) fn seen(&self, node: NodeId, connected: bool, level: bool, now_ms: u64) {
        if let Some(follower) = self.followers.lock().get_mut(&node) {
            // It is not taken for who it was: it asks where the stream goes on.
            follower.current &= !self.was_away(follower, now_ms);
            follower.connected = connected;
            follower.seen_ms = now_ms;
            follower.level = level;
            if connected && level {
                follower.level_ms = now_ms;
            }
        }
    }

    /// Whether an edge goes on with the stream, having fetched the tables where it had to.
    pub(in crate::down) fn is_current(&self, node: NodeId) -> bool {
        let followers = self.followers.lock();
        followers
            .get(&node)
            .is_some_and(|follower| follower.current)
    }

    /// The moment up to which everything that edges had sealed was here, of those that were not away for too long;
    /// `None` where there are none.
    pub(in crate::down) fn level_ms(&self, now_ms: u64) -> Option<u64> {
        let followers = self.followers.lock();
        let near = followers.values().filter(|one| !self.was_away(one, now_ms));
        let moments = near.map(|follower| match follower.connected && follower.level {
            // It would have said otherwise.
            true => now_ms,
            false => follower.level_ms,
        });
        moments.min()
    }

    pub(super) fn was_away(&self, follower: &Follower, now_ms: u64) -> bool {
        let keep_ms = u64::try_from(self.keep.as_millis()).unwrap_or(u64::MAX);
        !follower.connected && now_ms.saturating_sub(follower.seen_ms) > keep_ms
    }

    /// How far an edge is: the last segment held and how many it lacks.
    pub(crate) fn standing(&self, node: NodeId) -> Option<(Follower, u64)> {
        let state = self.sealer.live();
        let follower = self.followers.lock().get(&node).copied()?;
        let held = if follower.epoch == state.epoch {
            follower.seq
        } else {
            0
        };
        Some((follower, state.last_sealed.saturating_sub(held)))
    }

    pub(crate) fn followers(&self) -> Vec<NodeId> {
        self.followers.lock().keys().copied().collect()
    }

    pub(crate) fn report(&self) -> StreamReport {
        let state = self.sealer.live();
        let nodes = self.followers();
        let behind = nodes.into_iter().filter_map(|node| self.standing(node));
        StreamReport {
            last_sealed: state.last_sealed,
            kept_bytes: state.pending_bytes,
            behind_max: behind.map(|(_, behind)| behind).max().unwrap_or(0),
            start_overs: self.start_overs.load(Ordering::Relaxed),
            seal_failures: self.sealer.failures(),
        }
    }
}
