//! Zone maps: the least and the greatest value of each vector, and the predicates they answer.
//!
//! A zone never claims too little: text bounds are shortened outwards, and a vector with a NaN in it
//! (which Arrow orders after every number) is unbounded.

use activestore_types::{ColumnId, Error, Result};
use arrow::array::{Array, AsArray};
use arrow::buffer::NullBuffer;
use arrow::datatypes::{
    Date32Type, Decimal128Type, Float32Type, Float64Type, Int32Type, Int64Type,
    TimestampNanosecondType, UInt32Type, UInt64Type,
};

use crate::block::cursor::Cursor;
use crate::block::dictionary::Values;
use crate::block::floats::{self, FloatHistory, Floats};
use crate::block::text::Strings;
use crate::block::vector::string_parts;
use crate::block::{Encoding, Family, VECTOR_ROWS, ints};
use crate::footer::PACKED_SINCE;

use self::range::{bool_range, float_range, int_range, range, string_range};

mod range;

/// Bytes kept of a text bound.
const PREFIX_BYTES: usize = 24;

/// A value to compare with the least and the greatest value of a vector.
#[derive(Clone, Debug, PartialEq)]
pub enum ZoneValue {
    /// `BOOLEAN`.
    Bool(bool),
    /// `INT`, `BIGINT`, `TIMESTAMP` (nanoseconds) and `DATE` (days).
    Int(i64),
    /// `DECIMAL`: the unscaled value at the column's own scale.
    Decimal(i128),
    /// `REAL` and `DOUBLE`.
    Float(f64),
    /// `TEXT`, `UUID` and `BYTES`.
    Bytes(Vec<u8>),
}

/// A range that rows must lie in by one column: both bounds inclusive, `None` means unbounded. Rows
/// outside it, and those where the column is NULL or absent, may be skipped.
#[derive(Clone, Debug, PartialEq)]
pub struct ZonePredicate {
    /// Which column.
    pub column: ColumnId,
    /// The least value wanted.
    pub low: Option<ZoneValue>,
    /// The greatest value wanted.
    pub high: Option<ZoneValue>,
}

impl ZonePredicate {
    /// Whether it asks for nothing at all.
    pub(crate) fn is_unbounded(&self) -> bool {
        self.low.is_none() && self.high.is_none()
    }
}

/// The zones of all vectors of one column.
#[derive(Debug)]
pub(crate) struct Zones {
    /// Cells without a value (NULL or absent), per vector.
    missing: Vec<u64>,
    bounds: Bounds,
}

#[derive(Debug)]
enum Bounds {
    Ints {
        low: Vec<u64>,
        high: Vec<u64>,
    },
    Wide {
        low: Vec<i128>,
        high: Vec<i128>,
    },
    Floats {
        low: Vec<f64>,
        high: Vec<f64>,
    },
    /// An empty high bound means none.
    Strings {
        low: Values,
        high: Values,
    },
}

impl Zones {
    /// No vectors yet.
    pub(crate) fn new(family: Family) -> Self {
        let bounds = match family {
            Family::Decimal => Bounds::Wide {
                low: Vec::new(),
                high: Vec::new(),
            },
            Family::Real | Family::Double => Bounds::Floats {
                low: Vec::new(),
                high: Vec::new(),
            },
            Family::Text | Family::Bytes => Bounds::Strings {
                low: Values::default(),
                high: Values::default(),
            },
            _ => Bounds::Ints {
                low: Vec::new(),
                high: Vec::new(),
            },
        };
        Zones {
            missing: Vec::new(),
            bounds,
        }
    }

    /// Adds a vector of which no cell has a value.
    pub(crate) fn push_empty(&mut self, rows: usize) {
        self.missing.push(rows as u64);
        match &mut self.bounds {
            Bounds::Ints { low, high } => push_pair(low, high, (0, 0)),
            Bounds::Wide { low, high } => push_pair(low, high, (0, 0)),
            Bounds::Floats { low, high } => push_pair(low, high, (0.0, 0.0)),
            Bounds::Strings { low, high } => {
                low.push(&[]);
                high.push(&[]);
            }
        }
    }

