//! Writes with a processor beside writes without: what it costs of the rate.

use std::sync::Arc;
use std::time::Instant;

use activestore_db::Db;
use arrow::array::{ArrayRef, Float64Array, StringArray, TimestampNanosecondArray};

use crate::{BATCH_ROWS, DEVICES, run, verdict, write};

/// Each is written so often, in turn; the best counts.
const TURNS: usize = 3;

type Columns = Vec<(String, ArrayRef)>;

/// What is written, and with which processor.
struct Case {
    name: &'static str,
    fields: usize,
    /// The plugin and its settings.
    processor: Option<(&'static str, &'static str)>,
    /// Whether the same rows are written to a second table too, as the processor would.
    twice: bool,
}

const CASES: [Case; 6] = [
    Case {
        name: "plain",
        fields: 10,
        processor: None,
        twice: false,
    },
    Case {
        name: "watched_one",
        fields: 10,
        processor: Some(("anomaly", "columns = 'f0'")),
        twice: false,
    },
    Case {
        name: "watched_all",
        fields: 10,
        processor: Some(("anomaly", "threshold = '6'")),
        twice: false,
    },
    Case {
        name: "narrow",
        fields: 1,
        processor: None,
        twice: false,
    },
    Case {
        name: "two_tables",
        fields: 1,
        processor: None,
        twice: true,
    },
    Case {
        name: "converted",
        fields: 1,
        processor: Some(("convert", "columns = 'f0:f_to_c'")),
        twice: false,
    },
];

/// Writes so many rows with each processor.
pub(crate) async fn writes(db: &Db, rows: usize) {
    let mut best = [0.0_f64; CASES.len()];
    for turn in 0..TURNS {
        for (case, best) in CASES.iter().zip(&mut best) {
            *best = best.max(case.rate(db, rows, turn).await);
        }
    }
    let [plain, one, all, narrow, two, converted] = best.map(|rate| rate / 1e6);
    println!(
        "{rows} rows of {DEVICES} devices in batches of {BATCH_ROWS}, the best of {TURNS} turns; M rows/s"
    );
    for (what, rate, goal) in [
        ("one of ten fields", one, 0.5),
        ("all ten fields", all, 0.5),
    ] {
        verdict(
            &format!("anomaly over {what}: {rate:.2} where {plain:.2} are written without it"),
            1.0 - rate / plain,
            1.0 - rate / plain <= goal,
            &format!("of the rate lost (≤ {goal})"),
        );
    }
    verdict(
        &format!(
            "convert (units) into a second table: {converted:.2} where {two:.2} are written to two tables without it, {narrow:.2} to one"
        ),
        1.0 - converted / two,
        converted / two >= 0.8,
        "of the rate lost (≤ 0.2)",
    );
    verdict(
        "rows through convert, a second",
        converted,
        converted >= 1.0,
        "M (≥ 1)",
    );
}

impl Case {
    /// Rows a second.
    async fn rate(&self, db: &Db, rows: usize, turn: usize) -> f64 {
        let table = format!("{}_{turn}", self.name);
        let fields: Vec<String> = (0..self.fields)
            .map(|field| format!("f{field} DOUBLE"))
            .collect();
        let fields = fields.join(", ");
        let copy = format!("{table}_copy");
        for table in [&table, &copy] {
            run(
                db,
                &format!("CREATE TABLE bench.{table} (device TEXT, ts TIMESTAMP, {fields}, PRIMARY KEY ((device), ts))"),
            )
            .await;
        }
        if let Some((plugin, settings)) = self.processor {
            let into = if plugin == "anomaly" {
                format!("{table}_alerts")
            } else {
                copy.clone()
            };
            run(
                db,
                &format!("CREATE PROCESSOR of_{table} ON bench.{table} USING PLUGIN '{plugin}' WITH ({settings}) INTO bench.{into}"),
            )
            .await;
        }
        let batches: Vec<Columns> = (0..rows / BATCH_ROWS)
            .map(|number| fleet(number * BATCH_ROWS, self.fields))
            .collect();
        let begun = Instant::now();
        for columns in batches {
            if self.twice {
                write(db, &copy, columns.clone()).await;
            }
            write(db, &table, columns).await;
        }
        let rate = (rows / BATCH_ROWS * BATCH_ROWS) as f64 / begun.elapsed().as_secs_f64();
        if self.processor.is_some() {
            run(db, &format!("DROP PROCESSOR of_{table}")).await;
        }
        for table in [table, copy] {
            run(db, &format!("DROP TABLE bench.{table}")).await;
        }
        rate
    }
}

/// A batch of a fleet that sends its fields in turn.
fn fleet(first: usize, fields: usize) -> Columns {
    let numbers = first..first + BATCH_ROWS;
    let device = |row: usize| format!("device-{:04}", row % DEVICES);
    let times = numbers
        .clone()
        .map(|row| (row / DEVICES) as i64 * 1_000_000_000);
    let mut columns: Columns = vec![
        (
            "device".to_owned(),
            Arc::new(StringArray::from_iter_values(numbers.clone().map(device))),
        ),
        (
            "ts".to_owned(),
            Arc::new(TimestampNanosecondArray::from_iter_values(times)),
        ),
    ];
    for field in 0..fields {
        let value = |row: usize| 50.0 + ((row * (7919 + field) % 997) as f64 - 498.0) / 100.0;
        let values = Float64Array::from_iter_values(numbers.clone().map(value));
        columns.push((format!("f{field}"), Arc::new(values)));
    }
    columns
}
