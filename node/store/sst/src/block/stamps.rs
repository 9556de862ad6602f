//! Row stamps of one file, renumbered without gaps.
//!
//! Commits stamp their rows with consecutive numbers, and rows arrive in the order of time. Sorted
//! by key, the stamps of one device therefore advance by an even step as long as a commit lasts, and
//! then jump by whatever time went by. All devices jump at the same places. A map of a file holds
//! those places once: *stretches* of stamps, laid side by side so that each jump becomes one more
//! even step. What a vector holds are numbers on this line; where data came in bulk they are a
//! constant step, and a row's stamp costs next to nothing.

use activestore_types::{Error, Result};

use super::cursor::{Cursor, push_varint};
use crate::zone::{push_ints, read_ints};

/// Stretches of a map: this many, and one more for every [`ROWS_PER_STRETCH`] rows of the file.
const STRETCHES_MIN: usize = 8192;
const ROWS_PER_STRETCH: usize = 32;

/// Vectors in a row that may bring mostly new stretches: a partition or two.
const STRANGERS_MAX: u32 = 5;

/// How many stretches the map of a file of so many rows can have.
pub(crate) fn stretches_max(rows: u64) -> usize {
    let more = usize::try_from(rows).unwrap_or(usize::MAX) / ROWS_PER_STRETCH;
    STRETCHES_MIN.saturating_add(more)
}

/// The map of a file: what number on the line each stamp has.
#[derive(Debug, Default)]
pub(crate) struct StampMap {
    /// Where each stretch begins on the line, ascending.
    numbers: Vec<u64>,
    /// The stamp that stands there.
    stamps: Vec<u64>,
}

impl StampMap {
    /// Memory that it takes.
    pub(crate) fn bytes(&self) -> usize {
        (self.numbers.len() + self.stamps.len()) * size_of::<u64>()
    }

    /// Turns numbers into stamps, in place.
    ///
    /// # Errors
    /// `Corrupt` for a number before the first stretch.
    pub(crate) fn to_stamps(&self, values: &mut [u64]) -> Result<()> {
        let mut at = 0;
        for value in values {
            let inside = |at: usize| {
                self.numbers.get(at).is_some_and(|start| start <= value)
                    && self.numbers.get(at + 1).is_none_or(|next| *value < *next)
            };
            if !inside(at) {
                at += 1;
            }
            if !inside(at) {
                let behind = self.numbers.partition_point(|start| start <= value);
                at = behind
                    .checked_sub(1)
                    .ok_or_else(|| Error::corrupt("a stamp before the first of its file"))?;
            }
            let start = self.numbers.get(at).copied().unwrap_or(0);
            let stamp = self.stamps.get(at).copied().unwrap_or(0);
            *value = stamp.wrapping_add(value.wrapping_sub(start));
        }
        Ok(())
    }

    /// From the bytes that [`StampMapBuilder::encode`] wrote, for a file of so many rows.
    ///
    /// # Errors
    /// `Corrupt` for other bytes.
    pub(crate) fn decode(bytes: &[u8], rows: u64) -> Result<Self> {
        let mut bytes = Cursor::new(bytes);
        let count = bytes.count("stretches", stretches_max(rows))?;
        let mut numbers = read_ints(&mut bytes, count)?;
        let stamps = read_ints(&mut bytes, count)?;
        bytes.finish()?;
        let mut before = 0_u64;
        for (at, number) in numbers.iter_mut().enumerate() {
            if at > 0 && *number == 0 {
                return Err(Error::corrupt("an empty stretch of stamps"));
            }
            before = before
                .checked_add(*number)
                .ok_or_else(|| Error::corrupt("stretches of stamps are too long"))?;
            *number = before;
        }
        Ok(StampMap { numbers, stamps })
    }
}

#[derive(Clone, Copy, Debug)]
struct Stretch {
    stamp: u64,
    number: u64,
    /// How many stamps it may hold.
    length: u64,
}

/// A map under construction.
#[derive(Debug, Default)]
pub(crate) struct StampMapBuilder {
    /// By stamp.
    stretches: Vec<Stretch>,
    /// The place of the stretch that ends the line.
    last: usize,
    /// Where the line ends.
    end: u64,
    /// By how much stamps usually advance from row to row.
    step: Option<u64>,
    rows: u64,
    /// Whether any stamp was earlier than the one before: another partition has begun.
    fell: bool,
    /// Vectors in a row most of whose stamps were in no stretch.
    strangers: u32,
    full: bool,
    /// Whether any vector was encoded with it.
    pub(crate) used: bool,
}

