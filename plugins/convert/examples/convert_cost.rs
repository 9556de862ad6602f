//! Nanoseconds a value, outside of the sandbox: batches of 10,000 rows of 1,000 devices.

use std::time::Instant;

use activestore_plugin::fixture::{config, fleet, readings};
use activestore_plugin::{MemoryState, Processor};
use convert::Convert;

const ROWS: i64 = 10_000;
const BATCHES: i64 = 100;

fn main() {
    let settings = config(&[("columns", "temp:f_to_c:temp_c")]);
    let Ok((mut processor, _)) = Convert::init(&settings, &readings()[..3]) else {
        panic!("the settings are taken")
    };
    let mut state = MemoryState::default();
    let mut spent = 0;
    for batch in fleet(1000, ROWS, BATCHES, |row| row as f64 / 100.0) {
        let begun = Instant::now();
        let Ok(processed) = processor.process(&batch, &mut state) else {
            panic!("the batch is taken")
        };
        spent += begun.elapsed().as_nanos();
        assert_eq!(i64::from(processed.outputs[0].rows), ROWS);
    }
    println!("{:.1} ns a row", spent as f64 / (BATCHES * ROWS) as f64);
}
