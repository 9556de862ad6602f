//! Durable ingest: batches of three sizes, and single rows of many writers.

use super::measure_all;
use crate::engine::Engine::{self, Activestore, Clickhouse, Duckdb, Fjall, Redb, Rocksdb, Sqlite};
use crate::report::{Column, Goal, Goals, figure, ratio, table};
use crate::session::Session;
use crate::task::{Result, Work};

const COLUMNS: [Column; 6] = [
    ("M rows", "rows", 1e-6, 2),
    ("M rows/s", "rows_s", 1e-6, 3),
    ("settled M rows/s", "settled_rows_s", 1e-6, 3),
    ("M rows/CPU s", "rows_cpu_s", 1e-6, 3),
    ("commit p50 ms", "p50_ms", 1.0, 2),
    ("p99 ms", "p99_ms", 1.0, 2),
];

/// Runs it.
pub fn run(session: &mut Session, goals: &mut Goals) -> Result<()> {
    let data = session.fleet()?;
    let all: [Engine; 7] = [
        Activestore,
        Rocksdb,
        Fjall,
        Redb,
        Sqlite,
        Duckdb,
        Clickhouse,
    ];
    for batch in [1_000, 10_000, 100_000] {
        let mut task = session.task(Work::Ingest, &data);
        task.batch = batch;
        let rows = measure_all(session, &all, &format!("ingest {batch}"), &task)?;
        table(
            &format!("durable ingest, {batch} rows a batch"),
            &COLUMNS,
            &rows,
            Some("settled_rows_s"),
        );
        let what =
            |rest: &str| format!("ingest in batches of {batch}, compaction included, {rest}");
        let ours = figure(&rows, "activestore", "settled_rows_s").map(|rate| rate / 1e6);
        let mut against = |peer: &str, bound: f64| {
            let ratio = ratio(&rows, "activestore", peer, "settled_rows_s");
            goals.add(
                what(&format!("to {peer}")),
                ratio,
                Goal::AtLeast(bound),
                "×",
            );
        };
        match batch {
            1_000 => goals.add(what("alone"), ours, Goal::AtLeast(1.0), "M rows/s"),
            10_000 => {
                against("DuckDB", 4.0);
                against("RocksDB", 8.0);
                goals.add(what("alone"), ours, Goal::AtLeast(2.0), "M rows/s");
            }
            _ => {
                against("DuckDB", 1.2);
                against("ClickHouse", 1.2);
            }
        }
    }
    let mut task = session.task(Work::Single, &data);
    task.seconds = task.seconds.min(10.0);
    let rows = measure_all(
        session,
        &[Activestore, Rocksdb, Fjall],
        "single rows",
        &task,
    )?;
    let columns: Vec<Column> = COLUMNS
        .into_iter()
        .filter(|column| column.1 != "settled_rows_s")
        .chain([("rows a sync", "rows_per_sync", 1.0, 1)])
        .collect();
    let title = "single rows, 64 writers";
    table(title, &columns, &rows, Some("rows_s"));
    goals.add(
        "single durable rows from 64 writers, to RocksDB",
        ratio(&rows, "activestore", "RocksDB", "rows_s"),
        Goal::AtLeast(2.0),
        "×",
    );
    Ok(())
}
