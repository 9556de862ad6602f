//! The comparison of rows that others wrote: which of them this node must hold, whom it tells of them, and how it gets
//! what it lacks.

use std::collections::BTreeSet;

use activestore_store::{Note, Share, WalkedRow, WriteSet};
use activestore_sync_proto::reconcile::{View, Whose};
use activestore_types::{Hlc, NodeId, OriginId, Result};

use crate::db::Inner;
use crate::down::NOTE;
use crate::inbox::all_progress;
use crate::outbox::News;
use crate::relay::relayed_writers;
use crate::write::SETTLED_AFTER_MS;

/// Segments of the stream that may be on their way all the time.
const LAG_MAX: u64 = 4;

/// Nodes below a gateway whose rows are compared, at most; a question each.
const BELOW_MAX: usize = 4096;

/// Whether what a node wrote is looked at; `writer` is who asks where the rows of all others are compared.
pub(super) fn is_looked_at(view: &View, writer: OriginId, origin: OriginId) -> bool {
    (origin == writer) == (view.whose != Whose::Others)
}

/// What of a row is compared: for each writer that is looked at what it has in it. A delete that one end may have
/// forgotten is not.
pub(super) fn parts<'a>(
    view: &'a View,
    asker: OriginId,
    row: &'a WalkedRow<'_>,
) -> impl Iterator<Item = &'a Share> {
    let counts = |share: &&Share| !row.deleted || share.hlc >= view.deletes_from.0;
    let shares = row.shares.iter().filter(counts);
    shares.filter(move |share| is_looked_at(view, asker, share.origin))
}

impl Inner {
    pub(super) fn view_of_others(&self, view: &View) -> Option<View> {
        let place = self.place().ok().flatten()?;
        // What was written a moment ago may not be sealed yet.
        let as_of = view.as_of.wall_ms().saturating_sub(SETTLED_AFTER_MS);
        place.cursor.is_none().then(|| View {
            as_of: Hlc::from_ms(as_of),
            whose: Whose::Others,
            evicted: Vec::new(),
            ..view.clone()
        })
    }

    /// The rows of the next node below this one.
    pub(super) fn view_below(&self, own: &View, after: Option<NodeId>) -> Option<View> {
        if !self.options.role.has_cloud() || !self.options.role.has_edges() {
            return None;
        }
        let brought = all_progress(self).into_iter().map(|(node, _, _)| node);
        let through = relayed_writers(self).into_iter();
        // Each has many chains.
        let nodes: BTreeSet<NodeId> = brought.chain(through).collect();
        let mut nodes = nodes
            .into_iter()
            .filter(|node| *node != self.node)
            .take(BELOW_MAX);
        let next = nodes.find(|node| after.is_none_or(|after| *node > after))?;
        Some(View {
            whose: Whose::Of(next),
            evicted: Vec::new(),
            ..own.clone()
        })
    }

    /// Whether the node that asks is told of rows: of those of another one only a gateway that they came through last.
    pub(super) fn tells(&self, view: &View) -> bool {
        let Whose::Of(node) = view.whose else {
            return true;
        };
        let through = self.came_through(node);
        self.is_gateway(view.writer) && through.is_some_and(|through| through == view.writer)
    }

    pub(super) fn unfollowed(&self, view: &View) -> u64 {
        if view.whose != Whose::Others {
            return 0;
        }
        let stream = self.down.stream();
        let standing = stream.and_then(|stream| stream.standing(view.writer));
        standing.map_or(1, |(_, behind)| behind.saturating_sub(LAG_MAX))
    }

    /// Has this node start over where it asks its cloud next.
    pub(super) fn forget_place(&self) -> Result<()> {
        let _turn = self.down.following.lock();
        self.store.commit(WriteSet {
            notes: vec![Note {
                key: NOTE.to_vec(),
                value: None,
            }],
            ..WriteSet::default()
        })?;
        self.wake_sealers(News::default());
        Ok(())
    }
}
