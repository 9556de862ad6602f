//! Bit packing: `width` bits a value. A full vector uses the FastLanes layout (Afroozeh and Boncz,
//! VLDB 2023) in 32-bit lanes where the width allows and 64-bit lanes otherwise; a shorter one is
//! packed lowest bit first without padding.

use activestore_types::{Error, Result};
use fastlanes::BitPacking;

use super::VECTOR_ROWS;
use super::cursor::Cursor;

/// A vector's worth of 64-bit values.
pub(crate) type Lanes = [u64; VECTOR_ROWS];

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
    match <&Lanes>::try_from(values) {
        Ok(full) if width <= 32 => pack_full_32(full, width, out),
        Ok(full) => pack_full_64(full, width, out),
        Err(_) => pack_short(values, width, out),
    }
}

/// Reads `rows` values of `width` bits, adding `reference` (wrapping) to each.
///
/// # Errors
/// `Corrupt` for a width above 64 or too few bytes.
pub(crate) fn unpack(
    bytes: &mut Cursor<'_>,
    rows: usize,
    width: u32,
    reference: u64,
    out: &mut Lanes,
) -> Result<()> {
    if width > u64::BITS {
        return Err(Error::corrupt(format!("a packed width of {width} bits")));
    }
    let packed = bytes.take(packed_len(rows, width))?;
    match (rows == VECTOR_ROWS, width) {
        (_, 0) => out.fill(reference),
        (true, 1..=32) => unpack_full_32(packed, width, reference, out),
        (true, _) => unpack_full_64(packed, width, reference, out),
        (false, _) => unpack_short(packed, width, reference, out),
    }
    Ok(())
}

#[expect(
    unsafe_code,
    reason = "FastLanes takes run-time widths only unchecked; lengths are made here"
)]
fn pack_full_32(values: &Lanes, width: u32, out: &mut Vec<u8>) {
    let mut narrow = [0_u32; VECTOR_ROWS];
    for (to, from) in narrow.iter_mut().zip(values) {
        *to = *from as u32;
    }
    let mut words = [0_u32; VECTOR_ROWS];
    let used = VECTOR_ROWS / 32 * width as usize;
    if let Some(words) = words.get_mut(..used) {
        // SAFETY: 1,024 values in, 1024 * width / 32 words out, width is 1..=32.
        unsafe { u32::unchecked_pack(width as usize, &narrow, words) };
    }
    out.extend(words.iter().take(used).flat_map(|word| word.to_le_bytes()));
}

#[expect(
    unsafe_code,
    reason = "FastLanes takes run-time widths only unchecked; lengths are made here"
)]
fn pack_full_64(values: &Lanes, width: u32, out: &mut Vec<u8>) {
    let mut words = [0_u64; VECTOR_ROWS];
    let used = VECTOR_ROWS / 64 * width as usize;
    if let Some(words) = words.get_mut(..used) {
        // SAFETY: 1,024 values in, 1024 * width / 64 words out, width is 33..=64.
        unsafe { u64::unchecked_pack(width as usize, values, words) };
    }
    out.extend(words.iter().take(used).flat_map(|word| word.to_le_bytes()));
}

fn pack_short(values: &[u64], width: u32, out: &mut Vec<u8>) {
    let mask = mask(width);
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

#[expect(
    unsafe_code,
    reason = "FastLanes takes run-time widths only unchecked; lengths are made here"
)]
fn unpack_full_32(packed: &[u8], width: u32, reference: u64, out: &mut Lanes) {
    let mut words = [0_u32; VECTOR_ROWS];
    for (word, bytes) in words.iter_mut().zip(packed.as_chunks::<4>().0) {
        *word = u32::from_le_bytes(*bytes);
    }
    let mut narrow = [0_u32; VECTOR_ROWS];
    if let Some(words) = words.get(..VECTOR_ROWS / 32 * width as usize) {
        // SAFETY: 1024 * width / 32 words in, 1,024 values out, width is 1..=32.
        unsafe { u32::unchecked_unpack(width as usize, words, &mut narrow) };
    }
    for (to, from) in out.iter_mut().zip(narrow) {
        *to = reference.wrapping_add(u64::from(from));
    }
}

#[expect(
    unsafe_code,
    reason = "FastLanes takes run-time widths only unchecked; lengths are made here"
)]
fn unpack_full_64(packed: &[u8], width: u32, reference: u64, out: &mut Lanes) {
    let mut words = [0_u64; VECTOR_ROWS];
    for (word, bytes) in words.iter_mut().zip(packed.as_chunks::<8>().0) {
        *word = u64::from_le_bytes(*bytes);
    }
    if let Some(words) = words.get(..VECTOR_ROWS / 64 * width as usize) {
        // SAFETY: 1024 * width / 64 words in, 1,024 values out, width is 33..=64.
        unsafe { u64::unchecked_unpack(width as usize, words, out) };
    }
    for value in out.iter_mut() {
        *value = reference.wrapping_add(*value);
    }
}

fn unpack_short(packed: &[u8], width: u32, reference: u64, out: &mut Lanes) {
    let mask = mask(width);
    let (mut pending, mut filled) = (0_u128, 0_u32);
    let mut bytes = packed.iter();
    // Runs over the whole array: slots after the last row get the reference, which nobody reads.
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

fn mask(width: u32) -> u64 {
    u64::MAX.checked_shr(u64::BITS - width).unwrap_or(0)
}
