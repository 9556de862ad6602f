//! Floats as integers over a power of ten: `v = i / 10^d`.

use super::{EXCEPTION_SHARE, Real, bridge, push_exceptions};
use crate::block::ints::wide_places;
use crate::block::kernel::multiversioned;
use crate::block::pack::Lanes;
use crate::block::{Encoding, VECTOR_ROWS, ints};

/// Decimal digits after the point that are tried.
const DIGITS_MAX: usize = 12;
pub(super) const POWERS: [f64; DIGITS_MAX + 1] = [
    1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12,
];
/// Adding 1.5 * 2^52 leaves a float's integer part in its lowest bits, for magnitudes below 2^51.
const ROUND: f64 = 6_755_399_441_055_744.0;
const ROUND_LIMIT: f64 = 2_251_799_813_685_247.0;
/// Values looked at to choose the digits.
const SAMPLE: usize = 32;

/// How to divide an integer below 2^51 by a power of ten up to 10^12, correctly rounded.
pub(crate) trait Division {
    /// `value / power`, where `inverse` is `1.0 / power`.
    fn divide(value: f64, power: f64, inverse: f64) -> f64;
}

/// By division.
pub(crate) struct Exact;

impl Division for Exact {
    #[inline(always)]
    fn divide(value: f64, power: f64, _: f64) -> f64 {
        value / power
    }
}

/// By multiplication with the inverse and one correction (Markstein, IBM J. Res. Dev. 1990), a
/// fraction of a division's time where multiplications are fused.
///
/// It is exact here: the odd part of the power, 5^d, has at most 28 bits, so the remainder
/// `value - q * power` is a float; and for the same reason the quotient is 2^-29 of its last place
/// or more away from any tie, where the correction is off by 2^-52 of it.
pub(crate) struct Fused;

impl Division for Fused {
    #[inline(always)]
    fn divide(value: f64, power: f64, inverse: f64) -> f64 {
        let quotient = value * inverse;
        let remainder = (-quotient).mul_add(power, value);
        remainder.mul_add(inverse, quotient)
    }
}

/// The bits of `integer / power`.
#[inline(always)]
pub(crate) fn decimal_bits<D: Division>(integer: u64, power: f64, inverse: f64) -> u64 {
    let whole = f64::from_bits(integer.wrapping_add(ROUND.to_bits())) - ROUND;
    D::divide(whole, power, inverse).to_bits()
}

/// The bits of `integer / power` rounded to 32 bits.
#[inline(always)]
pub(crate) fn short_decimal_bits<D: Division>(integer: u64, power: f64, inverse: f64) -> u64 {
    let whole = f64::from_bits(integer.wrapping_add(ROUND.to_bits())) - ROUND;
    u64::from((D::divide(whole, power, inverse) as f32).to_bits())
}

pub(super) fn encode_decimal<T: Real>(values: &[T], out: &mut Vec<u8>) -> Option<Encoding> {
    let mut digits = sample_digits(values)?;
    let mut lanes = [0; VECTOR_ROWS];
    let mut exceptions = to_decimal(values, digits, &mut lanes);
    if exceptions.len() > values.len() / 64 {
        // The sample missed values with more digits.
        let missed = exceptions
            .iter()
            .take(SAMPLE)
            .filter_map(|row| values.get(usize::from(*row)));
        if let Some(more) = missed.filter_map(|value| digits_of(*value)).max()
            && more > digits
        {
            digits = more;
            exceptions = to_decimal(values, digits, &mut lanes);
        }
        if exceptions.len() > values.len() / EXCEPTION_SHARE {
            return None;
        }
    }
    bridge(&mut lanes, &exceptions, values.len());
    out.push(digits as u8);
    ints::encode(lanes.get(..values.len())?, out);
    push_exceptions(values, &exceptions, out);
    Some(Encoding::Decimal)
}

/// The fewest digits that give most of a sample exactly; `None` where too little is decimal.
fn sample_digits<T: Real>(values: &[T]) -> Option<usize> {
    let step = values.len().div_ceil(SAMPLE).max(1);
    let (mut most, mut seen, mut other) = (0, 0, 0);
    for value in values.iter().step_by(step) {
        seen += 1;
        match digits_of(*value) {
            Some(digits) => most = most.max(digits),
            None => other += 1,
        }
    }
    (other * 4 <= seen).then_some(most)
}

/// The fewest digits after the point that give the value's very bits.
fn digits_of<T: Real>(value: T) -> Option<usize> {
    let exact = |power: &f64| scaled::<T, Exact>(value, *power, 0.0).1;
    POWERS.iter().position(exact)
}

/// The integer that stands for the value, as a shifted float's bits, and whether it is exact.
#[inline(always)]
fn scaled<T: Real, D: Division>(value: T, power: f64, inverse: f64) -> (u64, bool) {
    let product = value.widen() * power;
    let shifted = product + ROUND;
    let back = T::narrow(D::divide(shifted - ROUND, power, inverse));
    let exact = (back.pattern() == value.pattern()) & (product.abs() <= ROUND_LIMIT);
    (shifted.to_bits().wrapping_sub(ROUND.to_bits()), exact)
}

/// The integers of the values, and for each 1 where it is not exact.
#[inline(always)]
fn scale_all<T: Real, D: Division>(values: &[T], power: f64, out: &mut Lanes, inexact: &mut Lanes) {
    let inverse = 1.0 / power;
    for ((lane, inexact), value) in out.iter_mut().zip(inexact).zip(values) {
        let (integer, exact) = scaled::<T, D>(*value, power, inverse);
        *lane = integer;
        *inexact = u64::from(!exact);
    }
}

multiversioned! {
    /// [`scale_all`] of doubles.
    pub(crate) fn scale_doubles<D>(
        values: &[f64],
        power: f64,
        out: &mut Lanes,
        inexact: &mut Lanes
    ) {
        scale_all::<f64, D>(values, power, out, inexact);
    }
}

multiversioned! {
    /// [`scale_all`] of 32-bit floats.
    pub(crate) fn scale_floats<D>(
        values: &[f32],
        power: f64,
        out: &mut Lanes,
        inexact: &mut Lanes
    ) {
        scale_all::<f32, D>(values, power, out, inexact);
    }
}

fn to_decimal<T: Real>(values: &[T], digits: usize, lanes: &mut Lanes) -> Vec<u16> {
    let power = POWERS.get(digits).copied().unwrap_or(1.0);
    let mut inexact = [0; VECTOR_ROWS];
    T::scale(values, power, lanes, &mut inexact);
    let inexact = inexact.get(..values.len()).unwrap_or(&[]);
    wide_places(inexact, 0).map(|row| row as u16).collect()
}
