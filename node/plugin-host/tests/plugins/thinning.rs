//! Processors that send fewer rows than they see, over batches and fresh instances, with state alone between.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, Float64Array, Int64Array, StringArray, TimestampNanosecondArray,
};
use arrow::datatypes::{
    DataType, Field, Float64Type, Int64Type, Schema, TimeUnit, TimestampNanosecondType,
};
use arrow::record_batch::RecordBatch;

use crate::built::{Map, plugin};

const S: i64 = 1_000_000_000;

fn schema() -> Schema {
    let ts = DataType::Timestamp(TimeUnit::Nanosecond, None);
    Schema::new(vec![
        Field::new("device", DataType::Utf8, false),
        Field::new("ts", ts, false),
        Field::new("temp", DataType::Float64, true),
        Field::new("count", DataType::Int64, true),
    ])
}

/// A row every second of two devices in turn.
fn rows(from: i64, count: i64, temp: fn(i64) -> f64) -> RecordBatch {
    let numbers = from..from + count;
    let devices = numbers.clone().map(|row| ["a", "b"][row as usize % 2]);
    let columns: [ArrayRef; 4] = [
        Arc::new(StringArray::from_iter_values(devices)),
        Arc::new(TimestampNanosecondArray::from_iter_values(
            numbers.clone().map(|row| row * S),
        )),
        Arc::new(Float64Array::from_iter_values(numbers.clone().map(temp))),
        Arc::new(Int64Array::from_iter_values(
            numbers.map(|row| 1_000_000 - row / 100),
        )),
    ];
    RecordBatch::try_new(Arc::new(schema()), columns.to_vec()).unwrap()
}

/// What a plugin sends for 400 rows in batches of a size, with a new instance for each.
fn sent(
    name: &str,
    settings: &[(&str, &str)],
    size: i64,
    temp: fn(i64) -> f64,
) -> Vec<RecordBatch> {
    let config: BTreeMap<String, String> = settings
        .iter()
        .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
        .collect();
    let mut state = Map::default();
    (0..400)
        .step_by(size as usize)
        .map(|from| {
            let mut processor = plugin(name).processor(&config, &schema()).unwrap();
            let processed = processor
                .process(&rows(from, size, temp), false, &state)
                .unwrap();
            state.apply(processed.state);
            processed.outputs.into_iter().next().unwrap()
        })
        .collect()
}

/// Each value of a column with its device and second, sorted.
fn cells(batches: &[RecordBatch], column: &str) -> Vec<(String, i64, String)> {
    let mut cells = Vec::new();
    for batch in batches {
        let named = |name: &str| batch.column_by_name(name).unwrap();
        let (devices, times) = (
            named("device").as_string::<i32>(),
            named("ts").as_primitive::<TimestampNanosecondType>(),
        );
        let values = named(column);
        for row in (0..batch.num_rows()).filter(|row| values.is_valid(*row)) {
            let value = match values.data_type() {
                DataType::Int64 => values.as_primitive::<Int64Type>().value(row).to_string(),
                _ => values.as_primitive::<Float64Type>().value(row).to_string(),
            };
            cells.push((devices.value(row).to_owned(), times.value(row) / S, value));
        }
    }
    cells.sort();
    cells
}

#[test]
fn a_deadband_passes_what_moved() {
    let settings = [("band", "temp:0.5,0")];
    let step = |row: i64| (row / 100) as f64;
    let whole = sent("deadband", &settings, 400, step);
    let expected: Vec<(String, i64, String)> = ["a", "b"]
        .iter()
        .zip(0..)
        .flat_map(|(device, second)| {
            (0..4).map(move |step| (device.to_string(), step * 100 + second, step.to_string()))
        })
        .collect();
    assert_eq!(cells(&whole, "temp"), expected);
    let counts = cells(&whole, "count");
    assert_eq!(counts.len(), 8);
    assert_eq!(counts[0].2, "1000000");
    assert_eq!(counts[1].2, "999999");
    for size in [1, 16] {
        assert_eq!(
            cells(&sent("deadband", &settings, size, step), "temp"),
            expected
        );
    }
}

#[test]
fn a_door_passes_the_corners() {
    let settings = [
        ("mode", "swinging_door"),
        ("band", "0.001"),
        ("columns", "temp"),
    ];
    // Up for 200 seconds, then down.
    let roof = |row: i64| (200 - (row - 200).abs()) as f64;
    for size in [1, 16, 400] {
        let found = cells(&sent("deadband", &settings, size, roof), "temp");
        let expected = [
            ("a", 0, "0"),
            ("a", 200, "200"),
            ("b", 1, "1"),
            ("b", 199, "199"),
            ("b", 201, "199"),
        ];
        let expected =
            expected.map(|(device, second, value)| (device.to_owned(), second, value.to_owned()));
        assert_eq!(found, expected, "{size}");
    }
}

#[test]
fn buckets_are_closed_by_later_rows() {
    let settings = [
        ("every", "1m"),
        ("figures", "count,mean,last"),
        ("columns", "temp"),
    ];
    for size in [1, 16, 400] {
        let found = sent("downsample", &settings, size, |row| row as f64);
        let counts = cells(&found, "temp_count");
        assert_eq!(counts.len(), 2 * 6, "{size}");
        assert!(
            counts
                .iter()
                .all(|(_, second, count)| second % 60 == 0 && count == "30")
        );
        let lasts = cells(&found, "temp_last");
        assert_eq!(lasts[0], ("a".to_owned(), 0, "58".to_owned()));
        assert_eq!(lasts[11], ("b".to_owned(), 300, "359".to_owned()));
        assert_eq!(cells(&found, "temp_mean")[1].2, "89");
        assert!(cells(&found, "late").iter().all(|(.., late)| late == "0"));
    }
}

#[test]
fn one_point_of_every_so_many_is_picked() {
    let settings = [("mode", "lttb"), ("points", "20"), ("columns", "temp")];
    let spikes = |row: i64| if row == 130 { 90.0 } else { (row % 5) as f64 };
    let whole = cells(&sent("downsample", &settings, 400, spikes), "temp");
    // 200 points of each: the first, and one of each 20 but of the last that are full.
    assert_eq!(whole.len(), 2 * (1 + 8));
    assert!(whole.contains(&("a".to_owned(), 130, "90".to_owned())));
    for size in [1, 16] {
        assert_eq!(
            cells(&sent("downsample", &settings, size, spikes), "temp"),
            whole
        );
    }
}
