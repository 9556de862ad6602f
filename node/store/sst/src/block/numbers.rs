//! A dictionary of 64-bit patterns, shared by the vectors of one column of one file: for floats that
//! are no decimals of a few digits and large integers, where only so many different ones come.

use std::collections::HashMap;

use activestore_types::{Error, Result};

use super::cursor::{Cursor, push_varint};
use super::{VECTOR_ROWS, ints};

/// Patterns a dictionary holds at most: 32 KiB in memory, five times as much while it is made.
const NUMBERS_MAX: usize = 1 << 12;
/// Vectors that are left alone after one did not take it.
const PAUSE: u32 = 15;

/// A dictionary under construction. Codes are given in order of first appearance.
#[derive(Default)]
pub(crate) struct NumbersBuilder {
    // Keyed hashing: the patterns are a writer's, who must not be able to aim for collisions.
    codes: HashMap<u64, u32>,
    values: Vec<u64>,
    pause: u32,
}

impl NumbersBuilder {
    /// The payload of up to 1,024 patterns; `None` where it would not be shorter than `rival` bytes by
    /// an eighth, what it adds to the dictionary included.
    pub(crate) fn encode(&mut self, patterns: &[u64], rival: usize) -> Option<Vec<u8>> {
        if self.pause > 0 {
            self.pause -= 1;
            return None;
        }
        let held = self.values.len();
        let payload = self.try_encode(patterns, rival / 8 * 7);
        if payload.is_none() {
            for value in self.values.drain(held..) {
                self.codes.remove(&value);
            }
            self.pause = PAUSE;
        }
        payload
    }

    fn try_encode(&mut self, patterns: &[u64], limit: usize) -> Option<Vec<u8>> {
        let held = self.values.len();
        let mut lanes = [0; VECTOR_ROWS];
        for (lane, pattern) in lanes.iter_mut().zip(patterns) {
            let next = self.values.len() as u32;
            let code = *self.codes.entry(*pattern).or_insert(next);
            if code == next {
                self.values.push(*pattern);
                let added = (self.values.len() - held) * size_of::<u64>();
                if added > limit || self.values.len() > NUMBERS_MAX {
                    return None;
                }
            }
            *lane = u64::from(code);
        }
        let mut payload = Vec::new();
        ints::encode(lanes.get(..patterns.len())?, &mut payload);
        let added = (self.values.len() - held) * size_of::<u64>();
        (payload.len() + added <= limit).then_some(payload)
    }

    /// The dictionary's bytes; `None` where no vector was encoded with it.
    pub(crate) fn encode_values(&self) -> Option<Vec<u8>> {
        if self.values.is_empty() {
            return None;
        }
        let mut out = Vec::new();
        push_varint(self.values.len() as u64, &mut out);
        out.extend(self.values.iter().flat_map(|value| value.to_le_bytes()));
        Some(out)
    }
}

/// The patterns that codes stand for.
#[derive(Debug)]
pub(crate) struct Numbers(Vec<u64>);

impl Numbers {
    /// Memory that they take.
    pub(crate) fn bytes(&self) -> usize {
        self.0.len() * size_of::<u64>()
    }

    /// Reads what [`NumbersBuilder::encode_values`] wrote.
    ///
    /// # Errors
    /// `Corrupt` for anything else.
    pub(crate) fn decode(bytes: &[u8]) -> Result<Self> {
        let mut bytes = Cursor::new(bytes);
        let count = bytes.count("numbers", NUMBERS_MAX)?;
        let values = bytes.take(count * size_of::<u64>())?.as_chunks::<8>().0;
        let values = values.iter().map(|value| u64::from_le_bytes(*value));
        let values = values.collect();
        bytes.finish()?;
        Ok(Numbers(values))
    }

    /// Puts the patterns in the place of their codes.
    ///
    /// # Errors
    /// `Corrupt` for a code that the dictionary does not have.
    pub(crate) fn look_up(&self, codes: &mut [u64]) -> Result<()> {
        for code in codes {
            let value = usize::try_from(*code).ok().and_then(|at| self.0.get(at));
            *code = *value.ok_or_else(|| {
                Error::corrupt(format!("code {code} is not in a dictionary of numbers"))
            })?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
