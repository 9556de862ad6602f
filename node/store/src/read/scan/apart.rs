//! Sources that hold no key in common because no time is in both: rows of devices arrive as time goes on, so what one
//! flush leaves behind is earlier throughout than what the next one does. Where the order of rows does not matter such
//! sources are read one after the other, and none of their keys is compared with another's.

use std::sync::Arc;

use activestore_types::{ColumnId, KeyRange, Result};

use super::file::FileSource;
use super::merge::Merge;
use super::piece::Pieces;
use super::single_partition;
use super::source::{Plan, Source};
use super::view::ViewSource;
use crate::read::Snapshot;

impl Snapshot {
    /// The sources of a range, ready to be merged; `None` where there is nothing.
    pub(in crate::read) fn scan_sources(
        &self,
        range: &KeyRange,
        plan: &Arc<Plan>,
        pieces: &mut Pieces,
    ) -> Result<Option<Merge>> {
        let sources = self.sources(range, plan, pieces)?;
        Ok((!sources.is_empty()).then(|| Merge::new(sources, plan)))
    }

    /// Where the fragments of a range come from.
    fn sources(
        &self,
        range: &KeyRange,
        plan: &Arc<Plan>,
        pieces: &mut Pieces,
    ) -> Result<Vec<Source>> {
        if !range.end.is_empty() && range.start >= range.end {
            return Ok(Vec::new());
        }
        let prefix = single_partition(&self.0.schema, range);
        let views = self.0.views.iter();
        let mut sources: Vec<Source> = views
            .filter_map(|view| {
                let source = ViewSource::new(view, range, plan.reverse, pieces.wanted());
                source.map(Source::View)
            })
            .collect();
        for file in &self.0.files {
            if prefix.is_none_or(|prefix| file.sst.may_hold_partition(prefix)) {
                let source = FileSource::new(&file.sst, plan, range, pieces)?;
                sources.extend(source.map(|source| Source::File(Box::new(source))));
            }
        }
        Ok(sources)
    }

    /// What is to be read of a range, one behind the other, the next one last: one merge of everything, or, where the
    /// order does not matter, one of each stretch of time. The latest comes first, since what narrows a scan mostly
    /// asks for the latest.
    pub(super) fn merges(
        &self,
        range: &KeyRange,
        plan: &Arc<Plan>,
        pieces: &mut Pieces,
    ) -> Result<Vec<Merge>> {
        let sources = self.sources(range, plan, pieces)?;
        let time = self.schema().time_column().filter(|_| plan.any_order);
        let apart = match time {
            Some(time) => apart(sources, time),
            None => vec![sources],
        };
        let apart = apart.into_iter().filter(|sources| !sources.is_empty());
        Ok(apart.map(|sources| Merge::new(sources, plan)).collect())
    }
}

/// The sources of each stretch of time, earliest first; all of them together where the times of one are not known.
fn apart(sources: Vec<Source>, time: ColumnId) -> Vec<Vec<Source>> {
    let times: Option<Vec<(i64, i64)>> = sources.iter().map(|one| one.times(time)).collect();
    let Some(times) = times else {
        return vec![sources];
    };
    let mut sources: Vec<((i64, i64), Source)> = times.into_iter().zip(sources).collect();
    sources.sort_by_key(|(times, _)| *times);
    let mut stretches: Vec<Vec<Source>> = Vec::new();
    let mut until = None;
    for ((first, last), source) in sources {
        match stretches.last_mut() {
            Some(stretch) if until.is_some_and(|until| first <= until) => stretch.push(source),
            _ => stretches.push(vec![source]),
        }
        until = until.max(Some(last));
    }
    stretches
}
