//! Nanoseconds a row, outside of the sandbox: batches of 10,000 rows of 1,000 devices that are told at once, and held
//! back by an interval.

use std::time::Instant;

use activestore_plugin::fixture::{config, fleet, readings};
use activestore_plugin::{MemoryState, Processor, http};
use alert_webhook::AlertWebhook;

const ROWS: i64 = 10_000;
const BATCHES: i64 = 50;

fn main() {
    for (name, settings) in [
        ("a message a device and batch", &[][..]),
        ("held back by an interval", &[("interval", "5m")]),
        (
            "one group of all devices",
            &[("interval", "5m"), ("by", "")],
        ),
    ] {
        let mut all = vec![
            ("url", "https://hooks.example.com/x"),
            ("columns", "device, ts, temp"),
        ];
        all.extend(settings);
        let Ok((mut processor, _)) = AlertWebhook::init(&config(&all), &readings()) else {
            panic!("the settings are taken")
        };
        let mut state = MemoryState::default();
        let (mut spent, mut sent) = (0, 0);
        for batch in fleet(1_000, ROWS, BATCHES, |row| (row * 7919 % 997) as f64 / 10.0) {
            let begun = Instant::now();
            if processor.process(&batch, &mut state).is_err() {
                panic!("the batch is taken")
            }
            spent += begun.elapsed().as_nanos();
            sent += http::take_sent().len();
        }
        println!(
            "{name}: {:.0} ns a row, {sent} messages for {} rows",
            spent as f64 / (BATCHES * ROWS) as f64,
            BATCHES * ROWS
        );
    }
}
