//! Nanoseconds a value of both modes, outside of the sandbox: batches of 10,000 rows of 1,000 devices, one
//! row a second from each.

use std::time::Instant;

use activestore_plugin::{Batch, Column, Config, Field, MemoryState, Processor, ScalarType};
use downsample::Downsample;

const DEVICES: i64 = 1000;
const ROWS: i64 = 10_000;
const BATCHES: i64 = 100;

fn main() {
    let field = |name: &str, kind, nullable| Field {
        name: name.to_owned(),
        kind,
        nullable,
    };
    let fields = [
        field("device", ScalarType::Text, false),
        field("ts", ScalarType::Timestamp, false),
        field("temp", ScalarType::Float64, true),
    ];
    for settings in [
        [("mode", "buckets"), ("every", "1m")],
        [("mode", "lttb"), ("points", "10")],
    ] {
        let owned = settings.map(|(name, value)| (name.to_owned(), value.to_owned()));
        let Ok((mut processor, _)) = Downsample::init(&Config(owned.to_vec()), &fields) else {
            panic!("the settings are taken")
        };
        let mut state = MemoryState::default();
        let (mut spent, mut sent) = (0, 0);
        for number in 0..BATCHES {
            let rows = number * ROWS..(number + 1) * ROWS;
            let batch = Batch {
                rows: ROWS as u32,
                columns: vec![
                    Column::text(
                        rows.clone()
                            .map(|row| format!("device-{:04}", row % DEVICES)),
                    ),
                    Column::s64s(
                        rows.clone()
                            .map(|row| row / DEVICES * 1_000_000_000)
                            .collect(),
                    ),
                    Column::f64s(rows.map(|row| (row * 7919 % 997) as f64 / 10.0).collect()),
                ],
            };
            let begun = Instant::now();
            let Ok(processed) = processor.process(&batch, &mut state) else {
                panic!("the batch is taken")
            };
            spent += begun.elapsed().as_nanos();
            sent += processed.outputs[0].rows;
        }
        println!(
            "{}: {:.0} ns a value, {:.1} % as many rows",
            settings[0].1,
            spent as f64 / (BATCHES * ROWS) as f64,
            sent as f64 / (BATCHES * ROWS) as f64 * 100.0
        );
    }
}
