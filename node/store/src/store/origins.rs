//! Which node each [`OriginId`] of this store's files stands for.

use std::collections::BTreeMap;

use activestore_types::{NodeId, OriginId};
use parking_lot::RwLock;

pub(crate) struct OriginMap {
    this: NodeId,
    maps: RwLock<(BTreeMap<OriginId, NodeId>, BTreeMap<NodeId, OriginId>)>,
}

impl OriginMap {
    /// From the manifest; 0 is `this` node.
    pub(crate) fn new(this: NodeId, by_id: BTreeMap<OriginId, NodeId>) -> Self {
        let by_node = by_id.iter().map(|(id, node)| (*node, *id)).collect();
        OriginMap {
            this,
            maps: RwLock::new((by_id, by_node)),
        }
    }

    pub(crate) fn node(&self, id: OriginId) -> Option<NodeId> {
        self.maps.read().0.get(&id).copied()
    }

    /// The node, or this one for an id that was never given out: an order is needed all the same.
    pub(crate) fn node_or_this(&self, id: OriginId) -> NodeId {
        self.node(id).unwrap_or(self.this)
    }

    pub(crate) fn id(&self, node: NodeId) -> Option<OriginId> {
        self.maps.read().1.get(&node).copied()
    }

    pub(crate) fn next_id(&self) -> OriginId {
        let maps = self.maps.read();
        OriginId(
            maps.0
                .keys()
                .next_back()
                .map_or(0, |last| last.0.saturating_add(1)),
        )
    }

    pub(crate) fn insert(&self, id: OriginId, node: NodeId) {
        let mut maps = self.maps.write();
        maps.0.insert(id, node);
        maps.1.insert(node, id);
    }
}
