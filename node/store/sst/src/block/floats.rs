//! Floats, bit-exactly: decimals as integers, else ALP, else the bit patterns themselves.
//!
//! Decimal mode stores `i` and `d` with `v = i / 10^d`, and takes a value only if that division
//! gives back its very bits; on readings with few digits this leaves no exceptions where ALP's two
//! multiplications leave about one in a hundred. What does not come back (-0.0, NaN, infinities,
//! long fractions) is kept aside as it is.

use std::sync::atomic::Ordering;

use activestore_types::{Error, Result};
use alp::{ALPFloat, Exponents};

use super::cursor::{Cursor, push_varint};
use super::pack::Lanes;
use super::{Encoding, MISTAKES, VECTOR_ROWS, ints};

/// Decimal digits after the point that are tried.
const DIGITS_MAX: usize = 12;
const POWERS: [f64; DIGITS_MAX + 1] = [
    1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12,
];
/// Adding 1.5 * 2^52 leaves a float's integer part in its lowest bits, for magnitudes below 2^51.
const ROUND: f64 = 6_755_399_441_055_744.0;
const ROUND_LIMIT: f64 = 2_251_799_813_685_247.0;
/// Values looked at to choose the digits.
const SAMPLE: usize = 32;
/// At most one value in this many may be an exception.
const EXCEPTION_SHARE: usize = 8;
/// Vectors for which ALP is left alone after it has failed.
const ALP_PAUSE_VECTORS: u32 = 15;

/// A float of 32 or 64 bits.
pub(crate) trait Real: Copy {
    /// Bytes of one value.
    const BYTES: usize;
    /// As a double, exactly.
    fn widen(self) -> f64;
    /// From a double, rounded.
    fn narrow(wide: f64) -> Self;
    /// The bit pattern.
    fn pattern(self) -> u64;
    /// From the lowest bits of a pattern.
    fn from_pattern(pattern: u64) -> Self;
}

impl Real for f64 {
    const BYTES: usize = 8;
    fn widen(self) -> f64 {
        self
    }
    fn narrow(wide: f64) -> Self {
        wide
    }
    fn pattern(self) -> u64 {
        self.to_bits()
    }
    fn from_pattern(pattern: u64) -> Self {
        f64::from_bits(pattern)
    }
}

impl Real for f32 {
    const BYTES: usize = 4;
    fn widen(self) -> f64 {
        f64::from(self)
    }
    fn narrow(wide: f64) -> Self {
        wide as f32
    }
    fn pattern(self) -> u64 {
        u64::from(self.to_bits())
    }
    fn from_pattern(pattern: u64) -> Self {
        f32::from_bits(pattern as u32)
    }
}

/// What an encoder remembers of the vectors before.
#[derive(Debug, Default)]
pub(crate) struct FloatHistory {
    alp_pause: u32,
}

/// Appends the payload of 1 to 1,024 values and says which encoding it is.
pub(crate) fn encode<T: Real>(
    values: &[T],
    history: &mut FloatHistory,
    out: &mut Vec<u8>,
) -> Encoding {
    let start = out.len();
    let encoding = encode_decimal(values, out).or_else(|| {
        out.truncate(start);
        encode_alp(values, history, out)
    });
    if let Some(encoding) = encoding
        && out.len() - start < values.len() * T::BYTES
    {
        if reads_back(values, encoding, out.get(start..).unwrap_or(&[])) {
            return encoding;
        }
        MISTAKES.fetch_add(1, Ordering::Relaxed);
    }
    out.truncate(start);
    let mut patterns = [0; VECTOR_ROWS];
    for (to, from) in patterns.iter_mut().zip(values) {
        *to = from.pattern();
    }
    match ints::encode(patterns.get(..values.len()).unwrap_or(&[]), out) {
        Encoding::Constant => Encoding::FloatConstant,
        _ => Encoding::FloatBits,
    }
}

/// Reads `rows` values.
///
/// # Errors
/// `Corrupt` for bytes that [`encode`] does not write.
pub(crate) fn decode<T: Real>(
    bytes: &mut Cursor<'_>,
    encoding: Encoding,
    rows: usize,
) -> Result<Vec<T>> {
    let mut lanes = [0; VECTOR_ROWS];
    let mut values = match encoding {
        Encoding::FloatConstant | Encoding::FloatBits => {
            ints::decode(bytes, rows, &mut lanes)?;
            return Ok(lanes
                .iter()
                .take(rows)
                .map(|lane| T::from_pattern(*lane))
                .collect());
        }
        Encoding::Decimal => {
            let digits = usize::from(bytes.byte()?);
            let power = *POWERS
                .get(digits)
                .ok_or_else(|| Error::corrupt(format!("a decimal of {digits} digits")))?;
            ints::decode(bytes, rows, &mut lanes)?;
            from_decimal(&lanes, rows, power)
        }
        Encoding::Alp => {
            let [e, f] = bytes.array()?;
            if e >= f64::MAX_EXPONENT || f > e || T::BYTES != 8 {
                return Err(Error::corrupt(format!("ALP exponents {e} and {f}")));
            }
            ints::decode(bytes, rows, &mut lanes)?;
            from_alp(&lanes, rows, Exponents { e, f })
        }
        other => {
            return Err(Error::corrupt(format!(
                "{} is no encoding of floats",
                other.name()
            )));
        }
    };
    let exceptions = bytes.count("exceptions", rows)?;
    let positions = bytes.take(exceptions * 2)?;
    let patterns = bytes.take(exceptions * T::BYTES)?;
    for (position, pattern) in positions
        .as_chunks::<2>()
        .0
        .iter()
        .zip(patterns.chunks_exact(T::BYTES))
    {
        let row = usize::from(u16::from_le_bytes(*position));
        let slot = values
            .get_mut(row)
            .ok_or_else(|| Error::corrupt(format!("an exception at row {row} of {rows}")))?;
        let mut wide = [0_u8; 8];
        for (to, from) in wide.iter_mut().zip(pattern) {
            *to = *from;
        }
        *slot = T::from_pattern(u64::from_le_bytes(wide));
    }
    Ok(values)
}

