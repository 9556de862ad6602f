//! Integers of any shape come back, and the shape decides the encoding.

use proptest::prelude::*;

use super::*;
use crate::samples;

fn round_trip(values: &[u64]) -> (Encoding, usize) {
    let mut bytes = Vec::new();
    let encoding = encode(values, &mut bytes);
    let mut out = [0; VECTOR_ROWS];
    let mut cursor = Cursor::new(&bytes);
    decode(&mut cursor, values.len(), &mut out).unwrap();
    cursor.finish().unwrap();
    assert_eq!(&out[..values.len()], values);
    let ints = Ints::parse(&mut Cursor::new(&bytes), values.len()).unwrap();
    for (first, count) in [
        (0, 1),
        (values.len() / 2, 1),
        (values.len() - 1, 1),
        (values.len() / 3, 60),
    ] {
        let count = count.min(values.len() - first);
        ints.read(first, &mut out[..count]).unwrap();
        assert_eq!(
            &out[..count],
            &values[first..first + count],
            "rows from {first}"
        );
    }
    assert!(ints.read(values.len(), &mut out[..1]).is_err());
    let mut probe = Probe::new(ints);
    for step in [1, 389] {
        for at in (0..values.len()).step_by(step.min(values.len() / 8 + 1)) {
            let row = at * 7 % values.len();
            assert_eq!(probe.get(row).unwrap(), values[row], "row {row}");
        }
    }
    assert_eq!(crate::block::stats().mistakes, 0);
    (encoding, bytes.len())
}

proptest! {
    #[test]
    fn every_shape_comes_back(values in samples::integers(1..1025)) {
        let values: Vec<u64> = values.into_iter().map(i64::cast_unsigned).collect();
        round_trip(&values);
    }

    #[test]
    fn full_vectors_come_back(values in samples::integers(1024..1025)) {
        let values: Vec<u64> = values.into_iter().map(i64::cast_unsigned).collect();
        round_trip(&values);
    }

    #[test]
    fn other_bytes_are_refused_or_read_but_never_panic(
        bytes in prop::collection::vec(any::<u8>(), 0..300),
        kind in 0..5_u8,
        rows in 1..1025_usize,
    ) {
        let bytes = [&[kind][..], &bytes].concat();
        let mut out = [0; VECTOR_ROWS];
        let _ = decode(&mut Cursor::new(&bytes), rows, &mut out);
        if let Ok(ints) = Ints::parse(&mut Cursor::new(&bytes), rows) {
            let _ = ints.read(rows - 1, &mut out[..1]);
            let _ = Probe::new(ints).get(rows / 2);
        }
    }
}

#[test]
fn the_shape_decides() {
    assert_eq!(round_trip(&[7; 1024]).0, Encoding::Constant);
    let steps: Vec<u64> = (0..1024).map(|row| 1 << 40 | (row * 10_000)).collect();
    let (encoding, bytes) = round_trip(&steps);
    assert_eq!(encoding, Encoding::Delta);
    assert!(bytes < 40, "{bytes} bytes for even steps");
    let runs: Vec<u64> = (0..1024)
        .map(|row| (row / 100_u64).wrapping_mul(0x9e37_79b9_7f4a_7c15))
        .collect();
    assert_eq!(round_trip(&runs).0, Encoding::RunLength);
    let noise: Vec<u64> = (0..1024_u64)
        .map(|row| row.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 54)
        .collect();
    let (encoding, bytes) = round_trip(&noise);
    assert_eq!(encoding, Encoding::FrameOfReference);
    assert!(bytes < 1300, "{bytes} bytes for ten bits a value");
}

#[test]
fn outliers_do_not_widen_a_vector() {
    let mut values: Vec<u64> = (0..1024).map(|row| 1000 + row % 7).collect();
    values[3] = u64::MAX / 2;
    values[700] = 0;
    assert!(round_trip(&values).1 < 450);
    let mut jumping: Vec<u64> = (0..1024)
        .map(|row| 1_700_000_000_000 + row * 10_000 + row % 3)
        .collect();
    for value in jumping.iter_mut().skip(600) {
        *value -= 43_000_000;
    }
    assert!(round_trip(&jumping).1 < 450);
}

