//! Queries as users send them: the program over HTTP beside DuckDB and ClickHouse, in turn, in one process of
//! Python that also makes sure that all give equal answers.

use std::path::Path;

use crate::engine::Engine::{self, Activestore, Clickhouse, Duckdb};
use crate::report::{Goal, Goals, Rows, table};
use crate::session::{Figures, Session};
use crate::task::Result;

/// The queries, and what of them is asked beside DuckDB alone.
const QUERIES: usize = 13;
const LAST_POINT: usize = 1;
const BY_DEVICE_AND_HOUR: [usize; 2] = [5, 6];

/// How they are asked.
#[derive(Clone, Copy)]
pub struct Asked<'a> {
    /// The program.
    pub program: &'a Path,
    /// How often each is asked.
    pub repeats: usize,
    /// Passes that the rows are written in, every so many ticks in each.
    pub runs: usize,
}

/// Runs them.
pub fn run(session: &mut Session, goals: &mut Goals, asked: Asked<'_>) -> Result<()> {
    let data = session.fleet()?;
    let peers = [Duckdb, Clickhouse];
    let peers: Vec<Engine> = peers.into_iter().filter(|one| session.is_asked(*one)).collect();
    let names: Vec<&str> = peers.iter().map(|peer| key(*peer)).collect();
    let figures = session.queries(&serde_json::json!({
        "work": "queries", "data": data, "program": std::path::absolute(asked.program)?,
        "repeats": asked.repeats, "runs": asked.runs, "peers": names,
    }))?;
    let of = |query: usize, engine: Engine, what: &str| {
        figures.get(&format!("q{query} {} {what}", key(engine))).copied()
    };
    let ratio = |query: usize, peer: Engine| {
        Some(of(query, Activestore, "median")? / of(query, peer, "median")?)
    };
    print(&figures, &of, &ratio);
    for (peer, bound) in [(Duckdb, 0.5), (Clickhouse, 0.2)] {
        let ratios: Option<Vec<f64>> = (1..=QUERIES).map(|query| ratio(query, peer)).collect();
        let what = format!("thirteen queries over HTTP, geometric mean, to {}", peer.name());
        goals.add(what, ratios.map(|ratios| mean(&ratios)), Goal::AtMost(bound), "×");
    }
    let better = |query: usize| {
        let both = [ratio(query, Duckdb), ratio(query, Clickhouse)];
        both.into_iter().flatten().reduce(f64::max)
    };
    let worst: Option<Vec<f64>> = (1..=QUERIES).map(better).collect();
    let worst = worst.and_then(|worst| worst.into_iter().reduce(f64::max));
    goals.add("slowest of them, to the better peer", worst, Goal::AtMost(1.0), "×");
    goals.add("last point of each device by SQL, to DuckDB", ratio(LAST_POINT, Duckdb), Goal::AtMost(0.1), "×");
    for query in BY_DEVICE_AND_HOUR {
        let what = format!("averages by device and hour (q{query}), to DuckDB");
        goals.add(what, ratio(query, Duckdb), Goal::AtMost(0.5), "×");
    }
    Ok(())
}

fn key(engine: Engine) -> &'static str {
    match engine {
        Activestore => "activestore",
        Duckdb => "duckdb",
        _ => "clickhouse",
    }
}

fn mean(ratios: &[f64]) -> f64 {
    let logs: f64 = ratios.iter().map(|ratio| ratio.ln()).sum();
    (logs / ratios.len() as f64).exp()
}

fn print(
    figures: &Figures,
    of: &dyn Fn(usize, Engine, &str) -> Option<f64>,
    ratio: &dyn Fn(usize, Engine) -> Option<f64>,
) {
    let mut rows = Rows::new();
    for query in 1..=QUERIES {
        let mut row = Figures::new();
        for engine in [Activestore, Duckdb, Clickhouse] {
            for what in ["median", "least"] {
                if let Some(ms) = of(query, engine, what) {
                    row.insert(format!("{} {what}", key(engine)), ms);
                }
            }
            if let Some(ratio) = ratio(query, engine) {
                row.insert(format!("to {}", key(engine)), ratio);
            }
        }
        rows.push((format!("q{query}"), row));
    }
    let columns = [
        ("activestore ms", "activestore median", 1.0, 2),
        ("least", "activestore least", 1.0, 2),
        ("DuckDB", "duckdb median", 1.0, 2),
        ("least", "duckdb least", 1.0, 2),
        ("ClickHouse", "clickhouse median", 1.0, 2),
        ("least", "clickhouse least", 1.0, 2),
        ("to DuckDB", "to duckdb", 1.0, 3),
        ("to ClickHouse", "to clickhouse", 1.0, 3),
    ];
    table("queries, medians", &columns, &rows, None);
    if let Some(files) = figures.get("files") {
        println!("  {files} files of the table, none of them compacted for the occasion");
    }
}