    /// Adds a vector; `present` says which cells have a value, `None` that all do.
    pub(crate) fn push(&mut self, array: &dyn Array, present: Option<&NullBuffer>) -> Result<()> {
        let family = Family::of(array.data_type())?;
        let missing = present.map_or(0, |present| present.null_count());
        if missing == array.len() {
            self.push_empty(array.len());
            return Ok(());
        }
        self.missing.push(missing as u64);
        let widen = |value: i32| i64::from(value);
        match (&mut self.bounds, family) {
            (Bounds::Ints { low, high }, family) => {
                let (least, greatest) = match family {
                    Family::Boolean => bool_range(array, present),
                    Family::Int => int_range::<Int32Type>(array, present, widen),
                    Family::Date => int_range::<Date32Type>(array, present, widen),
                    Family::Id => int_range::<UInt32Type>(array, present, i64::from),
                    Family::BigInt => int_range::<Int64Type>(array, present, |value| value),
                    Family::Stamp => int_range::<UInt64Type>(array, present, u64::cast_signed),
                    Family::Timestamp => {
                        int_range::<TimestampNanosecondType>(array, present, |value| value)
                    }
                    _ => (i64::MIN, i64::MAX),
                };
                push_pair(low, high, (least.cast_unsigned(), greatest.cast_unsigned()));
            }
            (Bounds::Wide { low, high }, _) => {
                let values = array.as_primitive::<Decimal128Type>().values();
                push_pair(
                    low,
                    high,
                    range(values, present, |value| value, (i128::MAX, i128::MIN)),
                );
            }
            (Bounds::Floats { low, high }, Family::Real) => {
                push_pair(low, high, float_range::<Float32Type>(array, present));
            }
            (Bounds::Floats { low, high }, _) => {
                push_pair(low, high, float_range::<Float64Type>(array, present));
            }
            (Bounds::Strings { low, high }, _) => {
                let Some((offsets, data)) = string_parts(array) else {
                    return Err(Error::internal("a text column without offsets"));
                };
                let (least, greatest) = string_range(Strings {
                    offsets,
                    data,
                    present,
                });
                low.push(least.get(..PREFIX_BYTES).unwrap_or(least));
                high.push(&prefix_above(greatest));
            }
        }
        Ok(())
    }

    /// Whether a vector of `rows` rows may hold one that the predicate wants.
    pub(crate) fn may_match(&self, vector: usize, rows: usize, predicate: &ZonePredicate) -> bool {
        if predicate.is_unbounded() {
            return true;
        }
        match self.missing.get(vector) {
            None => return true,
            Some(missing) if *missing == rows as u64 => return false,
            Some(_) => {}
        }
        self.below(vector, predicate.low.as_ref()) && self.above(vector, predicate.high.as_ref())
    }

    /// Whether a cell of a vector has no value.
    pub(crate) fn lacks(&self, vector: usize) -> bool {
        self.missing.get(vector).is_none_or(|missing| *missing > 0)
    }

    /// How many cells of a vector have no value.
    pub(crate) fn missing(&self, vector: usize) -> Option<usize> {
        let missing = *self.missing.get(vector)?;
        usize::try_from(missing).ok()
    }

    /// The least and the greatest value of a vector that has some, where the bounds are values of it.
    pub(crate) fn exact(&self, vector: usize) -> Option<(ZoneValue, ZoneValue)> {
        match &self.bounds {
            Bounds::Ints { low, high } => {
                let value = |bound: &u64| ZoneValue::Int(bound.cast_signed());
                Some((value(low.get(vector)?), value(high.get(vector)?)))
            }
            Bounds::Wide { low, high } => Some((
                ZoneValue::Decimal(*low.get(vector)?),
                ZoneValue::Decimal(*high.get(vector)?),
            )),
            Bounds::Floats { low, high } => {
                // A NaN makes both infinite, and a zero stands for both that there are.
                let exact = |bound: &&f64| bound.is_finite() && **bound != 0.0;
                let (low, high) = (low.get(vector)?, high.get(vector)?);
                let exact = exact(&low) && exact(&high);
                exact.then_some((ZoneValue::Float(*low), ZoneValue::Float(*high)))
            }
            Bounds::Strings { .. } => None,
        }
    }

