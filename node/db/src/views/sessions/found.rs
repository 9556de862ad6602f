//! Which stretches of time are computed of each group: what was touched, and around it all that is less than a gap away
//! from row to row. Read in pages, so that a session that lasts long is never held as a whole.

use std::collections::{BTreeMap, BTreeSet};

use activestore_query::{Within, cast_lossless};
use activestore_types::Result;
use arrow::array::{Array, AsArray, BooleanArray};
use arrow::compute::filter_record_batch;
use arrow::datatypes::{Int64Type, TimestampNanosecondType};
use futures::StreamExt;

use super::super::compute::{Computed, Part, ROWS_MAX, lost};
use super::super::work::anchors_of;
use super::{FAR_GROUPS, Groups, anchored};

/// Gaps of the first page that is read beyond what was touched …
const PAGE_GAPS: i64 = 16;
/// … of which one with fewer rows is followed by one twice as long …
const PAGE_ROWS_FEW: u64 = 50_000;
/// … and one with more by one half as long.
const PAGE_ROWS_MANY: u64 = 200_000;

/// A session as it is found in the table: its group's key, how much of that are anchors, its first and last row.
struct Session<'a> {
    group: &'a [u8],
    anchors: usize,
    first: i64,
    last: i64,
}

/// What of one group is computed: stretches of time around which nothing is for a gap.
pub(super) struct Group {
    pub(super) anchors: usize,
    pub(super) stretches: Vec<(i64, i64)>,
}

/// What of each group is computed.
pub(super) struct Found {
    /// The first and the last moment that were looked at for all groups.
    pub(super) page: (i64, i64),
    /// Sessions that begin later belong to what comes next.
    upto: i64,
    pub(super) groups: BTreeMap<Vec<u8>, Group>,
    /// Those of them whose stretches go beyond the page.
    pub(super) far: BTreeSet<Vec<u8>>,
}

