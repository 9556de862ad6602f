//! The least and the greatest value of a vector, in one pass over it.

use arrow::array::{Array, AsArray};
use arrow::buffer::NullBuffer;
use arrow::datatypes::ArrowPrimitiveType;

use crate::block::floats::{NO_FLOAT, Real};
use crate::block::text::Strings;

pub(crate) fn range<T: Copy, U: PartialOrd + Copy>(
    values: &[T],
    present: Option<&NullBuffer>,
    mut widen: impl FnMut(T) -> U,
    (mut least, mut greatest): (U, U),
) -> (U, U) {
    let mut take = |value: T| {
        let value = widen(value);
        least = if value < least { value } else { least };
        greatest = if value > greatest { value } else { greatest };
    };
    match present {
        None => values.iter().copied().for_each(&mut take),
        Some(present) => {
            present
                .valid_indices()
                .filter_map(|row| values.get(row))
                .copied()
                .for_each(&mut take);
        }
    }
    (least, greatest)
}

pub(crate) fn int_range<T: ArrowPrimitiveType>(
    array: &dyn Array,
    present: Option<&NullBuffer>,
    widen: impl Fn(T::Native) -> i64,
) -> (i64, i64) {
    range(
        array.as_primitive::<T>().values(),
        present,
        widen,
        (i64::MAX, i64::MIN),
    )
}

pub(crate) fn float_range<T: ArrowPrimitiveType<Native: Real>>(
    array: &dyn Array,
    present: Option<&NullBuffer>,
) -> (f64, f64) {
    let values = array.as_primitive::<T>().values();
    let (least, greatest, nan) = match present {
        None => Real::span(values),
        Some(_) => {
            let mut nan = false;
            let widen = |value: T::Native| {
                let value = value.widen();
                nan |= value.is_nan();
                value
            };
            let (least, greatest) = range(values, present, widen, NO_FLOAT);
            (least, greatest, nan)
        }
    };
    if nan {
        (f64::NEG_INFINITY, f64::INFINITY)
    } else {
        (least, greatest)
    }
}

pub(crate) fn bool_range(array: &dyn Array, present: Option<&NullBuffer>) -> (i64, i64) {
    let bits = array.as_boolean().values();
    let (trues, rows) = match present {
        None => (bits.count_set_bits(), bits.len()),
        Some(present) => (
            (bits & present.inner()).count_set_bits(),
            bits.len() - present.null_count(),
        ),
    };
    (i64::from(trues == rows), i64::from(trues > 0))
}

pub(crate) fn string_range(strings: Strings<'_>) -> (&[u8], &[u8]) {
    let mut values = strings.iter().flatten();
    let Some(first) = values.next() else {
        return (&[], &[]);
    };
    let (mut least, mut greatest, mut before) = (first, first, first);
    for value in values {
        if value == before {
            continue;
        }
        before = value;
        if value < least {
            least = value;
        } else if value > greatest {
            greatest = value;
        }
    }
    (least, greatest)
}
