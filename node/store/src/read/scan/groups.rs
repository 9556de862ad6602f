//! The sources of a range of keys. Where no order is asked for, those that share no key are merged apart from
//! each other: files of other times, mostly, whose vectors then go out whole, their keys unread.

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
        Ok((!sources.is_empty()).then(|| Merge::new(sources, plan)))
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
        let groups = grouped(self.timed_sources(range, plan, pieces)?);
        let merges = groups.into_iter().map(|sources| Merge::new(sources, plan));
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
                let source = FileSource::new(&file.sst, plan, range, pieces)?;
                let meta = file.sst.meta();
                let times = meta.min_time_ns.zip(meta.max_time_ns);
                sources.extend(source.map(|source| (times, Source::File(Box::new(source)))));
            }
        }
        Ok(sources)
    }
}

/// Sources whose times overlap, directly or by others, together. The time is of the key, so rows of other times are
/// of other keys.
fn grouped(mut sources: Vec<Timed>) -> Vec<Vec<Source>> {
    // The last group is merged first: that of the latest times, since what narrows a scan mostly asks for the latest.
    let times = |timed: &Timed| timed.0.unwrap_or((i64::MIN, i64::MAX));
    sources.sort_by_key(|timed| std::cmp::Reverse(times(timed).1));
    let mut groups: Vec<Vec<Source>> = Vec::new();
    let mut first = i64::MIN;
    for timed in sources {
        let (from, to) = times(&timed);
        match groups.last_mut() {
            Some(group) if to >= first => group.push(timed.1),
            _ => {
                first = from;
                groups.push(vec![timed.1]);
            }
        }
        first = first.min(from);
    }
    groups.reverse();
    groups
}

/// The partition prefix that every key of the range has, if the range lies in one partition.
pub(in crate::read) fn single_partition<'a>(
    schema: &TableSchema,
    range: &'a KeyRange,
) -> Option<&'a [u8]> {
    PrefixShape::of(schema).single_partition(range)
}
