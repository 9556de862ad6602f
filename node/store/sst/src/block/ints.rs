//! Integers: whichever of constant, run-length, frame of reference and delta takes fewest bytes.
//!
//! Everything works on 64-bit two's complement with wrapping arithmetic, so that any input comes
//! back, extremes included. Frame of reference and delta set outliers aside as exceptions (PFOR,
//! Zukowski et al., ICDE 2006); delta runs in four independent chains of 256 values, which lets the
//! prefix sums of a vector overlap in the processor.

use std::sync::atomic::Ordering;

use activestore_types::Result;

use self::plan::Plan;
use self::shape::{Shape, differences};
use super::cursor::{Cursor, push_signed, push_varint};
use super::pack::{CHAIN, Lanes, bits, pack};
use super::{Encoding, MISTAKES, VECTOR_ROWS};

mod patched;
mod plan;
mod probe;
mod read;
mod shape;

pub(crate) use plan::wide_places;
pub(crate) use probe::Probe;
pub(crate) use read::Ints;

const CONSTANT: u8 = 0;
const FRAME: u8 = 1;
const DELTA: u8 = 2;
const RUNS: u8 = 3;
/// Beside one of the kinds: the values are multiples of a power of ten or of two, whose exponent
/// follows, and what is stored is the quotients. Readings stamped in milliseconds are such
/// nanoseconds, and a hybrid stamp whose counter is 0 is a multiple of 2^16.
const SCALED: u8 = 0x80;
/// Divides values; whether all are multiples.
type Divide = fn(&[u64], &mut [u64]) -> bool;
/// Scales tried, the largest first, and how to divide by them.
const SCALES: [(u8, Divide); 4] = [
    (9, divide::<1_000_000_000>),
    (6, divide::<1_000_000>),
    (BINARY | 16, divide::<{ 1 << 16 }>),
    (3, divide::<1_000>),
];
const SCALE_MAX: u8 = 18;
/// Values looked at first.
const FEW: usize = 4;
/// Beside an exponent: it is one of two, not of ten.
const BINARY: u8 = 0x40;

/// What a scale multiplies by; `None` for a scale that is not known.
fn factor_of(scale: u8) -> Option<u64> {
    match scale {
        0..=SCALE_MAX => Some(10_u64.pow(u32::from(scale))),
        _ if scale & BINARY != 0 => 1_u64.checked_shl(u32::from(scale & !BINARY)),
        _ => None,
    }
}

/// Appends `values` (1 to 1,024 of them) and says which encoding they took.
pub(crate) fn encode(values: &[u64], out: &mut Vec<u8>) -> Encoding {
    let start = out.len();
    let encoding = encode_scaled(values, out);
    let mut check = [0; VECTOR_ROWS];
    let read = out
        .get(start..)
        .map(|bytes| decode(&mut Cursor::new(bytes), values.len(), &mut check));
    if matches!(read, Some(Ok(()))) && check.get(..values.len()) == Some(values) {
        return encoding;
    }
    // What does not read back is stored plainly: a flush must not fail for a codec's mistake.
    MISTAKES.fetch_add(1, Ordering::Relaxed);
    out.truncate(start);
    out.push(FRAME);
    Plan::plain(0, u64::BITS, values.len()).write(values, out);
    Encoding::FrameOfReference
}

fn encode_scaled(values: &[u64], out: &mut Vec<u8>) -> Encoding {
    let few = values.get(..FEW).unwrap_or(values);
    for (scale, divide) in SCALES {
        if !divide(few, &mut [0; FEW]) {
            continue;
        }
        let mut quotients = [0; VECTOR_ROWS];
        if divide(values, &mut quotients) {
            let quotients = quotients.get(..values.len()).unwrap_or(&[]);
            return encode_cheapest(quotients, scale, out);
        }
    }
    encode_cheapest(values, 0, out)
}

/// Divides the values, as signed numbers, until one is not a multiple; whether there was none. (By a
/// constant, which takes a fraction of a division's time.)
fn divide<const BY: i64>(values: &[u64], quotients: &mut [u64]) -> bool {
    for (quotient, value) in quotients.iter_mut().zip(values) {
        let exact = value.cast_signed() / BY;
        if exact * BY != value.cast_signed() {
            return false;
        }
        *quotient = exact.cast_unsigned();
    }
    true
}

