//! Integers: whichever of constant, run-length, frame of reference and delta takes fewest bytes.
//!
//! Everything works on 64-bit two's complement with wrapping arithmetic, so that any input comes
//! back, extremes included. Frame of reference and delta set outliers aside as exceptions (PFOR,
//! Zukowski et al., ICDE 2006); delta runs in four independent chains of 256 values, which lets the
//! prefix sums of a vector overlap in the processor.

use std::sync::atomic::Ordering;

use activestore_types::{Error, Result};

use super::cursor::{Cursor, push_signed, push_varint, zigzag};
use super::pack::{Lanes, bits, pack, packed_len, unpack};
use super::{Encoding, MISTAKES, VECTOR_ROWS};

const CONSTANT: u8 = 0;
const FRAME: u8 = 1;
const DELTA: u8 = 2;
const RUNS: u8 = 3;
/// Beside one of the kinds: the values are multiples of a power of ten, whose exponent follows, and
/// what is stored is the quotients. Readings stamped in milliseconds are such nanoseconds.
const SCALED: u8 = 0x80;
/// Exponents tried, the largest first.
const SCALES: [u8; 3] = [9, 6, 3];
const SCALE_MAX: u8 = 18;

/// Values of one delta chain.
const CHAIN: usize = 256;
/// At most one value in this many may be an exception.
const EXCEPTION_SHARE: usize = 16;
/// Below this many rows outliers are not searched for.
const ROWS_FOR_EXCEPTIONS: usize = 64;

