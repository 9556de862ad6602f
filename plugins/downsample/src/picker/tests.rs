//! One of every so many is picked, and the ones that stand out are.

use super::*;

fn point(time: i64, value: f64) -> Point {
    Point {
        time,
        bits: Bits(value.to_bits()),
        value,
    }
}

fn picked(points: &[Point], of: usize) -> Vec<Point> {
    let (mut picker, mut sent) = (Picker::default(), Vec::new());
    for point in points {
        picker.see(*point, of, |point| sent.push(point));
        assert!(picker.points.len() < 2 * of.max(1));
    }
    sent
}

#[test]
fn one_of_every_bucket_is_picked() {
    let points: Vec<Point> = (0..1001)
        .map(|row| point(row * 10, (row % 13) as f64))
        .collect();
    for of in [1, 2, 10, 100] {
        let sent = picked(&points, of);
        // The first, and one of each bucket that another one follows.
        assert_eq!(sent.len(), 1000 / of, "{of}");
        assert_eq!(sent[0], points[0]);
        for (bucket, point) in sent[1..].iter().enumerate() {
            let row = (point.time / 10) as usize;
            assert!((bucket * of + 1..(bucket + 1) * of + 1).contains(&row));
        }
    }
}

#[test]
fn what_stands_out_is_picked() {
    let mut points: Vec<Point> = (0..500).map(|row| point(row, 5.0)).collect();
    for row in [33, 250, 477] {
        points[row].value = -40.0;
    }
    let sent = picked(&points, 10);
    let odd: Vec<i64> = sent
        .iter()
        .filter(|point| point.value < 0.0)
        .map(|point| point.time)
        .collect();
    assert_eq!(odd, [33, 250, 477]);
}

#[test]
fn what_is_late_or_no_number_goes_through() {
    let points = [
        point(10, 1.0),
        point(20, 2.0),
        point(15, 3.0),
        point(30, f64::NAN),
    ];
    let sent = picked(&points, 5);
    assert_eq!((sent[0], sent[1]), (points[0], points[2]));
    assert!(sent.len() == 3 && sent[2].value.is_nan());
}

#[test]
fn smaller_buckets_than_before_are_filled_at_once() {
    let (mut picker, mut sent) = (Picker::default(), Vec::new());
    for row in 0..150 {
        picker.see(point(row, 0.0), 100, |point| sent.push(point));
    }
    picker.see(point(150, 0.0), 10, |point| sent.push(point));
    assert!(
        picker.points.len() < 20 && sent.len() == 15,
        "{}",
        sent.len()
    );
}
