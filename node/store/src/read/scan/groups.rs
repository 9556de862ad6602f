//! The sources of a range of keys. Where no order is asked for, those that share no key are merged apart from
//! each other: files of other times, mostly, and those that an earlier merge found to have none in common. Their vectors
//! go out whole then, their keys unread.

use std::sync::Arc;

use activestore_types::{KeyRange, Result, TableSchema};

use super::file::FileSource;
use super::merge::Merge;
use super::piece::Pieces;
use super::source::{Plan, Source};
use super::view::ViewSource;
use crate::memtable::prefix::PrefixShape;
use crate::read::Snapshot;

/// A source, and times that all of its rows lie between; `None` where the table has no time.
type Timed = (Option<(i64, i64)>, Source);

impl Snapshot {
    /// The sources of a range, ready to be merged; `None` where there is nothing.
    pub(in crate::read) fn scan_sources(
        &self,
        range: &KeyRange,
        plan: &Arc<Plan>,
        pieces: &mut Pieces,
    ) -> Result<Option<Merge>> {
        let sources = self.timed_sources(range, plan, pieces)?;
        let sources: Vec<Source> = sources.into_iter().map(|(_, source)| source).collect();
        Ok((!sources.is_empty()).then(|| Merge::new(sources, plan, range)))
    }

    /// The same in groups that have no key in common: one where the order matters.
    pub(super) fn scan_groups(
        &self,
        range: &KeyRange,
        plan: &Arc<Plan>,
        pieces: &mut Pieces,
    ) -> Result<Vec<Merge>> {
        if !plan.any_order {
            return Ok(self
                .scan_sources(range, plan, pieces)?
                .into_iter()
                .collect());
        }
        let groups = grouped(self.timed_sources(range, plan, pieces)?, range);
        let merges = groups
            .into_iter()
            .map(|sources| Merge::new(sources, plan, range));
        Ok(merges.collect())
    }

    fn timed_sources(
        &self,
        range: &KeyRange,
        plan: &Arc<Plan>,
        pieces: &mut Pieces,
    ) -> Result<Vec<Timed>> {
        let mut sources = Vec::new();
        if !range.end.is_empty() && range.start >= range.end {
            return Ok(sources);
        }
        for view in &self.0.views {
            let source = ViewSource::new(view, range, plan, pieces.wanted());
            sources.extend(source.map(|source| (view.times(), Source::View(Box::new(source)))));
        }
        let prefix = single_partition(&self.0.schema, range);
        for file in &self.0.files {
            if prefix.is_none_or(|prefix| file.sst.may_hold_partition(prefix)) {
                let source = FileSource::new(file, plan, range, pieces)?;
                let meta = file.sst.meta();
                let times = meta.min_time_ns.zip(meta.max_time_ns);
                sources.extend(source.map(|source| (times, Source::File(Box::new(source)))));
            }
        }
        Ok(sources)
    }
}

/// Sources that may have keys in common, directly or by others, together.
fn grouped(sources: Vec<Timed>, range: &KeyRange) -> Vec<Vec<Source>> {
    let mut groups: Vec<Vec<Timed>> = Vec::new();
    for timed in sources {
        let meets = |group: &Vec<Timed>| group.iter().any(|one| may_meet(one, &timed, range));
        let (meeting, apart): (Vec<_>, Vec<_>) = groups.into_iter().partition(meets);
        groups = apart;
        let mut group: Vec<Timed> = meeting.into_iter().flatten().collect();
        group.push(timed);
        groups.push(group);
    }
    // The last is merged first: that of the latest times, since what narrows a scan mostly asks for the latest.
    groups.sort_by_cached_key(|group| group.iter().map(|(times, _)| between(*times).1).max());
    let untimed = |group: Vec<Timed>| group.into_iter().map(|(_, source)| source).collect();
    groups.into_iter().map(untimed).collect()
}

/// Whether a key may be in both. The time is of the key, so rows of other times are of other keys; of files more is known.
fn may_meet(one: &Timed, other: &Timed, range: &KeyRange) -> bool {
    if let (Source::File(one), Source::File(other)) = (&one.1, &other.1) {
        return !one.file().is_apart(other.file(), range);
    }
    let ((from, to), (other_from, other_to)) = (between(one.0), between(other.0));
    from <= other_to && other_from <= to
}

fn between(times: Option<(i64, i64)>) -> (i64, i64) {
    times.unwrap_or((i64::MIN, i64::MAX))
}

/// The partition prefix that every key of the range has, if the range lies in one partition.
pub(in crate::read) fn single_partition<'a>(
    schema: &TableSchema,
    range: &'a KeyRange,
) -> Option<&'a [u8]> {
    PrefixShape::of(schema).single_partition(range)
}
