//! The connections of edges that were let in, and which of them is the one of its edge.

use std::collections::BTreeMap;

use activestore_sync_proto::PeerStatus;
use activestore_types::{Epoch, NodeId};

use super::Shared;
use crate::link::Link;
use crate::member::Member;

/// A connection and whose it is.
pub(super) struct Peer {
    pub(super) connection: Link,
    pub(super) member: Member,
    /// Known once the edge has greeted.
    pub(super) epoch: Option<Epoch>,
    pub(super) status: Option<PeerStatus>,
    /// Whether its handshake is done. Before, its greeting may be a replay of early data.
    pub(super) proven: bool,
}

impl Shared {
    /// What the protocol knows of a connection's edge.
    pub(crate) fn seen(&self, connection: &Link, status: PeerStatus) {
        if let Some(peer) = self.peers.lock().get_mut(&connection.id()) {
            peer.status = Some(status);
        }
    }

    /// Closes what is left of this edge's earlier connections. Another epoch of the same node is
    /// another copy of it, which goes on.
    pub(crate) fn replace_older(&self, connection: &Link, node: NodeId, epoch: Epoch) {
        let mut peers = self.peers.lock();
        let Some(peer) = peers.get_mut(&connection.id()) else {
            return;
        };
        peer.epoch = Some(epoch);
        if peer.proven {
            close_others(&peers, connection.id(), node, epoch);
        }
    }

    /// The handshake of a connection that was served before it was done.
    pub(super) fn proven(&self, connection: &Link) {
        let mut peers = self.peers.lock();
        let Some(peer) = peers.get_mut(&connection.id()) else {
            return;
        };
        peer.proven = true;
        if let (node, Some(epoch)) = (peer.member.node, peer.epoch) {
            close_others(&peers, connection.id(), node, epoch);
        }
    }
}

fn close_others(peers: &BTreeMap<usize, Peer>, id: usize, node: NodeId, epoch: Epoch) {
    for (other, peer) in peers {
        if *other != id && peer.member.node == node && peer.epoch == Some(epoch) {
            peer.connection.close(b"the edge connected again elsewhere");
        }
    }
}
