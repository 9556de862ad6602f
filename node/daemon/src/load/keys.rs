//! Which keys a piece holds, so that two pieces that share one are never on their way at once: of rows with the same key
//! the one that comes last in the file is the one that stays.

use std::collections::HashSet;
use std::hash::{BuildHasherDefault, Hasher};

use activestore_types::Result;
use arrow::array::ArrayRef;
use arrow::row::{RowConverter, SortField};
use xxhash_rust::xxh3::xxh3_64;

use super::rows::Rows;

/// Keys by their hashes. Two keys of one hash only make a piece wait that need not.
#[derive(Debug, Default)]
pub struct Keys(HashSet<u64, BuildHasherDefault<Hashed>>);

impl Keys {
    /// The keys of rows that fit their table.
    ///
    /// # Errors
    /// Those of Arrow.
    pub fn of(rows: &Rows, key: &[String]) -> Result<Keys> {
        let columns: Vec<ArrayRef> = key
            .iter()
            .filter_map(|name| rows.batch.column(name))
            .map(|column| column.array.clone())
            .collect();
        let fields = columns
            .iter()
            .map(|column| SortField::new(column.data_type().clone()))
            .collect();
        let encoded = RowConverter::new(fields)?.convert_columns(&columns)?;
        Ok(Keys(
            encoded.iter().map(|row| xxh3_64(row.as_ref())).collect(),
        ))
    }

    /// Takes in other keys.
    pub fn extend(&mut self, other: Keys) {
        if self.0.is_empty() {
            *self = other;
        } else {
            self.0.extend(other.0);
        }
    }

    /// Whether one of these is one of those.
    pub fn meet(&self, other: &Keys) -> bool {
        let (few, many) = if self.0.len() < other.0.len() {
            (self, other)
        } else {
            (other, self)
        };
        few.0.iter().any(|hash| many.0.contains(hash))
    }
}

/// Takes a hash as it is.
#[derive(Clone, Copy, Debug, Default)]
pub struct Hashed(u64);

impl Hasher for Hashed {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        self.0 = xxh3_64(bytes);
    }

    fn write_u64(&mut self, hash: u64) {
        self.0 = hash;
    }
}
