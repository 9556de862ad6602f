//! What a materialized view costs those who write: the rate of writes with a view over their table beside the rate
//! without one, in turn, in one run; and how far behind the view is.
//!
//! `cargo xtask bench views [--seconds 6] [--turns 5] [--devices 1000] [--rate 0]` runs it. With a rate rows are offered
//! at that many a second, and what it takes of the processor is compared; with 0 as many as go.
#![allow(missing_docs, clippy::unwrap_used, clippy::indexing_slicing)]

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use activestore_db::{Db, DbOptions, Role, SqlOutcome};
use activestore_types::{NamedBatch, TableName};
use arrow::array::{ArrayRef, Float64Array, RecordBatch, StringArray, TimestampNanosecondArray};
use futures::TryStreamExt;

/// Rows of one write.
const BATCH_ROWS: usize = 1_000;
const WRITERS: usize = 4;
/// What a view may cost.
const GOAL: f64 = 0.15;

#[derive(Clone, Copy)]
struct Plan {
    seconds: f64,
    turns: usize,
    devices: usize,
    rate: u64,
}

/// A database with one table that is written to.
struct Side {
    db: Db,
    _dir: tempfile::TempDir,
    next_row: AtomicI64,
    device_names: Arc<Vec<String>>,
}

/// What a turn came to.
#[derive(Clone, Copy, Default)]
struct Turn {
    rows_s: f64,
    /// Seconds of processor time for a million rows.
    cpu_s: f64,
}

fn main() {
    let mut plan = Plan {
        seconds: 6.0,
        turns: 5,
        devices: 1_000,
        rate: 0,
    };
    let mut arguments = std::env::args().skip(1);
    while let (Some(name), Some(value)) = (arguments.next(), arguments.next()) {
        match name.as_str() {
            "--seconds" => plan.seconds = value.parse().expect("a number of seconds"),
            "--turns" => plan.turns = value.parse().expect("a number of turns"),
            "--devices" => plan.devices = value.parse().expect("a number of devices"),
            "--rate" => plan.rate = value.parse().expect("rows a second"),
            other => panic!("{other} is not known"),
        }
    }
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        let plain = Side::new(plan, false).await;
        let viewed = Side::new(plan, true).await;
        let (mut without, mut with) = (Vec::new(), Vec::new());
        println!(
            "{WRITERS} writers, {BATCH_ROWS} rows a write, {} devices, turns of {} s; rows/s and processor seconds for a million rows",
            plan.devices, plan.seconds
        );
        for turn in 0..plan.turns {
            // Each goes first as often as the other.
            let first_plain = turn % 2 == 0;
            for plain_now in [first_plain, !first_plain] {
                let side = if plain_now { &plain } else { &viewed };
                let done = side.turn(plan).await;
                let lag = if plain_now { String::new() } else { viewed.lag().await };
                let name = if plain_now { "without" } else { "with   " };
                println!("  {name} {:>9.0} rows/s {:>6.2} s/M {lag}", done.rows_s, done.cpu_s);
                let turns = if plain_now { &mut without } else { &mut with };
                turns.push(done);
                side.settle(!plain_now).await;
            }
        }
        viewed.check().await;
        let (without, with) = (middle(&without), middle(&with));
        let (cost, what) = if plan.rate == 0 {
            (1.0 - with.rows_s / without.rows_s, "of the rate lost")
        } else {
            (with.cpu_s / without.cpu_s - 1.0, "more processor time")
        };
        let word = if cost <= GOAL { "PASS " } else { "SHORT" };
        println!(
            "  {word} a view over a table that is written to: {:.0} rows/s without, {:.0} with: {cost:.3} {what} (≤ {GOAL}), the medians of {} turns",
            without.rows_s, with.rows_s, plan.turns
        );
        plain.db.shutdown().await.unwrap();
        viewed.db.shutdown().await.unwrap();
    });
}

impl Side {
    async fn new(plan: Plan, viewed: bool) -> Side {
        let dir = tempfile::tempdir().unwrap();
        let mut options = DbOptions::new(dir.path(), Role::Cloud);
        options.query_partitions = std::thread::available_parallelism().map_or(1, usize::from);
        let db = Db::open(options).unwrap();
        run(&db, "CREATE KEYSPACE bench WITH (sync = 'none')").await;
        run(&db, "CREATE TABLE bench.t (device TEXT, ts TIMESTAMP, temp DOUBLE, vib DOUBLE, PRIMARY KEY ((device), ts))").await;
        if viewed {
            run(&db, &format!("CREATE MATERIALIZED VIEW bench.v AS {QUERY}")).await;
            run(&db, "REFRESH MATERIALIZED VIEW bench.v").await;
        }
        let names = (0..plan.devices).map(|number| format!("device-{number:05}"));
        Side {
            db,
            _dir: dir,
            next_row: AtomicI64::new(0),
            device_names: Arc::new(names.collect()),
        }
    }

