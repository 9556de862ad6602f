//! The least and the greatest of floats, many side by side.

use super::Real;
use crate::block::kernel::multiversioned;

/// The least and the greatest of no float.
pub(crate) const NO_FLOAT: (f64, f64) = (f64::INFINITY, f64::NEG_INFINITY);
/// Floats compared side by side, so that a comparison does not wait for the one before.
const LANES: usize = 8;

/// The least and the greatest of the values, and whether any is not a number.
#[inline(always)]
fn span<T: Real>(values: &[T]) -> (f64, f64, bool) {
    let (groups, rest) = values.as_chunks::<LANES>();
    let (mut least, mut greatest) = ([NO_FLOAT.0; LANES], [NO_FLOAT.1; LANES]);
    let mut nan = [0_u64; LANES];
    for group in groups {
        for ((least, greatest), value) in least.iter_mut().zip(&mut greatest).zip(group) {
            let value = value.widen();
            *least = if value < *least { value } else { *least };
            *greatest = if value > *greatest { value } else { *greatest };
        }
        for (nan, value) in nan.iter_mut().zip(group) {
            *nan |= u64::from(value.widen().is_nan());
        }
    }
    let rest = rest.iter().map(|value| value.widen());
    let nan = nan != [0; LANES] || rest.clone().any(f64::is_nan);
    let least = least.into_iter().chain(rest.clone());
    let greatest = greatest.into_iter().chain(rest);
    (
        least.fold(NO_FLOAT.0, f64::min),
        greatest.fold(NO_FLOAT.1, f64::max),
        nan,
    )
}

multiversioned! {
    /// [`span`] of doubles.
    pub(crate) fn span_of_doubles<D>(values: &[f64]) -> (f64, f64, bool) {
        span(values)
    }
}

multiversioned! {
    /// [`span`] of 32-bit floats.
    pub(crate) fn span_of_floats<D>(values: &[f32]) -> (f64, f64, bool) {
        span(values)
    }
}
