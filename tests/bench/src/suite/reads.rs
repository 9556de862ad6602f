//! Reads beside the peers': points, last points, full scans. One child an engine measures all three.

use super::measure_all;
use crate::engine::Engine::{Activestore, Clickhouse, Duckdb, Fjall, Redb, Rocksdb, Sqlite};
use crate::report::{Goal, Goals, Rows, figure, ratio, table};
use crate::session::Session;
use crate::task::{Result, Work};

/// Which reads to show.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Which {
    /// Whole rows by key.
    Point,
    /// The last row of every device.
    Last,
    /// Averages of ten columns.
    Scan,
    /// All of them.
    All,
}

/// Runs them.
pub fn run(session: &mut Session, goals: &mut Goals, which: Which) -> Result<()> {
    let data = session.fleet()?;
    let task = session.task(Work::Reads, &data);
    let wanted = |one: Which| which == one || which == Which::All;
    let mut engines = vec![Activestore];
    if wanted(Which::Point) {
        engines.extend([Rocksdb, Fjall, Redb, Sqlite]);
    }
    engines.extend([Duckdb, Clickhouse]);
    let rows = measure_all(session, &engines, "reads", &task)?;
    if wanted(Which::Point) {
        points(goals, &rows);
    }
    if wanted(Which::Last) {
        let columns = [("ms", "last_ms", 1.0, 2)];
        let title = "last row of 2,000 devices";
        table(title, &columns, &with(&rows, "last_ms"), Some("last_ms"));
        goals.add(
            "last row of all devices through the direct API, to DuckDB",
            ratio(&rows, "activestore", "DuckDB", "last_ms"),
            Goal::AtMost(0.1),
            "×",
        );
    }
    if wanted(Which::Scan) {
        let columns = [
            ("ms", "scan_ms", 1.0, 2),
            ("decode ns a value", "decode_ns_per_value", 1.0, 3),
            ("sum of averages", "scan_sum", 1.0, 3),
        ];
        let title = "average of ten columns, all rows";
        table(title, &columns, &with(&rows, "scan_ms"), Some("scan_ms"));
        goals.add(
            "vectors to Arrow, ten fields, one core",
            figure(&rows, "activestore", "decode_ns_per_value"),
            Goal::AtMost(1.2),
            "ns a value",
        );
    }
    Ok(())
}

fn points(goals: &mut Goals, rows: &Rows) {
    let columns = [
        ("p50 µs", "point_p50_us", 1.0, 1),
        ("p99 µs", "point_p99_us", 1.0, 1),
        ("p999 µs", "point_p999_us", 1.0, 1),
        ("hot p50 µs", "hot_p50_us", 1.0, 1),
        ("hot p99 µs", "hot_p99_us", 1.0, 1),
    ];
    let title = "a whole row by its key, from the page cache";
    table(title, &columns, rows, Some("point_p50_us"));
    let to_rocksdb = |metric| ratio(rows, "activestore", "RocksDB", metric);
    goals.add(
        "point read p50, to RocksDB",
        to_rocksdb("point_p50_us"),
        Goal::AtMost(3.0),
        "×",
    );
    goals.add(
        "point read p50 of hot rows, to RocksDB's",
        to_rocksdb("hot_p50_us"),
        Goal::AtMost(1.0),
        "×",
    );
    goals.add(
        "point read p99",
        figure(rows, "activestore", "point_p99_us"),
        Goal::AtMost(50.0),
        "µs",
    );
}

fn with(rows: &Rows, metric: &str) -> Rows {
    let has = |figures: &crate::session::Figures| figures.contains_key(metric);
    rows.iter()
        .filter(|(_, figures)| has(figures))
        .cloned()
        .collect()
}
