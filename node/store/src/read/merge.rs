//! The merge: the sources of one key range as one stream of keys, each with all its fragments, or
//! of whole vectors where nothing has to be merged.
//!
//! There are few sources (compaction sees to that), so the next one is found by looking at each;
//! while one source is ahead of all others, only it is looked at.

use std::cmp::Ordering;

use activestore_types::Result;

use super::piece::{Fragment, Pieces};
use super::source::{Run, Source, Whole};
use crate::version::TombstoneMap;

pub(crate) struct Merge {
    sources: Vec<Source>,
    reverse: bool,
    /// The source that is ahead and the nearest of the others, while they are known.
    lead: Option<(usize, Option<usize>)>,
    key: Vec<u8>,
}

#[allow(dead_code, reason = "no merge of fragments copies runs yet")]
pub(crate) enum Step {
    /// Nothing is left.
    End,
    /// The fragments of the next key were added, in no order.
    Key,
    /// A vector to be shown as it is.
    Whole(Whole),
    /// Rows of a piece, in the order they are to come, each the only fragment of its key.
    Run(Run),
}

impl Merge {
    pub(crate) fn new(sources: Vec<Source>, reverse: bool) -> Self {
        Merge {
            sources,
            reverse,
            lead: None,
            key: Vec::new(),
        }
    }

    /// The next step. With `alone` given, what stands alone and is touched by no range tombstone of
    /// it is handed out without key work: vectors undecoded, and runs of at most so many rows.
    pub(crate) fn step(
        &mut self,
        alone: Option<(&TombstoneMap, usize)>,
        pieces: &mut Pieces,
        out: &mut Vec<Fragment>,
    ) -> Result<Step> {
        loop {
            let (lead, known) = match self.known_lead() {
                Some(lead) => (lead, true),
                None => match self.find_lead() {
                    Some(lead) => (lead, false),
                    None => return Ok(Step::End),
                },
            };
            let runner = self.lead.and_then(|(_, runner)| runner);
            let other = runner.and_then(|runner| self.sources.get(runner)?.bound());
            let Some(source) = self.sources.get(lead) else {
                return Ok(Step::End);
            };
            if !source.is_loaded() {
                let whole = match (alone, source) {
                    (Some((tombstones, _)), Source::File(file)) => {
                        file.stands_alone(other, |first, last| tombstones.overlaps(first, last))
                    }
                    _ => false,
                };
                self.lead = None;
                let Some(source) = self.sources.get_mut(lead) else {
                    return Ok(Step::End);
                };
                if whole
                    && let Source::File(file) = source
                    && let Some(vector) = file.take_whole(pieces)
                {
                    return Ok(Step::Whole(vector));
                }
                source.load(pieces)?;
                continue;
            }
            if let (Some((tombstones, room)), Source::File(file)) = (alone, source) {
                let rows =
                    file.run_before(other, room, |first, last| tombstones.overlaps(first, last));
                if rows > 0
                    && let Some(Source::File(file)) = self.sources.get_mut(lead)
                    && let Some(run) = file.take_run(rows, pieces)
                {
                    return Ok(Step::Run(run));
                }
            }
            let Some(source) = self.sources.get(lead) else {
                return Ok(Step::End);
            };
            self.key.clear();
            self.key.extend_from_slice(source.bound().unwrap_or(&[]));
            if known {
                if let Some(source) = self.sources.get_mut(lead) {
                    source.take(&self.key, pieces, out)?;
                }
                return Ok(Step::Key);
            }
            let mut shared = false;
            for (index, source) in self.sources.iter_mut().enumerate() {
                if source.bound() == Some(self.key.as_slice()) {
                    shared |= index != lead;
                    source.take(&self.key, pieces, out)?;
                }
            }
            if shared {
                self.lead = None;
            }
            return Ok(Step::Key);
        }
    }

    /// The lead of the last step, if it is loaded and still ahead of all others.
    fn known_lead(&self) -> Option<usize> {
        let (lead, runner) = self.lead?;
        let source = self.sources.get(lead).filter(|source| source.is_loaded())?;
        let bound = source.bound()?;
        let Some(runner) = runner else {
            return Some(lead);
        };
        let other = self.sources.get(runner)?.bound()?;
        (self.compare(bound, other) == Ordering::Less).then_some(lead)
    }

    /// Looks at every source; of equal bounds one that is not loaded comes first, since more
    /// fragments of the key may hide in it.
    fn find_lead(&mut self) -> Option<usize> {
        self.lead = None;
        let mut best: Option<(usize, &[u8], bool)> = None;
        let mut second: Option<(usize, &[u8])> = None;
        for (index, source) in self.sources.iter().enumerate() {
            let Some(bound) = source.bound() else {
                continue;
            };
            let loaded = source.is_loaded();
            let first = best.is_none_or(|(_, best, best_loaded)| {
                self.compare(bound, best).then(loaded.cmp(&best_loaded)) == Ordering::Less
            });
            if first {
                second = best.map(|(index, bound, _)| (index, bound));
                best = Some((index, bound, loaded));
            } else if second.is_none_or(|(_, second)| self.compare(bound, second) == Ordering::Less)
            {
                second = Some((index, bound));
            }
        }
        let (lead, ..) = best?;
        self.lead = Some((lead, second.map(|(index, _)| index)));
        Some(lead)
    }

    fn compare(&self, left: &[u8], right: &[u8]) -> Ordering {
        if self.reverse {
            right.cmp(left)
        } else {
            left.cmp(right)
        }
    }
}
