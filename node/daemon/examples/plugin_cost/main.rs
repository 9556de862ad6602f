//! What the sandbox costs: queries with functions of plugins beside the same queries with what SQL has
//! itself, in turn; writes with a processor beside writes without; the memory of many modules.
//!
//! `cargo xtask bench plugins [--rows 10000000] [--written 2000000] [--seconds 30]` builds the plugins and runs it; 0
//! leaves the part out.
#![allow(missing_docs, clippy::unwrap_used, clippy::indexing_slicing)]

mod hostile;
mod writes;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use activestore_db::{Db, DbOptions, Role, SqlOutcome};
use activestore_plugin_host::{HostOptions, PluginHost};
use activestore_test_links::memory;
use activestore_types::{NamedBatch, TableName};
use arrow::array::{ArrayRef, Float64Array, RecordBatch, StringArray, TimestampNanosecondArray};
use futures::TryStreamExt;

const DEVICES: usize = 1000;
const BATCH_ROWS: usize = 10_000;
const ROUNDS: usize = 7;
const MODULES: usize = 50;
/// Rows of a call through many modules.
const CALL_ROWS: usize = 100;

fn main() {
    let mut arguments = std::env::args().skip(1);
    let components = PathBuf::from(arguments.next().expect("the components' directory"));
    let (mut rows, mut written, mut seconds) = (10_000_000, 2_000_000, 30.0);
    while let (Some(name), Some(value)) = (arguments.next(), arguments.next()) {
        match name.as_str() {
            "--rows" => rows = value.parse().expect("a number of rows"),
            "--written" => written = value.parse().expect("a number of rows"),
            "--seconds" => seconds = value.parse().expect("a number of seconds"),
            other => panic!("{other} is not known"),
        }
    }
    if seconds > 0.0 {
        modules(&components, seconds);
    }
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        let dir = tempfile::tempdir().unwrap();
        let mut options = DbOptions::new(dir.path(), Role::Edge);
        // Ten series of each device have 4 MB of state together.
        options.memory_bytes = 256 << 20;
        options.query_partitions = std::thread::available_parallelism().map_or(1, usize::from);
        let deadline = options.plugin_deadline;
        let db = Db::open(options).unwrap();
        for name in ["yardstick", "statistics", "anomaly", "convert", "hostile"] {
            let wasm = std::fs::read(components.join(format!("{name}.wasm"))).unwrap();
            db.put_plugin(name, Some("1"), wasm).await.unwrap();
        }
        for sql in [
            "CREATE KEYSPACE bench WITH (sync = 'none')",
            "CREATE FUNCTION scaled USING PLUGIN 'yardstick'",
            "CREATE FUNCTION shout USING PLUGIN 'yardstick'",
            "CREATE AGGREGATE rms USING PLUGIN 'statistics'",
        ] {
            run(&db, sql).await;
        }
        if rows > 0 {
            queries(&db, rows).await;
        }
        if written > 0 {
            writes::writes(&db, written).await;
        }
        hostile::hostile(&db, deadline).await;
        db.shutdown().await.unwrap();
    });
}

/// Many modules, each called in turn with a few rows.
fn modules(components: &Path, seconds: f64) {
    let dir = tempfile::tempdir().unwrap();
    let host = PluginHost::new(HostOptions {
        cache_dir: Some(dir.path().to_owned()),
        ..HostOptions::default()
    })
    .unwrap();
    let units = std::fs::read(components.join("units.wasm")).unwrap();
    let rows: ArrayRef = Arc::new(Float64Array::from(vec![212.0; CALL_ROWS]));
    let before = resident();
    let mut plugins = Vec::new();
    for number in 0..MODULES {
        let plugin = host
            .load(&format!("units-{number}"), &relabelled(&units, number))
            .unwrap();
        let function = plugin.scalar("f_to_c").unwrap();
        function
            .call(CALL_ROWS, std::slice::from_ref(&rows))
            .unwrap();
        plugins.push((plugin, function));
    }
    let each = resident().saturating_sub(before) as f64 / MODULES as f64 / 1024.0;
    verdict(
        &format!("{MODULES} modules loaded and called once, idle: each"),
        each / 1024.0,
        each <= 2048.0,
        "MiB (≤ 2)",
    );
    let (begun, mut calls, mut settled) = (Instant::now(), 0_u64, None);
    while begun.elapsed().as_secs_f64() < seconds {
        for (_, function) in &plugins {
            function
                .call(CALL_ROWS, std::slice::from_ref(&rows))
                .unwrap();
            calls += 1;
        }
        if settled.is_none() && begun.elapsed().as_secs_f64() > seconds / 10.0 {
            settled = Some(resident());
        }
    }
    let rate = calls as f64 / begun.elapsed().as_secs_f64();
    verdict(
        &format!("calls of {CALL_ROWS} rows through all of them, one thread, for {seconds:.0} s"),
        rate,
        rate >= 10_000.0,
        "a second (≥ 10000)",
    );
    let grown = resident().saturating_sub(settled.unwrap_or(before)) as f64 / f64::from(1 << 20);
    verdict(
        "memory that those calls left behind",
        grown,
        grown <= 1.0,
        "MiB (≤ 1)",
    );
}