    /// The least and the greatest value of a vector of integers; `None` for one without a value.
    pub(crate) fn ints(&self, vector: usize, rows: usize) -> Option<(u64, u64)> {
        let missing = *self.missing.get(vector)?;
        match &self.bounds {
            Bounds::Ints { low, high } if missing < rows as u64 => {
                Some((*low.get(vector)?, *high.get(vector)?))
            }
            _ => None,
        }
    }

    /// Whether the greatest value reaches the low bound.
    fn below(&self, vector: usize, bound: Option<&ZoneValue>) -> bool {
        let Some(bound) = bound else { return true };
        match (&self.bounds, bound) {
            (Bounds::Ints { high, .. }, ZoneValue::Int(bound)) => high
                .get(vector)
                .is_none_or(|high| high.cast_signed() >= *bound),
            (Bounds::Ints { high, .. }, ZoneValue::Bool(bound)) => high
                .get(vector)
                .is_none_or(|high| high.cast_signed() >= i64::from(*bound)),
            (Bounds::Wide { high, .. }, ZoneValue::Decimal(bound)) => {
                high.get(vector).is_none_or(|high| high >= bound)
            }
            (Bounds::Floats { high, .. }, ZoneValue::Float(bound)) => high
                .get(vector)
                .is_none_or(|high| bound.is_nan() || high >= bound),
            (Bounds::Strings { high, .. }, ZoneValue::Bytes(bound)) => high
                .get(vector)
                .is_none_or(|high| high.is_empty() || high >= bound.as_slice()),
            _ => true,
        }
    }

    /// Whether the least value stays under the high bound.
    fn above(&self, vector: usize, bound: Option<&ZoneValue>) -> bool {
        let Some(bound) = bound else { return true };
        match (&self.bounds, bound) {
            (Bounds::Ints { low, .. }, ZoneValue::Int(bound)) => low
                .get(vector)
                .is_none_or(|low| low.cast_signed() <= *bound),
            (Bounds::Ints { low, .. }, ZoneValue::Bool(bound)) => low
                .get(vector)
                .is_none_or(|low| low.cast_signed() <= i64::from(*bound)),
            (Bounds::Wide { low, .. }, ZoneValue::Decimal(bound)) => {
                low.get(vector).is_none_or(|low| low <= bound)
            }
            (Bounds::Floats { low, .. }, ZoneValue::Float(bound)) => low
                .get(vector)
                .is_none_or(|low| bound.is_nan() || low <= bound),
            (Bounds::Strings { low, .. }, ZoneValue::Bytes(bound)) => {
                low.get(vector).is_none_or(|low| low <= bound.as_slice())
            }
            _ => true,
        }
    }

    /// Appends its bytes.
    pub(crate) fn encode(&self, out: &mut Vec<u8>) {
        push_ints(&self.missing, out);
        match &self.bounds {
            Bounds::Ints { low, high } => {
                push_ints(low, out);
                let spans = high
                    .iter()
                    .zip(low)
                    .map(|(high, low)| high.wrapping_sub(*low));
                push_ints(&spans.collect::<Vec<_>>(), out);
            }
            Bounds::Wide { low, high } => {
                out.extend(low.iter().chain(high).flat_map(|value| value.to_le_bytes()));
            }
            Bounds::Floats { low, high } => {
                push_floats(low, out);
                push_floats(high, out);
            }
            Bounds::Strings { low, high } => {
                low.encode(out);
                high.encode(out);
            }
        }
    }

