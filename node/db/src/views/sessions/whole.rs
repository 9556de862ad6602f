//! Which sessions the table has whole, where it loses rows to their age. One is that nothing can be gone of: it begins a gap
//! or more behind the moment since which the table has all. One that begins nearer to it may have begun before, unless the
//! view knows a session that begins in it: it was computed while a gap before it was there.

use std::collections::{BTreeMap, BTreeSet};

use activestore_query::ViewWindows;
use activestore_types::Result;
use arrow::array::BooleanArray;
use arrow::compute::filter_record_batch;
use arrow::record_batch::RecordBatch;

use super::super::compute::{Computed, Part};
use super::super::dirty::Piece;
use super::super::work::anchors_of;
use super::found::{Found, Group};
use super::{FAR_GROUPS, SESSIONS_MAX, anchored};

/// What can be told of sessions since a moment.
pub(super) struct Whole<'a> {
    found: &'a Found,
    part: &'a Part<'a>,
    floor: i64,
    gap: i64,
    /// The first session of each group that the view knows to begin since then.
    known: BTreeMap<Vec<u8>, i64>,
    /// Rows of the view of before then that go on in the table: nobody can compute them anew.
    cut: BTreeSet<(Vec<u8>, i64)>,
}

impl<'a> Whole<'a> {
    /// From the view's rows.
    ///
    /// # Errors
    /// `Internal` for rows that are not the view's.
    pub(super) fn of(
        computed: &Computed<'_>,
        found: &'a Found,
        part: &'a Part<'a>,
        before: &RecordBatch,
        (floor, gap): (i64, i64),
    ) -> Result<Whole<'a>> {
        let mut known: BTreeMap<Vec<u8>, i64> = BTreeMap::new();
        let mut old: BTreeMap<Vec<u8>, BTreeSet<i64>> = BTreeMap::new();
        let (starts, groups) = computed.starts(before)?;
        for row in 0..before.num_rows() {
            let (group, start) = (groups.at(row).0, starts.value(row));
            if start < floor {
                old.entry(group.to_vec()).or_default().insert(start);
                continue;
            }
            match known.get_mut(group) {
                Some(first) => *first = start.min(*first),
                None => {
                    known.insert(group.to_vec(), start);
                }
            }
        }
        let mut whole = Whole {
            found,
            part,
            floor,
            gap,
            known,
            cut: BTreeSet::new(),
        };
        for (group, starts) in old {
            if let Some(there) = found.groups.get(&group) {
                let cut: Vec<i64> = whole.cut(&group, there, &starts).collect();
                let cut = cut.into_iter().map(|start| (group.clone(), start));
                whole.cut.extend(cut);
            }
        }
        Ok(whole)
    }

    /// Of the view's rows of a group of before the moment, those that a session goes on with that is not computed: the
    /// last before it, and what it runs over.
    fn cut<'b>(
        &'b self,
        group: &'b [u8],
        there: &'b Group,
        starts: &'b BTreeSet<i64>,
    ) -> impl Iterator<Item = i64> + 'b {
        let left = there.sessions.iter().filter(|session| {
            let is_computed = self.is_whole(group, **session) || self.is_erased(session.0);
            !is_computed
        });
        left.flat_map(|(first, last)| {
            let mut around = there.stretches.iter();
            let around = around.find(|(from, to)| (*from..=*to).contains(first));
            let from = around.map_or(*first, |(from, _)| *from);
            let owner = starts.range(from.min(*first)..=*first).next_back();
            owner.into_iter().chain(starts.range(first..=last)).copied()
        })
    }

    fn is_whole(&self, group: &[u8], (first, last): (i64, i64)) -> bool {
        first >= self.floor.saturating_add(self.gap)
            || self.known.get(group).is_some_and(|start| *start <= last)
    }

    /// Whether somebody deleted all rows of then.
    fn is_erased(&self, start: i64) -> bool {
        self.part.aged && (self.part.from..=self.part.aged_to).contains(&start)
    }

    /// The rows that were computed of sessions that the table has whole, or of what somebody deleted.
    ///
    /// # Errors
    /// As [`Whole::of`].
    pub(super) fn computed(
        &self,
        computed: &Computed<'_>,
        rows: &RecordBatch,
    ) -> Result<RecordBatch> {
        let (starts, groups) = computed.starts(rows)?;
        let keeps: BooleanArray = (0..rows.num_rows())
            .map(|row| {
                let (group, start) = (groups.at(row).0, starts.value(row));
                // Rows may have come since it was found.
                let session = self.found.session(group, start).unwrap_or((start, start));
                Some(self.is_whole(group, session) || self.is_erased(start))
            })
            .collect();
        Ok(filter_record_batch(rows, &keeps)?)
    }

    /// The view's rows that go where they are not computed any more: what began before the moment stays, but for what
    /// somebody deleted of which nothing is left.
    ///
    /// # Errors
    /// As [`Whole::of`].
    pub(super) fn held(&self, computed: &Computed<'_>, rows: &RecordBatch) -> Result<RecordBatch> {
        let windows = &computed.query.windows;
        let (starts, groups) = computed.starts(rows)?;
        let keeps: BooleanArray = (0..rows.num_rows())
            .map(|row| {
                let start = starts.value(row);
                let (group, anchors) = groups.at(row);
                let deletes = |piece: &Piece| {
                    piece.deletes(anchored(group, anchors), windows.slot(start), windows)
                };
                let deleted = || self.is_erased(start) || self.part.piece.is_some_and(deletes);
                let cut = || self.cut.contains(&(group.to_vec(), start));
                Some(start >= self.floor || (deleted() && !cut()))
            })
            .collect();
        Ok(filter_record_batch(rows, &keeps)?)
    }

    /// How many stretches of time, in which rows were written, lie in sessions that are not computed.
    pub(super) fn passed_over(&self, windows: &ViewWindows) -> u64 {
        let Some(piece) = self.part.piece else {
            return 0;
        };
        let mut count = 0;
        for (group, there) in &self.found.groups {
            let anchors = anchored(group, there.anchors);
            let sessions = there.sessions.iter();
            for (first, last) in sessions.filter(|session| !self.is_whole(group, **session)) {
                let touched = touching(piece, anchors, (*first, *last), self.gap);
                let written = touched.filter(|slot| !piece.deletes(anchors, *slot, windows));
                count += written.count() as u64;
            }
        }
        count
    }
}

