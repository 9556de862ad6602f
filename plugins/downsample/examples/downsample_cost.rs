//! Nanoseconds a value of both modes, outside of the sandbox: batches of 10,000 rows of 1,000 devices, one
//! row a second from each.

use std::time::Instant;

use activestore_plugin::fixture::{config, fleet, readings};
use activestore_plugin::{MemoryState, Processor};
use downsample::Downsample;

const DEVICES: i64 = 1000;
const ROWS: i64 = 10_000;
const BATCHES: i64 = 100;

fn main() {
    let fields = &readings()[..3];
    for settings in [
        [("mode", "buckets"), ("every", "1m")],
        [("mode", "lttb"), ("points", "10")],
    ] {
        let Ok((mut processor, _)) = Downsample::init(&config(&settings), fields) else {
            panic!("the settings are taken")
        };
        let mut state = MemoryState::default();
        let (mut spent, mut sent) = (0, 0);
        for batch in fleet(DEVICES, ROWS, BATCHES, |row| {
            (row * 7919 % 997) as f64 / 10.0
        }) {
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
