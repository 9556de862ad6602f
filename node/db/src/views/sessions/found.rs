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
use super::super::dirty::Piece;
use super::super::work::anchors_of;
use super::{FAR_GROUPS, Groups, SESSIONS_MAX, anchored};

/// Gaps of the first page that is read beyond what was touched …
const PAGE_GAPS: i64 = 16;
/// … of which one with fewer rows is followed by one twice as long …
const PAGE_ROWS_FEW: u64 = 50_000;
/// … and one with more by one half as long.
const PAGE_ROWS_MANY: u64 = 200_000;

/// Of one group: how much of its key are anchors, and the first and the last row of each session.
type Stretches = (usize, Vec<(i64, i64)>);

/// A session as it is found in the table: its group's key, how much of that are anchors, its first and last row.
pub(super) struct Session<'a> {
    pub(super) group: &'a [u8],
    anchors: usize,
    pub(super) first: i64,
    last: i64,
}

/// What of one group is computed: stretches of time around which nothing is for a gap, and the sessions in them, in order.
pub(super) struct Group {
    pub(super) anchors: usize,
    pub(super) stretches: Vec<(i64, i64)>,
    pub(super) sessions: Vec<(i64, i64)>,
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
    /// Whether any rows are in the page.
    pub(super) there: bool,
}

impl Computed<'_> {
    /// The stretches of each group that has rows around a part; `None` where they are too many. What began before a
    /// moment is not looked at from its beginning.
    pub(super) async fn found(
        &self,
        gap: i64,
        part: &Part<'_>,
        since: i64,
    ) -> Result<Option<Found>> {
        let reach = gap - 1;
        let end = self.query.windows.end(part.to).saturating_sub(1);
        let page = (part.from.saturating_sub(reach), end.saturating_add(reach));
        let mut sessions: BTreeMap<Vec<u8>, Stretches> = BTreeMap::new();
        let mut count = 0;
        let within = self.of_base(page.0, page.1, &part.among)?;
        let mut too_many = false;
        let rows = self
            .each_session(&within, &mut |session| {
                let (first, last) = (session.first, session.last);
                let meant = match part.piece {
                    Some(piece) => {
                        let anchors = anchored(session.group, session.anchors);
                        is_met(piece, anchors, (first, last), gap)
                    }
                    None => first <= end && (!part.clean || first >= part.from),
                };
                if meant {
                    count += 1;
                    let of = match sessions.get_mut(session.group) {
                        Some(of) => of,
                        None => sessions
                            .entry(session.group.to_vec())
                            .or_insert((session.anchors, Vec::new())),
                    };
                    of.1.push((first, last));
                }
                too_many = count > SESSIONS_MAX || sessions.len() > ROWS_MAX;
                !too_many
            })
            .await?;
        if too_many {
            return Ok(None);
        }
        let mut found = Found {
            page,
            upto: part.piece.map_or(end, |_| i64::MAX),
            groups: BTreeMap::new(),
            far: BTreeSet::new(),
            there: rows > 0,
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
                None => vec![around((part.from, end), &there)],
            };
            let reaches = |(first, last): &(i64, i64)| {
                (!part.clean && *first < page.0.saturating_add(reach) && *first >= since)
                    || *last > page.1.saturating_sub(reach)
            };
            if stretches.iter().any(reaches) {
                found.far.insert(group.clone());
            }
            let known = Group {
                anchors,
                stretches,
                sessions: there,
            };
            found.groups.insert(group, known);
        }
        if !part.clean {
            self.follow(gap, part, &mut found, Some(since)).await?;
        }
        self.follow(gap, part, &mut found, None).await?;
        Ok(Some(found))
    }

    /// Reads on in pages, back to a moment or forward, until each group has a gap there.
    async fn follow(
        &self,
        gap: i64,
        part: &Part<'_>,
        found: &mut Found,
        back_to: Option<i64>,
    ) -> Result<()> {
        let reach = gap - 1;
        let back = back_to.is_some();
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
                let goes_on = match back_to {
                    Some(since) => stretch.0 < edge.saturating_add(reach) && stretch.0 >= since,
                    None => stretch.1 > edge.saturating_sub(reach),
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
                let sessions = found
                    .groups
                    .get_mut(&group)
                    .map(|known| &mut known.sessions);
                if back && stretch.0.saturating_sub(last) < gap {
                    stretch.0 = first;
                    if let Some(known) = sessions.and_then(|all| all.first_mut()) {
                        known.0 = first;
                    }
                } else if !back && first.saturating_sub(stretch.1) < gap {
                    stretch.1 = last;
                    if let Some(known) = sessions.and_then(|all| all.last_mut()) {
                        known.1 = last;
                    }
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
    pub(super) async fn each_session(
        &self,
        within: &Within,
        see: &mut dyn FnMut(&Session<'_>) -> bool,
    ) -> Result<u64> {
        let found = self.engine.sessions_within(self.sql, self.query, within);
        let found = found.await?;
        let (mut stream, stats) = (found.stream, found.stats);
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
        self.has_read(&stats);
        Ok(rows)
    }
}

impl Found {
    /// The session of a group that a moment lies in.
    pub(super) fn session(&self, group: &[u8], at: i64) -> Option<(i64, i64)> {
        let sessions = &self.groups.get(group)?.sessions;
        let place = sessions.partition_point(|(_, last)| *last < at);
        let session = sessions.get(place).copied();
        session.filter(|(first, _)| *first <= at)
    }

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

/// A stretch of time that is looked at as a whole, from the first row of what goes on into it to the last row of what
/// begins in it.
fn around((from, to): (i64, i64), sessions: &[(i64, i64)]) -> (i64, i64) {
    let mut around = (from, to);
    for (first, last) in sessions {
        around = (around.0.min(*first), around.1.max(*last));
    }
    around
}

/// Whether a session is less than a gap from what of its group was touched: two of them meet there only, since nothing is
/// between them otherwise.
fn is_met(piece: &Piece, anchors: &[u8], (first, last): (i64, i64), gap: i64) -> bool {
    let from = first.saturating_sub(gap - 1).saturating_sub(gap - 1);
    let to = last.saturating_add(gap - 1);
    let slots = piece.slots.get(anchors);
    slots.is_some_and(|slots| slots.range(from..=to).next().is_some())
}

#[cfg(test)]
mod tests;
