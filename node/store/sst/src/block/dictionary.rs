//! A dictionary of text or byte values, shared by the vectors of one column of one file (or of one
//! encoded array). Codes are given in order of first appearance.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};

use activestore_types::{Error, Result};

use super::VECTOR_ROWS;
use super::cursor::{Cursor, push_varint};
use super::ints;

/// Values a dictionary holds at most.
pub(crate) const DICTIONARY_VALUES_MAX: usize = 1 << 16;
/// Bytes its values take at most.
pub(crate) const DICTIONARY_BYTES_MAX: usize = 1 << 20;
/// Values that are taken before asking whether they repeat.
const VALUES_ON_TRIAL: usize = 256;

/// A dictionary under construction.
#[derive(Default)]
pub(crate) struct DictionaryBuilder {
    codes: HashMap<u64, u32, BuildHasherDefault<AlreadyHashed>>,
    values: Values,
    asked: usize,
    full: bool,
    /// Whether any vector was encoded with it.
    pub(crate) used: bool,
}

impl DictionaryBuilder {
    /// The value's code, new or old; `None` where the dictionary does not take it.
    pub(crate) fn code(&mut self, value: &[u8]) -> Option<u32> {
        let hash = xxhash_rust::xxh3::xxh3_64(value);
        self.asked += 1;
        if let Some(code) = self.codes.get(&hash) {
            // Two values with one hash: the second stays outside.
            return (self.values.get(*code as usize) == Some(value)).then_some(*code);
        }
        let held = self.values.len();
        if held >= VALUES_ON_TRIAL && held * 2 > self.asked {
            self.full = true;
        }
        if self.full
            || held >= DICTIONARY_VALUES_MAX
            || self.values.bytes.len() + value.len() > DICTIONARY_BYTES_MAX
        {
            return None;
        }
        let code = held as u32;
        self.values.push(value);
        self.codes.insert(hash, code);
        Some(code)
    }

    /// Counts rows that repeat the value before and were not asked for.
    pub(crate) fn repeated(&mut self, rows: usize) {
        self.asked += rows;
    }

    /// The values.
    pub(crate) fn values(&self) -> &Values {
        &self.values
    }
}

/// Byte strings in one buffer.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Values {
    ends: Vec<u32>,
    bytes: Vec<u8>,
}

impl Values {
    /// How many.
    pub(crate) fn len(&self) -> usize {
        self.ends.len()
    }

    /// Of ascending values, how many are below a key.
    pub(crate) fn below(&self, key: &[u8]) -> usize {
        let (mut low, mut high) = (0, self.len());
        while low < high {
            let middle = low.midpoint(high);
            if self.get(middle).is_some_and(|value| value < key) {
                low = middle + 1;
            } else {
                high = middle;
            }
        }
        low
    }

    /// Memory that they take.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes.len() + self.ends.len() * size_of::<u32>()
    }

    /// Appends one.
    pub(crate) fn push(&mut self, value: &[u8]) {
        self.bytes.extend_from_slice(value);
        self.ends.push(self.bytes.len() as u32);
    }

    /// The value at an index.
    pub(crate) fn get(&self, index: usize) -> Option<&[u8]> {
        let end = *self.ends.get(index)? as usize;
        let start = match index.checked_sub(1) {
            Some(before) => *self.ends.get(before)? as usize,
            None => 0,
        };
        self.bytes.get(start..end)
    }

    /// Appends count, lengths and bytes.
    pub(crate) fn encode(&self, out: &mut Vec<u8>) {
        push_varint(self.ends.len() as u64, out);
        let mut before = 0;
        for ends in self.ends.chunks(VECTOR_ROWS) {
            let mut lengths = Vec::with_capacity(ends.len());
            for end in ends {
                lengths.push(u64::from(end - before));
                before = *end;
            }
            ints::encode(&lengths, out);
        }
        out.extend_from_slice(&self.bytes);
    }

    /// Reads what [`Values::encode`] wrote: at most so many values of at most so many bytes in all.
    ///
    /// # Errors
    /// `Corrupt` for anything else.
    pub(crate) fn decode(
        bytes: &mut Cursor<'_>,
        values_max: usize,
        bytes_max: usize,
    ) -> Result<Self> {
        let count = bytes.count("values", values_max)?;
        let bytes_max = bytes_max.min(u32::MAX as usize) as u64;
        let mut ends = Vec::new();
        let mut end = 0_u64;
        let mut lanes = [0; VECTOR_ROWS];
        while ends.len() < count {
            let rows = (count - ends.len()).min(VECTOR_ROWS);
            ints::decode(bytes, rows, &mut lanes)?;
            for length in lanes.iter().take(rows) {
                end = end.saturating_add(*length);
                if end > bytes_max {
                    return Err(Error::corrupt(format!(
                        "values of more than {bytes_max} bytes"
                    )));
                }
                ends.push(end as u32);
            }
        }
        let bytes = bytes.take(end as usize)?.to_vec();
        Ok(Values { ends, bytes })
    }
}

/// Passes a 64-bit hash through.
#[derive(Default)]
struct AlreadyHashed(u64);

impl Hasher for AlreadyHashed {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = self.0.rotate_left(8) ^ u64::from(*byte);
        }
    }

    fn write_u64(&mut self, hash: u64) {
        self.0 = hash;
    }
}
