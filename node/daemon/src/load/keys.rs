//! Which keys a piece holds, so that two pieces that share one are never on their way at once: of rows with the same key
//! the one that comes last in the file is the one that stays. Files mostly rise in time, so only rows of times that both
//! pieces have are looked at one by one.

use std::collections::HashSet;
use std::hash::{BuildHasherDefault, Hasher};
use std::sync::OnceLock;

use activestore_types::Result;
use arrow::array::{Array, ArrayRef, AsArray, UInt32Array};
use arrow::compute::take;
use arrow::datatypes::{DataType, Int64Type, TimestampNanosecondType};
use arrow::row::{RowConverter, SortField};
use xxhash_rust::xxh3::xxh3_64;

use super::rows::Rows;

/// Keys by their hashes. Two keys of one hash only make a piece wait that need not.
type Hashes = HashSet<u64, BuildHasherDefault<Hashed>>;

/// The keys of a piece.
#[derive(Debug, Default)]
pub struct Keys(Vec<Part>);

/// Those of some of its rows.
#[derive(Debug)]
struct Part {
    converter: RowConverter,
    columns: Vec<ArrayRef>,
    span: Option<Span>,
    /// All of them, once they were asked for.
    all: OnceLock<Option<Hashes>>,
}

/// A column of times or whole numbers, and its least and greatest value.
#[derive(Clone, Copy, Debug)]
struct Span {
    column: usize,
    low: i64,
    high: i64,
}

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
        // Of several the last: a time is behind what it is a time of.
        let last = columns.iter().enumerate().filter_map(span).next_back();
        Ok(Keys(vec![Part {
            converter: RowConverter::new(fields)?,
            span: last,
            columns,
            all: OnceLock::new(),
        }]))
    }

    /// Takes in other keys.
    pub fn extend(&mut self, other: Keys) {
        self.0.extend(other.0);
    }

    /// Whether one of these is one of those.
    pub fn meet(&self, other: &Keys) -> bool {
        let ours = self.0.iter();
        ours.flat_map(|one| other.0.iter().map(move |other| (one, other)))
            .any(|(one, other)| one.meets(other))
    }
}

impl Part {
    fn meets(&self, other: &Part) -> bool {
        let shared = match (self.span, other.span) {
            (Some(one), Some(other)) if one.column == other.column => {
                let (low, high) = (one.low.max(other.low), one.high.min(other.high));
                if low > high {
                    return false;
                }
                Some(Span { low, high, ..one })
            }
            _ => None,
        };
        let (ours, theirs) = (self.within(shared), other.within(shared));
        match (ours.get(), theirs.get()) {
            (Some(ours), Some(theirs)) => {
                let (few, many) = if ours.len() < theirs.len() {
                    (ours, theirs)
                } else {
                    (theirs, ours)
                };
                few.iter().any(|hash| many.contains(hash))
            }
            // Keys that cannot be told apart are in each other's way.
            _ => true,
        }
    }

    /// The keys of the rows of a span; of all where these are most.
    fn within(&self, span: Option<Span>) -> Picked<'_> {
        let rows = self.columns.first().map_or(0, |column| column.len());
        let values = span.and_then(|span| Some((span, numbers(self.columns.get(span.column)?)?)));
        let Some((span, values)) = values else {
            return Picked::All(self.all());
        };
        let inside = (0_u32..)
            .zip(values)
            .filter(|(_, value)| (span.low..=span.high).contains(value))
            .map(|(row, _)| row);
        let inside: Vec<u32> = inside.collect();
        if inside.len() > rows / 2 {
            return Picked::All(self.all());
        }
        let inside = UInt32Array::from(inside);
        let columns = self
            .columns
            .iter()
            .map(|column| take(column, &inside, None));
        let columns = columns.collect::<std::result::Result<Vec<_>, _>>();
        Picked::Few(columns.ok().and_then(|columns| self.hashes(&columns)))
    }

    fn all(&self) -> Option<&Hashes> {
        let all = self.all.get_or_init(|| self.hashes(&self.columns));
        all.as_ref()
    }

    fn hashes(&self, columns: &[ArrayRef]) -> Option<Hashes> {
        let encoded = self.converter.convert_columns(columns).ok()?;
        Some(encoded.iter().map(|row| xxh3_64(row.as_ref())).collect())
    }
}

/// Keys of some rows; nothing where they cannot be encoded.
enum Picked<'a> {
    All(Option<&'a Hashes>),
    Few(Option<Hashes>),
}

impl Picked<'_> {
    fn get(&self) -> Option<&Hashes> {
        match self {
            Picked::All(all) => *all,
            Picked::Few(few) => few.as_ref(),
        }
    }
}

fn numbers(array: &ArrayRef) -> Option<&[i64]> {
    match array.data_type() {
        DataType::Int64 => Some(array.as_primitive::<Int64Type>().values()),
        DataType::Timestamp(_, _) => {
            let times = array.as_primitive_opt::<TimestampNanosecondType>();
            times.map(|times| times.values().as_ref())
        }
        _ => None,
    }
}

fn span((column, array): (usize, &ArrayRef)) -> Option<Span> {
    let values = numbers(array)?;
    Some(Span {
        column,
        low: values.iter().copied().min()?,
        high: values.iter().copied().max()?,
    })
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

#[cfg(test)]
mod tests;
