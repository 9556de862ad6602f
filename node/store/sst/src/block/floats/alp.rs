//! ALP (Afroozeh, Kuffo and Boncz, SIGMOD 2023): a double as `i · 10^f · 10^−e`, for floats whose
//! digits lie too far from the point for decimal mode.

use super::{EXCEPTION_SHARE, FloatHistory, Real, bridge, push_exceptions};
use crate::block::pack::{Lanes, bits};
use crate::block::{Encoding, VECTOR_ROWS, ints};

/// Exponents are below this.
const EXPONENT_END: u8 = 18;
const POWERS: [f64; EXPONENT_END as usize] = [
    1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15, 1e16,
    1e17,
];
const INVERSES: [f64; EXPONENT_END as usize] = [
    1e0, 1e-1, 1e-2, 1e-3, 1e-4, 1e-5, 1e-6, 1e-7, 1e-8, 1e-9, 1e-10, 1e-11, 1e-12, 1e-13, 1e-14,
    1e-15, 1e-16, 1e-17,
];
/// Adding and taking away 1.5 · 2^52 rounds a float to an integer.
const ROUND: f64 = 6_755_399_441_055_744.0;
/// Values looked at to choose the exponents.
const SAMPLE: usize = 32;
/// Bits that a value set aside costs.
const EXCEPTION_BITS: usize = 80;
/// Vectors for which ALP is left alone after it has failed.
const PAUSE_VECTORS: u32 = 15;

/// `10^f` and `10^−e`, by their exponents.
#[derive(Clone, Copy, Debug)]
pub(super) struct Exponents {
    e: u8,
    f: u8,
    up: f64,
    down: f64,
}

impl Exponents {
    /// `None` for exponents that are not written.
    pub(super) fn new(e: u8, f: u8) -> Option<Self> {
        let up = *POWERS.get(usize::from(f))?;
        let down = *INVERSES.get(usize::from(e)).filter(|_| f <= e)?;
        Some(Exponents { e, f, up, down })
    }

    /// The integer that stands for the value, if it gives back its very bits.
    fn encode(&self, value: f64) -> Option<u64> {
        let up = POWERS.get(usize::from(self.e))?;
        let down = INVERSES.get(usize::from(self.f))?;
        let rounded = (value * up * down + ROUND) - ROUND;
        let integer = (rounded as i64).cast_unsigned();
        (decode_alp(integer, *self) == value.to_bits()).then_some(integer)
    }

    /// The exponents that take fewest bits on a sample.
    fn best(sample: &[f64]) -> Option<Self> {
        let mut best: Option<(usize, Exponents)> = None;
        for e in (0..EXPONENT_END).rev() {
            for exponents in (0..=e).filter_map(|f| Exponents::new(e, f)) {
                let (mut low, mut high, mut aside) = (i64::MAX, i64::MIN, 0);
                for value in sample {
                    match exponents.encode(*value) {
                        Some(integer) => {
                            low = low.min(integer.cast_signed());
                            high = high.max(integer.cast_signed());
                        }
                        None => aside += 1,
                    }
                }
                let width = bits(high.wrapping_sub(low).cast_unsigned()) as usize;
                let cost = sample.len() * width + aside * EXCEPTION_BITS;
                if aside < sample.len() && best.is_none_or(|(least, _)| cost < least) {
                    best = Some((cost, exponents));
                }
            }
        }
        best.map(|(_, exponents)| exponents)
    }
}

/// The bits of the double that an integer stands for.
#[inline(always)]
pub(super) fn decode_alp(integer: u64, exponents: Exponents) -> u64 {
    (integer.cast_signed() as f64 * exponents.up * exponents.down).to_bits()
}

/// Appends exponents, integers and exceptions; `None` where little is gained.
pub(super) fn encode_alp<T: Real>(
    values: &[T],
    history: &mut FloatHistory,
    out: &mut Vec<u8>,
) -> Option<Encoding> {
    if T::BYTES != 8 || history.alp_pause > 0 {
        history.alp_pause = history.alp_pause.saturating_sub(1);
        return None;
    }
    let start = out.len();
    let step = values.len().div_ceil(SAMPLE).max(1);
    let sample: Vec<f64> = values.iter().step_by(step).map(|v| v.widen()).collect();
    if let Some(exponents) = Exponents::best(&sample) {
        let mut lanes: Lanes = [0; VECTOR_ROWS];
        let mut exceptions = Vec::new();
        for (row, (lane, value)) in lanes.iter_mut().zip(values).enumerate() {
            match exponents.encode(value.widen()) {
                Some(integer) => *lane = integer,
                None => exceptions.push(row as u16),
            }
        }
        if exceptions.len() <= values.len() / EXCEPTION_SHARE {
            bridge(&mut lanes, &exceptions, values.len());
            out.extend([exponents.e, exponents.f]);
            ints::encode(lanes.get(..values.len())?, out);
            push_exceptions(values, &exceptions, out);
            if (out.len() - start) * 8 <= values.len() * T::BYTES * 7 {
                return Some(Encoding::Alp);
            }
        }
    }
    history.alp_pause = PAUSE_VECTORS;
    None
}
