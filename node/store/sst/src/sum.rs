//! Sums: what the values of each vector of numbers come to, so that a vector of which all rows count need not be read.

use activestore_types::Result;
use arrow::array::{Array, ArrowPrimitiveType, AsArray};
use arrow::buffer::NullBuffer;
use arrow::datatypes::{Float32Type, Float64Type, Int32Type, Int64Type};

use crate::block::Family;
use crate::block::cursor::Cursor;
use crate::footer::SUMS_SINCE;
use crate::zone::{push_floats, push_ints, read_floats, read_ints};

/// Sums that are added up side by side: one alone would wait for each addition.
const LANES: usize = 8;

/// What the values of a vector come to.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Sum {
    /// Of whole numbers, modulo 2^64.
    Int(i64),
    /// Of floats, as double.
    Float(f64),
}

/// The sums of all vectors of one column.
#[derive(Debug)]
pub(crate) enum Sums {
    /// It has none.
    None,
    Ints(Vec<u64>),
    Floats(Vec<f64>),
}

impl Sums {
    /// No vectors yet.
    pub(crate) fn new(family: Family) -> Self {
        match family {
            Family::Int | Family::BigInt => Sums::Ints(Vec::new()),
            Family::Real | Family::Double => Sums::Floats(Vec::new()),
            _ => Sums::None,
        }
    }

    /// Adds a vector of which no cell has a value.
    pub(crate) fn push_empty(&mut self) {
        match self {
            Sums::None => {}
            Sums::Ints(sums) => sums.push(0),
            Sums::Floats(sums) => sums.push(0.0),
        }
    }

    /// Adds a vector; `present` says which cells have a value, `None` that all do.
    pub(crate) fn push(&mut self, array: &dyn Array, present: Option<&NullBuffer>) -> Result<()> {
        let family = Family::of(array.data_type())?;
        match (self, family) {
            (Sums::Ints(sums), Family::Int) => {
                sums.push(ints::<Int32Type>(array, present, i64::from).cast_unsigned());
            }
            (Sums::Ints(sums), _) => {
                sums.push(ints::<Int64Type>(array, present, |value| value).cast_unsigned());
            }
            (Sums::Floats(sums), Family::Real) => {
                sums.push(floats::<Float32Type>(array, present, f64::from));
            }
            (Sums::Floats(sums), _) => {
                sums.push(floats::<Float64Type>(array, present, |value| value));
            }
            (Sums::None, _) => {}
        }
        Ok(())
    }

    /// The sum of a vector; `None` where it was not written down.
    pub(crate) fn get(&self, vector: usize) -> Option<Sum> {
        match self {
            Sums::None => None,
            Sums::Ints(sums) => sums.get(vector).map(|sum| Sum::Int(sum.cast_signed())),
            Sums::Floats(sums) => sums.get(vector).copied().map(Sum::Float),
        }
    }

    /// Appends its bytes.
    pub(crate) fn encode(&self, out: &mut Vec<u8>) {
        match self {
            Sums::None => {}
            Sums::Ints(sums) => push_ints(sums, out),
            Sums::Floats(sums) => push_floats(sums, out),
        }
    }

    /// From its bytes in a file of this version, for `vectors` vectors.
    ///
    /// # Errors
    /// `Corrupt` for bytes that [`Sums::encode`] does not write.
    pub(crate) fn decode(
        bytes: &mut Cursor<'_>,
        family: Family,
        version: u8,
        vectors: usize,
    ) -> Result<Self> {
        if version < SUMS_SINCE {
            return Ok(Sums::None);
        }
        let mut sums = Sums::new(family);
        match &mut sums {
            Sums::None => {}
            Sums::Ints(sums) => *sums = read_ints(bytes, vectors)?,
            Sums::Floats(sums) => *sums = read_floats(bytes, vectors)?,
        }
        Ok(sums)
    }
}

fn ints<T: ArrowPrimitiveType>(
    array: &dyn Array,
    present: Option<&NullBuffer>,
    widen: impl Fn(T::Native) -> i64,
) -> i64 {
    let values = array.as_primitive::<T>().values();
    let add = |sum: i64, value: &T::Native| sum.wrapping_add(widen(*value));
    match present {
        None => values.iter().fold(0, add),
        Some(present) => {
            let valid = present.valid_indices().filter_map(|row| values.get(row));
            valid.fold(0, add)
        }
    }
}

fn floats<T: ArrowPrimitiveType>(
    array: &dyn Array,
    present: Option<&NullBuffer>,
    widen: impl Fn(T::Native) -> f64,
) -> f64 {
    let values = array.as_primitive::<T>().values();
    if let Some(present) = present {
        let valid = present.valid_indices().filter_map(|row| values.get(row));
        return valid.map(|value| widen(*value)).sum();
    }
    let chunks = values.chunks_exact(LANES);
    let rest: f64 = chunks.remainder().iter().map(|value| widen(*value)).sum();
    let mut lanes = [0.0; LANES];
    for chunk in chunks {
        for (lane, value) in lanes.iter_mut().zip(chunk) {
            *lane += widen(*value);
        }
    }
    lanes.iter().sum::<f64>() + rest
}

#[cfg(test)]
mod tests;
