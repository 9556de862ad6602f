//! Keys that compare bytewise in key order (memcomparable), as MyRocks and TiDB encode them.
//!
//! Numbers are big-endian with the sign flipped; floats use the IEEE total order with -0.0 folded
//! into 0.0 and every NaN into one; text and bytes escape 0x00 as 0x00 0xFF and end with 0x00 0x00,
//! so that no key is a prefix of another by accident; a descending column inverts all its bytes.

use std::ops::Range;

use crate::error::{Error, Result};

mod encode;

pub use encode::{encode_keys, encode_split_keys};

/// Encoded keys of many rows in one buffer.
#[derive(Clone, Debug, Default)]
pub struct KeyBuffer {
    bytes: Vec<u8>,
    ends: Vec<u32>,
}

impl KeyBuffer {
    /// How many keys.
    pub fn len(&self) -> usize {
        self.ends.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    /// The key of a row; empty when there is no such row.
    pub fn key(&self, row: usize) -> &[u8] {
        let Some(end) = self.ends.get(row) else {
            return &[];
        };
        let start = row
            .checked_sub(1)
            .and_then(|before| self.ends.get(before))
            .map_or(0, |start| *start as usize);
        self.bytes.get(start..*end as usize).unwrap_or(&[])
    }

    /// Adds the keys of some rows of another buffer; rows that it does not have are left out.
    ///
    /// # Errors
    /// `Invalid` for more than 4 GiB of keys.
    pub fn append(&mut self, from: &KeyBuffer, rows: Range<usize>) -> Result<()> {
        let rows = rows.start..rows.end.min(from.len());
        let Some(ends) = from.ends.get(rows.clone()).filter(|ends| !ends.is_empty()) else {
            return Ok(());
        };
        let before = rows.start.checked_sub(1);
        let start = before.and_then(|before| from.ends.get(before)).copied();
        let start = start.unwrap_or(0);
        let end = ends.last().copied().unwrap_or(start);
        let base = self.bytes.len();
        let bytes = from.bytes.get(start as usize..end as usize).unwrap_or(&[]);
        let base = u32::try_from(base + bytes.len())
            .map(|total| total - (end - start))
            .map_err(|_| too_long())?;
        self.bytes.extend_from_slice(bytes);
        self.ends
            .extend(ends.iter().map(|end| base + (end - start)));
        Ok(())
    }

    /// All keys in row order.
    pub fn iter(&self) -> impl Iterator<Item = &[u8]> {
        let mut start = 0;
        self.ends.iter().map(move |end| {
            let end = *end as usize;
            let key = self.bytes.get(start..end).unwrap_or(&[]);
            start = end;
            key
        })
    }

    /// Bytes of memory taken.
    pub fn memory_bytes(&self) -> usize {
        self.bytes.len() + self.ends.len() * size_of::<u32>()
    }

    /// Adds a key that is encoded already.
    ///
    /// # Errors
    /// `Invalid` beyond 4 GiB of keys; nothing is added then.
    pub fn push(&mut self, key: &[u8]) -> Result<()> {
        let end = u32::try_from(self.bytes.len() + key.len()).map_err(|_| too_long())?;
        self.bytes.extend_from_slice(key);
        self.ends.push(end);
        Ok(())
    }

    /// Adds all keys of another buffer, in their order.
    ///
    /// # Errors
    /// `Invalid` beyond 4 GiB of keys; nothing is added then.
    pub fn extend(&mut self, other: &KeyBuffer) -> Result<()> {
        let base = u32::try_from(self.bytes.len()).map_err(|_| too_long())?;
        u32::try_from(self.bytes.len() + other.bytes.len()).map_err(|_| too_long())?;
        self.bytes.extend_from_slice(&other.bytes);
        self.ends.extend(other.ends.iter().map(|end| base + end));
        Ok(())
    }

    /// The keys of picked rows, each a place in `sources` and a row there: what a merge or a flush
    /// needs in place of encoding its rows' keys anew. A row that is not there has an empty key.
    ///
    /// # Errors
    /// `Invalid` beyond 4 GiB of keys.
    pub fn gather(sources: &[&KeyBuffer], picks: &[(usize, usize)]) -> Result<KeyBuffer> {
        let mut keys = KeyBuffer::default();
        keys.ends.reserve(picks.len());
        for (at, (source, row)) in picks.iter().enumerate() {
            let key = sources
                .get(*source)
                .map_or(&[] as &[u8], |keys| keys.key(*row));
            if at == 0 {
                // Keys of a table are of like length.
                keys.bytes
                    .reserve(picks.len().saturating_mul(key.len() + 8).min(64 << 20));
            }
            keys.push(key)?;
        }
        Ok(keys)
    }
}

/// Appends a text or bytes as it stands in the key of an ascending column.
pub fn push_text(value: &[u8], out: &mut Vec<u8>) {
    for byte in value {
        out.push(*byte);
        if *byte == 0 {
            out.push(0xff);
        }
    }
    out.extend([0, 0]);
}

fn too_long() -> Error {
    Error::invalid("a batch holds more than 4 GiB of keys")
}

/// The first key after every key that starts with `prefix`; empty means the table's end.
pub fn prefix_end(prefix: &[u8]) -> Vec<u8> {
    let mut end = prefix.to_vec();
    while let Some(last) = end.pop() {
        if last < 0xff {
            end.push(last + 1);
            break;
        }
    }
    end
}

/// A half-open range of encoded keys: `[start, end)`; an empty `end` means the table's end.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct KeyRange {
    /// First key inside.
    pub start: Vec<u8>,
    /// First key outside; empty means no bound.
    pub end: Vec<u8>,
}

impl KeyRange {
    /// Every key of the table.
    pub fn all() -> Self {
        KeyRange::default()
    }

    /// One key and no other.
    pub fn only(key: &[u8]) -> Self {
        let mut end = key.to_vec();
        end.push(0);
        KeyRange {
            start: key.to_vec(),
            end,
        }
    }

    /// Every key that starts with `prefix`.
    pub fn prefix(prefix: &[u8]) -> Self {
        KeyRange {
            start: prefix.to_vec(),
            end: prefix_end(prefix),
        }
    }

    /// Whether the key lies inside.
    pub fn contains(&self, key: &[u8]) -> bool {
        self.start.as_slice() <= key && (self.end.is_empty() || key < self.end.as_slice())
    }

    /// Whether any key in the closed range `[first, last]` lies inside.
    pub fn overlaps(&self, first: &[u8], last: &[u8]) -> bool {
        self.start.as_slice() <= last && (self.end.is_empty() || first < self.end.as_slice())
    }
}

#[cfg(test)]
mod tests;
