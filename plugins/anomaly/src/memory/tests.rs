//! What was remembered comes back, in whatever form it is short in; so does what version 1 wrote.

use super::*;

fn recent(points: Vec<f64>) -> Recent {
    Recent {
        points: Window::of(points),
        in_block: 7,
        hold: 3,
        long_spread: 0.25,
    }
}

fn written(recent: &Recent) -> Vec<u8> {
    let mut out = Vec::new();
    write_recent(recent, &mut Vec::new(), 0, &mut out);
    out
}

#[test]
fn memory_comes_back_in_every_form() {
    // Bytes a value, form, values.
    let forms: [(usize, u8, &[f64]); 9] = [
        (1, 0, &[0.0, 255.0, 3.0]),
        (2, 0, &[0.0, 256.0]),
        (1, 1, &[-20.1, -19.9, -20.0]),
        (2, 2, &[50.07, 60.0, 57.31]),
        (4, 3, &[1e6, 1_000_000.001, 2e6]),
        (4, F32S, &[20.1_f32 as f64, 3.3_f32 as f64]),
        (8, F64S, &[std::f64::consts::PI, 1.0]),
        (4, F32S, &[-0.0, 1.0]),
        (8, F64S, &[1e300, -1e-300, 7.0]),
    ];
    for (width, form, values) in forms {
        for copies in [1, 20] {
            let memory = recent(values.repeat(copies));
            let bytes = written(&memory);
            let points = packed(&bytes);
            assert_eq!(points[0], form, "{values:?}");
            let head = if form > DIGITS_MAX { 1 } else { DECIMALS_HEAD };
            assert_eq!(points.len(), head + width * values.len() * copies);
            let back = read_recent(&bytes);
            assert_eq!(back, memory);
            let bits = |memory: &Recent| -> Vec<u64> {
                memory.points.to_vec().iter().map(|x| x.to_bits()).collect()
            };
            assert_eq!(bits(&back), bits(&memory));
            let mut long = Vec::new();
            write_history(&memory.points.to_vec(), &mut long);
            assert_eq!(read_history(&long), memory.points.to_vec());
        }
    }
    let empty = Recent::default();
    assert_eq!(read_recent(&written(&empty)), empty);
}

/// New points go behind those that are packed, where they fit; where not, all are packed anew.
#[test]
fn what_is_packed_is_kept_up_to_date() {
    let mut memory = Recent::default();
    let (mut points, mut forms) = (Vec::new(), std::collections::BTreeSet::new());
    for round in 0..3000_usize {
        let value = match round / 500 {
            0 => (round % 7) as f64,
            1 => 50.0 + (round * 7919 % 997) as f64 / 100.0,
            2 => f64::from(round as f32 * 0.1),
            3 => (round as f64).sqrt(),
            4 => 1e6 + round as f64 * 100.0,
            _ => -0.0,
        };
        let window = if round < 2000 { 60 } else { 20 };
        memory.points.push(value, window);
        let added = round % 13 + 1;
        if round % 13 == 12 {
            let mut out = Vec::new();
            write_recent(&memory, &mut points, added, &mut out);
            assert_eq!(read_recent(&out), memory, "{round}");
            assert_eq!(packed(&out), points);
            forms.insert((points[0], points.len()));
        }
    }
    assert!(forms.len() > 6, "{forms:?}");
    // More came than the window holds.
    (0..100).for_each(|row| memory.points.push(f64::from(row), 20));
    let mut out = Vec::new();
    write_recent(&memory, &mut points, 100, &mut out);
    assert_eq!(read_recent(&out), memory);
}

#[test]
fn what_version_one_wrote_is_read() {
    let mut bytes = vec![1];
    bytes.extend(7_u32.to_le_bytes());
    bytes.extend(3_u32.to_le_bytes());
    bytes.extend(0.25_f64.to_le_bytes());
    bytes.extend([1.5_f64, -2.0].map(f64::to_le_bytes).concat());
    assert_eq!(read_recent(&bytes), recent(vec![1.5, -2.0]));
    let history = [&[1][..], &1.5_f64.to_le_bytes()].concat();
    assert_eq!(read_history(&history), [1.5]);
}

#[test]
fn foreign_bytes_are_an_empty_memory() {
    for bytes in [&[][..], &[1, 2, 3], &[2, 2, 3], &[9; 40]] {
        assert_eq!(read_recent(bytes), Recent::default());
        assert!(read_history(bytes).is_empty());
    }
    // No bytes make it fail.
    let honest = written(&recent(vec![50.07, 60.0, 57.31]));
    for at in 0..honest.len() {
        for value in [0, 3, 9, 127, 255] {
            let mut bytes = honest.clone();
            bytes[at] = value;
            let mut memory = read_recent(&bytes);
            assert!(memory.points.len() <= bytes.len());
            let (mut points, mut out) = (packed(&bytes).to_vec(), Vec::new());
            memory.points.push(55.5, 3);
            write_recent(&memory, &mut points, 1, &mut out);
            assert!(read_recent(&honest[..at]).points.len() <= at);
        }
    }
}
