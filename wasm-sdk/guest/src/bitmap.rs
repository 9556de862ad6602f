//! Bitmaps: one bit a row, least significant bit first, packed eight rows to a byte.

/// Whether the bit is set; a bit beyond the end is not.
pub fn get(bits: &[u8], row: usize) -> bool {
    bits.get(row / 8)
        .is_some_and(|byte| byte >> (row % 8) & 1 == 1)
}

/// A bitmap from booleans. Packs eight at a time: a loop that sets bits one by one is many times
/// slower in the sandbox.
pub fn pack(values: &[bool]) -> Vec<u8> {
    let mut bits = Vec::with_capacity(values.len().div_ceil(8));
    let (eights, rest) = values.as_chunks::<8>();
    bits.extend(eights.iter().map(|eight| byte(eight)));
    if !rest.is_empty() {
        bits.push(byte(rest));
    }
    bits
}

fn byte(values: &[bool]) -> u8 {
    values
        .iter()
        .enumerate()
        .fold(0, |byte, (bit, value)| byte | u8::from(*value) << bit)
}

/// The first `rows` bits as booleans.
pub fn unpack(bits: &[u8], rows: usize) -> Vec<bool> {
    let mut values = Vec::with_capacity(rows.next_multiple_of(8));
    for byte in bits {
        values.extend((0..8).map(|bit| byte >> bit & 1 == 1));
    }
    values.resize(rows, false);
    values
}

/// The rows that are set in both; `None` stands for all rows.
pub fn and(a: Option<&[u8]>, b: Option<&[u8]>) -> Option<Vec<u8>> {
    match (a, b) {
        (Some(a), Some(b)) => Some(a.iter().zip(b).map(|(a, b)| a & b).collect()),
        (Some(one), None) | (None, Some(one)) => Some(one.to_vec()),
        (None, None) => None,
    }
}

/// How many of the first `rows` bits are set.
pub fn count(bits: &[u8], rows: usize) -> usize {
    let whole: u32 = bits
        .iter()
        .take(rows / 8)
        .map(|byte| byte.count_ones())
        .sum();
    let rest = bits
        .get(rows / 8)
        .map_or(0, |byte| (byte & ((1 << (rows % 8)) - 1)).count_ones());
    (whole + rest) as usize
}

#[cfg(test)]
mod tests;
