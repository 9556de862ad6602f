//! The hot loops, compiled twice on x86-64: for every such processor and for x86-64-v3 (AVX2, BMI2,
//! FMA), chosen when they run. On aarch64 the baseline has NEON and fused multiplication already.

use super::lane::{chain_layers, unpack_layers};
use super::{CHAIN, LINE, Lanes};
use crate::block::VECTOR_ROWS;
use crate::block::floats::decimal::{Division, Exact, Fused, decimal_bits, short_decimal_bits};

/// Declares a function whose body is chosen by the processor. `$division` names how the body
/// divides: by division, or by the three fused steps that give the same bits.
macro_rules! multiversioned {
    ($(#[$doc:meta])* pub(crate) fn $name:ident<$division:ident>($($arg:ident: $type:ty),*) $body:block) => {
        $(#[$doc])*
        #[cfg_attr(target_arch = "x86_64", expect(
            unsafe_code,
            reason = "code for processor features is called where they were found"
        ))]
        pub(crate) fn $name($($arg: $type),*) {
            #[inline(always)]
            fn body<$division: Division>($($arg: $type),*) $body
            #[cfg(target_arch = "x86_64")]
            {
                #[target_feature(enable = "avx2,bmi1,bmi2,fma,lzcnt")]
                fn v3($($arg: $type),*) {
                    body::<Fused>($($arg),*);
                }
                if is_v3() {
                    // SAFETY: the processor has these features.
                    unsafe { v3($($arg),*) };
                    return;
                }
            }
            if cfg!(target_arch = "aarch64") {
                body::<Fused>($($arg),*);
            } else {
                body::<Exact>($($arg),*);
            }
        }
    };
}

#[cfg(target_arch = "x86_64")]
fn is_v3() -> bool {
    // Each is a look at a word that is set at the first call.
    std::is_x86_feature_detected!("avx2")
        && std::is_x86_feature_detected!("fma")
        && std::is_x86_feature_detected!("bmi1")
        && std::is_x86_feature_detected!("bmi2")
        && std::is_x86_feature_detected!("lzcnt")
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
    pub(crate) fn decimals<D>(power: f64, out: &mut Lanes) {
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
    pub(crate) fn multiply<D>(factor: u64, out: &mut Lanes) {
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