    /// Rows as machines send them: one of each device in turn, stamped with the clock.
    fn batch(&self) -> NamedBatch {
        let first = self
            .next_row
            .fetch_add(BATCH_ROWS as i64, Ordering::Relaxed);
        let rows = first..first + BATCH_ROWS as i64;
        let devices = self.device_names.len() as i64;
        let device = |row: i64| self.device_names[(row % devices) as usize].as_str();
        let started = 1_767_225_600_000_000_000_i64;
        // 200 k rows a second of event time, whatever the machine can do.
        let ts = |row: i64| started + row * 5_000;
        let columns: Vec<(&str, ArrayRef)> = vec![
            (
                "device",
                Arc::new(
                    rows.clone()
                        .map(|row| Some(device(row)))
                        .collect::<StringArray>(),
                ),
            ),
            (
                "ts",
                Arc::new(TimestampNanosecondArray::from_iter_values(
                    rows.clone().map(ts),
                )),
            ),
            (
                "temp",
                Arc::new(Float64Array::from_iter_values(
                    rows.clone().map(|row| 20.0 + (row % 97) as f64 / 10.0),
                )),
            ),
            (
                "vib",
                Arc::new(Float64Array::from_iter_values(
                    rows.map(|row| (row % 13) as f64 / 100.0),
                )),
            ),
        ];
        let batch = RecordBatch::try_from_iter(columns).unwrap();
        NamedBatch::from_record_batch(TableName::new("bench", "t"), &batch)
    }

    async fn turn(&self, plan: Plan) -> Turn {
        let (begun, cpu) = (Instant::now(), processor_s());
        let ends = begun + Duration::from_secs_f64(plan.seconds);
        let written = AtomicU64::new(0);
        let writers = (0..WRITERS).map(|_| async {
            while Instant::now() < ends {
                if plan.rate > 0 {
                    let due = written.load(Ordering::Relaxed) as f64 / plan.rate as f64;
                    let ahead = due - begun.elapsed().as_secs_f64();
                    if ahead > 0.0 {
                        tokio::time::sleep(Duration::from_secs_f64(ahead.min(0.05))).await;
                        continue;
                    }
                }
                let batch = self.batch();
                self.db.write(vec![batch]).await.unwrap();
                written.fetch_add(BATCH_ROWS as u64, Ordering::Relaxed);
            }
        });
        futures::future::join_all(writers).await;
        let rows = written.load(Ordering::Relaxed) as f64;
        Turn {
            rows_s: rows / begun.elapsed().as_secs_f64(),
            cpu_s: (processor_s() - cpu) / rows * 1e6,
        }
    }

    async fn lag(&self) -> String {
        let stands = cells(
            &self.db,
            "SELECT lag_s, lag_records, dirty_groups, state FROM system.views",
        )
        .await;
        format!("(behind by s|records|groups: {})", stands.join(", "))
    }

    /// What a turn left to be done is done before the next one begins.
    async fn settle(&self, viewed: bool) {
        if viewed {
            run(&self.db, "REFRESH MATERIALIZED VIEW bench.v").await;
        }
        while !cells(
            &self.db,
            "SELECT 1 FROM system.compactions WHERE state = 'running'",
        )
        .await
        .is_empty()
        {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    async fn check(&self) {
        run(&self.db, "REFRESH MATERIALIZED VIEW bench.v").await;
        let sums = |from: &str| format!("SELECT count(*), sum(n), max(high) FROM {from}");
        let held = cells(&self.db, &sums("bench.v")).await;
        let said = cells(&self.db, &sums(&format!("({QUERY})"))).await;
        assert_eq!(held, said, "the view does not hold what its query says");
    }
}

const QUERY: &str = "SELECT device, tumble(ts, '1 minute') AS w, count(*) AS n, avg(temp) AS temp, max(vib) AS high FROM bench.t GROUP BY device, w";

async fn run(db: &Db, sql: &str) {
    db.sql(sql, &[]).await.unwrap();
}

async fn cells(db: &Db, sql: &str) -> Vec<String> {
    let Some(SqlOutcome::Rows(rows)) = db.sql(sql, &[]).await.unwrap().pop() else {
        panic!("'{sql}' answered without rows");
    };
    let batches: Vec<RecordBatch> = rows.stream.try_collect().await.unwrap();
    let mut lines = Vec::new();
    for batch in &batches {
        for row in 0..batch.num_rows() {
            let cells = batch.columns().iter();
            let cells = cells
                .map(|column| arrow::util::display::array_value_to_string(column, row).unwrap());
            lines.push(cells.collect::<Vec<_>>().join("|"));
        }
    }
    lines
}

/// The turn in the middle, by its rate and by its time.
fn middle(turns: &[Turn]) -> Turn {
    let of = |read: fn(&Turn) -> f64| {
        let mut all: Vec<f64> = turns.iter().map(read).collect();
        all.sort_by(f64::total_cmp);
        all[all.len() / 2]
    };
    Turn {
        rows_s: of(|turn| turn.rows_s),
        cpu_s: of(|turn| turn.cpu_s),
    }
}

/// Processor time of this process so far, in seconds.
fn processor_s() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap();
    // Behind the name, which may hold anything, in ticks of a hundredth of a second.
    let fields: Vec<&str> = stat
        .rsplit(')')
        .next()
        .unwrap()
        .split_whitespace()
        .collect();
    let ticks: f64 = fields[11].parse::<f64>().unwrap() + fields[12].parse::<f64>().unwrap();
    ticks / 100.0
}
