//! Processors: rows, state and rejected rows come back together, and nothing is kept by the host.

use std::collections::BTreeMap;
use std::sync::Arc;

use activestore_plugin_host::Processor;
use arrow::array::{ArrayRef, AsArray, Float64Array, StringArray, TimestampNanosecondArray};
use arrow::datatypes::{DataType, Field, Float64Type, Schema, TimeUnit};
use arrow::record_batch::RecordBatch;

use crate::built::{Map, plugin};

fn batch(rows: usize) -> RecordBatch {
    let values: ArrayRef = Arc::new(Float64Array::from(vec![0.5; rows]));
    RecordBatch::try_from_iter([("value", values)]).unwrap()
}

fn hostile(mode: &str) -> Processor {
    let config = BTreeMap::from([("mode".to_owned(), mode.to_owned())]);
    plugin("hostile")
        .processor(&config, &batch(1).schema())
        .unwrap()
}

#[test]
fn state_is_read_through_and_collected() {
    let mut counting = hostile("count");
    let mut state = Map::default();
    state.0.insert(b"gone".to_vec(), vec![1]);
    for round in 1..=3 {
        let processed = counting.process(&batch(4), false, &state).unwrap();
        let counts = processed.outputs[0].column(0).as_primitive::<Float64Type>();
        assert_eq!(counts.value(3), f64::from(round * 4));
        assert_eq!(processed.state.len(), 2);
        state.apply(processed.state);
    }
    assert_eq!(state.0.len(), 1);
    // What was not made durable has not happened.
    let unchanged = counting.process(&batch(4), false, &state).unwrap();
    let again = counting.process(&batch(4), false, &state).unwrap();
    assert_eq!(unchanged.outputs, again.outputs);
}

#[test]
fn a_batch_too_large_for_one_call_is_one_batch() {
    let mut counting = hostile("count");
    let processed = counting
        .process(&batch(150_000), false, &Map::default())
        .unwrap();
    assert_eq!(processed.outputs[0].num_rows(), 150_000);
    let counts = processed.outputs[0].column(0).as_primitive::<Float64Type>();
    assert_eq!(counts.value(149_999), 150_000.0);
    let mut rejecting = hostile("reject");
    let processed = rejecting
        .process(&batch(150_000), false, &Map::default())
        .unwrap();
    let rows: Vec<_> = processed.rejected.iter().map(|(row, _)| *row).collect();
    assert_eq!(rows, [0, 65_536, 131_072]);
    assert_eq!(processed.rejected[0].1, "the first row is not welcome");
}

#[test]
fn an_empty_batch_gives_nothing() {
    let processed = hostile("good")
        .process(&batch(0), false, &Map::default())
        .unwrap();
    assert_eq!(processed.outputs[0].num_rows(), 0);
    assert!(processed.state.is_empty() && processed.rejected.is_empty());
}

fn readings() -> Schema {
    let ts = DataType::Timestamp(TimeUnit::Nanosecond, None);
    Schema::new(vec![
        Field::new("device", DataType::Utf8, false),
        Field::new("ts", ts, false),
        Field::new("temp", DataType::Float64, true),
        Field::new("status", DataType::Utf8, true),
    ])
}

fn rows(from: i64, temps: &[Option<f64>]) -> RecordBatch {
    let times: TimestampNanosecondArray = (from..)
        .take(temps.len())
        .map(|row| row * 1_000_000_000)
        .map(Some)
        .collect();
    RecordBatch::try_from_iter_with_nullable([
        (
            "device",
            Arc::new(StringArray::from(vec!["p1"; temps.len()])) as ArrayRef,
            false,
        ),
        ("ts", Arc::new(times) as ArrayRef, false),
        (
            "temp",
            Arc::new(temps.iter().copied().collect::<Float64Array>()) as ArrayRef,
            true,
        ),
    ])
    .unwrap()
}

#[test]
fn the_anomaly_detector_flags_a_spike_across_batches() {
    let mut anomaly = plugin("anomaly")
        .processor(&BTreeMap::new(), &readings())
        .unwrap();
    let names: Vec<_> = anomaly.outputs()[0]
        .schema
        .fields()
        .iter()
        .map(|field| field.name().clone())
        .collect();
    assert!(
        names.starts_with(&["device".to_owned(), "ts".to_owned(), "column".to_owned()]),
        "{names:?}"
    );
    let mut state = Map::default();
    let wave = |row: i64| Some(60.0 + (row % 7) as f64 * 0.3);
    for start in (0..600).step_by(50) {
        let temps: Vec<_> = (start..start + 50).map(wave).collect();
        let processed = anomaly
            .process(&rows(start, &temps), false, &state)
            .unwrap();
        assert_eq!(
            processed.outputs[0].num_rows(),
            0,
            "at {start}: {:?}",
            processed.outputs[0]
        );
        state.apply(processed.state);
    }
    let processed = anomaly
        .process(&rows(600, &[wave(0), Some(95.0), None]), false, &state)
        .unwrap();
    assert_eq!(processed.outputs[0].num_rows(), 1);
    let text = |name: &str| {
        processed.outputs[0]
            .column_by_name(name)
            .unwrap()
            .as_string::<i32>()
            .value(0)
            .to_owned()
    };
    assert_eq!(
        (text("device"), text("column")),
        ("p1".to_owned(), "temp".to_owned())
    );
    let value = processed.outputs[0].column_by_name("value").unwrap();
    assert_eq!(value.as_primitive::<Float64Type>().value(0), 95.0);
}

#[test]
fn unknown_settings_are_refused() {
    let config = BTreeMap::from([("treshold".to_owned(), "3".to_owned())]);
    let error = plugin("anomaly")
        .processor(&config, &readings())
        .unwrap_err();
    assert!(
        error.message().contains("treshold") && error.message().contains("threshold"),
        "{error}"
    );
}
