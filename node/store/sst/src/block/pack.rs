//! Bit packing: `width` bits a value. A full vector uses the FastLanes layout (Afroozeh and Boncz,
//! VLDB 2023) in 32-bit lanes where the width allows and 64-bit lanes otherwise; a shorter one is
//! packed lowest bit first without padding.
//!
//! The layout is a table of *lines* of 128 bytes, one column a lane. A lane holds its values lowest
//! bit first, one a *layer*; layer `8 o + s` holds the rows from `128 s + 16 ORDER[o]` on, one a
//! lane. So a layer's rows lie side by side, and a kernel is two shifts, an or and a mask over whole
//! lines, at any width. Layers `8 o + 2 c` and the next hold chain `c`, a quarter of the vector.

use activestore_types::{Error, Result};

use self::lane::{Lane, get_full};
use super::VECTOR_ROWS;
use super::cursor::Cursor;

mod lane;
mod simd;

pub(crate) use simd::{decimals, multiply, short_decimals, sum_chains};

/// A vector's worth of 64-bit values.
pub(crate) type Lanes = [u64; VECTOR_ROWS];
/// Rows of a quarter of a vector, which can be unpacked alone.
pub(crate) const CHAIN: usize = 256;
/// Bytes of a line.
const LINE: usize = 128;

/// Bits needed to hold the value.
pub(crate) fn bits(value: u64) -> u32 {
    u64::BITS - value.leading_zeros()
}

/// Bytes that `rows` values of `width` bits take.
pub(crate) fn packed_len(rows: usize, width: u32) -> usize {
    (rows * width as usize).div_ceil(8)
}

/// Appends the lowest `width` bits of each of at most [`VECTOR_ROWS`] values.
pub(crate) fn pack(values: &[u64], width: u32, out: &mut Vec<u8>) {
    if width == 0 {
        return;
    }
    let Ok(full) = <&Lanes>::try_from(values) else {
        pack_short(values, width, out);
        return;
    };
    let start = out.len();
    out.resize(start + LINE * width as usize, 0);
    let lines = out.get_mut(start..).unwrap_or_default();
    let lines = lines.as_chunks_mut::<LINE>().0;
    simd::pack_full(full, width, lines);
}

/// Packed values where they lie.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Packed<'a> {
    rows: usize,
    width: u32,
    bytes: &'a [u8],
}

impl<'a> Packed<'a> {
    /// Takes what `rows` values of `width` bits take.
    ///
    /// # Errors
    /// `Corrupt` for a width above 64 or too few bytes.
    pub(crate) fn take(bytes: &mut Cursor<'a>, rows: usize, width: u32) -> Result<Self> {
        if width > u64::BITS {
            return Err(Error::corrupt(format!("a packed width of {width} bits")));
        }
        let bytes = bytes.take(packed_len(rows, width))?;
        Ok(Packed { rows, width, bytes })
    }

    /// Lines of the FastLanes layout; `None` where the values are packed one after the other.
    fn lines(&self) -> Option<&'a [[u8; LINE]]> {
        (self.rows == VECTOR_ROWS).then_some(self.bytes.as_chunks::<LINE>().0)
    }

    /// All values, with `reference` added (wrapping) to each; slots behind the last are unspecified.
    pub(crate) fn unpack(&self, reference: u64, out: &mut Lanes) {
        match self.lines() {
            _ if self.width == 0 => out.fill(reference),
            Some(lines) => simd::unpack(lines, self.width, reference, out),
            None => self.unpack_few(0, reference, out),
        }
    }

    /// Values of a short vector from `first` on, as far as there are rows.
    fn unpack_few(&self, first: usize, reference: u64, out: &mut [u64]) {
        let rows = self.rows.saturating_sub(first).min(out.len());
        let out = out.get_mut(..rows).unwrap_or_default();
        unpack_short(self.bytes, self.width, first, reference, out);
    }

    /// All values as decimals: `(reference + value) / power`, as the bits of doubles.
    pub(crate) fn unpack_decimals(&self, reference: u64, power: f64, out: &mut Lanes) {
        match self.lines() {
            Some(lines) if self.width > 0 => {
                simd::unpack_decimals(lines, self.width, reference, power, out);
            }
            _ => {
                self.unpack(reference, out);
                decimals(power, out);
            }
        }
    }

    /// The values of one quarter, with `reference` added to each.
    pub(crate) fn unpack_chain(&self, chain: usize, reference: u64, out: &mut [u64; CHAIN]) {
        match self.lines() {
            _ if self.width == 0 => out.fill(reference),
            Some(lines) => simd::unpack_chain(lines, self.width, chain, reference, out),
            None => self.unpack_few(chain * CHAIN, reference, out),
        }
    }

    /// One value; 0 where there is no such row.
    pub(crate) fn get(&self, row: usize) -> u64 {
        if row >= self.rows || self.width == 0 {
            return 0;
        }
        match self.lines() {
            Some(lines) if self.width <= 32 => get_full::<u32, 32>(lines, self.width, row),
            Some(lines) => get_full::<u64, 16>(lines, self.width, row),
            None => get_short(self.bytes, self.width, row),
        }
    }
}

fn pack_short(values: &[u64], width: u32, out: &mut Vec<u8>) {
    let mask = u64::mask(width);
    let (mut pending, mut filled) = (0_u128, 0_u32);
    for value in values {
        pending |= u128::from(value & mask) << filled;
        filled += width;
        while filled >= 8 {
            out.push((pending & 0xff) as u8);
            pending >>= 8;
            filled -= 8;
        }
    }
    if filled > 0 {
        out.push((pending & 0xff) as u8);
    }
}

fn unpack_short(packed: &[u8], width: u32, first: usize, reference: u64, out: &mut [u64]) {
    let mask = u64::mask(width);
    let start = first * width as usize;
    let mut bytes = packed.get(start / 8..).unwrap_or(&[]).iter();
    let (mut pending, mut filled) = (0_u128, 0_u32);
    if !start.is_multiple_of(8) {
        let skipped = (start % 8) as u32;
        pending = u128::from(bytes.next().copied().unwrap_or(0)) >> skipped;
        filled = 8 - skipped;
    }
    for value in out.iter_mut() {
        while filled < width {
            let Some(byte) = bytes.next() else { break };
            pending |= u128::from(*byte) << filled;
            filled += 8;
        }
        *value = reference.wrapping_add(pending as u64 & mask);
        pending >>= width;
        filled = filled.saturating_sub(width);
    }
}

fn get_short(packed: &[u8], width: u32, row: usize) -> u64 {
    let bit = row * width as usize;
    let mut word = [0_u8; 16];
    let from = packed.get(bit / 8..).unwrap_or(&[]);
    for (to, from) in word.iter_mut().zip(from).take(9) {
        *to = *from;
    }
    (u128::from_le_bytes(word) >> (bit % 8)) as u64 & u64::mask(width)
}

#[cfg(test)]
mod tests;
