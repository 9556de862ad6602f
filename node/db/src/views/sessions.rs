//! Sessions of a view computed anew. Which of them a change touches is not told by its moment alone: a row may lengthen a
//! session, let it begin earlier or join two, and without it one may fall into two. So the table is read around the change
//! until nothing is there for a gap, for each group by itself, and all sessions between are computed and compared.

mod found;
mod whole;

use std::collections::BTreeSet;

use activestore_types::{ColumnId, KeyBuffer, Result, encode_split_keys};
use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, TimestampNanosecondArray};
use arrow::compute::{concat_batches, filter_record_batch};
use arrow::datatypes::TimestampNanosecondType;
use arrow::record_batch::RecordBatch;

use super::compute::{Computed, Difference, Part, ROWS_MAX, lost};
use super::work::anchors_of;
use found::Found;
use whole::Whole;

/// Groups whose sessions reach far beyond what was touched and that are computed together.
const FAR_GROUPS: usize = 256;
/// Sessions that are compared at once. A stretch as wide as the gap touches three of a group at the most: one that ends
/// less than a gap before it, one that begins in it, and one that begins less than a gap behind it.
const SESSIONS_MAX: usize = 3 * ROWS_MAX;

/// Groups that are computed by one query.
struct Portion<'a> {
    /// The rows that it needs.
    rows: (i64, i64),
    /// Where sessions of it begin.
    starts: (i64, i64),
    among: Vec<(ColumnId, ArrayRef)>,
    /// These alone; all that are not far where none are named.
    groups: Option<&'a [&'a Vec<u8>]>,
}

/// The groups of rows.
struct Groups {
    keys: Option<KeyBuffer>,
    anchors: Vec<u32>,
}

impl Groups {
    fn of(columns: Vec<ArrayRef>, anchors: usize) -> Result<Groups> {
        if columns.is_empty() {
            let (keys, anchors) = (None, Vec::new());
            return Ok(Groups { keys, anchors });
        }
        let columns = columns.into_iter().map(|column| (column, false));
        let (keys, anchors) = encode_split_keys(&columns.collect::<Vec<_>>(), anchors)?;
        let keys = Some(keys);
        Ok(Groups { keys, anchors })
    }

    /// A row's group, and how many bytes of it are anchors.
    fn at(&self, row: usize) -> (&[u8], usize) {
        let key = self.keys.as_ref().map_or(&[][..], |keys| keys.key(row));
        let anchors = self.anchors.get(row).map_or(0, |length| *length as usize);
        (key, anchors.min(key.len()))
    }
}

/// The part of a group's key that is of anchors.
fn anchored(group: &[u8], anchors: usize) -> &[u8] {
    group.get(..anchors).unwrap_or(group)
}

