//! What is left out was within the band of what was sent.

use super::*;

struct Noise(u64);

impl Noise {
    /// Between -1 and 1.
    fn next(&mut self) -> f64 {
        self.0 = self
            .0
            .wrapping_mul(6364136223846793005)
            .wrapping_add(1442695040888963407);
        (self.0 >> 11) as f64 / (1u64 << 52) as f64 - 1.0
    }
}

fn point(time: i64, value: f64) -> Point {
    Point::of(time, Bits(value.to_bits()), ScalarType::Float64)
}

fn thinned(points: &[Point], mode: Mode, band: Band, silence: Option<i64>) -> (Filter, Vec<Point>) {
    let (mut filter, mut sent) = (Filter::new(mode), Vec::new());
    for point in points {
        filter.see(*point, &band, silence, |point| sent.push(point));
    }
    (filter, sent)
}

/// Signals of several kinds at uneven times.
fn signals() -> Vec<Vec<Point>> {
    let mut noise = Noise(3);
    (0..60)
        .map(|round| {
            let (mut time, mut walk) = (1_700_000_000_000_000_000, 20.0);
            (0..500)
                .map(|row| {
                    time += 1 + (noise.next().abs() * 2e9) as i64;
                    walk += noise.next();
                    let value = match round % 6 {
                        0 => walk,
                        1 => 20.0 + noise.next(),
                        2 => 20.0 + f64::from(row) * 0.01,
                        3 => 50.0 * (f64::from(row) / 40.0).sin(),
                        4 => f64::from(row / 50 % 2) * 100.0,
                        _ => (noise.next() * 3.0).round(),
                    };
                    point(time, value)
                })
                .collect()
        })
        .collect()
}

#[test]
fn a_band_is_read() {
    assert_eq!(Band::parse(" 0.5 ").unwrap(), Band::Absolute(0.5));
    assert_eq!(Band::parse("2 %").unwrap(), Band::Relative(0.02));
    for text in ["", "%", "-1", "x", "NaN", "inf", "1e999"] {
        assert!(Band::parse(text).is_err(), "{text}");
    }
}

#[test]
fn what_a_deadband_leaves_out_is_near_what_it_sent() {
    for points in signals() {
        for band in [
            Band::Absolute(0.0),
            Band::Absolute(0.7),
            Band::Relative(0.1),
        ] {
            let (_, sent) = thinned(&points, Mode::Deadband, band, None);
            let mut last = sent[0];
            for point in &points {
                if sent.contains(point) {
                    assert!(point == &sent[0] || has_moved(&last, point, &band));
                    last = *point;
                }
                assert!((point.value - last.value).abs() <= band.around(last.value));
            }
        }
    }
}

#[test]
fn a_line_through_what_a_door_sent_is_within_the_band_of_all() {
    let (mut seen, mut kept) = (0, 0);
    for points in signals() {
        for band in [0.0, 0.3, 2.0] {
            let (filter, mut sent) =
                thinned(&points, Mode::SwingingDoor, Band::Absolute(band), None);
            seen += points.len();
            kept += sent.len();
            let Filter::SwingingDoor(Some(door)) = filter else {
                panic!("it has seen values")
            };
            sent.extend(door.held);
            assert_eq!((sent.first(), sent.last()), (points.first(), points.last()));
            for pair in sent.windows(2) {
                let (from, to) = (pair[0], pair[1]);
                assert!(from.time < to.time);
                let slope = (to.value - from.value) / (to.time - from.time) as f64;
                let between = points
                    .iter()
                    .filter(|point| from.time <= point.time && point.time <= to.time);
                for point in between {
                    let line = from.value + slope * (point.time - from.time) as f64;
                    let off = (point.value - line).abs();
                    assert!(off <= band + 1e-9, "{off} beyond {band}");
                }
            }
        }
    }
    assert!(kept * 3 < seen * 2, "{kept} of {seen}");
}

