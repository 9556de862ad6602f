//! Nanoseconds a row of two values, outside of the sandbox: batches of 10,000 rows of 100 devices.

use std::time::Instant;

use activestore_plugin::{Batch, Column, Config, Field, Filter, ScalarType};
use downsample_filter::Downsample;

const ROWS: i64 = 10_000;
const BATCHES: usize = 100;

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
        field("vib", ScalarType::Float64, true),
    ];
    let settings = [("bucket", "1m")];
    let owned = settings.map(|(name, value)| (name.to_owned(), value.to_owned()));
    let Ok((mut downsample, _)) = Downsample::init(&Config(owned.to_vec()), &fields) else {
        panic!("the settings are taken")
    };
    let values = || Column::f64s((0..ROWS).map(|row| row as f64).collect());
    let batch = Batch {
        rows: ROWS as u32,
        columns: vec![
            Column::text((0..ROWS).map(|row| format!("device-{}", row % 100))),
            Column::s64s((0..ROWS).map(|row| row * 100_000_000).collect()),
            values(),
            values(),
        ],
    };
    let begun = Instant::now();
    let mut left = 0;
    for _ in 0..BATCHES {
        let Ok(filtered) = downsample.filter(&batch) else {
            panic!("the rows are taken")
        };
        left = filtered.rows.len();
    }
    let each = begun.elapsed().as_nanos() as f64 / (ROWS as f64 * BATCHES as f64);
    println!("{each:.0} ns a row; {left} of {ROWS} rows leave");
}
