//! The merge of a scan: the sources of one key range as one stream of runs, rows that nothing has to be
//! merged with, and of single keys with all their fragments.
//!
//! There are few sources (compaction sees to that), so the next one is found by looking at each;
//! while one source is ahead of all others, only it is looked at.

use std::cmp::Ordering;

use activestore_sst::StampZone;
use activestore_types::Result;

use super::file::FileSource;
use super::piece::Pieces;
use super::source::{Alone, Source};
use crate::read::copy::Span;
use crate::read::piece::Fragment;

pub(crate) struct Merge {
    sources: Vec<Source>,
    reverse: bool,
    /// The source that is ahead and the nearest of the others, while they are known.
    lead: Option<(usize, Option<usize>)>,
    key: Vec<u8>,
    /// The sources that hold the next key.
    tied: Vec<usize>,
}

pub(crate) enum Step {
    /// Nothing is left.
    End,
    /// The fragments of the next key were added, in no order.
    Key,
    /// Rows were added in the order they are to come, each the only fragment of its key; or rows
    /// that do not show were passed.
    Run,
}

impl Merge {
    pub(crate) fn new(sources: Vec<Source>, reverse: bool) -> Self {
        Merge {
            sources,
            reverse,
            lead: None,
            key: Vec::new(),
            tied: Vec::new(),
        }
    }

    /// The key of the last [`Step::Key`].
    pub(crate) fn key(&self) -> &[u8] {
        &self.key
    }

    /// The next step of a scan: what stands alone is handed out without key work.
    pub(crate) fn step(
        &mut self,
        alone: &Alone<'_>,
        pieces: &mut Pieces,
        fragments: &mut Vec<Fragment>,
        spans: &mut Vec<Span>,
    ) -> Result<Step> {
        loop {
            let Some((lead, known)) = self.lead() else {
                return Ok(Step::End);
            };
            let runner = self.lead.and_then(|(_, runner)| runner);
            let other = runner.and_then(|runner| self.sources.get(runner)?.bound());
            let Some(source) = self.sources.get(lead) else {
                return Ok(Step::End);
            };
            if let Source::File(file) = source
                && !file.is_loaded()
                && let Some(shows) = file.whole(other, alone)?
            {
                self.lead = None;
                if let Some(Source::File(file)) = self.sources.get_mut(lead) {
                    spans.extend(file.take_whole(shows, pieces));
                }
                return Ok(Step::Run);
            }
            if self.load(lead, pieces)? {
                continue;
            }
            let Some(source) = self.sources.get(lead) else {
                return Ok(Step::End);
            };
            let runner = self.lead.and_then(|(_, runner)| runner);
            let other = runner.and_then(|runner| self.sources.get(runner)?.bound());
            let (rows, shows) = source.run(other, alone)?;
            if rows > 0 {
                match self.sources.get_mut(lead) {
                    Some(Source::File(file)) => spans.extend(file.take_run(rows, shows, pieces)),
                    Some(Source::View(view)) => view.take_run(rows, pieces, spans),
                    None => {}
                }
                return Ok(Step::Run);
            }
            if !known && self.supersede(lead, alone, pieces, spans)? {
                return Ok(Step::Run);
            }
            self.take_key(lead, known, pieces, fragments)?;
            return Ok(Step::Key);
        }
    }

    /// Where several files hold the same keys and one of them is newer throughout and sets everything,
    /// takes its rows and passes those of the others, unread. Whether it did.
    fn supersede(
        &mut self,
        lead: usize,
        alone: &Alone<'_>,
        pieces: &mut Pieces,
        spans: &mut Vec<Span>,
    ) -> Result<bool> {
        let Some(key) = self.sources.get(lead).and_then(Source::bound) else {
            return Ok(false);
        };
        self.tied.clear();
        let mut other: Option<&[u8]> = None;
        let mut newest: Option<(usize, &FileSource, StampZone)> = None;
        for (index, source) in self.sources.iter().enumerate() {
            let Some(bound) = source.bound() else {
                continue;
            };
            if bound != key {
                if other.is_none_or(|other| self.compare(bound, other) == Ordering::Less) {
                    other = Some(bound);
                }
                continue;
            }
            let Source::File(file) = source else {
                return Ok(false);
            };
            let Some(stamps) = file.stamps().copied() else {
                return Ok(false);
            };
            self.tied.push(index);
            let newer = newest.is_none_or(|(_, _, newest)| stamps.max_hlc > newest.max_hlc);
            if newer {
                newest = Some((index, file, stamps));
            }
        }
        let Some((winner, file, stamps)) = newest else {
            return Ok(false);
        };
        if self.tied.len() < 2 || !file.decides(pieces.wanted()) {
            return Ok(false);
        }
        let (mut rows, shows) = file.run(other, alone)?;
        for index in self.tied.iter().filter(|index| **index != winner) {
            let Some(Source::File(loser)) = self.sources.get(*index) else {
                return Ok(false);
            };
            let older = loser
                .stamps()
                .is_some_and(|zone| zone.max_hlc < stamps.min_hlc);
            rows = if older {
                rows.min(file.common(loser))
            } else {
                0
            };
        }
        if rows == 0 {
            return Ok(false);
        }
        for index in std::mem::take(&mut self.tied) {
            if let Some(Source::File(file)) = self.sources.get_mut(index) {
                let span = file.take_run(rows, shows && index == winner, pieces);
                spans.extend(span);
            }
        }
        self.lead = None;
        Ok(true)
    }

    /// Loads a source that is not; whether it was not. More of the next key may hide in it.
    fn load(&mut self, lead: usize, pieces: &mut Pieces) -> Result<bool> {
        match self.sources.get_mut(lead) {
            Some(source) if !source.is_loaded() => {
                self.lead = None;
                source.load(pieces)?;
                Ok(true)
            }
            _ => Ok(false),
        }
    }

    /// Takes the next key of the lead, and from every other source that has it.
    fn take_key(
        &mut self,
        lead: usize,
        known: bool,
        pieces: &mut Pieces,
        fragments: &mut Vec<Fragment>,
    ) -> Result<()> {
        self.key.clear();
        let bound = self.sources.get(lead).and_then(Source::bound);
        self.key.extend_from_slice(bound.unwrap_or(&[]));
        if known {
            if let Some(source) = self.sources.get_mut(lead) {
                source.take(&self.key, pieces, fragments)?;
            }
            return Ok(());
        }
        let mut shared = false;
        for (index, source) in self.sources.iter_mut().enumerate() {
            if source.bound() == Some(self.key.as_slice()) {
                shared |= index != lead;
                source.take(&self.key, pieces, fragments)?;
            }
        }
        if shared {
            self.lead = None;
        }
        Ok(())
    }

    /// The source that is ahead, and whether it is known to be ahead of all others.
    fn lead(&mut self) -> Option<(usize, bool)> {
        match self.known_lead() {
            Some(lead) => Some((lead, true)),
            None => self.find_lead().map(|lead| (lead, false)),
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
