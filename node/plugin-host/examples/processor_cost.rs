//! What a processor costs a value in the sandbox, with its state kept in memory by key as a store would:
//!
//! ```text
//! cargo run --release -p activestore-plugin-host --example processor_cost -- FILE.wasm [name=value …]
//! ```
//!
//! FILE is a component or a core module. 1,000 devices send a batch of 10,000 rows, ten each, or of 1,000,
//! one each; the settings are given to the processor. The first quarter of the batches warms up.
#![allow(missing_docs, clippy::unwrap_used, clippy::indexing_slicing)]

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::{Duration, Instant};

use activestore_plugin_host::{HostOptions, PluginHost, StateReader, componentize};
use arrow::array::{ArrayRef, Float64Array, RecordBatch, StringArray, TimestampNanosecondArray};

const DEVICES: usize = 1000;
const BATCHES: usize = 200;
const FIELDS: usize = 10;

#[derive(Default)]
struct Map(HashMap<Vec<u8>, Vec<u8>>);

impl StateReader for Map {
    fn get(&self, key: &[u8]) -> Option<Vec<u8>> {
        self.0.get(key).cloned()
    }
}

fn main() {
    let mut arguments = std::env::args().skip(1);
    let file = arguments.next().expect("a component's file");
    let settings: BTreeMap<String, String> = arguments
        .map(|argument| {
            let (name, value) = argument.split_once('=').expect("name=value");
            (name.to_owned(), value.to_owned())
        })
        .collect();
    let bytes = std::fs::read(file).unwrap();
    let host = PluginHost::new(HostOptions::default()).unwrap();
    let plugin = host
        .load("measured", &bytes)
        .or_else(|_| host.load("measured", &componentize(&bytes).unwrap()))
        .unwrap();
    println!(
        "rows a batch, columns seen, call ns/value, state ns/value, state bytes/value, rows sent"
    );
    for rows in [10 * DEVICES, DEVICES] {
        let mut processor = plugin.processor(&settings, &batch(0, 1).schema()).unwrap();
        let seen = processor
            .columns()
            .filter(|name| name.starts_with('f'))
            .count();
        let mut state = Map::default();
        let (mut call, mut kept, mut bytes, mut sent) = (Duration::ZERO, Duration::ZERO, 0, 0);
        for number in 0..BATCHES {
            let batch = batch(number * rows, rows);
            let begun = Instant::now();
            let processed = processor.process(&batch, false, &state).unwrap();
            let called = begun.elapsed();
            let begun = Instant::now();
            let mut written = 0;
            for (key, value) in processed.state {
                written += key.len() + value.as_ref().map_or(0, Vec::len);
                match value {
                    Some(value) => state.0.insert(key, value),
                    None => state.0.remove(&key),
                };
            }
            if number >= BATCHES / 4 {
                call += called;
                kept += begun.elapsed();
                bytes += written;
                sent += processed
                    .outputs
                    .iter()
                    .map(RecordBatch::num_rows)
                    .sum::<usize>();
            }
        }
        let values = (BATCHES * 3 / 4 * rows * seen.max(1)) as f64;
        println!(
            "{rows}, {seen}, {:.0}, {:.0}, {:.0}, {sent}",
            call.as_nanos() as f64 / values,
            kept.as_nanos() as f64 / values,
            bytes as f64 / values,
        );
    }
}

/// A batch of a fleet that sends ten fields in turn.
fn batch(first: usize, rows: usize) -> RecordBatch {
    let numbers = first..first + rows;
    let device = |row: usize| format!("device-{:04}", row % DEVICES);
    let times = numbers
        .clone()
        .map(|row| (row / DEVICES) as i64 * 1_000_000_000);
    let mut columns: Vec<(String, ArrayRef, bool)> = vec![
        (
            "device".to_owned(),
            Arc::new(StringArray::from_iter_values(numbers.clone().map(device))),
            false,
        ),
        (
            "ts".to_owned(),
            Arc::new(TimestampNanosecondArray::from_iter_values(times)),
            false,
        ),
    ];
    for field in 0..FIELDS {
        let value = |row: usize| 50.0 + ((row * (7919 + field) % 997) as f64 - 498.0) / 100.0;
        let values = Float64Array::from_iter_values(numbers.clone().map(value));
        columns.push((format!("f{field}"), Arc::new(values), true));
    }
    RecordBatch::try_from_iter_with_nullable(columns).unwrap()
}