/// Opens a payload of this kind.
fn push_kind(kind: u8, scale: u8, out: &mut Vec<u8>) {
    if scale == 0 {
        out.push(kind);
    } else {
        out.extend([kind | SCALED, scale]);
    }
}

fn encode_cheapest(values: &[u64], scale: u8, out: &mut Vec<u8>) -> Encoding {
    let shape = Shape::of(values);
    if shape.low == shape.high {
        push_kind(CONSTANT, scale, out);
        push_signed(shape.low.cast_unsigned(), out);
        return Encoding::Constant;
    }
    // Where differences are much narrower than the values, no outliers set aside will help those.
    let delta_width = bits(shape.delta_span());
    let smooth = values.len() > 2 && delta_width * 4 < bits(shape.span()) * 3;
    let frame = if smooth {
        Plan::plain(shape.low.cast_unsigned(), bits(shape.span()), values.len())
    } else {
        Plan::of(values, shape.low, shape.high)
    };
    let run_bytes = shape.runs * (bits(shape.span()) as usize + 10) / 8 + 8;
    let mut deltas = [0; VECTOR_ROWS];
    let deltas = fill_deltas(values, &mut deltas);
    // A delta pays only where it is narrower than the frame by more than its chain starts cost.
    let delta = (values.len() > 2).then(|| Plan::of(deltas, shape.delta_low, shape.delta_high));
    let chains = values.len().div_ceil(CHAIN);
    let delta_bytes = delta
        .as_ref()
        .map_or(usize::MAX, |plan| plan.bytes + 2 + 3 * chains);
    if run_bytes < frame.bytes && run_bytes < delta_bytes {
        push_kind(RUNS, scale, out);
        write_runs(values, shape.runs, out);
        return Encoding::RunLength;
    }
    match delta {
        Some(plan) if delta_bytes < frame.bytes => {
            push_kind(DELTA, scale, out);
            let mut before = 0_u64;
            for base in values.iter().step_by(CHAIN) {
                push_signed(base.wrapping_sub(before), out);
                before = *base;
            }
            plan.write(deltas, out);
            Encoding::Delta
        }
        _ => {
            push_kind(FRAME, scale, out);
            frame.write(values, out);
            Encoding::FrameOfReference
        }
    }
}

/// Reads `rows` values into the front of `out`; what lies behind them is unspecified.
///
/// # Errors
/// `Corrupt` for bytes that [`encode`] does not write.
pub(crate) fn decode(bytes: &mut Cursor<'_>, rows: usize, out: &mut Lanes) -> Result<()> {
    Ints::parse(bytes, rows)?.decode(out)
}

/// Differences to the value before; a chain's first slot repeats its neighbour, so that it costs
/// no width.
fn fill_deltas<'a>(values: &[u64], out: &'a mut Lanes) -> &'a [u64] {
    differences(values, out);
    for (chain, to) in values.chunks(CHAIN).zip(out.chunks_mut(CHAIN)) {
        let neighbour = if chain.len() > 1 {
            to.get(1).copied()
        } else {
            None
        };
        if let Some(first) = to.first_mut() {
            *first = neighbour.unwrap_or(0);
        }
    }
    // A last chain of one value has no difference of its own; it borrows the first chain's.
    if values.len() % CHAIN == 1 {
        let borrowed = out.first().copied().unwrap_or(0);
        if let Some(slot) = out.get_mut(values.len() - 1) {
            *slot = borrowed;
        }
    }
    out.get(..values.len()).unwrap_or(&[])
}

fn write_runs(values: &[u64], runs: usize, out: &mut Vec<u8>) {
    let (mut heads, mut lengths) = (Vec::<u64>::with_capacity(runs), Vec::with_capacity(runs));
    for run in values.chunk_by(|a, b| a == b) {
        heads.extend(run.first());
        lengths.push(run.len() as u64 - 1);
    }
    push_varint(heads.len() as u64, out);
    let low = heads
        .iter()
        .map(|head| head.cast_signed())
        .min()
        .unwrap_or(0);
    let high = heads
        .iter()
        .map(|head| head.cast_signed())
        .max()
        .unwrap_or(0);
    let span = high.wrapping_sub(low).cast_unsigned();
    Plan::plain(low.cast_unsigned(), bits(span), heads.len()).write(&heads, out);
    let longest = lengths.iter().copied().max().unwrap_or(0);
    out.push(bits(longest) as u8);
    pack(&lengths, bits(longest), out);
}

#[cfg(test)]
mod tests;