/// Appends `values` (1 to 1,024 of them) and says which encoding they took.
pub(crate) fn encode(values: &[u64], out: &mut Vec<u8>) -> Encoding {
    let start = out.len();
    let encoding = encode_scaled(values, out);
    let mut check = [0; VECTOR_ROWS];
    let read = out
        .get(start..)
        .map(|bytes| decode(&mut Cursor::new(bytes), values.len(), &mut check));
    if matches!(read, Some(Ok(()))) && check.iter().zip(values).all(|(a, b)| a == b) {
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
    let divides = |exponent: &u8| {
        let divisor = 10_i64.pow(u32::from(*exponent));
        values
            .iter()
            .all(|value| value.cast_signed() % divisor == 0)
    };
    let Some(exponent) = SCALES.into_iter().find(divides) else {
        return encode_cheapest(values, 0, out);
    };
    let divisor = 10_i64.pow(u32::from(exponent));
    let mut quotients = [0; VECTOR_ROWS];
    for (quotient, value) in quotients.iter_mut().zip(values) {
        *quotient = (value.cast_signed() / divisor).cast_unsigned();
    }
    let quotients = quotients.get(..values.len()).unwrap_or(&[]);
    encode_cheapest(quotients, exponent, out)
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
    let frame = Plan::of(values, shape.low, shape.high);
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
    if rows > VECTOR_ROWS {
        return Err(Error::corrupt(format!("a vector of {rows} rows")));
    }
    let kind = bytes.byte()?;
    let scale = if kind & SCALED == 0 { 0 } else { bytes.byte()? };
    if scale > SCALE_MAX {
        return Err(Error::corrupt(format!("integers scaled by {scale} digits")));
    }
    match kind & !SCALED {
        CONSTANT => out.fill(bytes.signed()?),
        FRAME => read_plan(bytes, rows, out)?,
        DELTA => {
            let mut bases = [0_u64; VECTOR_ROWS / CHAIN];
            let mut before = 0_u64;
            for base in bases.iter_mut().take(rows.div_ceil(CHAIN)) {
                before = before.wrapping_add(bytes.signed()?);
                *base = before;
            }
            read_plan(bytes, rows, out)?;
            sum_chains(bases, out);
        }
        RUNS => read_runs(bytes, rows, out)?,
        other => {
            return Err(Error::corrupt(format!(
                "integer encoding {other} is unknown"
            )));
        }
    }
    if scale > 0 {
        let factor = 10_u64.pow(u32::from(scale));
        out.iter_mut()
            .for_each(|value| *value = value.wrapping_mul(factor));
    }
    Ok(())
}

/// What one pass over the values finds.
struct Shape {
    low: i64,
    high: i64,
    delta_low: i64,
    delta_high: i64,
    runs: usize,
}

impl Shape {
    fn of(values: &[u64]) -> Self {
        let first = values.first().copied().unwrap_or(0);
        let mut shape = Shape {
            low: i64::MAX,
            high: i64::MIN,
            delta_low: i64::MAX,
            delta_high: i64::MIN,
            runs: 1,
        };
        let mut before = first;
        for (index, value) in values.iter().enumerate() {
            let signed = value.cast_signed();
            shape.low = shape.low.min(signed);
            shape.high = shape.high.max(signed);
            let delta = value.wrapping_sub(before).cast_signed();
            shape.runs += usize::from(delta != 0);
            // A chain's first delta is never stored.
            if index % CHAIN != 0 {
                shape.delta_low = shape.delta_low.min(delta);
                shape.delta_high = shape.delta_high.max(delta);
            }
            before = *value;
        }
        shape
    }

    fn span(&self) -> u64 {
        self.high.wrapping_sub(self.low).cast_unsigned()
    }
}

/// How to pack: `reference + packed`, with the values that do not fit set aside.
struct Plan {
    reference: u64,
    width: u32,
    exceptions: usize,
    exception_bytes: usize,
    bytes: usize,
}

impl Plan {
    fn plain(reference: u64, width: u32, rows: usize) -> Self {
        Plan {
            reference,
            width,
            exceptions: 0,
            exception_bytes: 0,
            bytes: packed_len(rows, width),
        }
    }

    /// The cheapest plan for values that lie in `[low, high]`.
    fn of(values: &[u64], low: i64, high: i64) -> Self {
        let rows = values.len();
        let full = bits(high.wrapping_sub(low).cast_unsigned());
        let plain = Plan::plain(low.cast_unsigned(), full, rows);
        if full <= 1 || rows < ROWS_FOR_EXCEPTIONS {
            return plain;
        }
        // How far values lie from one in the middle, as a histogram of magnitudes.
        let pivot = values.get(rows / 2 + 1).copied().unwrap_or(0);
        let mut histogram = [0_u16; 65];
        for value in values {
            let width = bits(zigzag(value.wrapping_sub(pivot))) as usize;
            if let Some(bucket) = histogram.get_mut(width) {
                *bucket += 1;
            }
        }
        let (mut outside, mut best, mut best_bytes) = (0_usize, None, plain.bytes);
        for (width, count) in histogram.iter().enumerate().rev() {
            // `outside` counts the values wider than `width`.
            let bytes = packed_len(rows, width as u32) + outside * 8;
            if outside > 0 && bytes < best_bytes {
                (best, best_bytes) = (Some(width as u32), bytes);
            }
            outside += usize::from(*count);
            if outside > rows / EXCEPTION_SHARE {
                break;
            }
        }
        let patched = best.map(|width| Plan::patched(values, pivot, width));
        match patched {
            Some(patched) if patched.bytes < plain.bytes => patched,
            _ => plain,
        }
    }

    fn patched(values: &[u64], pivot: u64, distance_bits: u32) -> Self {
        let (mut low, mut high) = (i64::MAX, i64::MIN);
        for value in values {
            if bits(zigzag(value.wrapping_sub(pivot))) <= distance_bits {
                low = low.min(value.cast_signed());
                high = high.max(value.cast_signed());
            }
        }
        let reference = low.cast_unsigned();
        let width = bits(high.wrapping_sub(low).cast_unsigned());
        let (mut exceptions, mut widest) = (0, 0_u64);
        for value in values {
            let offset = value.wrapping_sub(reference);
            if bits(offset) > width {
                exceptions += 1;
                widest = widest.max(offset);
            }
        }
        let exception_bytes = (bits(widest) as usize).div_ceil(8);
        Plan {
            reference,
            width,
            exceptions,
            exception_bytes,
            bytes: packed_len(values.len(), width) + exceptions * (2 + exception_bytes) + 1,
        }
    }

    fn write(&self, values: &[u64], out: &mut Vec<u8>) {
        push_signed(self.reference, out);
        out.push(self.width as u8);
        push_varint(self.exceptions as u64, out);
        let mut offsets = [0_u64; VECTOR_ROWS];
        for (offset, value) in offsets.iter_mut().zip(values) {
            *offset = value.wrapping_sub(self.reference);
        }
        let Some(offsets) = offsets.get_mut(..values.len()) else {
            return;
        };
        if self.exceptions > 0 {
            out.push(self.exception_bytes as u8);
            let wide = |offset: &u64| bits(*offset) > self.width;
            for (row, _) in offsets
                .iter()
                .enumerate()
                .filter(|(_, offset)| wide(offset))
            {
                out.extend((row as u16).to_le_bytes());
            }
            for offset in offsets.iter_mut().filter(|offset| wide(offset)) {
                out.extend(offset.to_le_bytes().iter().take(self.exception_bytes));
                *offset = 0;
            }
        }
        pack(offsets, self.width, out);
    }
}

fn read_plan(bytes: &mut Cursor<'_>, rows: usize, out: &mut Lanes) -> Result<()> {
    let reference = bytes.signed()?;
    let width = u32::from(bytes.byte()?);
    let exceptions = bytes.count("exceptions", rows)?;
    if exceptions == 0 {
        return unpack(bytes, rows, width, reference, out);
    }
    let size = usize::from(bytes.byte()?);
    if !(1..=8).contains(&size) {
        return Err(Error::corrupt(format!("exceptions of {size} bytes")));
    }
    let positions = bytes.take(exceptions * 2)?;
    let offsets = bytes.take(exceptions * size)?;
    unpack(bytes, rows, width, reference, out)?;
    for (position, offset) in positions
        .as_chunks::<2>()
        .0
        .iter()
        .zip(offsets.chunks_exact(size))
    {
        let mut wide = [0_u8; 8];
        for (to, from) in wide.iter_mut().zip(offset) {
            *to = *from;
        }
        let row = usize::from(u16::from_le_bytes(*position));
        let slot = out.get_mut(row).filter(|_| row < rows);
        *slot.ok_or_else(|| Error::corrupt(format!("an exception at row {row} of {rows}")))? =
            reference.wrapping_add(u64::from_le_bytes(wide));
    }
    Ok(())
}

/// Differences to the value before; a chain's first slot repeats its neighbour, so that it costs
/// no width.
fn fill_deltas<'a>(values: &[u64], out: &'a mut Lanes) -> &'a [u64] {
    for (chain, to) in values.chunks(CHAIN).zip(out.chunks_mut(CHAIN)) {
        for (slot, pair) in to.iter_mut().skip(1).zip(chain.windows(2)) {
            if let [before, value] = pair {
                *slot = value.wrapping_sub(*before);
            }
        }
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

/// Turns deltas into values, the four chains side by side.
#[expect(
    clippy::indexing_slicing,
    reason = "four halves of an array of known length; hot"
)]
fn sum_chains(bases: [u64; VECTOR_ROWS / CHAIN], out: &mut Lanes) {
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

fn read_runs(bytes: &mut Cursor<'_>, rows: usize, out: &mut Lanes) -> Result<()> {
    let runs = bytes.count("runs", rows)?;
    let mut heads = [0; VECTOR_ROWS];
    read_plan(bytes, runs, &mut heads)?;
    let mut lengths = [0; VECTOR_ROWS];
    let width = u32::from(bytes.byte()?);
    unpack(bytes, runs, width, 0, &mut lengths)?;
    let mut rest = out.get_mut(..rows).unwrap_or_default();
    for (head, length) in heads.iter().zip(&lengths).take(runs) {
        let length = usize::try_from(*length)
            .unwrap_or(usize::MAX)
            .saturating_add(1);
        let (run, after) = rest
            .split_at_mut_checked(length)
            .ok_or_else(|| Error::corrupt("runs are longer than their vector"))?;
        run.fill(*head);
        rest = after;
    }
    if rest.is_empty() {
        Ok(())
    } else {
        Err(Error::corrupt("runs are shorter than their vector"))
    }
}

#[cfg(test)]
mod tests;