impl StampMapBuilder {
    /// Numbers the stamps of a vector; `false` where the map does not take them all.
    pub(crate) fn number(&mut self, stamps: &[u64], out: &mut [u64]) -> bool {
        self.rows += stamps.len() as u64;
        if self.full {
            return false;
        }
        let step = *self.step.get_or_insert_with(|| usual_step(stamps));
        let known = self.stretches.len();
        let mut before: Option<(u64, u64)> = None;
        let mut hint = 0;
        for (stamp, number) in stamps.iter().zip(out) {
            let found = self.find(*stamp, &mut hint).or_else(|| {
                let follows = before.filter(|(before, _)| before < stamp);
                self.add(*stamp, step, follows.map(|(_, number)| number))
            });
            let Some(found) = found else {
                self.full = true;
                return false;
            };
            *number = found;
            self.fell |= before.is_some_and(|(before, _)| before > *stamp);
            before = Some((*stamp, found));
        }
        // Partitions that do not share their jumps gain nothing from a map.
        let new = (self.stretches.len() - known) * 2 > stamps.len();
        self.strangers = if new { self.strangers + 1 } else { 0 };
        self.full = self.fell && self.strangers > STRANGERS_MAX;
        true
    }

    fn find(&self, stamp: u64, hint: &mut usize) -> Option<u64> {
        let begins = |at: usize| self.stretches.get(at).is_some_and(|s| s.stamp <= stamp);
        let holds = |at: usize| begins(at) && !begins(at + 1);
        if !holds(*hint) {
            *hint += 1;
        }
        if !holds(*hint) {
            *hint = self.place_of(stamp)?;
        }
        let stretch = self.stretches.get(*hint)?;
        let offset = stamp - stretch.stamp;
        (offset < stretch.length).then(|| stretch.number + offset)
    }

    /// The stretch that begins at or before the stamp.
    fn place_of(&self, stamp: u64) -> Option<usize> {
        let behind = self.stretches.partition_point(|s| s.stamp <= stamp);
        behind.checked_sub(1)
    }

    /// Makes room for a stamp that no stretch holds. `before` is the number of the row before it,
    /// if that has an earlier stamp.
    fn add(&mut self, stamp: u64, step: u64, before: Option<u64>) -> Option<u64> {
        let place = self.place_of(stamp);
        // The end of the line may still be a part of what is going on there.
        if place == Some(self.last)
            && let Some(stretch) = self.stretches.get_mut(self.last)
        {
            let offset = stamp - stretch.stamp;
            if offset < stretch.length.saturating_add(step) {
                stretch.length = offset + 1;
                self.end = stretch.number.checked_add(stretch.length)?;
                return Some(stretch.number + offset);
            }
        }
        if self.stretches.len() >= stretches_max(self.rows) {
            return None;
        }
        // One even step behind the row before, if the line is free there.
        let wanted = before.map_or(self.end, |before| before.saturating_add(step));
        let number = wanted.max(self.end);
        if number > u64::MAX / 2 || number - self.end > u64::from(u32::MAX) {
            return None;
        }
        if let Some(stretch) = self.stretches.get_mut(self.last) {
            stretch.length = number - stretch.number;
        }
        let at = place.map_or(0, |place| place + 1);
        // A stretch between known ones keeps room for the partitions beside this one.
        let room = match self.stretches.get(at) {
            Some(next) if wanted <= self.end => (next.stamp - stamp).min(step),
            _ => 1,
        };
        let length = room.max(1);
        self.end = number.checked_add(length)?;
        let stretch = Stretch {
            stamp,
            number,
            length,
        };
        self.stretches.insert(at, stretch);
        self.last = at;
        Some(number)
    }

    /// Its bytes: the distances between stretches on the line, and the stamps.
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut by_number: Vec<&Stretch> = self.stretches.iter().collect();
        by_number.sort_unstable_by_key(|stretch| stretch.number);
        let mut before = 0;
        let mut numbers = Vec::with_capacity(by_number.len());
        for stretch in &by_number {
            numbers.push(stretch.number - before);
            before = stretch.number;
        }
        let stamps: Vec<u64> = by_number.iter().map(|stretch| stretch.stamp).collect();
        let mut out = Vec::new();
        push_varint(numbers.len() as u64, &mut out);
        push_ints(&numbers, &mut out);
        push_ints(&stamps, &mut out);
        out
    }
}

/// The middle one of the advances from row to row.
fn usual_step(stamps: &[u64]) -> u64 {
    let pairs = stamps.windows(2).filter_map(|pair| match pair {
        [before, after] => after.checked_sub(*before).filter(|step| *step > 0),
        _ => None,
    });
    let mut steps: Vec<u64> = pairs.collect();
    steps.sort_unstable();
    steps.get(steps.len() / 2).copied().unwrap_or(1)
}

#[cfg(test)]
mod tests;
