//! Floats, bit-exactly: decimals as integers, else ALP, else the bit patterns, whole or in two parts.
//!
//! Decimal mode stores `i` and `d` with `v = i / 10^d`, and takes a value only if that division
//! gives back its very bits; on readings with few digits this leaves no exceptions where ALP's two
//! multiplications leave about one in a hundred. What does not come back (-0.0, NaN, infinities,
//! long fractions) is kept aside as it is.

use std::sync::atomic::Ordering;

use activestore_types::Result;

use self::alp::encode_alp;
use self::decimal::encode_decimal;
use self::split::encode_split;
use super::cursor::{Cursor, push_varint};
use super::pack::Lanes;
use super::{Encoding, MISTAKES, VECTOR_ROWS, ints};

mod alp;
pub(crate) mod decimal;
mod read;
mod span;
mod split;

pub(crate) use read::Floats;
pub(crate) use span::NO_FLOAT;

/// At most one value in this many may be an exception.
const EXCEPTION_SHARE: usize = 8;

/// A float of 32 or 64 bits.
pub(crate) trait Real: Copy + 'static {
    /// Bytes of one value.
    const BYTES: usize;
    /// As a double, exactly.
    fn widen(self) -> f64;
    /// From a double, rounded.
    fn narrow(wide: f64) -> Self;
    /// The 32-bit float that this double is, if it is one.
    fn shortened(self) -> Option<f32>;
    /// The bit pattern.
    fn pattern(self) -> u64;
    /// The integers that the values are over a power of ten, and for each 1 where it is not exact.
    fn scale(values: &[Self], power: f64, out: &mut Lanes, inexact: &mut Lanes);
    /// The least and the greatest of the values, and whether any is not a number.
    fn span(values: &[Self]) -> (f64, f64, bool);
}

impl Real for f64 {
    const BYTES: usize = 8;
    #[inline(always)]
    fn widen(self) -> f64 {
        self
    }
    #[inline(always)]
    fn narrow(wide: f64) -> Self {
        wide
    }
    #[inline(always)]
    fn shortened(self) -> Option<f32> {
        let short = self as f32;
        (f64::from(short).to_bits() == self.to_bits()).then_some(short)
    }
    #[inline(always)]
    fn pattern(self) -> u64 {
        self.to_bits()
    }
    fn scale(values: &[Self], power: f64, out: &mut Lanes, inexact: &mut Lanes) {
        decimal::scale_doubles(values, power, out, inexact);
    }
    fn span(values: &[Self]) -> (f64, f64, bool) {
        span::span_of_doubles(values)
    }
}

impl Real for f32 {
    const BYTES: usize = 4;
    #[inline(always)]
    fn widen(self) -> f64 {
        f64::from(self)
    }
    #[inline(always)]
    fn narrow(wide: f64) -> Self {
        wide as f32
    }
    #[inline(always)]
    fn shortened(self) -> Option<f32> {
        None
    }
    #[inline(always)]
    fn pattern(self) -> u64 {
        u64::from(self.to_bits())
    }
    fn scale(values: &[Self], power: f64, out: &mut Lanes, inexact: &mut Lanes) {
        decimal::scale_floats(values, power, out, inexact);
    }
    fn span(values: &[Self]) -> (f64, f64, bool) {
        span::span_of_floats(values)
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
    let encoding = encode_decimal(values, out)
        .or_else(|| {
            out.truncate(start);
            encode_widened(values, out)
        })
        .or_else(|| {
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
    if ints::encode(patterns.get(..values.len()).unwrap_or(&[]), out) == Encoding::Constant {
        return Encoding::FloatConstant;
    }
    // Where neither order nor nearness helps much, only the front bits are worth a code.
    if (out.len() - start) * 4 > values.len() * T::BYTES * 3
        && let Some(split) = encode_split(values)
        && split.len() < out.len() - start
    {
        if reads_back(values, Encoding::Split, &split) {
            out.truncate(start);
            out.extend(split);
            return Encoding::Split;
        }
        MISTAKES.fetch_add(1, Ordering::Relaxed);
    }
    Encoding::FloatBits
}

/// Of doubles that once were 32-bit floats, as many sensors and files have them: 5.827 is then
/// 5.827000141143799, decimal only in 32 bits.
fn encode_widened<T: Real>(values: &[T], out: &mut Vec<u8>) -> Option<Encoding> {
    let short: Option<Vec<f32>> = values.iter().map(|value| value.shortened()).collect();
    encode_decimal(&short?, out).map(|_| Encoding::Widened)
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

fn reads_back<T: Real>(values: &[T], encoding: Encoding, bytes: &[u8]) -> bool {
    let mut lanes = [0; VECTOR_ROWS];
    let read = |lanes: &mut Lanes| -> Result<()> {
        Floats::parse::<T>(&mut Cursor::new(bytes), encoding, values.len())?.decode(lanes)
    };
    let same = |(read, value): (&u64, &T)| *read == value.pattern();
    read(&mut lanes).is_ok() && lanes.iter().zip(values).all(same)
}

#[cfg(test)]
mod tests;
