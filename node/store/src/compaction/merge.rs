//! The merge of files: their fragments as one stream of whole vectors and runs that nothing is merged
//! with, and of single keys, each with all its fragments.

use activestore_types::Result;

use super::source::{FileSource, Run, Whole};
use crate::read::{Fragment, Head, Lead, Pieces};
use crate::version::TombstoneMap;

pub(super) struct Merge {
    sources: Vec<FileSource>,
    lead: Lead,
    key: Vec<u8>,
}

pub(super) enum Step {
    /// Nothing is left.
    End,
    /// The fragments of the next key were added, in no order.
    Key,
    /// A vector to be moved as it is.
    Whole(Whole),
    /// Rows of a piece, each the only fragment of its key.
    Run(Run),
}

impl Merge {
    pub(super) fn new(sources: Vec<FileSource>) -> Self {
        Merge {
            sources,
            lead: Lead::new(false),
            key: Vec::new(),
        }
    }

    /// The key of the last [`Step::Key`].
    pub(super) fn key(&self) -> &[u8] {
        &self.key
    }

    /// The next step. What `tombstones` touch is handed out key by key; runs are of at most `room` rows.
    pub(super) fn step(
        &mut self,
        tombstones: &TombstoneMap,
        room: usize,
        pieces: &mut Pieces,
        out: &mut Vec<Fragment>,
    ) -> Result<Step> {
        loop {
            let Some((lead, known)) = self.lead.find(&self.sources) else {
                return Ok(Step::End);
            };
            let (source, other) = match self.lead.runner() {
                None => (self.sources.get_mut(lead), None),
                Some(runner) => match self.sources.get_disjoint_mut([lead, runner]) {
                    Ok([source, runner]) => (Some(source), Head::bound(runner)),
                    Err(_) => (None, None),
                },
            };
            let Some(source) = source else {
                return Ok(Step::End);
            };
            if !source.is_loaded() {
                self.lead.forget();
                if let Some(whole) = source.take_whole(other, tombstones)? {
                    return Ok(Step::Whole(whole));
                }
                source.load()?;
                continue;
            }
            if let Some(run) = source.take_run(other, room, tombstones, pieces) {
                return Ok(Step::Run(run));
            }
            self.take_key(lead, known, pieces, out)?;
            return Ok(Step::Key);
        }
    }

    /// Takes the next key of the lead, and from every other source that has it.
    fn take_key(
        &mut self,
        lead: usize,
        known: bool,
        pieces: &mut Pieces,
        out: &mut Vec<Fragment>,
    ) -> Result<()> {
        self.key.clear();
        let bound = self.sources.get(lead).and_then(Head::bound);
        self.key.extend_from_slice(bound.unwrap_or(&[]));
        let mut shared = false;
        for (index, source) in self.sources.iter_mut().enumerate() {
            let holds = index == lead || (!known && source.bound() == Some(self.key.as_slice()));
            if holds {
                shared |= index != lead;
                source.take(&self.key, pieces, out)?;
            }
        }
        if shared {
            self.lead.forget();
        }
        Ok(())
    }
}
