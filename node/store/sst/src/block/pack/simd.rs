//! The hot loops of packing and unpacking, compiled for what the processor has.

use super::lane::{chain_layers, pack_layers, unpack_layers};
use super::{CHAIN, LINE, Lanes};
use crate::block::VECTOR_ROWS;
use crate::block::floats::decimal::{decimal_bits, short_decimal_bits};
use crate::block::kernel::multiversioned;

multiversioned! {
    /// Packs a full vector to a width above 0; there are as many lines as the width has bits.
    pub(crate) fn pack_full<D>(values: &Lanes, width: u32, lines: &mut [[u8; LINE]]) {
        if width <= 32 {
            pack_layers::<u32, 32>(values, width, lines);
        } else {
            pack_layers::<u64, 16>(values, width, lines);
        }
    }
}

multiversioned! {
    /// Unpacks a full vector of a width above 0, adding `reference` to each value.
    pub(crate) fn unpack<D>(lines: &[[u8; LINE]], width: u32, reference: u64, out: &mut Lanes) {
        let add = |value: u64| reference.wrapping_add(value);
        if width <= 32 {
            unpack_layers::<u32, 32>(lines, width, out, add);
        } else {
            unpack_layers::<u64, 16>(lines, width, out, add);
        }
    }
}

multiversioned! {
    /// Unpacks a quarter of a full vector of a width above 0, adding `reference` to each value.
    pub(crate) fn unpack_chain<D>(
        lines: &[[u8; LINE]],
        width: u32,
        chain: usize,
        reference: u64,
        out: &mut [u64; CHAIN]
    ) {
        if width <= 32 {
            chain_layers::<u32, 32>(lines, width, chain, reference, out);
        } else {
            chain_layers::<u64, 16>(lines, width, chain, reference, out);
        }
    }
}

multiversioned! {
    /// Unpacks a full vector of a width above 0 into the bits of `(reference + value) / power`.
    pub(crate) fn unpack_decimals<D>(
        lines: &[[u8; LINE]],
        width: u32,
        reference: u64,
        power: f64,
        out: &mut Lanes
    ) {
        let inverse = 1.0 / power;
        let divide = |value: u64| decimal_bits::<D>(reference.wrapping_add(value), power, inverse);
        if width <= 32 {
            unpack_layers::<u32, 32>(lines, width, out, divide);
        } else {
            unpack_layers::<u64, 16>(lines, width, out, divide);
        }
    }
}

multiversioned! {
    /// Turns integers into the bits of `integer / power`.
    pub(crate) fn decimals<D>(power: f64, out: &mut [u64]) {
        let inverse = 1.0 / power;
        for value in out.iter_mut() {
            *value = decimal_bits::<D>(*value, power, inverse);
        }
    }
}

multiversioned! {
    /// Turns integers into the bits of `integer / power` rounded to 32 bits.
    pub(crate) fn short_decimals<D>(power: f64, out: &mut Lanes) {
        let inverse = 1.0 / power;
        for value in out.iter_mut() {
            *value = short_decimal_bits::<D>(*value, power, inverse);
        }
    }
}

multiversioned! {
    /// Multiplies every value, wrapping.
    pub(crate) fn multiply<D>(factor: u64, out: &mut [u64]) {
        for value in out.iter_mut() {
            *value = value.wrapping_mul(factor);
        }
    }
}

/// Turns differences into values, the four chains side by side.
#[expect(
    clippy::indexing_slicing,
    reason = "four quarters of an array of known length; hot"
)]
pub(crate) fn sum_chains(bases: [u64; VECTOR_ROWS / CHAIN], out: &mut Lanes) {
    let [mut a, mut b, mut c, mut d] = bases;
    let (left, right) = out.split_at_mut(2 * CHAIN);
    let (first, second) = left.split_at_mut(CHAIN);
    let (third, fourth) = right.split_at_mut(CHAIN);
    (first[0], second[0], third[0], fourth[0]) = (a, b, c, d);
    for row in 1..CHAIN {
        a = a.wrapping_add(first[row]);
        b = b.wrapping_add(second[row]);
        c = c.wrapping_add(third[row]);
        d = d.wrapping_add(fourth[row]);
        (first[row], second[row], third[row], fourth[row]) = (a, b, c, d);
    }
}
