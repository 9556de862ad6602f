//! Files that have no key in common, as far as scans found out. Files do not change, so what was found of two of them
//! holds for as long as both are there.

use activestore_sst::SstMeta;
use activestore_types::KeyRange;
use parking_lot::Mutex;

use super::TableFile;

/// Other files that are remembered for each, at most: of more the oldest are forgotten.
const OTHERS_MAX: usize = 256;
/// Ranges for each of those, at most: of more the latest give way to each other, since scans of all of a table come in a few
/// ranges, and those that were found first stay.
const RANGES_MAX: usize = 4;

/// For a file others of smaller numbers, and the ranges in which no key is in both.
#[derive(Debug, Default)]
pub(crate) struct Apart(Mutex<Vec<(u64, Vec<KeyRange>)>>);

impl TableFile {
    /// Whether it is known that no key of the range is in both files.
    pub(crate) fn is_apart(&self, other: &TableFile, range: &KeyRange) -> bool {
        let Some(range) = self.common(other, range) else {
            return true;
        };
        let (apart, other) = self.pair(other);
        let apart = apart.0.lock();
        let ranges = apart.iter().find(|(file, _)| *file == other);
        ranges.is_some_and(|(_, ranges)| ranges.iter().any(|known| is_inside(&range, known)))
    }

    /// Notes that no key of the range is in both files.
    pub(crate) fn note_apart(&self, other: &TableFile, range: &KeyRange) {
        let Some(range) = self.common(other, range) else {
            return;
        };
        let (apart, other) = self.pair(other);
        let mut apart = apart.0.lock();
        if let Some((_, ranges)) = apart.iter_mut().find(|(file, _)| *file == other) {
            add(ranges, range);
            return;
        }
        if apart.len() >= OTHERS_MAX {
            apart.remove(0);
        }
        apart.push((other, vec![range]));
    }

    /// Where what is known of two files stands, whichever asks, and the number of the other there.
    fn pair<'a>(&'a self, other: &'a TableFile) -> (&'a Apart, u64) {
        match self.id > other.id {
            true => (&self.apart, other.id),
            false => (&other.apart, self.id),
        }
    }

    /// The part of a range in which both files have keys; none where they are of other times, which are of the key.
    fn common(&self, other: &TableFile, range: &KeyRange) -> Option<KeyRange> {
        let (one, other) = (self.sst.meta(), other.sst.meta());
        let times = |meta: &SstMeta| meta.min_time_ns.zip(meta.max_time_ns);
        if let (Some(one), Some(other)) = (times(one), times(other))
            && (one.1 < other.0 || other.1 < one.0)
        {
            return None;
        }
        let first = (&range.start).max(&one.first_key).max(&other.first_key);
        let last = (&one.last_key).min(&other.last_key);
        let mut end = KeyRange::only(last).end;
        if !range.end.is_empty() {
            end = end.min(range.end.clone());
        }
        (*first < end).then(|| KeyRange {
            start: first.clone(),
            end,
        })
    }
}

/// Whether a range, which has an end, lies in another, which has one too.
fn is_inside(range: &KeyRange, other: &KeyRange) -> bool {
    other.start <= range.start && range.end <= other.end
}

/// Adds a range to others that do not touch each other, so that none does.
fn add(ranges: &mut Vec<KeyRange>, mut range: KeyRange) {
    ranges.retain(|known| {
        let touches = known.start <= range.end && range.start <= known.end;
        if touches {
            range.start = known.start.clone().min(std::mem::take(&mut range.start));
            range.end = known.end.clone().max(std::mem::take(&mut range.end));
        }
        !touches
    });
    if ranges.len() >= RANGES_MAX {
        ranges.pop();
    }
    ranges.push(range);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn range(start: u8, end: u8) -> KeyRange {
        KeyRange {
            start: vec![start],
            end: vec![end],
        }
    }

    #[test]
    fn ranges_that_touch_become_one() {
        let mut ranges = Vec::new();
        for (start, end) in [(10, 20), (40, 50), (20, 30), (60, 70)] {
            add(&mut ranges, range(start, end));
        }
        assert_eq!(ranges, [range(40, 50), range(10, 30), range(60, 70)]);
        add(&mut ranges, range(25, 65));
        assert_eq!(ranges, [range(10, 70)]);
        assert!(is_inside(&range(10, 70), &ranges[0]));
        assert!(!is_inside(&range(9, 12), &ranges[0]));
        assert!(!is_inside(&range(12, 71), &ranges[0]));
    }

    #[test]
    fn there_are_never_many() {
        let mut ranges = Vec::new();
        for start in 0..100 {
            add(&mut ranges, range(start * 2, start * 2 + 1));
        }
        assert_eq!(ranges.len(), RANGES_MAX);
        assert_eq!(ranges.first(), Some(&range(0, 1)));
        assert_eq!(ranges.last(), Some(&range(198, 199)));
    }
}