    /// From its bytes in a file of this version, for `vectors` vectors.
    ///
    /// # Errors
    /// `Corrupt` for bytes that [`Zones::encode`] does not write.
    pub(crate) fn decode(
        bytes: &mut Cursor<'_>,
        family: Family,
        version: u8,
        vectors: usize,
    ) -> Result<Self> {
        let missing = read_ints(bytes, vectors)?;
        let mut zones = Zones::new(family);
        zones.missing = missing;
        match &mut zones.bounds {
            Bounds::Ints { low, high } => {
                *low = read_ints(bytes, vectors)?;
                *high = read_ints(bytes, vectors)?;
                for (high, low) in high.iter_mut().zip(low) {
                    *high = high.wrapping_add(*low);
                }
            }
            Bounds::Wide { low, high } => {
                for side in [low, high] {
                    let values = bytes.take(vectors.saturating_mul(16))?.as_chunks::<16>().0;
                    *side = values
                        .iter()
                        .map(|value| i128::from_le_bytes(*value))
                        .collect();
                }
            }
            Bounds::Floats { low, high } if version >= PACKED_SINCE => {
                *low = read_floats(bytes, vectors)?;
                *high = read_floats(bytes, vectors)?;
            }
            Bounds::Floats { low, high } => {
                for side in [low, high] {
                    let values = bytes.take(vectors.saturating_mul(8))?.as_chunks::<8>().0;
                    *side = values
                        .iter()
                        .map(|value| f64::from_le_bytes(*value))
                        .collect();
                }
            }
            Bounds::Strings { low, high } => {
                for side in [low, high] {
                    *side = Values::decode(bytes, vectors, vectors.saturating_mul(PREFIX_BYTES))?;
                    if side.len() != vectors {
                        return Err(Error::corrupt("a zone map lacks vectors"));
                    }
                }
            }
        }
        Ok(zones)
    }
}

/// Appends any number of integers.
pub(crate) fn push_ints(values: &[u64], out: &mut Vec<u8>) {
    for part in values.chunks(VECTOR_ROWS) {
        ints::encode(part, out);
    }
}

/// Reads what [`push_ints`] wrote.
///
/// # Errors
/// `Corrupt` for other bytes.
pub(crate) fn read_ints(bytes: &mut Cursor<'_>, count: usize) -> Result<Vec<u64>> {
    let mut values = Vec::new();
    let mut lanes = [0; VECTOR_ROWS];
    while values.len() < count {
        let rows = (count - values.len()).min(VECTOR_ROWS);
        ints::decode(bytes, rows, &mut lanes)?;
        values.extend(lanes.iter().take(rows));
    }
    Ok(values)
}

/// Appends any number of floats, each stretch of them behind the tag of its encoding.
pub(crate) fn push_floats(values: &[f64], out: &mut Vec<u8>) {
    let mut history = FloatHistory::default();
    let mut payload = Vec::new();
    for part in values.chunks(VECTOR_ROWS) {
        payload.clear();
        out.push(floats::encode(part, &mut history, &mut payload).tag());
        out.extend_from_slice(&payload);
    }
}

/// Reads what [`push_floats`] wrote.
///
/// # Errors
/// `Corrupt` for other bytes.
pub(crate) fn read_floats(bytes: &mut Cursor<'_>, count: usize) -> Result<Vec<f64>> {
    let mut values = Vec::new();
    let mut lanes = [0; VECTOR_ROWS];
    while values.len() < count {
        let rows = (count - values.len()).min(VECTOR_ROWS);
        let encoding = Encoding::from_tag(bytes.byte()?)?;
        Floats::parse::<f64>(bytes, encoding, rows)?.decode(&mut lanes)?;
        values.extend(lanes.iter().take(rows).map(|bits| f64::from_bits(*bits)));
    }
    Ok(values)
}

fn push_pair<T>(low: &mut Vec<T>, high: &mut Vec<T>, (least, greatest): (T, T)) {
    low.push(least);
    high.push(greatest);
}

/// A short value that is not below `value`; empty where there is none.
fn prefix_above(value: &[u8]) -> Vec<u8> {
    match value.get(..PREFIX_BYTES) {
        None => value.to_vec(),
        Some(whole) if whole.len() == value.len() => value.to_vec(),
        Some(prefix) => activestore_types::key::prefix_end(prefix),
    }
}

#[cfg(test)]
mod tests;
