//! Bytes on disk after compaction: the fleet, doubles of full precision, NULL-heavy rows, and real
//! readings where a directory of them is given.

use super::measure_all;
use crate::data::{full_precision, real, sparse};
use crate::engine::Engine::{Activestore, Clickhouse, Duckdb, Fjall, Rocksdb, Sqlite};
use crate::report::{Column, Goal, Goals, Rows, figure, ratio, table};
use crate::session::{Figures, Session};
use crate::task::{Dataset, Result, Work};

const COLUMNS: [Column; 2] = [
    ("MB", "bytes", 1e-6, 3),
    ("bytes a row", "row_bytes", 1.0, 2),
];

/// Runs it.
pub fn run(session: &mut Session, goals: &mut Goals) -> Result<()> {
    let fleet = session.fleet()?;
    let rows = one(session, &fleet, true)?;
    goal(goals, &rows, "the fleet", 0.65, Some(0.5));
    eprintln!("making doubles of full precision and NULL-heavy rows");
    let rows = (session.plan.rows / 4).max(10_000);
    let dir = session.dir().to_owned();
    let data = full_precision::make(&dir, rows)?;
    let measured = one(session, &data, false)?;
    goal(goals, &measured, "doubles of full precision", 1.0, None);
    let data = sparse::make(&dir, rows)?;
    let measured = one(session, &data, false)?;
    goal(goals, &measured, "NULL-heavy rows", 1.0, None);
    let Some(source) = session.plan.real.clone() else {
        println!("\nReal readings: none, since no --real DIR is given.");
        return Ok(());
    };
    let mut sum = Rows::new();
    for data in real::make(&dir, &source)? {
        for (engine, figures) in one(session, &data, false)? {
            let bytes = figures.get("bytes").copied().unwrap_or_default();
            match sum.iter_mut().find(|(name, _)| *name == engine) {
                Some((_, total)) => *total.entry("bytes".into()).or_default() += bytes,
                None => sum.push((engine, Figures::from([("bytes".to_owned(), bytes)]))),
            }
        }
    }
    table("all real readings", &COLUMNS, &sum, Some("bytes"));
    goal(goals, &sum, "real readings", 0.65, Some(0.5));
    Ok(())
}

fn one(session: &mut Session, data: &Dataset, key_value: bool) -> Result<Rows> {
    let task = session.task(Work::Size, data);
    let mut engines = vec![Activestore, Clickhouse, Duckdb];
    if key_value {
        engines.extend([Rocksdb, Fjall, Sqlite]);
    }
    let case = format!("size of {}", data.name);
    let mut measured = measure_all(session, &engines, &case, &task)?;
    for (_, figures) in &mut measured {
        let bytes = figures.get("bytes").copied().unwrap_or(f64::NAN);
        figures.insert("row_bytes".into(), bytes / data.rows as f64);
    }
    let lz4 = figure(&measured, "ClickHouse", "lz4_bytes");
    if let Some(lz4) = lz4 {
        measured.push((
            "ClickHouse, its default LZ4".into(),
            Figures::from([
                ("bytes".to_owned(), lz4),
                ("row_bytes".to_owned(), lz4 / data.rows as f64),
            ]),
        ));
    }
    table(&case, &COLUMNS, &measured, Some("bytes"));
    Ok(measured)
}

fn goal(goals: &mut Goals, rows: &Rows, what: &str, clickhouse: f64, duckdb: Option<f64>) {
    let to = |peer: &str| ratio(rows, "activestore", peer, "bytes");
    goals.add(
        format!("disk of {what}, to ClickHouse's best codecs"),
        to("ClickHouse"),
        Goal::AtMost(clickhouse),
        "×",
    );
    if let Some(bound) = duckdb {
        let what = format!("disk of {what}, to DuckDB");
        goals.add(what, to("DuckDB"), Goal::AtMost(bound), "×");
    }
}
