//! Rows as the comparison sees them: a place in the order of stamps, and a number made of what the row
//! shows and of a seed that is drawn for each comparison, so that nobody can aim for two rows with one
//! number.

use serde::{Deserialize, Serialize};
use xxhash_rust::xxh3::xxh3_128_with_seed;

use super::{CodedSymbol, encode};

/// So many rows and the wrapping sum of their numbers: sums of parts add up to the sum of the whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Sum {
    /// Rows counted.
    pub rows: u64,
    /// The sum, little-endian.
    pub hash: [u8; 16],
}

impl Sum {
    /// Adds one row.
    pub fn push(&mut self, number: u128) {
        self.rows += 1;
        self.hash = u128::from_le_bytes(self.hash)
            .wrapping_add(number)
            .to_le_bytes();
    }

    /// Adds the rows of another sum.
    pub fn add(&mut self, other: &Sum) {
        self.rows = self.rows.wrapping_add(other.rows);
        self.hash = u128::from_le_bytes(self.hash)
            .wrapping_add(u128::from_le_bytes(other.hash))
            .to_le_bytes();
    }
}

/// The number of a row in one comparison: of the hash of what it shows, under the comparison's seed.
pub fn keyed(seed: u64, hash: u128) -> u128 {
    let mut bytes = [0; 24];
    let (front, back) = bytes.split_at_mut(16);
    front.copy_from_slice(&hash.to_le_bytes());
    back.copy_from_slice(&seed.to_le_bytes());
    xxh3_128_with_seed(&bytes, seed)
}

/// Rows of a day in the order of their places: stamps, each with the row's number.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Items {
    places: Vec<u64>,
    numbers: Vec<u128>,
}

impl Items {
    /// Sorts them.
    pub fn new(mut rows: Vec<(u64, u128)>) -> Self {
        rows.sort_unstable();
        let (places, numbers) = rows.into_iter().unzip();
        Items { places, numbers }
    }

    /// How many.
    pub fn len(&self) -> usize {
        self.places.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.places.is_empty()
    }

    /// Where the places from `low` on, below `high`, lie; `u64::MAX` is no bound.
    fn span(&self, low: u64, high: u64) -> std::ops::Range<usize> {
        let start = self.places.partition_point(|place| *place < low);
        let end = match high {
            u64::MAX => self.places.len(),
            high => self.places.partition_point(|place| *place < high),
        };
        start..end.max(start)
    }

    /// How many lie in a range.
    pub fn count(&self, low: u64, high: u64) -> u64 {
        self.span(low, high).len() as u64
    }

    /// Their sum.
    pub fn sum(&self, low: u64, high: u64) -> Sum {
        let mut sum = Sum::default();
        let numbers = self.numbers.get(self.span(low, high)).unwrap_or_default();
        numbers.iter().for_each(|number| sum.push(*number));
        sum
    }

    /// Their ids: the lower half of their numbers.
    pub fn ids(&self, low: u64, high: u64) -> impl Iterator<Item = u64> + '_ {
        let numbers = self.numbers.get(self.span(low, high)).unwrap_or_default();
        numbers.iter().map(|number| *number as u64)
    }

    /// Their coded symbols from one number on, so many.
    pub fn symbols(&self, low: u64, high: u64, from: usize, count: usize) -> Vec<CodedSymbol> {
        encode(self.ids(low, high), from, count)
    }

    /// The place of the first row of a pick that is beyond so many of them.
    pub fn place_after(&self, pick: &super::Pick, rows: usize) -> Option<u64> {
        let span = self.span(pick.low, pick.high);
        let places = self.places.get(span.clone()).unwrap_or_default();
        let numbers = self.numbers.get(span).unwrap_or_default();
        let picked = places.iter().zip(numbers);
        let mut picked = picked.filter(|(place, number)| pick.takes(**place, **number as u64));
        picked.nth(rows).map(|(place, _)| *place)
    }

    /// Bounds that cut a range into `parts` of about equally many rows, without its own. Each bound ends in
    /// as many zero bits as it may, which makes it short on the wire.
    pub fn cuts(&self, low: u64, high: u64, parts: usize) -> Vec<u64> {
        let span = self.span(low, high);
        let places = self.places.get(span).unwrap_or_default();
        cuts(places, parts)
    }
}

/// Bounds that cut sorted places into `parts` of about equally many, none at the first.
pub fn cuts(places: &[u64], parts: usize) -> Vec<u64> {
    let mut bounds: Vec<u64> = Vec::with_capacity(parts);
    for part in 1..parts {
        let at = places.len() * part / parts;
        let before = at.checked_sub(1).and_then(|before| places.get(before));
        if let (Some(before), Some(here)) = (before, places.get(at)) {
            let bound = between(*before, *here);
            if before < here && bounds.last().is_none_or(|last| *last < bound) {
                bounds.push(bound);
            }
        }
    }
    bounds
}

/// The number above `before` and not above `here` with the most zero bits at its end.
fn between(before: u64, here: u64) -> u64 {
    let differ = before ^ here;
    let keep = differ.leading_zeros();
    match u64::MAX.checked_shr(keep + 1) {
        Some(mask) => here & !mask,
        None => here,
    }
}
