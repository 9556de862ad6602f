//! What is looked at to choose an encoding: the span of the values and of their differences, and how
//! far they lie from one of them.

use crate::block::cursor::zigzag;
use crate::block::kernel::multiversioned;
use crate::block::pack::{CHAIN, Lanes};

/// What one pass over the values finds.
pub(super) struct Shape {
    pub(super) low: i64,
    pub(super) high: i64,
    pub(super) delta_low: i64,
    pub(super) delta_high: i64,
    pub(super) runs: usize,
}

impl Shape {
    pub(super) fn of(values: &[u64]) -> Self {
        let mut shape = Shape {
            low: i64::MAX,
            high: i64::MIN,
            delta_low: i64::MAX,
            delta_high: i64::MIN,
            runs: 1,
        };
        measure(values, &mut shape);
        // The pairs of neighbours that lie in two chains.
        let last = values.iter().skip(CHAIN - 1).step_by(CHAIN);
        let first = values.iter().skip(CHAIN).step_by(CHAIN);
        shape.runs += last
            .zip(first)
            .filter(|(last, first)| last != first)
            .count();
        shape
    }

    pub(super) fn span(&self) -> u64 {
        self.high.wrapping_sub(self.low).cast_unsigned()
    }

    pub(super) fn delta_span(&self) -> u64 {
        self.delta_high.wrapping_sub(self.delta_low).cast_unsigned()
    }
}

multiversioned! {
    /// Widens a shape to the values, and to the differences of those that lie in one chain.
    pub(crate) fn measure<D>(values: &[u64], shape: &mut Shape) {
        for chain in values.chunks(CHAIN) {
            let (mut low, mut high) = (shape.low, shape.high);
            for value in chain {
                low = low.min(value.cast_signed());
                high = high.max(value.cast_signed());
            }
            (shape.low, shape.high) = (low, high);
            let (mut low, mut high, mut changes) = (shape.delta_low, shape.delta_high, 0_u64);
            let after = chain.get(1..).unwrap_or(&[]);
            for (before, value) in chain.iter().zip(after) {
                let delta = value.wrapping_sub(*before).cast_signed();
                low = low.min(delta);
                high = high.max(delta);
                changes += u64::from(delta != 0);
            }
            (shape.delta_low, shape.delta_high) = (low, high);
            shape.runs += changes as usize;
        }
    }
}

multiversioned! {
    /// Differences to the value before, those of each chain from its second slot on.
    pub(crate) fn differences<D>(values: &[u64], out: &mut Lanes) {
        for (chain, to) in values.chunks(CHAIN).zip(out.chunks_mut(CHAIN)) {
            let (after, to) = (chain.get(1..).unwrap_or(&[]), to.get_mut(1..).unwrap_or_default());
            for ((slot, before), value) in to.iter_mut().zip(chain).zip(after) {
                *slot = value.wrapping_sub(*before);
            }
        }
    }
}

multiversioned! {
    /// How far each value lies from the pivot, either way; and all of the bits that occur.
    pub(crate) fn distances<D>(values: &[u64], pivot: u64, out: &mut Lanes) -> u64 {
        let mut any = 0;
        for (slot, value) in out.iter_mut().zip(values) {
            *slot = zigzag(value.wrapping_sub(pivot));
            any |= *slot;
        }
        any
    }
}

multiversioned! {
    /// How many values have more than `width` bits, of which there are fewer than 64.
    pub(crate) fn wider_than<D>(values: &[u64], width: u32) -> usize {
        let mut wide = 0_u64;
        for value in values {
            wide += u64::from(value.wrapping_shr(width) != 0);
        }
        wide as usize
    }
}

multiversioned! {
    /// The lowest and the highest of the values whose distance has at most `width` bits, fewer than 64.
    pub(crate) fn span_within<D>(values: &[u64], distances: &[u64], width: u32) -> (i64, i64) {
        let (mut low, mut high) = (i64::MAX, i64::MIN);
        for (value, distance) in values.iter().zip(distances) {
            let near = distance.wrapping_shr(width) == 0;
            let value = value.cast_signed();
            low = low.min(if near { value } else { i64::MAX });
            high = high.max(if near { value } else { i64::MIN });
        }
        (low, high)
    }
}

multiversioned! {
    /// How many values lie more than `width` bits above the reference, and the bits that occur in how
    /// far they do.
    pub(crate) fn outliers<D>(values: &[u64], reference: u64, width: u32) -> (usize, u64) {
        let (mut count, mut any) = (0_u64, 0);
        if width >= u64::BITS {
            return (0, 0);
        }
        for value in values {
            let offset = value.wrapping_sub(reference);
            let wide = offset.wrapping_shr(width) != 0;
            count += u64::from(wide);
            any |= if wide { offset } else { 0 };
        }
        (count as usize, any)
    }
}
