//! Which of several sources in key order comes next. There are few (compaction sees to that), so it is
//! found by looking at each; while one source is ahead of all others, only it is looked at.

use std::cmp::Ordering;

/// Where a source stands.
pub(crate) trait Head {
    /// A bound of the next key, the key itself where the source is loaded; `None` at the end.
    fn bound(&self) -> Option<&[u8]>;
    /// Whether the bound is the next key itself.
    fn is_loaded(&self) -> bool;
}

pub(crate) struct Lead {
    reverse: bool,
    /// The source that is ahead and the nearest of the others, while they are known.
    known: Option<(usize, Option<usize>)>,
}

impl Lead {
    pub(crate) fn new(reverse: bool) -> Self {
        Lead {
            reverse,
            known: None,
        }
    }

    /// Whether keys come from the last to the first.
    pub(crate) fn is_reverse(&self) -> bool {
        self.reverse
    }

    /// To be called after a source that may not be ahead any more has moved.
    pub(crate) fn forget(&mut self) {
        self.known = None;
    }

    /// The source that is ahead, and whether it is known to be ahead of all others.
    pub(crate) fn find(&mut self, sources: &[impl Head]) -> Option<(usize, bool)> {
        match self.still_ahead(sources) {
            Some(lead) => Some((lead, true)),
            None => self.look(sources).map(|lead| (lead, false)),
        }
    }

    /// The nearest of the sources behind the one that is ahead, while it is known.
    pub(crate) fn runner(&self) -> Option<usize> {
        self.known.and_then(|(_, runner)| runner)
    }

    /// Its bound.
    pub(crate) fn other<'a>(&self, sources: &'a [impl Head]) -> Option<&'a [u8]> {
        sources.get(self.runner()?)?.bound()
    }

    /// The order in which keys come.
    pub(crate) fn compare(&self, left: &[u8], right: &[u8]) -> Ordering {
        if self.reverse {
            right.cmp(left)
        } else {
            left.cmp(right)
        }
    }

    /// Whichever of two bounds comes first; none comes last.
    pub(crate) fn nearer<'a>(
        &self,
        one: Option<&'a [u8]>,
        other: Option<&'a [u8]>,
    ) -> Option<&'a [u8]> {
        match (one, other) {
            (Some(left), Some(right)) if self.compare(right, left) == Ordering::Less => other,
            (Some(_), _) => one,
            (None, _) => other,
        }
    }

    /// The lead of the last step, if it is loaded and still ahead of all others.
    fn still_ahead(&self, sources: &[impl Head]) -> Option<usize> {
        let (lead, runner) = self.known?;
        let source = sources.get(lead).filter(|source| source.is_loaded())?;
        let bound = source.bound()?;
        let Some(runner) = runner else {
            return Some(lead);
        };
        let other = sources.get(runner)?.bound()?;
        (self.compare(bound, other) == Ordering::Less).then_some(lead)
    }

    /// Looks at every source; of equal bounds one that is not loaded comes first, since more
    /// fragments of the key may hide in it.
    fn look(&mut self, sources: &[impl Head]) -> Option<usize> {
        self.known = None;
        let mut best: Option<(usize, &[u8], bool)> = None;
        let mut second: Option<(usize, &[u8])> = None;
        for (index, source) in sources.iter().enumerate() {
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
        self.known = Some((lead, second.map(|(index, _)| index)));
        Some(lead)
    }
}
