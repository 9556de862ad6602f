//! Nanoseconds a value of both modes, outside of the sandbox: batches of 10,000 rows of 1,000 devices, and
//! how much passes of a noisy wave.

use std::time::Instant;

use activestore_plugin::{Batch, Column, Config, Field, MemoryState, Processor, ScalarType};
use deadband::Deadband;

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
    for mode in ["deadband", "swinging_door"] {
        let settings = [("mode", mode), ("band", "0.5")];
        let owned = settings.map(|(name, value)| (name.to_owned(), value.to_owned()));
        let Ok((mut processor, _)) = Deadband::init(&Config(owned.to_vec()), &fields) else {
            panic!("the settings are taken")
        };
        let mut state = MemoryState::default();
        let (mut spent, mut sent) = (0, 0);
        for number in 0..BATCHES {
            let rows = number * ROWS..(number + 1) * ROWS;
            let wave = |row: i64| {
                let noise = (row * 7919 % 997) as f64 / 997.0 - 0.5;
                20.0 + 5.0 * ((row / DEVICES) as f64 / 200.0).sin() + 0.6 * noise
            };
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
                    Column::f64s(rows.map(wave).collect()),
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
            "{mode}: {:.0} ns a value, {:.1} % of the rows pass",
            spent as f64 / (BATCHES * ROWS) as f64,
            sent as f64 / (BATCHES * ROWS) as f64 * 100.0
        );
    }
}
