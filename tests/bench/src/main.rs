//! Measures the store beside SQLite and DuckDB, in one run on one machine, and prints ratios.
//!
//! The data is that of a fleet: 2,000 devices that send ten fields in turn, random walks with one to
//! five decimals. Every engine gets the same rows in the same batches and makes each batch durable
//! before it takes the next.

mod duckdb;
mod generate;
mod ours;
mod report;
mod sqlite;

use std::process::ExitCode;

use report::Figures;

const USAGE: &str = "usage: cargo xtask bench [ingest|point|scan|replay|all] [--rows N] [--batch N]
example: cargo xtask bench all --rows 2000000 --batch 10000";

/// What to run.
pub struct Plan {
    /// Rows in all.
    pub rows: usize,
    /// Rows a batch.
    pub batch: usize,
    /// Point reads to time.
    pub points: usize,
}

fn main() -> ExitCode {
    let mut plan = Plan {
        rows: 2_000_000,
        batch: 10_000,
        points: 20_000,
    };
    let mut what = "all".to_owned();
    let mut arguments = std::env::args().skip(1);
    while let Some(argument) = arguments.next() {
        let mut number = || arguments.next().and_then(|text| text.parse().ok());
        match argument.as_str() {
            "ingest" | "point" | "scan" | "replay" | "all" => what = argument,
            "--rows" => plan.rows = number().unwrap_or(plan.rows),
            "--batch" => plan.batch = number().unwrap_or(plan.batch),
            _ => {
                eprintln!("{USAGE}");
                return ExitCode::from(2);
            }
        }
    }
    match run(&plan, &what) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("bench: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(plan: &Plan, what: &str) -> Result<(), Box<dyn std::error::Error>> {
    eprintln!("generating {} rows in batches of {}", plan.rows, plan.batch);
    let data = generate::Data::new(plan);
    if what == "replay" || what == "all" {
        ours::replay(plan, &data)?;
    }
    if what == "replay" {
        return Ok(());
    }
    let mut all: Vec<Figures> = Vec::new();
    eprintln!("activestore …");
    all.push(ours::run(plan, &data)?);
    eprintln!("SQLite …");
    all.push(sqlite::run(plan, &data)?);
    eprintln!("DuckDB …");
    match duckdb::run(plan, &data) {
        Ok(figures) => all.push(figures),
        Err(error) => eprintln!("DuckDB was left out: {error}"),
    }
    report::print(&all, what);
    Ok(())
}
