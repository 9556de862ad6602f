//! Packed values come back whole, by quarters and one by one, at every width, and lie where the
//! FastLanes layout puts them.

use super::*;

fn values(rows: usize, width: u32) -> Vec<u64> {
    let mask = u64::mask(width);
    (0..rows as u64)
        .map(|row| (row + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15) & mask)
        .collect()
}

fn packed(bytes: &[u8], rows: usize, width: u32) -> Packed<'_> {
    let mut cursor = Cursor::new(bytes);
    let packed = Packed::take(&mut cursor, rows, width).unwrap();
    cursor.finish().unwrap();
    packed
}

#[test]
fn every_width_packs_full_and_short() {
    for width in 0..=64_u32 {
        for rows in [1, 7, 64, 255, 256, 257, 1000, 1023, 1024] {
            let values = values(rows, width);
            let mut bytes = Vec::new();
            pack(&values, width, &mut bytes);
            assert_eq!(bytes.len(), packed_len(rows, width));
            let packed = packed(&bytes, rows, width);
            let mut out = [0; VECTOR_ROWS];
            packed.unpack(5, &mut out);
            for (row, (value, read)) in values.iter().zip(out).enumerate() {
                assert_eq!(value.wrapping_add(5), read, "row {row} of {width} bits");
                assert_eq!(*value, packed.get(row), "row {row} of {width} bits");
            }
            for chain in 0..rows.div_ceil(CHAIN) {
                let mut quarter = [0; CHAIN];
                packed.unpack_chain(chain, 9, &mut quarter);
                for (value, read) in values.iter().skip(chain * CHAIN).zip(quarter) {
                    assert_eq!(value.wrapping_add(9), read, "chain {chain} of {width} bits");
                }
            }
            assert_eq!(packed.get(rows), 0);
        }
    }
}

/// The layout by its definition: row `i` of a vector is bit `width * layer` of its lane, counted
/// over the lines.
#[test]
fn the_layout_is_that_of_fastlanes() {
    for width in [1, 3, 7, 20, 31, 32, 33, 50, 63, 64] {
        let (lanes, layers) = if width <= 32 { (32, 32) } else { (16, 64) };
        let values = values(VECTOR_ROWS, width);
        let mut bytes = Vec::new();
        pack(&values, width, &mut bytes);
        let order = [0, 4, 2, 6, 1, 5, 3, 7];
        for layer in 0..layers {
            for lane in 0..lanes {
                let row = order[layer / 8] * 16 + layer % 8 * 128 + lane;
                for bit in 0..width as usize {
                    let at = layer * width as usize + bit;
                    let byte = at / layers * LINE + lane * (LINE / lanes) + at % layers / 8;
                    let found = bytes[byte] >> (at % 8) & 1;
                    assert_eq!(u64::from(found), values[row] >> bit & 1);
                }
            }
        }
    }
}

/// Fused steps and division give the same bits, at every power and up to the largest integer.
#[test]
fn decimals_are_exact_on_every_processor() {
    for digits in 0..=12 {
        let power = 10_f64.powi(digits);
        let limit = 2_251_799_813_685_247_u64;
        let mut integers: Lanes = [0; VECTOR_ROWS];
        for round in 0..40_u64 {
            for (row, integer) in integers.iter_mut().enumerate() {
                let noise = (row as u64 + round * 1024 + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
                let magnitude = (noise % limit) >> (noise >> 58 & 31);
                *integer = if noise >> 63 == 0 {
                    magnitude
                } else {
                    magnitude.wrapping_neg()
                };
            }
            (integers[0], integers[1]) = (limit, limit.wrapping_neg());
            let mut read = integers;
            decimals(power, &mut read);
            for (integer, bits) in integers.iter().zip(read) {
                let expected = integer.cast_signed() as f64 / power;
                assert_eq!(bits, expected.to_bits(), "{integer} / {power}");
            }
        }
    }
}

#[test]
fn too_wide_or_too_short_is_refused() {
    assert!(Packed::take(&mut Cursor::new(&[0; 9000]), 1024, 65).is_err());
    assert!(Packed::take(&mut Cursor::new(&[0; 127]), 1024, 1).is_err());
}
