//! What of a view is behind its table: groups with their windows, and regions that are looked at as a whole. Bounded:
//! groups that are too many become a region, and regions that are too many one that holds them all.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use activestore_query::ViewWindows;

use super::saved::Region;

/// Windows of groups that are remembered one by one.
const UNITS_MAX: usize = 65_536;
/// Regions that are remembered one by one.
const REGIONS_MAX: usize = 64;
/// Windows of groups that are computed together …
const PIECE_UNITS_MAX: usize = 8_192;
/// … and groups.
const PIECE_GROUPS_MAX: usize = 1_024;
/// Pieces of a round, beyond which those that are near to each other are computed together.
const PIECES_MAX: usize = 64;
/// Windows that are computed for nothing rather than by a query of their own.
const GAP_WINDOWS: i64 = 16;
/// Regions that could not be computed and are remembered one by one.
const ASIDE_REGIONS_MAX: usize = 16;

/// The stretches of time of each group.
type Slots = BTreeMap<Vec<u8>, BTreeSet<i64>>;

/// What is to be computed again.
#[derive(Debug, Default)]
pub(super) struct Dirty {
    units: HashMap<Vec<u8>, BTreeSet<i64>>,
    count: usize,
    pub(super) regions: Vec<Region>,
    /// Those of the marked ones of which somebody deleted rows: they are computed whatever their age.
    deleted: Slots,
    /// Windows of groups that could not be computed, and whether somebody deleted rows of them: they wait until they
    /// are tried again, and hold no others.
    aside: BTreeMap<Vec<u8>, BTreeMap<i64, bool>>,
    aside_count: usize,
    /// The same of regions.
    regions_aside: Vec<Region>,
}

/// Windows of groups that are computed together.
#[derive(Debug)]
pub(super) struct Piece {
    pub(super) slots: Slots,
    /// Stretches of any groups of which somebody deleted rows.
    deleted: Arc<Slots>,
    /// The first window.
    pub(super) from: i64,
    /// The last one.
    pub(super) to: i64,
}

impl Dirty {
    /// A group's rows changed in a stretch of time.
    pub(super) fn mark(&mut self, group: &[u8], slot: i64) {
        let new = match self.units.get_mut(group) {
            Some(slots) => slots.insert(slot),
            None => {
                self.units.insert(group.to_vec(), BTreeSet::from([slot]));
                true
            }
        };
        self.count += usize::from(new);
    }

    /// Somebody deleted rows of a group in a stretch of time.
    pub(super) fn mark_deleted(&mut self, group: &[u8], slot: i64) {
        self.mark(group, slot);
        self.deleted.entry(group.to_vec()).or_default().insert(slot);
    }

    /// Forgets what the table may have lost a part of to its age since it was marked, but for what somebody deleted.
    /// How much it was.
    pub(super) fn forget_aged(&mut self, floor: i64) -> usize {
        let before = self.count;
        let deleted = &self.deleted;
        self.units.retain(|group, slots| {
            let deleted = deleted.get(group);
            let keeps =
                |slot: &i64| *slot >= floor || deleted.is_some_and(|slots| slots.contains(slot));
            let known = slots.len();
            slots.retain(keeps);
            self.count -= known - slots.len();
            !slots.is_empty()
        });
        before - self.count
    }

    /// How many windows of groups are marked, also of those that could not be computed.
    pub(super) fn count(&self) -> usize {
        self.count + self.aside_count
    }

    pub(super) fn is_full(&self) -> bool {
        self.count() >= UNITS_MAX
    }

    pub(super) fn is_empty(&self) -> bool {
        !self.has_work() && !self.has_aside()
    }

    /// Whether something is to be computed at its time.
    pub(super) fn has_work(&self) -> bool {
        self.count > 0 || !self.regions.is_empty()
    }

    /// Whether something could not be computed.
    pub(super) fn has_aside(&self) -> bool {
        self.aside_count > 0 || !self.regions_aside.is_empty()
    }

    /// All regions, also those that could not be computed.
    pub(super) fn all_regions(&self) -> Vec<Region> {
        let all = self.regions.iter().chain(&self.regions_aside);
        all.cloned().collect()
    }

    /// A piece could not be computed.
    pub(super) fn set_aside(&mut self, piece: Piece) {
        for (group, slots) in piece.slots {
            let deleted = piece.deleted.get(&group);
            let known = self.aside.entry(group).or_default();
            for slot in slots {
                let deleted = deleted.is_some_and(|slots| slots.contains(&slot));
                match known.get_mut(&slot) {
                    Some(known) => *known |= deleted,
                    None => {
                        known.insert(slot, deleted);
                        self.aside_count += 1;
                    }
                }
            }
        }
    }

    /// A region could not be computed. Those that are too many become one with what is between them.
    pub(super) fn set_region_aside(&mut self, region: Region) {
        let full = self.regions_aside.len() >= ASIDE_REGIONS_MAX;
        match self.regions_aside.last_mut().filter(|_| full) {
            Some(last) => {
                let meets = last.among == region.among
                    && (last.from <= region.to && region.from <= last.to);
                // Nobody deleted what is between them.
                last.aged &= region.aged && meets;
                if last.among != region.among {
                    last.among.clear();
                }
                last.from = last.from.min(region.from);
                last.to = last.to.max(region.to);
                last.bounded &= region.bounded;
                last.clean = false;
            }
            None => self.regions_aside.push(region),
        }
    }

    /// What could not be computed is tried again.
    pub(super) fn retry(&mut self) {
        self.aside_count = 0;
        for (group, slots) in std::mem::take(&mut self.aside) {
            for (slot, deleted) in slots {
                if deleted {
                    self.mark_deleted(&group, slot);
                } else {
                    self.mark(&group, slot);
                }
            }
        }
        for region in std::mem::take(&mut self.regions_aside) {
            self.add(region);
        }
    }

