//! The aggregates give what their definitions say, in one go and in parts.

use activestore_plugin::Group;
use activestore_plugin::scalar::Timestamp;

use crate::means::{Directions, Logarithms, Squares};
use crate::series::{Counter, Steps};

/// The group of some rows, added in two parts of which one travelled as bytes.
fn group<G: Group, T: Copy>(rows: &[T], update: impl Fn(&mut G, T)) -> G {
    let (left, right) = rows.split_at(rows.len() / 2);
    let part = |rows: &[T]| {
        let mut group = G::default();
        rows.iter().for_each(|row| update(&mut group, *row));
        group
    };
    let mut bytes = Vec::new();
    part(right).encode(&mut bytes);
    let mut all = part(left);
    all.merge(G::decode(&bytes).unwrap());
    all
}

fn near(left: Option<f64>, right: f64) -> bool {
    left.is_some_and(|left| (left - right).abs() < 1e-9)
}

#[test]
fn means_of_sums() {
    let rms = |rows: &[f64]| group(rows, Squares::update).finish();
    assert!(near(rms(&[3.0, -4.0]), 12.5_f64.sqrt()));
    assert_eq!(rms(&[]), None);
    let geometric = |rows: &[f64]| group(rows, Logarithms::update).finish();
    assert!(near(geometric(&[1.0, 10.0, 100.0]), 10.0));
    assert_eq!(
        (geometric(&[]), geometric(&[1.0, 0.0]), geometric(&[-1.0])),
        (None, None, None)
    );
    assert!(Squares::decode(b"short").is_none() && Logarithms::decode(&[0; 24]).is_none());
}

#[test]
fn directions_go_round() {
    let mean = |rows: &[f64]| group(rows, Directions::update).finish();
    assert!(near(mean(&[350.0, 10.0, 0.0]), 0.0) || near(mean(&[350.0, 10.0, 0.0]), 360.0));
    assert!(mean(&[350.0, 10.0]).is_some_and(|mean| mean < 360.0));
    assert!(near(mean(&[80.0, 100.0, 450.0]), 90.0));
    assert_eq!((mean(&[]), mean(&[0.0, 180.0])), (None, None));
    assert!(Directions::decode(&[0; 16]).is_none());
}

#[test]
fn series_are_put_in_order() {
    let at = |rows: &[(f64, i64)]| {
        rows.iter()
            .map(|(x, at)| (*x, Timestamp(*at)))
            .collect::<Vec<_>>()
    };
    let mean = |rows: &[(f64, i64)]| {
        group(&at(rows), |steps: &mut Steps, (x, at)| steps.update(x, at)).finish()
    };
    // 10 for 8 units, then 20 for 2.
    assert!(near(mean(&[(20.0, 8), (99.0, 10), (10.0, 0)]), 12.0));
    assert!(near(mean(&[(1.0, 5), (3.0, 5)]), 2.0));
    assert!(near(mean(&[(7.0, i64::MIN), (9.0, i64::MAX)]), 7.0));
    assert_eq!(mean(&[]), None);

    let rise = |rows: &[(f64, i64)]| {
        group(&at(rows), |counter: &mut Counter, (x, at)| {
            counter.update(x, at)
        })
        .finish()
    };
    // 5 to 8, a restart, 2, then 4.
    assert!(near(rise(&[(8.0, 2), (5.0, 1), (4.0, 4), (2.0, 3)]), 7.0));
    assert_eq!((rise(&[(5.0, 1)]), rise(&[])), (Some(0.0), None));
    assert!(rise(&[(5.0, 1)]).is_some_and(f64::is_sign_positive));
    // Two of one moment hold together, what holds for no time does not count, nothing overflows.
    assert!(near(
        mean(&[(0.0, 0), (0.0, 5), (100.0, 5), (0.0, 10)]),
        25.0
    ));
    assert!(near(mean(&[(1.0, 0), (f64::INFINITY, 10)]), 1.0));
    assert_eq!(mean(&[(1e300, 0), (1e300, i64::MAX)]), Some(1e300));
    assert!(Steps::decode(&[0; 17]).is_none());
}
