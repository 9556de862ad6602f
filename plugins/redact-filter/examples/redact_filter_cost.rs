//! Nanoseconds a row with a hash, a mask and a coordinate, outside of the sandbox.

use std::time::Instant;

use activestore_plugin::{Batch, Column, Config, Field, Filter, ScalarType};
use redact_filter::Redact;

const ROWS: usize = 10_000;
const BATCHES: usize = 50;

fn main() {
    let field = |name: &str, kind| Field {
        name: name.to_owned(),
        kind,
        nullable: true,
    };
    let fields = [
        field("driver", ScalarType::Text),
        field("phone", ScalarType::Text),
        field("lat", ScalarType::Float64),
    ];
    let settings = [
        ("hash", "driver"),
        ("salt", "long"),
        ("mask_digits", "phone"),
        ("round", "lat"),
    ];
    let owned = settings.map(|(name, value)| (name.to_owned(), value.to_owned()));
    let Ok((mut redact, _)) = Redact::init(&Config(owned.to_vec()), &fields) else {
        panic!("the settings are taken")
    };
    let batch = Batch {
        rows: ROWS as u32,
        columns: vec![
            Column::text((0..ROWS).map(|row| format!("driver-{row}"))),
            Column::text((0..ROWS).map(|row| format!("+49 30 {row:07}"))),
            Column::f64s((0..ROWS).map(|row| row as f64 / 7919.0).collect()),
        ],
    };
    let begun = Instant::now();
    for _ in 0..BATCHES {
        assert!(
            redact
                .filter(&batch)
                .is_ok_and(|filtered| filtered.rows.len() == ROWS)
        );
    }
    let each = begun.elapsed().as_nanos() as f64 / (ROWS * BATCHES) as f64;
    println!("{each:.0} ns a row");
}