impl Computed<'_> {
    /// The stretches of each group that has rows around a part; `None` where they are too many.
    pub(super) async fn found(&self, gap: i64, part: &Part<'_>) -> Result<Option<Found>> {
        let reach = gap - 1;
        let end = self.query.windows.end(part.to).saturating_sub(1);
        let page = (part.from.saturating_sub(reach), end.saturating_add(reach));
        let mut sessions: BTreeMap<Vec<u8>, (usize, Vec<(i64, i64)>)> = BTreeMap::new();
        let mut count = 0;
        let within = self.of_base(page.0, page.1, &part.among)?;
        self.each_session(&within, &mut |session| {
            let anchors = anchored(session.group, session.anchors);
            if part
                .piece
                .is_none_or(|piece| piece.slots.contains_key(anchors))
            {
                count += 1;
                let of = match sessions.get_mut(session.group) {
                    Some(of) => of,
                    None => sessions
                        .entry(session.group.to_vec())
                        .or_insert((session.anchors, Vec::new())),
                };
                of.1.push((session.first, session.last));
            }
            count <= ROWS_MAX
        })
        .await?;
        if count > ROWS_MAX {
            return Ok(None);
        }
        let mut found = Found {
            page,
            upto: part.piece.map_or(end, |_| i64::MAX),
            groups: BTreeMap::new(),
            far: BTreeSet::new(),
        };
        for (group, (anchors, mut there)) in sessions {
            there.sort_unstable();
            let stretches = match part.piece {
                Some(piece) => {
                    let slots = piece.slots.get(anchored(&group, anchors));
                    let touched = slots.into_iter().flatten();
                    let touched = touched.map(|slot| (*slot, slot.saturating_add(gap - 1)));
                    joined(touched.collect(), &there, gap)
                }
                None => vec![around((part.from, end), &there, part.clean)],
            };
            let reaches = |(first, last): &(i64, i64)| {
                (!part.clean && *first < page.0.saturating_add(reach))
                    || *last > page.1.saturating_sub(reach)
            };
            if stretches.iter().any(reaches) {
                found.far.insert(group.clone());
            }
            found.groups.insert(group, Group { anchors, stretches });
        }
        if !part.clean {
            self.follow(gap, part, &mut found, true).await?;
        }
        self.follow(gap, part, &mut found, false).await?;
        Ok(Some(found))
    }

    /// Reads on in pages, back or forward, until each group has a gap there.
    async fn follow(&self, gap: i64, part: &Part<'_>, found: &mut Found, back: bool) -> Result<()> {
        let reach = gap - 1;
        let mut edge = if back { found.page.0 } else { found.page.1 };
        let mut width = gap.saturating_mul(PAGE_GAPS);
        let mut open: BTreeMap<Vec<u8>, (i64, i64)> = BTreeMap::new();
        for group in &found.far {
            let stretches = found.groups.get(group).map(|group| &group.stretches);
            let stretches = stretches.into_iter();
            let outer = match back {
                true => stretches.filter_map(|all| all.first()).next(),
                false => stretches.filter_map(|all| all.last()).next(),
            };
            open.extend(outer.map(|outer| (group.clone(), *outer)));
        }
        loop {
            open.retain(|group, stretch| {
                let goes_on = match back {
                    true => stretch.0 < edge.saturating_add(reach),
                    false => stretch.1 > edge.saturating_sub(reach),
                };
                let known = found
                    .groups
                    .get_mut(group)
                    .map(|known| &mut known.stretches);
                let known = known.and_then(|all| {
                    if back {
                        all.first_mut()
                    } else {
                        all.last_mut()
                    }
                });
                if let Some(known) = known {
                    *known = *stretch;
                }
                goes_on
            });
            if open.is_empty() || edge == i64::MIN || edge == i64::MAX {
                return Ok(());
            }
            let page = match back {
                true => (edge.saturating_sub(width), edge.saturating_sub(1)),
                false => (edge.saturating_add(1), edge.saturating_add(width)),
            };
            let anchors: BTreeSet<&[u8]> = open
                .keys()
                .filter_map(|group| Some(anchored(group, found.groups.get(group)?.anchors)))
                .collect();
            let mut among = part.among.clone();
            if anchors.len() <= FAR_GROUPS {
                among = anchors_of(self.query, anchors.into_iter());
            }
            // Of each group, the session that is nearest to what is known.
            let mut nearest: BTreeMap<Vec<u8>, (i64, i64)> = BTreeMap::new();
            let within = self.of_base(page.0, page.1, &among)?;
            let rows = self
                .each_session(&within, &mut |session| {
                    if !open.contains_key(session.group) {
                        return true;
                    }
                    let next = (session.first, session.last);
                    match nearest.get_mut(session.group) {
                        Some(known) if (next > *known) == back => *known = next,
                        Some(_) => {}
                        None => {
                            nearest.insert(session.group.to_vec(), next);
                        }
                    }
                    true
                })
                .await?;
            for (group, (first, last)) in nearest {
                let Some(stretch) = open.get_mut(&group) else {
                    continue;
                };
                if back && stretch.0.saturating_sub(last) < gap {
                    stretch.0 = first;
                } else if !back && first.saturating_sub(stretch.1) < gap {
                    stretch.1 = last;
                }
            }
            edge = if back { page.0 } else { page.1 };
            if rows < PAGE_ROWS_FEW {
                width = width.saturating_mul(2);
            } else if rows > PAGE_ROWS_MANY {
                width = (width / 2).max(gap);
            }
        }
    }

    /// Shows the sessions of a part of the table, one by one, until it is said that they are enough. How many rows they
    /// have.
    async fn each_session(
        &self,
        within: &Within,
        see: &mut dyn FnMut(&Session<'_>) -> bool,
    ) -> Result<u64> {
        let found = self.engine.sessions_within(self.sql, self.query, within);
        let mut stream = found.await?.stream;
        let anchors = self.query.anchors.iter().map(|(_, place)| *place);
        let places: Vec<usize> = anchors.chain(self.query.others.iter().copied()).collect();
        let mut rows = 0_u64;
        while let Some(batch) = stream.next().await {
            let batch = batch?;
            let named: BooleanArray = (0..batch.num_rows())
                .map(|row| Some(batch.columns().iter().all(|column| column.is_valid(row))))
                .collect();
            let batch = filter_record_batch(&batch, &named)?;
            let columns = places.iter().zip(batch.columns()).map(|(place, array)| {
                let column = self.query.columns.get(*place);
                let (name, data_type) = column.ok_or_else(lost)?;
                cast_lossless(name, *data_type, array)
            });
            let groups = Groups::of(columns.collect::<Result<_>>()?, self.query.anchors.len())?;
            let moments = |place: usize| {
                let column = batch.columns().get(places.len() + place);
                column
                    .and_then(|column| column.as_primitive_opt::<TimestampNanosecondType>())
                    .ok_or_else(lost)
            };
            let (firsts, lasts) = (moments(0)?, moments(1)?);
            let counts = batch.columns().get(places.len() + 2);
            let counts = counts.and_then(|column| column.as_primitive_opt::<Int64Type>());
            let counts = counts.ok_or_else(lost)?;
            for row in 0..batch.num_rows() {
                let (group, anchors) = groups.at(row);
                rows = rows.saturating_add(counts.value(row).unsigned_abs());
                let session = Session {
                    group,
                    anchors,
                    first: firsts.value(row),
                    last: lasts.value(row),
                };
                if !see(&session) {
                    return Ok(rows);
                }
            }
        }
        Ok(rows)
    }
}

