//! Measures how many rows a second one core parses: 2,000 devices, 10 fields a line.
//! `cargo run --release -p activestore-ingest --example line_protocol_rate`

use std::fmt::Write;
use std::time::Instant;

use activestore_ingest::line_protocol::{self, LineProtocolOptions};

/// Rows of one body, as a writer sends them.
const BODY_ROWS: usize = 10_000;

/// How often the body is parsed; the best pass counts.
const PASSES: usize = 50;

fn main() -> std::fmt::Result {
    let mut body = String::new();
    for row in 0..BODY_ROWS {
        write!(body, "pump,device=d{:04},site=north ", row % 2_000)?;
        for field in 0..10 {
            let comma = if field == 0 { "" } else { "," };
            write!(
                body,
                "{comma}f{field}={}.{:03}",
                20 + field,
                (row * 7 + field) % 1_000
            )?;
        }
        writeln!(body, " {}", 1_700_000_000_000_000_000_u64 + row as u64)?;
    }
    let options = LineProtocolOptions::new("bench", 0);
    let mut best = f64::MAX;
    for _ in 0..PASSES {
        let start = Instant::now();
        let parsed = line_protocol::parse(body.as_bytes(), &options);
        best = best.min(start.elapsed().as_secs_f64());
        assert_eq!(parsed.rows(), BODY_ROWS as u64);
    }
    println!(
        "{:.0} rows/s, {:.0} MB/s",
        BODY_ROWS as f64 / best,
        body.len() as f64 / best / 1e6
    );
    Ok(())
}
