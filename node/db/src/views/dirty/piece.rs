//! A part of what is to be computed again that is computed together, and how it is split where it is too large.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use activestore_query::ViewWindows;

use super::Slots;

/// Windows of groups that are computed together …
pub(super) const PIECE_UNITS_MAX: usize = 8_192;
/// … and groups.
pub(super) const PIECE_GROUPS_MAX: usize = 1_024;
/// Windows that are computed for nothing rather than by a query of their own.
pub(super) const GAP_WINDOWS: i64 = 16;

/// Windows of groups that are computed together.
#[derive(Debug)]
pub(in crate::views) struct Piece {
    pub(in crate::views) slots: Slots,
    /// Stretches of any groups of which somebody deleted rows.
    pub(super) deleted: Arc<Slots>,
    /// Those that were marked for a changed row that they look up, and for none of their own.
    pub(super) found: Arc<Slots>,
    /// The first window.
    pub(in crate::views) from: i64,
    /// The last one.
    pub(in crate::views) to: i64,
}

impl Piece {
    fn units(&self) -> usize {
        self.slots.values().map(BTreeSet::len).sum()
    }

    pub(super) fn has_room(&self, group: &[u8], units: usize) -> bool {
        (self.slots.contains_key(group) || self.slots.len() < PIECE_GROUPS_MAX)
            && self.units() + units <= PIECE_UNITS_MAX
    }

    /// Whether a group's windows may be computed with it: neither the way to them nor the windows that are computed for
    /// nothing, of each of its groups, are too many.
    pub(super) fn is_near(
        &self,
        group: &[u8],
        units: usize,
        (from, to): (i64, i64),
        windows: &ViewWindows,
    ) -> bool {
        let width = windows.next(self.to).saturating_sub(self.to).max(1);
        if from.saturating_sub(self.to) > width.saturating_mul(GAP_WINDOWS) {
            return false;
        }
        let (from, to) = (self.from.min(from), self.to.max(to));
        // Windows that hop begin before their first stretch, for one group as for many.
        let first = from.saturating_add(to.saturating_sub(windows.first(to)));
        let long = to.saturating_sub(first) / width + 1;
        let groups = self.slots.len() + usize::from(!self.slots.contains_key(group));
        let all = i64::try_from(groups).map_or(i64::MAX, |groups| groups.saturating_mul(long));
        let meant = i64::try_from(self.units() + units).unwrap_or(i64::MAX);
        all <= meant.saturating_mul(GAP_WINDOWS)
    }

    /// Whether a group's window is to be computed.
    pub(in crate::views) fn holds(&self, group: &[u8], start: i64, windows: &ViewWindows) -> bool {
        holds(&self.slots, group, start, windows)
    }

    /// Whether somebody deleted rows of a group's window.
    pub(in crate::views) fn deletes(
        &self,
        group: &[u8],
        start: i64,
        windows: &ViewWindows,
    ) -> bool {
        holds(&self.deleted, group, start, windows)
    }

    /// The piece as two; `None` where it is one stretch of one group.
    pub(in crate::views) fn split(&self, windows: &ViewWindows) -> Option<[Piece; 2]> {
        let mut slots = self.slots.clone();
        if slots.len() > 1 {
            let middle = slots.keys().nth(slots.len() / 2)?.clone();
            let behind = slots.split_off(&middle);
            return Some([self.part(slots, windows)?, self.part(behind, windows)?]);
        }
        let (group, mut stretches) = slots.pop_first()?;
        let middle = *stretches
            .iter()
            .nth(stretches.len() / 2)
            .filter(|_| stretches.len() > 1)?;
        let behind = stretches.split_off(&middle);
        let of = |stretches| self.part(BTreeMap::from([(group.clone(), stretches)]), windows);
        Some([of(stretches)?, of(behind)?])
    }

    /// Some of its stretches, with no more of the time than they take.
    fn part(&self, slots: Slots, windows: &ViewWindows) -> Option<Piece> {
        let all = || slots.values().flatten();
        let (from, to) = (windows.first(*all().min()?), *all().max()?);
        Some(Piece {
            slots,
            deleted: self.deleted.clone(),
            found: self.found.clone(),
            from,
            to,
        })
    }
}

/// Whether a window is one of a group's stretches.
fn holds(slots: &Slots, group: &[u8], start: i64, windows: &ViewWindows) -> bool {
    let behind = slots
        .get(group)
        .and_then(|slots| slots.range(start..).next());
    behind.is_some_and(|slot| windows.first(*slot) <= start)
}
