//! How far the chains of edges are applied: a note beside the rows of each segment.

use activestore_sync_proto::ChainHash;
use activestore_types::{Epoch, Error, NodeId, Result};
use serde::{Deserialize, Serialize};

use crate::db::Inner;

const PREFIX: &str = "sync/in/";

#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(crate) struct KeptProgress {
    pub(crate) seq: u64,
    pub(crate) hash: ChainHash,
    /// Row fragments applied in this epoch.
    pub(crate) rows: u64,
}

pub(super) fn note_key(node: NodeId, epoch: Epoch) -> Vec<u8> {
    format!("{PREFIX}{node}/{:016x}", epoch.0).into_bytes()
}

pub(crate) fn kept(inner: &Inner, node: NodeId, epoch: Epoch) -> Result<Option<KeptProgress>> {
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
