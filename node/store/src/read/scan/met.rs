//! Which sources of a merge have a key in common. A merge that saw all keys of a range knows that of all its files, and
//! where no order is asked for, those that have none need not be merged the next time.

use activestore_types::KeyRange;

use super::source::Source;

/// Pairs of sources, by their places: those that have a key in common, or those that have none.
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

    /// Those files among the sources that are known to have no key of the range in common, where that is of use.
    pub(super) fn apart(sources: &[Source], any_order: bool, range: &KeyRange) -> Self {
        let mut apart = Met::default();
        // Two alone would not be merged if they were.
        if !any_order || sources.len() < 3 {
            return apart;
        }
        for (place, one) in sources.iter().enumerate() {
            for (other_place, other) in sources.iter().enumerate().skip(place + 1) {
                if let (Source::File(one), Source::File(other)) = (one, other)
                    && one.file().is_apart(other.file(), range)
                {
                    if apart.is_empty() {
                        apart = Met::new(sources.len());
                    }
                    apart.note(place, other_place);
                }
            }
        }
        apart
    }

    /// Whether it knows of no pair.
    pub(super) fn is_empty(&self) -> bool {
        self.pairs.is_empty()
    }

    /// Notes two sources.
    pub(super) fn note(&mut self, one: usize, other: usize) {
        let pair = one.max(other) * self.sources + one.min(other);
        if let Some(met) = self.pairs.get_mut(pair) {
            *met = true;
        }
    }

    /// Notes each two of these.
    pub(super) fn note_all(&mut self, sources: &[usize]) {
        for (place, one) in sources.iter().enumerate() {
            for other in sources.iter().skip(place + 1) {
                self.note(*one, *other);
            }
        }
    }

    /// Whether it knows of these two.
    pub(super) fn has(&self, one: usize, other: usize) -> bool {
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
