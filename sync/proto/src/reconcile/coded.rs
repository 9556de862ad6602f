//! Rateless invertible Bloom lookup tables (Yang, Gilad, Alizadeh: "Practical Rateless Set
//! Reconciliation", SIGCOMM 2024). Each id is in the symbol 0 and in ever rarer later ones; which ones follows from
//! the id alone. The symbols of two sets are subtracted, and what both have is gone; as soon as about
//! 1.4 symbols for each difference are there, the differences can be peeled off one by one.
//!
//! Ids are random numbers of one comparison, so they are their own source of randomness and a check of
//! 32 bits beside them is enough: a false one would have to leave all symbols at zero in the end.

use std::collections::VecDeque;

use serde::{Deserialize, Serialize};

/// The multiplier that steps through the places of an id.
const STEP: u64 = 0xda94_2042_e4dd_58b5;
/// What separates the check from the id.
const CHECK: u64 = 0x9e37_79b9_7f4a_7c15;

/// Ids laid over each other.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct CodedSymbol {
    /// How many ids; negative where more of the other end's were taken away.
    pub count: i64,
    /// Their exclusive or, little-endian.
    pub ids: [u8; 8],
    /// The exclusive or of their checks, little-endian.
    pub checks: [u8; 4],
}

impl CodedSymbol {
    fn toggle(&mut self, id: u64, count: i64) {
        self.count = self.count.wrapping_add(count);
        self.ids = (u64::from_le_bytes(self.ids) ^ id).to_le_bytes();
        self.checks = (u32::from_le_bytes(self.checks) ^ check(id)).to_le_bytes();
    }

    /// Takes another symbol of the same number away.
    pub fn subtract(&mut self, other: &CodedSymbol) {
        self.count = self.count.wrapping_sub(other.count);
        self.ids = (u64::from_le_bytes(self.ids) ^ u64::from_le_bytes(other.ids)).to_le_bytes();
        self.checks =
            (u32::from_le_bytes(self.checks) ^ u32::from_le_bytes(other.checks)).to_le_bytes();
    }

    fn is_empty(&self) -> bool {
        *self == CodedSymbol::default()
    }

    /// The only id in it, and on which side it is.
    fn only(&self) -> Option<(u64, i64)> {
        let id = u64::from_le_bytes(self.ids);
        let alone = matches!(self.count, 1 | -1) && u32::from_le_bytes(self.checks) == check(id);
        alone.then_some((id, self.count))
    }
}

fn check(id: u64) -> u32 {
    let mut mixed = id ^ CHECK;
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    ((mixed ^ (mixed >> 31)) >> 16) as u32
}

/// The numbers of the symbols that an id is in, rising. The square root and the division are exact to the bit
/// on every machine (IEEE 754), so both ends come to the same numbers.
struct Places {
    state: u64,
    next: u64,
}

impl Places {
    fn of(id: u64) -> Self {
        Places { state: id, next: 0 }
    }
}

impl Iterator for Places {
    type Item = u64;

    fn next(&mut self) -> Option<u64> {
        let here = self.next;
        // An odd multiplier; a state of 0 would stay there.
        self.state = self.state.max(1).wrapping_mul(STEP);
        let spread = 4_294_967_296.0 / (self.state as f64 + 1.0).sqrt() - 1.0;
        let gap = ((here as f64 + 1.5) * spread).ceil();
        // Beyond any symbol that is asked for, the exact number does not matter.
        let gap = if gap < 1e15 { gap as u64 } else { 1 << 50 };
        self.next = here.saturating_add(gap.max(1));
        Some(here)
    }
}

/// The symbols of a set, `count` of them from number `from` on.
pub fn encode(ids: impl Iterator<Item = u64>, from: usize, count: usize) -> Vec<CodedSymbol> {
    let mut symbols = vec![CodedSymbol::default(); count];
    for id in ids {
        for place in Places::of(id) {
            let Some(at) = usize::try_from(place).ok().filter(|at| *at < from + count) else {
                break;
            };
            if let Some(symbol) = at.checked_sub(from).and_then(|at| symbols.get_mut(at)) {
                symbol.toggle(id, 1);
            }
        }
    }
    symbols
}

/// What two sets do not share.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Decoded {
    /// Ids of the set that the symbols of the other were taken from.
    pub here: Vec<u64>,
    /// Ids of the other.
    pub there: Vec<u64>,
}

/// Peels the difference of two sets off the difference of their symbols, number 0 first; `None` while
/// there are too few of them.
pub fn decode(mut symbols: Vec<CodedSymbol>) -> Option<Decoded> {
    let mut found = Decoded::default();
    let mut pure: VecDeque<usize> = (0..symbols.len()).collect();
    // A lie could be peeled round and round: there are no more differences than symbols.
    let mut left = symbols.len();
    while let Some(at) = pure.pop_front() {
        let Some((id, side)) = symbols.get(at).and_then(CodedSymbol::only) else {
            continue;
        };
        left = left.checked_sub(1)?;
        match side {
            1 => found.here.push(id),
            _ => found.there.push(id),
        }
        for place in Places::of(id) {
            let place = usize::try_from(place).ok()?;
            let Some(symbol) = symbols.get_mut(place) else {
                break;
            };
            symbol.toggle(id, -side);
            pure.push_back(place);
        }
    }
    (!symbols.is_empty() && symbols.iter().all(CodedSymbol::is_empty)).then_some(found)
}
