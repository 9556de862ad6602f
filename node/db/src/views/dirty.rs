//! What of a view is behind its table: groups with their windows, and regions that are looked at as a whole. Bounded:
//! groups that are too many become a region, and regions that are too many one that holds them all.

mod piece;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use activestore_query::ViewWindows;

use super::saved::Region;
pub(super) use piece::Piece;
use piece::{GAP_WINDOWS, PIECE_UNITS_MAX};

/// Windows of groups that are remembered one by one.
const UNITS_MAX: usize = 65_536;
/// Regions that are remembered one by one.
const REGIONS_MAX: usize = 64;
/// Pieces of a round, beyond which those that are near to each other are computed together.
const PIECES_MAX: usize = 64;
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
    /// Those of the marked ones that look up a changed row, and of which no row changed itself.
    found: Slots,
    /// Windows of groups that could not be computed, and whether somebody deleted rows of them: they wait until they
    /// are tried again, and hold no others.
    aside: BTreeMap<Vec<u8>, BTreeMap<i64, bool>>,
    aside_count: usize,
    /// The same of regions.
    regions_aside: Vec<Region>,
}

impl Dirty {
    /// A group's rows changed in a stretch of time.
    pub(super) fn mark(&mut self, group: &[u8], slot: i64) {
        if let Some(slots) = self.found.get_mut(group) {
            slots.remove(&slot);
        }
        self.set(group, slot);
    }

    /// A row of a group that is in a stretch of time looks up one that changed.
    pub(super) fn mark_found(&mut self, group: &[u8], slot: i64) {
        if self.set(group, slot) {
            self.found.entry(group.to_vec()).or_default().insert(slot);
        }
    }

    /// Whether it was not marked before.
    fn set(&mut self, group: &[u8], slot: i64) -> bool {
        let new = match self.units.get_mut(group) {
            Some(slots) => slots.insert(slot),
            None => {
                self.units.insert(group.to_vec(), BTreeSet::from([slot]));
                true
            }
        };
        self.count += usize::from(new);
        new
    }

    /// Somebody deleted rows of a group in a stretch of time.
    pub(super) fn mark_deleted(&mut self, group: &[u8], slot: i64) {
        self.mark(group, slot);
        self.deleted.entry(group.to_vec()).or_default().insert(slot);
    }

    /// Forgets what the table may have lost a part of to its age since it was marked, but for what somebody deleted.
    /// How many of them rows were written in.
    pub(super) fn forget_aged(&mut self, floor: i64) -> usize {
        let (deleted, found) = (&self.deleted, &self.found);
        let (mut gone, mut late) = (0, 0);
        self.units.retain(|group, slots| {
            let is_of =
                |all: &Slots, slot: &i64| all.get(group).is_some_and(|all| all.contains(slot));
            slots.retain(|slot| {
                let keeps = *slot >= floor || is_of(deleted, slot);
                gone += usize::from(!keeps);
                late += usize::from(!keeps && !is_of(found, slot));
                keeps
            });
            !slots.is_empty()
        });
        self.count -= gone;
        for slots in self.found.values_mut().filter(|_| gone > 0) {
            slots.retain(|slot| *slot >= floor);
        }
        late
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
        self.found.clear();
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
        let found = Arc::new(std::mem::take(&mut self.found));
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
                        found: found.clone(),
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
            let (deleted, found) = (piece.deleted.get(group), piece.found.get(group));
            for slot in slots {
                if deleted.is_some_and(|slots| slots.contains(slot)) {
                    self.mark_deleted(group, *slot);
                } else if found.is_some_and(|slots| slots.contains(slot)) {
                    self.mark_found(group, *slot);
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

#[cfg(test)]
mod tests;
