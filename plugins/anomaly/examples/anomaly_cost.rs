//! Nanoseconds a value, outside of the sandbox: batches of 1,000 devices, ten rows each or one, one field or
//! ten; the detector alone, and the whole processor with state in memory.

use std::time::Instant;

use activestore_plugin::{Batch, Column, Config, Field, MemoryState, Processor, ScalarType};
use anomaly::Anomaly;
use anomaly::detector::{History, Recent, Settings};

const DEVICES: i64 = 1000;
const BATCHES: i64 = 200;

fn value(row: i64, field: i64) -> f64 {
    50.0 + ((row * (7919 + field) % 997) as f64 - 498.0) / 100.0
}

fn main() {
    let settings = Settings::default();
    let (mut recent, mut history) = (Recent::default(), History::new());
    let values: Vec<f64> = (0..2_000_000).map(|row| value(row, 0)).collect();
    let begun = Instant::now();
    let alarms = values
        .iter()
        .filter_map(|value| recent.push(*value, &settings, || &mut history))
        .count();
    let each = begun.elapsed().as_nanos() as f64 / values.len() as f64;
    println!("detector: {each:.0} ns a value, {alarms} alarms");
    for (rows, fields) in [(10_000, 1), (1_000, 1), (10_000, 10)] {
        println!(
            "{rows} rows, {fields} fields: {:.0} ns a value",
            processor(rows, fields)
        );
    }
}

fn processor(rows: i64, fields: i64) -> f64 {
    let field = |name: String, kind, nullable| Field {
        name,
        kind,
        nullable,
    };
    let mut all = vec![
        field("device".to_owned(), ScalarType::Text, false),
        field("ts".to_owned(), ScalarType::Timestamp, false),
    ];
    all.extend((0..fields).map(|number| field(format!("f{number}"), ScalarType::Float64, true)));
    let Ok((mut processor, _)) = Anomaly::init(&Config::default(), &all) else {
        panic!("the table is taken")
    };
    let mut state = MemoryState::default();
    let mut spent = 0;
    for number in 0..BATCHES {
        let numbers = number * rows..(number + 1) * rows;
        let device = |row: i64| format!("device-{:04}", row % DEVICES);
        let mut columns = vec![
            Column::text(numbers.clone().map(device)),
            Column::s64s(
                numbers
                    .clone()
                    .map(|row| row / DEVICES * 1_000_000_000)
                    .collect(),
            ),
        ];
        columns.extend(
            (0..fields)
                .map(|field| Column::f64s(numbers.clone().map(|row| value(row, field)).collect())),
        );
        let batch = Batch {
            rows: rows as u32,
            columns,
        };
        let begun = Instant::now();
        let Ok(_) = processor.process(&batch, &mut state) else {
            panic!("the batch is taken")
        };
        if number >= BATCHES / 4 {
            spent += begun.elapsed().as_nanos();
        }
    }
    spent as f64 / (BATCHES * 3 / 4 * rows * fields) as f64
}
