//! Timers come back with the rest of what a processor made of a batch, and go off when they are said to.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, Float64Array, StringArray, TimestampNanosecondArray};
use arrow::datatypes::{DataType, Field, Schema, TimeUnit};
use arrow::record_batch::RecordBatch;

use crate::built::{Map, plugin};

fn readings() -> Schema {
    let ts = DataType::Timestamp(TimeUnit::Nanosecond, None);
    Schema::new(vec![
        Field::new("device", DataType::Utf8, false),
        Field::new("ts", ts, false),
        Field::new("temp", DataType::Float64, true),
    ])
}

fn rows(rows: &[(&str, i64)]) -> RecordBatch {
    let devices: ArrayRef = Arc::new(StringArray::from_iter_values(
        rows.iter().map(|(device, _)| device),
    ));
    let times: ArrayRef = Arc::new(TimestampNanosecondArray::from_iter_values(
        rows.iter().map(|(_, ts)| *ts),
    ));
    let temps: ArrayRef = Arc::new(Float64Array::from(vec![0.5; rows.len()]));
    RecordBatch::try_new(Arc::new(readings()), vec![devices, times, temps]).unwrap()
}

#[test]
fn a_silent_device_is_told_of_by_its_timer() {
    let config = BTreeMap::from([("after".to_owned(), "90s".to_owned())]);
    let mut watchdog = plugin("watchdog").processor(&config, &readings()).unwrap();
    let mut state = Map::default();
    let first = watchdog
        .process(&rows(&[("a", 5), ("b", 6)]), false, &state)
        .unwrap();
    assert_eq!(first.outputs[0].num_rows(), 0);
    let after: Vec<_> = first.timers.iter().map(|(_, after)| *after).collect();
    assert_eq!(after, [Some(90_000_000_000); 2]);
    state.apply(first.state);
    let due: Vec<_> = first
        .timers
        .into_iter()
        .map(|(key, _)| (key, 100))
        .collect();
    let silent = watchdog.on_timer(&due, &state).unwrap();
    assert_eq!(silent.outputs[0].num_rows(), 2);
    assert_eq!(
        silent.outputs[0]
            .column_by_name("event")
            .unwrap()
            .as_string::<i32>()
            .value(1),
        "silent"
    );
    assert!(silent.timers.is_empty());
    state.apply(silent.state);
    let back = watchdog
        .process(&rows(&[("b", 120)]), false, &state)
        .unwrap();
    assert_eq!(back.outputs[0].column(0).as_string::<i32>().value(0), "b");
    // Rows of the past are none of its business.
    let past = watchdog.process(&rows(&[("a", 7)]), true, &state).unwrap();
    assert!(past.timers.is_empty() && past.state.is_empty());
    assert_eq!(past.outputs[0].num_rows(), 0);
    // Keys that are not its own are a failure, not rows.
    assert!(
        watchdog
            .on_timer(&[(b"?".to_vec(), 1)], &state)
            .unwrap()
            .outputs[0]
            .num_rows()
            == 0
    );
}
