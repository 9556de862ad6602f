//! What tests and measurements of processors begin with, beside [`crate::MemoryState`]: columns, settings, and batches of a
//! fleet's readings.

use crate::{Batch, Column, Config, Field, ScalarType};

/// A column of a table.
pub fn field(name: &str, kind: ScalarType, nullable: bool) -> Field {
    Field {
        name: name.to_owned(),
        kind,
        nullable,
    }
}

/// Settings, as `CREATE PROCESSOR … WITH (…)` gives them.
pub fn config(settings: &[(&str, &str)]) -> Config {
    let own = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
    Config(settings.iter().map(own).collect())
}

/// A table of readings: `device` and `ts` are its key, `temp`, `count` and `status` its values.
pub fn readings() -> Vec<Field> {
    vec![
        field("device", ScalarType::Text, false),
        field("ts", ScalarType::Timestamp, false),
        field("temp", ScalarType::Float64, true),
        field("count", ScalarType::Int64, true),
        field("status", ScalarType::Text, true),
    ]
}

/// Rows of [`readings`]: device, time, `temp` and `count`.
pub fn batch(rows: &[(&str, i64, f64, i64)]) -> Batch {
    Batch {
        rows: rows.len() as u32,
        columns: vec![
            Column::text(rows.iter().map(|row| row.0)),
            Column::s64s(rows.iter().map(|row| row.1).collect()),
            Column::f64s(rows.iter().map(|row| row.2).collect()),
            Column::s64s(rows.iter().map(|row| row.3).collect()),
        ],
    }
}

/// Batches of a fleet that sends in turn, one row a second from each device: `device`, `ts` and `temp`, which a
/// function gives by the row's number.
pub fn fleet(
    devices: i64,
    rows: i64,
    batches: i64,
    temp: impl Fn(i64) -> f64,
) -> impl Iterator<Item = Batch> {
    (0..batches).map(move |number| {
        let rows = number * rows..(number + 1) * rows;
        let device = |row: i64| format!("device-{:04}", row % devices);
        let second = |row: i64| row / devices * 1_000_000_000;
        Batch {
            rows: (rows.end - rows.start) as u32,
            columns: vec![
                Column::text(rows.clone().map(device)),
                Column::s64s(rows.clone().map(second).collect()),
                Column::f64s(rows.map(&temp).collect()),
            ],
        }
    })
}
