//! Training is reproducible, the files score as the models do, and what is unlike the past is found.

use onnx_graph::{Bounds, Graph};

use crate::autoencoder::Autoencoder;
use crate::detectors::{leading_rows, train};
use crate::export;
use crate::forest::Forest;
use crate::judge::{episodes, judge};
use crate::random::Random;
use crate::series::Series;

const DAYS: usize = 40;
const FAULT: usize = 30 * 24 + 6;

/// Hourly readings of a day's wave with noise; on the 31st day it falls for half a day.
fn series() -> Series {
    let mut random = Random::new(7);
    let mut series = Series::default();
    for row in 0..DAYS * 24 {
        let (day, hour) = (row / 24, row % 24);
        series.times.push(format!(
            "2026-{:02}-{:02} {hour:02}:00:00",
            day / 28 + 1,
            day % 28 + 1
        ));
        let wave = (hour as f64 / 24.0 * std::f64::consts::TAU).sin();
        let fault = if (FAULT..FAULT + 12).contains(&row) {
            -4.0
        } else {
            0.0
        };
        series
            .values
            .push(60.0 + 5.0 * (wave + fault) + random.unit());
    }
    series
}

fn labelled(series: &Series) -> Vec<(String, String)> {
    vec![(
        series.times[FAULT].clone(),
        series.times[FAULT + 36].clone(),
    )]
}

#[test]
fn the_same_seed_makes_the_same_files_and_another_seed_others() {
    let series = series();
    let [a, b, other] = [1, 1, 2].map(|seed| train(&series, 12 * 24, seed).unwrap());
    for place in 0..2 {
        assert!(a[place].artifact == b[place].artifact);
        assert!(a[place].artifact != other[place].artifact);
        assert!(a[place].artifact.len() < 40_000);
    }
    assert!(train(&series, 2 * 24, 1).is_err());
}

#[test]
fn what_is_unlike_the_leading_part_is_found() {
    let series = series();
    let labelled = labelled(&series);
    let end = leading_rows(&series, &labelled);
    assert_eq!(end, DAYS * 24 * 30 / 100);
    for detector in train(&series, end, 1).unwrap() {
        let judged = detector.judged(&series, end, &labelled).unwrap();
        assert_eq!((judged.found, judged.windows), (1, 1), "{}", detector.name);
        assert!(judged.outside <= 6, "{}: {judged:?}", detector.name);
    }
}

#[test]
fn files_score_as_the_models_that_they_are_of() {
    let series = series();
    let rows = 24..200;
    let windows: Vec<_> = rows.clone().map(|row| series.window(row)).collect();
    let features: Vec<_> = rows.map(|row| series.features(row)).collect();
    let autoencoder = Autoencoder::train(&windows[..100], 3);
    let forest = Forest::train(&features[..100], 3);
    let names = ["a", "b", "c", "d", "e", "f"];
    type Scored<'a> = (Vec<u8>, &'a [Vec<f64>], Box<dyn Fn(&[f64]) -> f64 + 'a>);
    let both: [Scored<'_>; 2] = [
        (
            export::autoencoder(&autoencoder, 2.0),
            &windows,
            Box::new(|row| autoencoder.score(row) / 2.0),
        ),
        (
            export::forest(&forest, &names, 0.5),
            &features,
            Box::new(|row| forest.score(row) / 0.5),
        ),
    ];
    for (file, shown, score) in both {
        // A node runs them itself as well.
        let graph = Graph::load_within(&file, &Bounds::default()).unwrap();
        let columns: Vec<Vec<f64>> = (0..graph.inputs.len())
            .map(|column| shown.iter().map(|row| row[column]).collect())
            .collect();
        let columns: Vec<&[f64]> = columns.iter().map(Vec::as_slice).collect();
        let scores = graph.run(shown.len(), &columns).unwrap().remove(0);
        for (row, given) in shown.iter().zip(scores) {
            let wanted = score(row);
            assert!(
                (given - wanted).abs() < 1e-4 * wanted.max(1.0),
                "{given} {wanted}"
            );
        }
    }
}

#[test]
fn an_episode_is_one_alarm_and_counts_where_it_begins() {
    let scores = [0.0, 2.0, 0.0, 2.0, 0.0, 0.0, 0.0, 2.0];
    assert_eq!(episodes(&scores, 100, 1.0, 2), [101, 107]);
    let series = series();
    let labelled = labelled(&series);
    let judged = judge(&series, 100, &[50, 200, FAULT, FAULT + 1], &labelled);
    assert_eq!((judged.found, judged.outside), (1, 1));
    assert_eq!(judged.rows, DAYS * 24 - 100);
}

#[test]
fn files_that_are_no_series_are_refused() {
    assert!(Series::parse("timestamp,value\n2026-01-01 00:00:00,1.5\n").is_ok());
    for text in [
        "t,v\nx",
        "t,v\n2026-01-01 00:00:00,high",
        "t,v\n2026-01-01 00:00:00,NaN",
    ] {
        assert!(Series::parse(text).unwrap_err().contains("line 2"));
    }
}
