//! Who may connect, as the list of members had it at one moment.

use std::collections::HashSet;
use std::sync::Arc;

use activestore_types::NodeId;

use super::Records;
use crate::member::Member;

/// The members at one moment.
#[derive(Clone, Default)]
pub(crate) struct Standing(pub(super) Arc<Records>);

impl Standing {
    /// Whether nothing was changed between the two.
    pub(crate) fn is(&self, other: &Standing) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }

    /// Those of `members` who may connect no more.
    pub(crate) fn turned_away<K>(&self, mut members: Vec<(K, Member)>) -> Vec<(K, Member)> {
        let standing: HashSet<(NodeId, &str)> = self
            .0
            .tokens
            .iter()
            .filter(|token| !token.info.revoked)
            .filter_map(|token| Some((token.info.node?, token.key_sha256.as_deref()?)))
            .collect();
        members
            .retain(|(_, member)| !standing.contains(&(member.node, member.key_sha256.as_str())));
        members
    }
}