fn encode_decimal<T: Real>(values: &[T], out: &mut Vec<u8>) -> Option<Encoding> {
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
    POWERS.iter().position(|power| scaled(value, *power).1)
}

/// The integer that stands for the value, as a shifted float's bits, and whether it is exact.
#[inline(always)]
fn scaled<T: Real>(value: T, power: f64) -> (u64, bool) {
    let product = value.widen() * power;
    let shifted = product + ROUND;
    let back = T::narrow((shifted - ROUND) / power);
    let exact = (back.pattern() == value.pattern()) & (product.abs() <= ROUND_LIMIT);
    (shifted.to_bits().wrapping_sub(ROUND.to_bits()), exact)
}

fn to_decimal<T: Real>(values: &[T], digits: usize, lanes: &mut Lanes) -> Vec<u16> {
    let power = POWERS.get(digits).copied().unwrap_or(1.0);
    let mut inexact = [false; VECTOR_ROWS];
    for ((lane, inexact), value) in lanes.iter_mut().zip(&mut inexact).zip(values) {
        let (integer, exact) = scaled(*value, power);
        *lane = integer;
        *inexact = !exact;
    }
    let rows = inexact.iter().take(values.len()).enumerate();
    rows.filter(|(_, inexact)| **inexact)
        .map(|(row, _)| row as u16)
        .collect()
}

fn from_decimal<T: Real>(lanes: &Lanes, rows: usize, power: f64) -> Vec<T> {
    let lanes = lanes.iter().take(rows);
    lanes
        .map(|lane| {
            let whole = f64::from_bits(lane.wrapping_add(ROUND.to_bits())) - ROUND;
            T::narrow(whole / power)
        })
        .collect()
}

/// Gives each exception's slot its neighbour's integer, so that it costs no width.
fn bridge(lanes: &mut Lanes, exceptions: &[u16], rows: usize) {
    let mut next = exceptions.iter().peekable();
    let first_exact = (0..rows).find(|row| match next.peek() {
        Some(exception) if usize::from(**exception) == *row => {
            next.next();
            false
        }
        _ => true,
    });
    let mut fill = first_exact
        .and_then(|row| lanes.get(row))
        .copied()
        .unwrap_or(0);
    for exception in exceptions {
        let row = usize::from(*exception);
        if let Some(before) = row
            .checked_sub(1)
            .filter(|before| first_exact.is_some_and(|f| *before >= f))
        {
            fill = lanes.get(before).copied().unwrap_or(fill);
        }
        if let Some(lane) = lanes.get_mut(row) {
            *lane = fill;
        }
    }
}

fn push_exceptions<T: Real>(values: &[T], exceptions: &[u16], out: &mut Vec<u8>) {
    push_varint(exceptions.len() as u64, out);
    out.extend(exceptions.iter().flat_map(|row| row.to_le_bytes()));
    for value in exceptions
        .iter()
        .filter_map(|row| values.get(usize::from(*row)))
    {
        out.extend(value.pattern().to_le_bytes().iter().take(T::BYTES));
    }
}

fn encode_alp<T: Real>(
    values: &[T],
    history: &mut FloatHistory,
    out: &mut Vec<u8>,
) -> Option<Encoding> {
    if T::BYTES != 8 || history.alp_pause > 0 {
        history.alp_pause = history.alp_pause.saturating_sub(1);
        return None;
    }
    let doubles: Vec<f64> = values.iter().map(|value| value.widen()).collect();
    let exponents = alp::find_best_exponents(&doubles);
    let mut lanes = [0; VECTOR_ROWS];
    let mut exceptions = Vec::new();
    for (row, (lane, value)) in lanes.iter_mut().zip(&doubles).enumerate() {
        match alp::encode_single(*value, exponents) {
            Some(integer) => *lane = integer.cast_unsigned(),
            None => exceptions.push(row as u16),
        }
    }
    let start = out.len();
    if exceptions.len() <= values.len() / EXCEPTION_SHARE {
        bridge(&mut lanes, &exceptions, values.len());
        out.extend([exponents.e, exponents.f]);
        ints::encode(lanes.get(..values.len())?, out);
        push_exceptions(values, &exceptions, out);
        if (out.len() - start) * 8 <= values.len() * T::BYTES * 7 {
            return Some(Encoding::Alp);
        }
    }
    history.alp_pause = ALP_PAUSE_VECTORS;
    None
}

fn from_alp<T: Real>(lanes: &Lanes, rows: usize, exponents: Exponents) -> Vec<T> {
    let lanes = lanes.iter().take(rows);
    lanes
        .map(|lane| T::narrow(alp::decode_single::<f64>(lane.cast_signed(), exponents)))
        .collect()
}

fn reads_back<T: Real>(values: &[T], encoding: Encoding, bytes: &[u8]) -> bool {
    decode::<T>(&mut Cursor::new(bytes), encoding, values.len()).is_ok_and(|read| {
        read.iter()
            .zip(values)
            .all(|(a, b)| a.pattern() == b.pattern())
    })
}

#[cfg(test)]
mod tests;
