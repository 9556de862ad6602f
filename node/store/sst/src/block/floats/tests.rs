//! Floats come back bit for bit, and readings with few digits cost few bits.

use proptest::prelude::*;

use super::*;
use crate::samples;

fn round_trip<T: Real>(values: &[T]) -> (Encoding, usize) {
    let mut bytes = Vec::new();
    let encoding = encode(values, &mut FloatHistory::default(), &mut bytes);
    let stored = Encoding::from_tag(encoding.tag()).unwrap();
    let mut cursor = Cursor::new(&bytes);
    let read = decode::<T>(&mut cursor, stored, values.len()).unwrap();
    cursor.finish().unwrap();
    for (value, read) in values.iter().zip(&read) {
        assert_eq!(value.pattern(), read.pattern());
    }
    assert_eq!(read.len(), values.len());
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
    fn other_bytes_never_panic(
        bytes in prop::collection::vec(any::<u8>(), 0..200),
        tag in 3..6_u8,
        rows in 1..1025_usize,
    ) {
        let encoding = Encoding::from_tag(tag).unwrap();
        let _ = decode::<f64>(&mut Cursor::new(&bytes), encoding, rows);
        let _ = decode::<f32>(&mut Cursor::new(&bytes), encoding, rows);
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