impl Computed<'_> {
    /// As [`Computed::difference`], of sessions.
    ///
    /// # Errors
    /// As the query.
    pub(super) async fn difference_of_sessions(
        &self,
        gap: i64,
        part: &Part<'_>,
        floor: &dyn Fn() -> Option<i64>,
    ) -> Result<Option<Difference>> {
        // A row that came too late is still in the table and would let a session begin before what the table has whole.
        let since = floor().filter(|_| !part.aged).unwrap_or(i64::MIN);
        let Some(found) = self.found(gap, part, since).await? else {
            return Ok(None);
        };
        let far: Vec<&Vec<u8>> = found.far.iter().collect();
        let together = match self.query.anchors.is_empty() {
            // All of them are read anyway.
            true => far.len().max(1),
            false => FAR_GROUPS,
        };
        let mut portions = vec![Self::near(&found, part)];
        portions.extend(far.chunks(together).map(|far| self.far(&found, part, far)));
        let sql = self.sql_of_view();
        let (mut before, mut now) = (Vec::new(), Vec::new());
        let mut rows = 0;
        for portion in &portions {
            let meant = |batch: RecordBatch| self.meant(&batch, part, &found, portion);
            let (from, to) = portion.rows;
            let base = self.of_base(from.max(since), to, &portion.among)?;
            let (from, to) = portion.starts;
            let held = self.of_view(from, to, &portion.among)?;
            let (Some(computed), Some(there)) = (
                self.rows(self.sql, &base, &meant, SESSIONS_MAX).await?,
                self.rows(&sql, &held, &meant, SESSIONS_MAX).await?,
            ) else {
                return Ok(None);
            };
            rows += computed.num_rows() + there.num_rows();
            if rows > 2 * SESSIONS_MAX {
                return Ok(None);
            }
            now.push(computed);
            before.push(there);
        }
        let schema = self.schema();
        let mut before = concat_batches(&schema, &before)?;
        let mut now = concat_batches(&schema, &now)?;
        let mut passed_over = 0;
        // Asked behind the reads: rows that went before them are of before it.
        if let Some(floor) = floor().filter(|_| !(part.aged && part.aged_to == i64::MAX)) {
            let floor = floor.max(since);
            let whole = Whole::of(self, &found, part, &before, (floor, gap))?;
            let gone = whole.held(self, &before)?;
            let Some(gone) = self.without_ongoing(gone, part, (floor, gap)).await? else {
                return Ok(None);
            };
            passed_over = whole.passed_over(&self.query.windows);
            (before, now) = (gone, whole.computed(self, &now)?);
        }
        Ok(Some(Difference {
            passed_over,
            there: found.there,
            ..self.compared(&before, &now)?
        }))
    }

    /// Groups whose sessions are all in the page.
    fn near(found: &Found, part: &Part<'_>) -> Portion<'static> {
        Portion {
            rows: found.page,
            starts: found.page,
            among: part.among.clone(),
            groups: None,
        }
    }

    /// Groups whose stretches go beyond the page, with the rows that they need and no more.
    fn far<'a>(&self, found: &Found, part: &Part<'_>, groups: &'a [&'a Vec<u8>]) -> Portion<'a> {
        let known = || groups.iter().filter_map(|group| found.groups.get(*group));
        let stretches = || known().flat_map(|group| &group.stretches);
        let first = stretches().map(|(first, _)| *first).min();
        let last = stretches().map(|(_, last)| *last).max();
        let (first, last) = (first.unwrap_or(found.page.0), last.unwrap_or(found.page.1));
        let anchors = groups.iter().filter_map(|group| {
            let known = found.groups.get(*group)?;
            Some(anchored(group, known.anchors))
        });
        let mut among = anchors_of(self.query, anchors.collect::<BTreeSet<_>>().into_iter());
        if among.is_empty() {
            among.clone_from(&part.among);
        }
        Portion {
            // Where it goes on from what was done, rows of a gap before tell what begins.
            rows: (if part.clean { found.page.0 } else { first }, last),
            starts: (first, last),
            among,
            groups: Some(groups),
        }
    }

    /// The rows whose sessions are of a part.
    fn meant(
        &self,
        batch: &RecordBatch,
        part: &Part<'_>,
        found: &Found,
        portion: &Portion<'_>,
    ) -> Result<RecordBatch> {
        let of_window = std::iter::once(&self.query.window);
        let needed: Vec<usize> = of_window.chain(&self.query.others).copied().collect();
        let named: BooleanArray = (0..batch.num_rows())
            .map(|row| {
                let column = |place: &usize| batch.columns().get(*place);
                let named = |place| column(place).is_some_and(|column| column.is_valid(row));
                Some(needed.iter().all(named))
            })
            .collect();
        let batch = filter_record_batch(batch, &named)?;
        let (starts, groups) = self.starts(&batch)?;
        let keeps: BooleanArray = (0..batch.num_rows())
            .map(|row| {
                let (group, anchors) = groups.at(row);
                let mine = match portion.groups {
                    Some(groups) => groups
                        .binary_search_by(|one| one.as_slice().cmp(group))
                        .is_ok(),
                    None => !found.far.contains(group),
                };
                let start = starts.value(row);
                Some(mine && found.holds(group, anchors, start, part, self))
            })
            .collect();
        Ok(filter_record_batch(&batch, &keeps)?)
    }

    /// When the sessions of rows begin, and their groups.
    fn starts<'a>(&self, batch: &'a RecordBatch) -> Result<(&'a TimestampNanosecondArray, Groups)> {
        let column = |place: &usize| batch.columns().get(*place).ok_or_else(lost);
        let starts = column(&self.query.window)?
            .as_primitive_opt::<TimestampNanosecondType>()
            .ok_or_else(lost)?;
        let anchors = self.query.anchors.iter().map(|(_, place)| place);
        let columns = anchors.chain(&self.query.others);
        let columns = columns.map(|place| column(place).cloned());
        let groups = Groups::of(columns.collect::<Result<_>>()?, self.query.anchors.len())?;
        Ok((starts, groups))
    }
}