    /// A region has to be looked at. One that meets another of the same groups becomes one with it.
    pub(super) fn add(&mut self, mut region: Region) {
        self.regions.retain(|known| {
            let alike = known.among == region.among && known.aged == region.aged;
            let meets = alike && known.from <= region.to && region.from <= known.to;
            if meets {
                region.from = region.from.min(known.from);
                region.to = region.to.max(known.to);
                region.bounded &= known.bounded;
                region.clean = false;
            }
            !meets
        });
        self.regions.push(region);
        if self.regions.len() > REGIONS_MAX {
            let all = self.regions.drain(..);
            let one = all.reduce(|one, other| Region {
                among: Vec::new(),
                from: one.from.min(other.from),
                to: one.to.max(other.to),
                bounded: false,
                // Nobody deleted what is between them.
                aged: false,
                clean: false,
            });
            self.regions.extend(one);
        }
    }

    /// Makes a region of all groups that are marked.
    pub(super) fn widen(&mut self, windows: &ViewWindows) {
        let aside = || self.aside.values().flat_map(BTreeMap::keys);
        let slots = || self.units.values().flatten().chain(aside());
        if let (Some(first), Some(last)) = (slots().min(), slots().max()) {
            let region = Region {
                among: Vec::new(),
                from: windows.first(*first),
                to: windows.upto(windows.next(*last).saturating_sub(1)),
                bounded: true,
                aged: false,
                clean: false,
            };
            self.forget();
            self.add(region);
        }
    }

    /// Forgets the groups, not the regions.
    pub(super) fn forget(&mut self) {
        self.units.clear();
        self.deleted.clear();
        self.count = 0;
        self.aside.clear();
        self.aside_count = 0;
    }

    /// Takes all groups out, as pieces to be computed.
    pub(super) fn take(&mut self, windows: &ViewWindows) -> Vec<Piece> {
        let mut alike: BTreeMap<(i64, i64), Slots> = BTreeMap::new();
        for (group, slots) in std::mem::take(&mut self.units) {
            for run in runs(slots, windows) {
                let (Some(first), Some(last)) = (run.first(), run.last()) else {
                    continue;
                };
                let windows = (windows.first(*first), *last);
                // A group has several runs, but one of the same windows.
                alike.entry(windows).or_default().insert(group.clone(), run);
            }
        }
        self.count = 0;
        let deleted = Arc::new(std::mem::take(&mut self.deleted));
        let near = alike.len() > PIECES_MAX;
        let mut pieces: Vec<Piece> = Vec::new();
        for ((from, to), slots) in alike {
            for (group, run) in slots {
                let open = pieces.last_mut().filter(|piece| {
                    let same = (piece.from, piece.to) == (from, to);
                    let meets = || piece.is_near(&group, run.len(), (from, to), windows);
                    (same || near && meets()) && piece.has_room(&group, run.len())
                });
                match open {
                    Some(piece) => {
                        piece.from = piece.from.min(from);
                        piece.to = piece.to.max(to);
                        piece.slots.entry(group).or_default().extend(run);
                    }
                    None => pieces.push(Piece {
                        slots: BTreeMap::from([(group, run)]),
                        deleted: deleted.clone(),
                        from,
                        to,
                    }),
                }
            }
        }
        pieces
    }

    /// Marks what a piece holds again.
    pub(super) fn put_back(&mut self, piece: &Piece) {
        for (group, slots) in &piece.slots {
            let deleted = piece.deleted.get(group);
            for slot in slots {
                if deleted.is_some_and(|slots| slots.contains(slot)) {
                    self.mark_deleted(group, *slot);
                } else {
                    self.mark(group, *slot);
                }
            }
        }
    }
}

/// Stretches of time that are near to each other.
fn runs(slots: BTreeSet<i64>, windows: &ViewWindows) -> Vec<BTreeSet<i64>> {
    let mut runs: Vec<BTreeSet<i64>> = Vec::new();
    let mut last: Option<i64> = None;
    for slot in slots {
        let near = last.is_some_and(|last| {
            let width = windows.next(last).saturating_sub(last);
            slot.saturating_sub(last) <= width.saturating_mul(GAP_WINDOWS)
        });
        match runs
            .last_mut()
            .filter(|run| near && run.len() < PIECE_UNITS_MAX)
        {
            Some(run) => {
                run.insert(slot);
            }
            None => runs.push(BTreeSet::from([slot])),
        }
        last = Some(slot);
    }
    runs
}

impl Piece {
    fn units(&self) -> usize {
        self.slots.values().map(BTreeSet::len).sum()
    }

    fn has_room(&self, group: &[u8], units: usize) -> bool {
        (self.slots.contains_key(group) || self.slots.len() < PIECE_GROUPS_MAX)
            && self.units() + units <= PIECE_UNITS_MAX
    }

    /// Whether a group's windows may be computed with it: neither the way to them nor the windows that are computed for
    /// nothing, of each of its groups, are too many.
    fn is_near(
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
    pub(super) fn holds(&self, group: &[u8], start: i64, windows: &ViewWindows) -> bool {
        holds(&self.slots, group, start, windows)
    }

    /// Whether somebody deleted rows of a group's window.
    pub(super) fn deletes(&self, group: &[u8], start: i64, windows: &ViewWindows) -> bool {
        holds(&self.deleted, group, start, windows)
    }

    /// The piece as two; `None` where it is one stretch of one group.
    pub(super) fn split(&self, windows: &ViewWindows) -> Option<[Piece; 2]> {
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
        let deleted = self.deleted.clone();
        Some(Piece {
            slots,
            deleted,
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

#[cfg(test)]
mod tests;
