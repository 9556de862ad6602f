//! Floats come back bit for bit, and readings with few digits cost few bits.

use proptest::prelude::*;

use super::*;
use crate::samples;

fn round_trip<T: Real>(values: &[T]) -> (Encoding, usize) {
    let mut bytes = Vec::new();
    let encoding = encode(values, &mut FloatHistory::default(), &mut bytes);
    let stored = Encoding::from_tag(encoding.tag()).unwrap();
    let mut cursor = Cursor::new(&bytes);
    let floats = Floats::parse::<T>(&mut cursor, stored, values.len()).unwrap();
    cursor.finish().unwrap();
    let mut read = [0; VECTOR_ROWS];
    floats.decode(&mut read).unwrap();
    for (row, (value, read)) in values.iter().zip(&read).enumerate() {
        assert_eq!(value.pattern(), *read);
        if row % 7 == 0 || row + 1 == values.len() {
            let mut one = [0];
            floats.read(row, &mut one).unwrap();
            assert_eq!(value.pattern(), one[0], "row {row} alone");
        }
    }
    assert_eq!(crate::block::stats().mistakes, 0);
    (encoding, bytes.len())
}

proptest! {
    #[test]
    fn doubles_come_back(values in samples::doubles(1..1025)) {
        round_trip(&values);
    }

    #[test]
    fn reals_come_back(values in samples::doubles(1..1025)) {
        let values: Vec<f32> = values.into_iter().map(|value| value as f32).collect();
        round_trip(&values);
    }

    #[test]
    fn widened_reals_come_back(values in samples::doubles(1..1025)) {
        let values: Vec<f64> = values.into_iter().map(|value| f64::from(value as f32)).collect();
        round_trip(&values);
    }

    #[test]
    fn other_bytes_never_panic(
        bytes in prop::collection::vec(any::<u8>(), 0..200),
        tag in prop::sample::select(vec![3_u8, 4, 5, 11, 12]),
        rows in 1..1025_usize,
    ) {
        let encoding = Encoding::from_tag(tag).unwrap();
        let mut out = [0; VECTOR_ROWS];
        if let Ok(floats) = Floats::parse::<f64>(&mut Cursor::new(&bytes), encoding, rows) {
            let _ = (floats.decode(&mut out), floats.read(rows - 1, &mut out[..1]));
        }
        if let Ok(floats) = Floats::parse::<f32>(&mut Cursor::new(&bytes), encoding, rows) {
            let _ = (floats.decode(&mut out), floats.read(rows - 1, &mut out[..1]));
        }
    }
}

#[test]
fn readings_are_decimals_without_exceptions() {
    for digits in 0..=6 {
        let values: Vec<f64> = (0..1024)
            .map(|row| f64::from(20_000 + (row * 7919) % 100) / 10_f64.powi(digits))
            .collect();
        let (encoding, bytes) = round_trip(&values);
        assert_eq!(encoding, Encoding::Decimal, "{digits} digits");
        assert!(bytes <= 7 * 128 + 12, "{digits} digits: {bytes} bytes");
    }
}

#[test]
fn readings_that_were_floats_of_32_bits_cost_no_more_than_those() {
    let readings = |row: u32| f64::from(20_000 + (row * 7919) % 100) / 1000.0;
    let narrow: Vec<f32> = (0..1024).map(|row| readings(row) as f32).collect();
    let mut wide: Vec<f64> = narrow.iter().map(|value| f64::from(*value)).collect();
    let (encoding, bytes) = round_trip(&wide);
    assert_eq!(encoding, Encoding::Widened);
    assert_eq!(bytes, round_trip(&narrow).1);
    // Odd ones among them stand aside, as long as they are 32-bit floats too.
    wide[3] = -0.0;
    wide[4] = f64::INFINITY;
    wide[700] = f64::from(f32::MIN_POSITIVE);
    assert_eq!(round_trip(&wide).0, Encoding::Widened);
    wide[5] = 1.0 / 3.0;
    assert_ne!(round_trip(&wide).0, Encoding::Widened);
}

#[test]
fn odd_values_stand_aside() {
    let mut values: Vec<f64> = (0..1024).map(|row| f64::from(row % 50) / 100.0).collect();
    values[0] = -0.0;
    values[1] = f64::NAN;
    values[500] = f64::INFINITY;
    values[1023] = 1.0 / 3.0;
    let (encoding, bytes) = round_trip(&values);
    assert_eq!(encoding, Encoding::Decimal);
    assert!(bytes < 6 * 128 + 4 * 10 + 16, "{bytes} bytes");
}

#[test]
fn scaled_decimals_of_large_exponents_take_alp() {
    // 20 digits in all: the integers are too large for decimal mode, ALP's factor e - f is not.
    let values: Vec<f64> = (0..1024).map(|row| f64::from(row) * 1e15).collect();
    let (encoding, _) = round_trip(&values);
    assert!(matches!(
        encoding,
        Encoding::Alp | Encoding::Decimal | Encoding::FloatBits
    ));
}

/// A random fraction cannot shrink; sign and exponent do.
#[test]
fn floats_of_all_digits_cost_little_more_than_their_fraction() {
    let mut state = 9_u64;
    let mut uniform = || {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        (state >> 11) as f64 / (1_u64 << 53) as f64
    };
    // Of both signs and many magnitudes: near to normally distributed.
    let values: Vec<f64> = (0..1024)
        .map(|_| (0..12).map(|_| uniform() - 0.5).sum())
        .collect();
    let (encoding, bytes) = round_trip(&values);
    assert_eq!(encoding, Encoding::Split);
    assert!(bytes * 8 < 1024 * 59, "{bytes} bytes");
    let narrow: Vec<f32> = values.iter().map(|value| *value as f32).collect();
    let (_, bytes) = round_trip(&narrow);
    assert!(bytes * 8 < 1024 * 30, "{bytes} bytes");
}
