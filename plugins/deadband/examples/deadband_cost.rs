//! Nanoseconds a value of both modes, outside of the sandbox: batches of 10,000 rows of 1,000 devices, and
//! how much passes of a noisy wave.

use std::time::Instant;

use activestore_plugin::fixture::{config, fleet, readings};
use activestore_plugin::{MemoryState, Processor};
use deadband::Deadband;

const DEVICES: i64 = 1000;
const ROWS: i64 = 10_000;
const BATCHES: i64 = 100;

fn main() {
    let wave = |row: i64| {
        let noise = (row * 7919 % 997) as f64 / 997.0 - 0.5;
        20.0 + 5.0 * ((row / DEVICES) as f64 / 200.0).sin() + 0.6 * noise
    };
    let fields = &readings()[..3];
    for mode in ["deadband", "swinging_door"] {
        let settings = [("mode", mode), ("band", "0.5")];
        let Ok((mut processor, _)) = Deadband::init(&config(&settings), fields) else {
            panic!("the settings are taken")
        };
        let mut state = MemoryState::default();
        let (mut spent, mut sent) = (0, 0);
        for batch in fleet(DEVICES, ROWS, BATCHES, wave) {
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