/// The same component with another hash: a section that nobody reads is added.
fn relabelled(component: &[u8], number: usize) -> Vec<u8> {
    let mut bytes = component.to_vec();
    let text = format!("{number:08}");
    // A custom section: its length, the length of its name, the name, the text.
    bytes.extend([0, 1 + 5 + 8, 5]);
    bytes.extend(b"label");
    bytes.extend(text.as_bytes());
    bytes
}

/// This process's resident memory in bytes.
fn resident() -> u64 {
    memory::resident(std::process::id())
}

async fn queries(db: &Db, rows: usize) {
    run(
        db,
        "CREATE TABLE bench.readings (device TEXT, ts TIMESTAMP, x DOUBLE, name TEXT, PRIMARY KEY ((device), ts))",
    )
    .await;
    for first in (0..rows).step_by(BATCH_ROWS) {
        let numbers = first..rows.min(first + BATCH_ROWS);
        let device = |row: usize| format!("device-{:04}", row % DEVICES);
        let columns: [(&str, ArrayRef); 4] = [
            (
                "device",
                Arc::new(StringArray::from_iter_values(numbers.clone().map(device))),
            ),
            (
                "ts",
                Arc::new(TimestampNanosecondArray::from_iter_values(
                    numbers
                        .clone()
                        .map(|row| (row / DEVICES) as i64 * 1_000_000_000),
                )),
            ),
            (
                "x",
                Arc::new(Float64Array::from_iter_values(
                    numbers
                        .clone()
                        .map(|row| (row * 7919 % 10_007) as f64 / 100.0),
                )),
            ),
            (
                "name",
                Arc::new(StringArray::from_iter_values(numbers.map(|row| {
                    format!("pump {} of line {}", row * 31 % 997, row % 13)
                }))),
            ),
        ];
        write(db, "readings", columns).await;
    }
    println!(
        "{rows} rows of {DEVICES} devices; the middle of {ROUNDS} rounds, plugin and SQL in turn"
    );
    for (what, plugin, native, goal) in [
        (
            "f64 expression",
            "SELECT sum(scaled(x)) FROM bench.readings",
            "SELECT sum(x * 1.8 + 32.0) FROM bench.readings",
            1.5,
        ),
        (
            "text, upper",
            "SELECT count(*) FROM bench.readings WHERE shout(name) = 'NOWHERE'",
            "SELECT count(*) FROM bench.readings WHERE upper(name) = 'NOWHERE'",
            3.0,
        ),
        (
            "grouped aggregate",
            "SELECT device, rms(x) FROM bench.readings GROUP BY device",
            "SELECT device, sqrt(avg(x * x)) FROM bench.readings GROUP BY device",
            3.0,
        ),
    ] {
        let (mut with, mut without) = (Vec::new(), Vec::new());
        for _ in 0..ROUNDS {
            with.push(timed(db, plugin).await);
            without.push(timed(db, native).await);
        }
        let (with, without) = (middle(with), middle(without));
        verdict(
            &format!("{what}: {with:.0} ms in the sandbox, {without:.0} ms in SQL"),
            with / without,
            with / without <= goal,
            &format!("× (≤ {goal})"),
        );
    }
}

pub(crate) async fn write<N: AsRef<str>>(
    db: &Db,
    table: &str,
    columns: impl IntoIterator<Item = (N, ArrayRef)>,
) {
    let batch = RecordBatch::try_from_iter(columns).unwrap();
    let batch = NamedBatch::from_record_batch(TableName::new("bench", table), &batch);
    let receipt = db.write(vec![batch]).await.unwrap();
    assert_eq!(receipt.rejected, 0, "rows were refused");
}

pub(crate) async fn run(db: &Db, sql: &str) {
    for outcome in db.sql(sql, &[]).await.unwrap() {
        if let SqlOutcome::Rows(rows) = outcome {
            rows.stream.try_collect::<Vec<RecordBatch>>().await.unwrap();
        }
    }
}

async fn timed(db: &Db, sql: &str) -> f64 {
    let begun = Instant::now();
    run(db, sql).await;
    begun.elapsed().as_secs_f64() * 1e3
}

fn middle(mut times: Vec<f64>) -> f64 {
    times.sort_unstable_by(f64::total_cmp);
    times[times.len() / 2]
}

pub(crate) fn verdict(what: &str, figure: f64, reached: bool, goal: &str) {
    let word = if reached { "PASS " } else { "SHORT" };
    println!("  {word} {what}: {figure:.2} {goal}");
}