impl Found {
    /// Whether a session of a group is of the part, by its start.
    pub(super) fn holds(
        &self,
        group: &[u8],
        anchors: usize,
        start: i64,
        part: &Part<'_>,
        computed: &Computed<'_>,
    ) -> bool {
        if start > self.upto {
            return false;
        }
        if let Some(known) = self.groups.get(group) {
            let mut stretches = known.stretches.iter();
            return stretches.any(|(first, last)| (*first..=*last).contains(&start));
        }
        // Nothing is left of it there: what was touched is meant, and nothing around it.
        let windows = &computed.query.windows;
        match part.piece {
            Some(piece) => piece.holds(anchored(group, anchors), windows.slot(start), windows),
            None => start >= part.from,
        }
    }
}

/// What was touched, with the sessions that are less than a gap from it, and what is less than a gap from those. Both in
/// order.
fn joined(touched: Vec<(i64, i64)>, sessions: &[(i64, i64)], gap: i64) -> Vec<(i64, i64)> {
    let touched = touched.into_iter().map(|stretch| (stretch, true));
    let sessions = sessions.iter().map(|session| (*session, false));
    let mut all: Vec<((i64, i64), bool)> = touched.chain(sessions).collect();
    all.sort_unstable();
    let mut joined: Vec<((i64, i64), bool)> = Vec::new();
    for ((first, last), touched) in all {
        match joined.last_mut() {
            Some((open, meant)) if first.saturating_sub(open.1) < gap => {
                open.1 = open.1.max(last);
                *meant |= touched;
            }
            _ => joined.push(((first, last), touched)),
        }
    }
    let meant = joined.into_iter().filter(|(_, meant)| *meant);
    meant.map(|(stretch, _)| stretch).collect()
}

/// A stretch of time that is looked at as a whole, from the first row of what goes on into it, unless that was done, to the
/// last row of what begins in it.
fn around((from, to): (i64, i64), sessions: &[(i64, i64)], clean: bool) -> (i64, i64) {
    let begins = sessions.iter().filter(|(first, _)| *first <= to);
    let mut around = (from, to);
    for (first, last) in begins {
        if !clean {
            around.0 = around.0.min(*first);
        }
        around.1 = around.1.max(*last);
    }
    around
}

#[cfg(test)]
mod tests;
