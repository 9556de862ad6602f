//! A gateway signs for its edges what its own cloud has signed for, no more: so an edge that lets rows go by a receipt
//! lets go of what the uppermost node holds, however many gateways stand between.
//!
//! Which log record holds an edge's segment is remembered until the cloud's receipts cover it. That is in memory: after a
//! start everything that is here counts as if it had come last. A chain that began before the outbox's present
//! generation has rows of which no receipt of the cloud will ever speak, so it is not signed for any more.

use std::collections::{BTreeMap, VecDeque};
use std::ops::RangeInclusive;

use activestore_store::Note;
use activestore_types::{Epoch, Error, Lsn, NodeId, Result};
use parking_lot::Mutex;

use crate::db::Inner;
use crate::inbox::{KeptProgress, kept};

/// Followed by a node's id and an epoch: the outbox's generation when that chain began, u64 little-endian. A chain
/// without one began while this node shipped to nobody.
const BEGAN: &str = "sync/in-generation/";
/// Segments of a chain that are remembered, at most; beyond them the newest stands for those before it.
const MARKS_MAX: usize = 4096;

/// Chains of one edge that are done and wait for their last receipt, at most.
const DONE_MAX: usize = 16;

#[derive(Default)]
struct Chain {
    /// How far the chain is, and the log record of that.
    marks: VecDeque<(KeptProgress, Lsn)>,
    /// Where nothing more comes in it and nothing else here tells how far it was: the outbox's generation then.
    done: Option<u64>,
}

/// How far edges' chains are in the log of a gateway.
#[derive(Default)]
pub(crate) struct Passing(Mutex<BTreeMap<(NodeId, Epoch), Chain>>);

/// The chains of a node.
fn of_node(node: NodeId) -> RangeInclusive<(NodeId, Epoch)> {
    (node, Epoch(0))..=(node, Epoch(u64::MAX))
}

fn began_key(node: NodeId, epoch: Epoch) -> Vec<u8> {
    format!("{BEGAN}{node}/{:016x}", epoch.0).into_bytes()
}

impl Inner {
    /// What is noted beside the first segment of a chain.
    pub(crate) fn note_of_beginning(&self, node: NodeId, epoch: Epoch) -> Option<Note> {
        self.outbox.as_ref().map(|_| Note {
            key: began_key(node, epoch),
            value: Some(self.generation().to_le_bytes().to_vec()),
        })
    }

    /// What is noted where a chain is forgotten.
    pub(crate) fn note_of_end(&self, node: NodeId, epoch: Epoch) -> Option<Note> {
        let key = began_key(node, epoch);
        let known = self.store.note(&key).is_some();
        known.then_some(Note { key, value: None })
    }

    fn is_of_this_generation(&self, node: NodeId, epoch: Epoch) -> bool {
        let noted = self.store.note(&began_key(node, epoch));
        let noted = noted.and_then(|bytes| bytes.try_into().ok());
        noted.is_some_and(|began| u64::from_le_bytes(began) == self.generation())
    }

    /// A segment of an edge is in that log record.
    pub(crate) fn arrived(&self, node: NodeId, epoch: Epoch, progress: KeptProgress, lsn: Lsn) {
        if self.outbox.is_none() {
            return;
        }
        let mut chains = self.receipts.passing.0.lock();
        if !chains.contains_key(&(node, epoch)) {
            // Others of the node may be at their end without a word: the newest mark of each stands for all.
            for (_, chain) in chains.range_mut(of_node(node)) {
                let all_but_one = chain.marks.len().saturating_sub(1);
                chain.marks.drain(..all_but_one);
            }
        }
        let marks = &mut chains.entry((node, epoch)).or_default().marks;
        if marks.len() >= MARKS_MAX {
            marks.pop_back();
        }
        marks.push_back((progress, lsn));
    }

    /// Nothing more comes in a chain. Its last receipt may still be asked for.
    pub(crate) fn departed(&self, node: NodeId, epoch: Epoch) {
        let mut chains = self.receipts.passing.0.lock();
        if !self.is_of_this_generation(node, epoch) {
            chains.remove(&(node, epoch));
        }
        if let Some(chain) = chains.get_mut(&(node, epoch)) {
            chain.done = Some(self.generation());
        }
        let of_node = chains.range(of_node(node));
        let done = of_node.filter(|(_, chain)| chain.done.is_some());
        let done: Vec<_> = done.map(|(key, _)| *key).collect();
        if done.len() > DONE_MAX
            && let Some(first) = done.iter().find(|key| key.1 != epoch)
        {
            chains.remove(first);
        }
    }

    /// How far a chain may be signed for; `None` where nothing of it is here.
    ///
    /// # Errors
    /// `Overloaded` while this node's own cloud has signed for none of it: it is asked again later.
    pub(super) fn signable(&self, node: NodeId, epoch: Epoch) -> Result<Option<KeptProgress>> {
        let here = kept(self, node, epoch)?;
        if self.outbox.is_none() {
            return Ok(here);
        }
        // Read first: what is set aside meanwhile raises the generation.
        let covered = self.covered(None);
        if here.is_some() && !self.is_of_this_generation(node, epoch) {
            return Ok(None);
        }
        let mut chains = self.receipts.passing.0.lock();
        if let (None, Some(here)) = (chains.get(&(node, epoch)), here) {
            let chain = chains.entry((node, epoch)).or_default();
            chain.marks.push_back((here, self.store.last_lsn()));
        }
        let Some(Chain { marks, done }) = chains.get_mut(&(node, epoch)) else {
            return Ok(None);
        };
        if done.is_some_and(|generation| generation != self.generation()) {
            return Ok(None);
        }
        while marks.get(1).is_some_and(|(_, lsn)| *lsn <= covered) {
            marks.pop_front();
        }
        match marks.front() {
            Some((progress, lsn)) if *lsn <= covered => Ok(Some(*progress)),
            _ => Err(Error::overloaded(
                "this gateway's own cloud has not signed for the rows yet",
            )),
        }
    }
}
