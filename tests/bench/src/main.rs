//! Measures the store beside the engines that users would pick instead, in one run on one machine,
//! each engine in a process of its own, and says what of the goals is reached.
//!
//! The data is that of a fleet: 2,000 devices that send ten fields in turn. Every engine gets the same
//! rows the way it likes them best (columns or records) and makes each batch durable before it takes
//! the next.
#![allow(clippy::indexing_slicing)]

mod data;
mod engine;
mod fjall;
mod key_value;
mod ours;
mod process;
mod redb;
mod report;
mod session;
mod sqlite;
mod suite;
mod task;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};

use engine::Engine;
use report::Goals;
use session::{Plan, Session};
use suite::reads::Which;
use task::{Result, Task};

#[derive(Parser)]
#[command(
    bin_name = "cargo xtask bench",
    about = "Measures the store beside its peers."
)]
struct Arguments {
    #[command(subcommand)]
    bench: Bench,
}

#[derive(Subcommand)]
enum Bench {
    /// Durable ingest in batches of 1,000, 10,000 and 100,000, and of single rows.
    Ingest(Settings),
    /// Disk after compaction: generated, full-precision, NULL-heavy and real rows.
    Size(Settings),
    /// Whole rows by key.
    Point(Settings),
    /// The last row of every device.
    Last(Settings),
    /// Full scans, decoding, overlapping runs, and reads beside ingest.
    Scan(Settings),
    /// The store's resident memory under a limit, and write amplification.
    Memory(Settings),
    /// Opening a store whose rows are all in the log.
    Replay(Settings),
    /// Thirteen queries by SQL over HTTP, beside DuckDB and ClickHouse.
    Queries {
        /// The program, built for release.
        #[arg(long)]
        program: PathBuf,
        /// How often each query is asked.
        #[arg(long, default_value_t = 9)]
        repeats: usize,
        /// Passes that the rows are written in, every so many ticks in each: runs that overlap row by row.
        #[arg(long, default_value_t = 2)]
        runs: usize,
        #[command(flatten)]
        settings: Settings,
    },
    /// All but the queries.
    All(Settings),
    /// One engine's part, in this process.
    #[command(hide = true)]
    Run { engine: Engine, task: String },
}

#[derive(Args)]
struct Settings {
    /// Rows of the fleet.
    #[arg(long, default_value_t = 2_000_000)]
    rows: usize,
    /// Half a day of the fleet: 8,640,000 rows.
    #[arg(long)]
    full: bool,
    /// Seconds after which an engine stops writing, whether or not all rows are in.
    #[arg(long, default_value_t = 15.0)]
    seconds: f64,
    /// Point reads to time.
    #[arg(long, default_value_t = 20_000)]
    points: usize,
    /// The store's memory limit in MiB, for `memory`.
    #[arg(long, default_value_t = 64)]
    memory_mib: u64,
    /// A directory of CSV files whose first column is the time.
    #[arg(long)]
    real: Option<PathBuf>,
    /// Only these engines.
    #[arg(long, value_delimiter = ',')]
    engines: Vec<Engine>,
    /// A file for the figures, one JSON object a line.
    #[arg(long)]
    json: Option<PathBuf>,
}

fn main() -> ExitCode {
    let done = match Arguments::parse().bench {
        Bench::Run { engine, task } => child(engine, &task),
        bench => parent(bench),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("bench: {error}");
            ExitCode::FAILURE
        }
    }
}

fn child(engine: Engine, task: &str) -> Result<()> {
    let task: Task = serde_json::from_str(task)?;
    match engine {
        Engine::Activestore => ours::run(&task),
        Engine::Fjall => key_value::run::<fjall::Fjall>(&task),
        Engine::Redb => key_value::run::<redb::Redb>(&task),
        Engine::Sqlite => key_value::run::<sqlite::Sqlite>(&task),
        Engine::Rocksdb | Engine::Duckdb | Engine::Clickhouse => {
            Err("this engine is not part of this program".into())
        }
    }
}

fn parent(bench: Bench) -> Result<()> {
    let (Bench::Ingest(settings)
    | Bench::Size(settings)
    | Bench::Point(settings)
    | Bench::Last(settings)
    | Bench::Scan(settings)
    | Bench::Memory(settings)
    | Bench::Replay(settings)
    | Bench::Queries { settings, .. }
    | Bench::All(settings)) = &bench
    else {
        return Err("not a benchmark".into());
    };
    let plan = Plan {
        rows: if settings.full {
            data::fleet::FULL_ROWS
        } else {
            settings.rows.max(data::fleet::DEVICES)
        },
        seconds: settings.seconds,
        points: settings.points.max(1),
        memory: settings.memory_mib << 20,
        real: settings.real.clone(),
        engines: settings.engines.clone(),
        json: settings.json.clone(),
    };
    let mut session = Session::new(plan)?;
    let load = || std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    let cpus = std::thread::available_parallelism().map_or(0, usize::from);
    let before = load();
    let mut goals = Goals::default();
    let done = run(&bench, &mut session, &mut goals);
    goals.print(&mut session)?;
    for skipped in session.skipped() {
        println!("  not measured: {skipped}");
    }
    let (before, after) = (before.trim().to_owned(), load().trim().to_owned());
    println!("  {cpus} processors; load average before: {before}; after: {after}");
    let rows = session.plan.rows;
    session.note(&serde_json::json!({
        "rows": rows, "processors": cpus, "load_before": before, "load_after": after,
    }))?;
    done
}

fn run(bench: &Bench, session: &mut Session, goals: &mut Goals) -> Result<()> {
    match bench {
        Bench::Ingest(_) => suite::ingest::run(session, goals),
        Bench::Size(_) => suite::size::run(session, goals),
        Bench::Point(_) => suite::reads::run(session, goals, Which::Point),
        Bench::Last(_) => suite::reads::run(session, goals, Which::Last),
        Bench::Scan(_) => {
            suite::reads::run(session, goals, Which::Scan)?;
            suite::own::overlap(session, goals)?;
            suite::own::mixed(session, goals)
        }
        Bench::Memory(_) => suite::own::memory(session, goals),
        Bench::Replay(_) => suite::own::replay(session, goals),
        Bench::Queries {
            program,
            repeats,
            runs,
            ..
        } => {
            let asked = suite::queries::Asked {
                program,
                repeats: (*repeats).max(1),
                runs: (*runs).clamp(1, 4),
            };
            suite::queries::run(session, goals, asked)
        }
        Bench::All(_) => {
            suite::ingest::run(session, goals)?;
            suite::size::run(session, goals)?;
            suite::reads::run(session, goals, Which::All)?;
            suite::own::overlap(session, goals)?;
            suite::own::mixed(session, goals)?;
            suite::own::memory(session, goals)?;
            suite::own::replay(session, goals)
        }
        Bench::Run { .. } => Err("not a benchmark".into()),
    }
}