#[test]
fn milliseconds_kept_as_nanoseconds_cost_no_more() {
    let stamps = |unit: u64| -> Vec<u64> {
        (0..1024)
            .map(|row| (1_767_225_600_000 + row * 10_000 + row * row % 5) * unit)
            .collect()
    };
    let (_, milliseconds) = round_trip(&stamps(1));
    let (encoding, nanoseconds) = round_trip(&stamps(1_000_000));
    assert_eq!(encoding, Encoding::Delta);
    assert_eq!(nanoseconds, milliseconds + 1);
    let negative: Vec<u64> = (0..300_i64)
        .map(|row| (row * row - 500) * 1_000_000_000)
        .map(i64::cast_unsigned)
        .collect();
    round_trip(&negative);
    round_trip(&[0; 100]);
    round_trip(&[i64::MIN.cast_unsigned(), 0, 1000]);
}

/// The plan of a search through all widths, each counted out.
fn counted_out(values: &[u64], low: i64, high: i64) -> (u32, usize) {
    let rows = values.len();
    let full = bits(high.wrapping_sub(low).cast_unsigned());
    let plain = Plan::plain(low.cast_unsigned(), full, rows);
    let pivot = values[rows / 2 + 1];
    let distance = |value: &u64| bits(super::super::cursor::zigzag(value.wrapping_sub(pivot)));
    let distances: Vec<u32> = values.iter().map(distance).collect();
    let outside = |width: u32| distances.iter().filter(|bits| **bits > width).count();
    let cost = |width: &u32| (rows * *width as usize).div_ceil(8) + outside(*width) * 8;
    let widths = (0..64_u32).rev();
    let few = widths.filter(|width| (1..=rows / 16).contains(&outside(*width)));
    let best = few
        .min_by_key(cost)
        .filter(|width| cost(width) < plain.bytes);
    let patched = best.map(|width| {
        let near = values
            .iter()
            .zip(&distances)
            .filter(|(_, bits)| **bits <= width);
        let near = near.map(|(value, _)| value.cast_signed());
        let (low, high) = (near.clone().min().unwrap(), near.max().unwrap());
        let width = bits(high.wrapping_sub(low).cast_unsigned());
        let offsets = values
            .iter()
            .map(|value| value.wrapping_sub(low.cast_unsigned()));
        let wide: Vec<u64> = offsets.filter(|offset| bits(*offset) > width).collect();
        let bytes = wide
            .iter()
            .map(|offset| bits(*offset))
            .max()
            .unwrap_or(0)
            .div_ceil(8);
        let bytes = (rows * width as usize).div_ceil(8) + wide.len() * (2 + bytes as usize) + 1;
        (width, bytes)
    });
    match patched {
        Some(patched) if patched.1 < plain.bytes => patched,
        _ => (full, plain.bytes),
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    #[test]
    fn the_plan_is_the_one_that_counting_out_finds(
        mut values in prop_oneof![
            samples::integers(64..1025),
            prop::collection::vec(-1000..1000_i64, 64..1025),
            prop::collection::vec(any::<i64>(), 64..200),
        ],
        outliers in prop::collection::vec((any::<prop::sample::Index>(), 0..63_u32, any::<bool>()), 0..40),
    ) {
        for (at, shift, negative) in outliers {
            let value = 1_i64 << shift;
            *at.get_mut(&mut values) = if negative { value.wrapping_neg() } else { value };
        }
        let (low, high) = (*values.iter().min().unwrap(), *values.iter().max().unwrap());
        let values: Vec<u64> = values.into_iter().map(i64::cast_unsigned).collect();
        let plan = Plan::of(&values, low, high);
        let (width, bytes) = counted_out(&values, low, high);
        if bits(high.wrapping_sub(low).cast_unsigned()) > 1 {
            prop_assert_eq!((plan.width(), plan.bytes), (width, bytes));
        }
    }
}

/// Bytes that nobody writes: two runs of one value side by side are one to those who look for changes.
#[test]
fn runs_of_one_value_are_joined() {
    let mut bytes = vec![RUNS];
    push_varint(3, &mut bytes);
    Plan::plain(0, 3, 3).write(&[5, 5, 7], &mut bytes);
    bytes.push(2);
    pack(&[1, 2, 0], 2, &mut bytes);
    let ints = Ints::parse(&mut Cursor::new(&bytes), 6).unwrap();
    assert_eq!(ints.runs().unwrap(), Some(vec![(0, 5), (5, 7)]));
    let mut out = [0; VECTOR_ROWS];
    ints.decode(&mut out).unwrap();
    assert_eq!(out[..6], [5, 5, 5, 5, 5, 7]);
    for rows in [5, 7] {
        let ints = Ints::parse(&mut Cursor::new(&bytes), rows).unwrap();
        assert!(ints.runs().is_err() && ints.decode(&mut out).is_err());
    }
}
