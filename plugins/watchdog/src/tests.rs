//! A device falls silent and comes back once each, and settings are checked.

use std::time::Duration;

use activestore_plugin::fixture::{config, field};
use activestore_plugin::scalar::Timestamp;
use activestore_plugin::{
    Batch, Column, Field, MemoryState, Processor, ScalarType, Timer, Values, VarBytes,
};

use crate::Watchdog;

fn fields() -> Vec<Field> {
    vec![
        field("ts", ScalarType::Timestamp, false),
        field("device", ScalarType::Text, false),
        field("temp", ScalarType::Float64, true),
    ]
}

fn batch(rows: &[(&str, i64)]) -> Batch {
    Batch {
        rows: rows.len() as u32,
        columns: vec![
            Column::text(rows.iter().map(|(device, _)| *device)),
            Column::s64s(rows.iter().map(|(_, ts)| *ts).collect()),
        ],
    }
}

fn texts(column: &Column) -> Vec<&str> {
    let Values::Utf8(values) = &column.values else {
        panic!("the column is not text")
    };
    (0..VarBytes::len(values))
        .map(|row| values.text(row))
        .collect()
}

#[test]
fn a_device_falls_silent_once_and_is_back_once() {
    let (mut watchdog, spec) = Watchdog::init(&config(&[("after", "90s")]), &fields()).unwrap();
    assert_eq!(spec.columns, [1, 0]);
    let mut state = MemoryState::default();
    let sent = watchdog
        .process(&batch(&[("a", 10), ("b", 11), ("a", 30)]), &mut state)
        .unwrap();
    assert_eq!(sent.outputs[0].rows, 0);
    let set: Vec<_> = state.timers.clone().into_iter().collect();
    assert_eq!(set.len(), 2);
    assert!(
        set.iter()
            .all(|(_, after)| *after == Duration::from_secs(90))
    );
    let timer = Timer {
        key: set[0].0.clone(),
        at: Timestamp(95),
    };
    let silent = watchdog.on_timer(&[timer], &mut state).unwrap().remove(0);
    assert_eq!(texts(&silent.columns[0]), ["a"]);
    assert_eq!(silent.columns[1].as_s64s().unwrap(), [95]);
    assert_eq!(texts(&silent.columns[2]), ["silent"]);
    assert_eq!(silent.columns[3].as_s64s().unwrap(), [30]);
    // Another instance after a restart knows it from the state.
    let (mut watchdog, _) = Watchdog::init(&config(&[]), &fields()).unwrap();
    let back = watchdog
        .process(&batch(&[("b", 120), ("a", 121)]), &mut state)
        .unwrap();
    assert_eq!(texts(&back.outputs[0].columns[0]), ["a"]);
    assert_eq!(texts(&back.outputs[0].columns[2]), ["back"]);
    let quiet = watchdog.process(&batch(&[("a", 122)]), &mut state).unwrap();
    assert_eq!(quiet.outputs[0].rows, 0);
}

#[test]
fn settings_are_checked() {
    for (settings, message) in [
        (config(&[("after", "soon")]), "not a span of time"),
        (config(&[("after", "0s")]), "would never be quiet"),
        (config(&[("key", "pump")]), "no column 'pump'"),
        (config(&[("atfer", "1s")]), "no setting 'atfer'"),
    ] {
        let error = Watchdog::init(&settings, &fields()).err().unwrap();
        assert!(error.to_string().contains(message), "{error}");
    }
    assert!(Watchdog::init(&config(&[]), &fields()[1..]).is_err());
}
