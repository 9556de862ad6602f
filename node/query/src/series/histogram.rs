//! `histogram_quantile(q, le, count)`: a quantile from the buckets of a classic Prometheus histogram, each row
//! a bucket with its upper bound and the count of everything up to it. Worked out as Prometheus does.

use activestore_types::Result;
use arrow::array::{Array, ArrayRef};

use super::samples::{Fold, Rows, numbers};

/// Buckets by their upper bounds; counts of equal bounds are added up.
#[derive(Clone, Debug, Default)]
pub(super) struct Quantile {
    buckets: Vec<(f64, f64)>,
}

impl Fold for Quantile {
    /// The quantile is the setting, the upper bound the place in the order.
    fn rows(args: &[ArrayRef]) -> Result<Rows<'_>> {
        let (quantiles, bounds) = (numbers(args, 0)?, numbers(args, 1)?);
        Ok(Rows {
            at: Box::new(|row| {
                let bound = bounds.is_valid(row).then(|| bounds.value(row))?;
                (!bound.is_nan()).then(|| to_place(bound))
            }),
            values: numbers(args, 2)?,
            setting: Box::new(|row| {
                Ok(if quantiles.is_valid(row) {
                    quantiles.value(row)
                } else {
                    f64::NAN
                })
            }),
        })
    }

    fn push(&mut self, _setting: f64, at: i64, count: f64) {
        let bound = from_place(at);
        match self.buckets.last_mut() {
            Some((known, sum)) if *known == bound => *sum += count,
            _ => self.buckets.push((bound, count)),
        }
    }

    fn finish(&self, quantile: f64) -> Option<f64> {
        (!self.buckets.is_empty()).then(|| self.quantile(quantile))
    }
}

impl Quantile {
    fn quantile(&self, quantile: f64) -> f64 {
        if quantile.is_nan() {
            return f64::NAN;
        }
        if quantile < 0.0 {
            return f64::NEG_INFINITY;
        }
        if quantile > 1.0 {
            return f64::INFINITY;
        }
        let [finite @ .., (bound, total)] = self.buckets.as_slice() else {
            return f64::NAN;
        };
        let (true, Some((highest, _))) = (*bound == f64::INFINITY, finite.last()) else {
            return f64::NAN;
        };
        // Counts are of different moments of a scrape, so that one may be a little below the one before.
        let mut rising = 0.0_f64;
        let total = finite
            .iter()
            .fold(*total, |most, (_, count)| most.max(*count));
        if total <= 0.0 {
            return f64::NAN;
        }
        let rank = quantile * total;
        let mut lower = (0.0, 0.0);
        for (place, (upper, count)) in finite.iter().enumerate() {
            rising = rising.max(*count);
            if rising >= rank {
                if place == 0 && *upper <= 0.0 {
                    return *upper;
                }
                let (from, before) = lower;
                let within = rising - before;
                if within <= 0.0 {
                    return from;
                }
                return from + (upper - from) * ((rank - before) / within);
            }
            lower = (*upper, rising);
        }
        *highest
    }
}

/// A number's place in the order of numbers.
fn to_place(number: f64) -> i64 {
    // Zeros of both signs are one bound.
    let bits = (number + 0.0).to_bits().cast_signed();
    if bits < 0 { bits ^ i64::MAX } else { bits }
}

fn from_place(place: i64) -> f64 {
    let bits = if place < 0 { place ^ i64::MAX } else { place };
    f64::from_bits(bits.cast_unsigned())
}