#[test]
fn a_straight_line_is_its_two_ends() {
    let line: Vec<Point> = (0..1000)
        .map(|row| point(row * 1000, row as f64 * 0.5))
        .collect();
    let (_, sent) = thinned(&line, Mode::SwingingDoor, Band::Absolute(1e-6), None);
    assert_eq!(sent, [line[0]]);
    let mut bent = line.clone();
    bent.push(point(1_000_000, 0.0));
    let (_, sent) = thinned(&bent, Mode::SwingingDoor, Band::Absolute(1e-6), None);
    assert_eq!(sent, [line[0], line[999]]);
}

#[test]
fn silence_ends() {
    let flat: Vec<Point> = (0..=100).map(|row| point(row * 10, 1.0)).collect();
    for mode in [Mode::Deadband, Mode::SwingingDoor] {
        let (_, sent) = thinned(&flat, mode, Band::Absolute(1.0), Some(250));
        let times: Vec<i64> = sent.iter().map(|point| point.time).collect();
        assert_eq!(times, [0, 250, 500, 750, 1000], "{mode:?}");
    }
}

#[test]
fn a_late_value_is_not_lost() {
    let points = [
        point(10, 1.0),
        point(20, 1.1),
        point(15, 9.0),
        point(20, 9.0),
        point(30, 1.2),
    ];
    let (filter, sent) = thinned(&points, Mode::SwingingDoor, Band::Absolute(0.5), None);
    assert_eq!(sent, [points[0], points[2], points[3]]);
    let Filter::SwingingDoor(Some(door)) = filter else {
        panic!("it has seen values")
    };
    assert_eq!((door.hinge, door.held), (points[0], Some(points[4])));
    let (_, sent) = thinned(&points[..3], Mode::Deadband, Band::Absolute(0.5), Some(100));
    assert_eq!(sent, [points[0], points[2]]);
}

#[test]
fn values_that_are_no_numbers_are_a_state_of_their_own() {
    let (nan, inf) = (f64::NAN, f64::INFINITY);
    let values = [1.0, 1.0, nan, nan, nan, 1.0, inf, inf, -inf, 2.0, 2.0];
    let points: Vec<Point> = (0..)
        .zip(values)
        .map(|(time, value)| point(time, value))
        .collect();
    let times = |mode| -> Vec<i64> {
        let (_, sent) = thinned(&points, mode, Band::Absolute(0.5), None);
        sent.iter().map(|point| point.time).collect()
    };
    assert_eq!(times(Mode::Deadband), [0, 2, 5, 6, 8, 9]);
    assert_eq!(times(Mode::SwingingDoor), [0, 1, 2, 4, 5, 6, 7, 8, 9]);
}

#[test]
fn whole_numbers_are_told_apart_whatever_their_size() {
    let large = 1_i64 << 60;
    let count = |time, value: i64| Point::of(time, Bits(value.cast_unsigned()), ScalarType::Int64);
    let values = [large, large + 1, large + 2, large + 3, i64::MIN, i64::MAX];
    let points: Vec<Point> = (0..)
        .zip(values)
        .map(|(time, value)| count(time, value))
        .collect();
    let passed = |band| {
        let (_, sent) = thinned(&points, Mode::Deadband, Band::Absolute(band), None);
        let sent = sent.into_iter().map(|point| point.bits.0.cast_signed());
        sent.collect::<Vec<_>>()
    };
    assert_eq!(passed(0.0), values);
    assert_eq!(passed(1.0), [large, large + 2, i64::MIN, i64::MAX]);
    assert_eq!(passed(1.5), [large, large + 2, i64::MIN, i64::MAX]);
    assert_eq!(passed(1e300), [large]);
    // A door keeps a straight line of them and nothing else.
    let line = |row: i64| count(row * 1_000, large + row * 3);
    let points: Vec<Point> = (0..50).map(line).chain([count(50_000, large)]).collect();
    let (_, sent) = thinned(&points, Mode::SwingingDoor, Band::Absolute(0.5), None);
    assert_eq!(sent.last(), Some(&line(49)));
    assert_eq!(sent.len(), 2);
}