impl Computed<'_> {
    /// The view's rows that go, without those that began before a moment since which the table has all and that go on behind
    /// it: a row of theirs was deleted, and nobody can compute what else they are made of. `None` where too many are there.
    ///
    /// # Errors
    /// As the queries.
    pub(super) async fn without_ongoing(
        &self,
        gone: RecordBatch,
        part: &Part<'_>,
        (floor, gap): (i64, i64),
    ) -> Result<Option<RecordBatch>> {
        let mut wanted: BTreeMap<Vec<u8>, usize> = BTreeMap::new();
        let mut oldest = floor;
        let (starts, groups) = self.starts(&gone)?;
        for row in (0..gone.num_rows()).filter(|row| starts.value(*row) < floor) {
            let (group, anchors) = groups.at(row);
            oldest = oldest.min(starts.value(row));
            wanted.insert(group.to_vec(), anchors);
        }
        if wanted.is_empty() {
            return Ok(Some(gone));
        }
        let anchors = wanted.iter();
        let anchors: BTreeSet<&[u8]> = anchors
            .map(|(group, length)| anchored(group, *length))
            .collect();
        let mut among = part.among.clone();
        if anchors.len() <= FAR_GROUPS && !self.query.anchors.is_empty() {
            among = anchors_of(self.query, anchors.into_iter());
        }
        // The first row of each since then, where it is so near that it may go on with what was before.
        let near = floor.saturating_add(gap - 1);
        let mut first: BTreeMap<Vec<u8>, i64> = BTreeMap::new();
        let within = self.of_base(floor, near, &among)?;
        self.each_session(&within, &mut |session| {
            if wanted.contains_key(session.group) {
                first.insert(session.group.to_vec(), session.first);
            }
            true
        })
        .await?;
        if first.is_empty() {
            return Ok(Some(gone));
        }
        let meant = |batch: RecordBatch| {
            let (starts, groups) = self.starts(&batch)?;
            let before = (0..batch.num_rows()).map(|row| {
                let first = first.get(groups.at(row).0);
                Some(first.is_some_and(|first| starts.value(row) <= *first))
            });
            Ok(filter_record_batch(&batch, &before.collect())?)
        };
        let held = self.of_view(oldest, near, &among)?;
        let sql = self.sql_of_view();
        let Some(held) = self.rows(&sql, &held, &meant, SESSIONS_MAX).await? else {
            return Ok(None);
        };
        let mut owners: BTreeMap<&[u8], i64> = BTreeMap::new();
        let (known, of) = self.starts(&held)?;
        for row in 0..held.num_rows() {
            let owner = owners.entry(of.at(row).0).or_insert(i64::MIN);
            *owner = known.value(row).max(*owner);
        }
        let keeps: BooleanArray = (0..gone.num_rows())
            .map(|row| {
                let (group, start) = (groups.at(row).0, starts.value(row));
                Some(start >= floor || owners.get(group) != Some(&start))
            })
            .collect();
        Ok(Some(filter_record_batch(&gone, &keeps)?))
    }
}

/// The stretches of a piece, as wide as the gap, that a session of a group has rows in, or may have.
fn touching<'a>(
    piece: &'a Piece,
    anchors: &[u8],
    (first, last): (i64, i64),
    gap: i64,
) -> impl Iterator<Item = i64> + 'a {
    let slots = piece.slots.get(anchors).into_iter();
    slots.flat_map(move |slots| slots.range(first.saturating_sub(gap - 1)..=last).copied())
}
