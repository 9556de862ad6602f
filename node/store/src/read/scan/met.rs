//! Which sources of a merge have a key in common. A merge that saw all keys of a range knows that of all its files, and
//! where no order is asked for, those that have none need not be merged the next time.

use activestore_types::KeyRange;

use super::source::Source;

/// Pairs of sources, by their places.
#[derive(Default)]
pub(super) struct Met {
    sources: usize,
    pairs: Vec<bool>,
}

impl Met {
    /// Of so many sources, none of which has met another.
    pub(super) fn new(sources: usize) -> Self {
        Met {
            sources,
            pairs: vec![false; sources * sources],
        }
    }

    /// Two sources have a key in common.
    pub(super) fn note(&mut self, one: usize, other: usize) {
        let pair = one.max(other) * self.sources + one.min(other);
        if let Some(met) = self.pairs.get_mut(pair) {
            *met = true;
        }
    }

    /// All of these have a key in common.
    pub(super) fn note_all(&mut self, sources: &[usize]) {
        for (place, one) in sources.iter().enumerate() {
            for other in sources.iter().skip(place + 1) {
                self.note(*one, *other);
            }
        }
    }

    fn has(&self, one: usize, other: usize) -> bool {
        let pair = one.max(other) * self.sources + one.min(other);
        self.pairs.get(pair) == Some(&true)
    }

    /// Has the files remember which of them did not meet in a range that was merged to its end.
    pub(super) fn tell(&self, sources: &[Source], range: &KeyRange) {
        // Of a file of which vectors were passed unseen nothing is known.
        let files: Vec<_> = (0..)
            .zip(sources)
            .filter_map(|(place, source)| match source {
                Source::File(file) if !file.is_pruned() => Some((place, file.file())),
                _ => None,
            })
            .collect();
        for (at, (place, one)) in files.iter().enumerate() {
            for (other_place, other) in files.iter().skip(at + 1) {
                if !self.has(*place, *other_place) {
                    one.note_apart(other, range);
                }
            }
        }
    }
}
