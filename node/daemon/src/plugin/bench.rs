//! `plugin bench`: what a row costs by the size of the batch, what loading costs, what memory is held.

use std::process::ExitCode;
use std::time::{Duration, Instant};

use activestore_plugin_host::{PluginHost, Services};
use activestore_types::{Error, Result};
use arrow::record_batch::RecordBatch;

use super::runner::{Runner, load, repeated};
use super::setup::{Setup, Source};
use crate::cli::BenchArgs;
use crate::figures::{grouped, shown, size};
use crate::sql::Grid;

/// Rows of a batch.
const BATCH_ROWS: [usize; 4] = [1, 100, 1_000, 10_000];

/// Rows that are held and repeated.
const ROWS_MAX: usize = 100_000;

/// How much longer than the time asked for a batch size may take, with what lies between the calls.
const PATIENCE: u32 = 10;

/// Measures and prints.
///
/// # Errors
/// `Invalid` where a file cannot be read, the plugin refuses it or there are no rows; what the plugin or the
/// node says.
pub fn run(args: &BenchArgs) -> Result<ExitCode> {
    let cache = tempfile::tempdir()?;
    let cache_dir = Some(cache.path().to_owned());
    let source = Source::of(&args.rows)?;
    let setup = Setup::new(
        &args.wasm,
        args.name.as_deref(),
        source,
        &args.using,
        &args.node,
        cache_dir,
    )?;
    let cold = setup.plugin.stats();
    // Another host, as after a restart: what the first one compiled is mapped.
    let host = PluginHost::new(setup.options.clone())?;
    host.serve(Services::alone());
    let plugin = load(&host, &setup.name, &setup.wasm)?;
    let warm = plugin.stats();
    if cold.from_cache || !warm.from_cache {
        return Err(Error::internal(format!(
            "the compiled component could not be kept in {}",
            cache.path().display()
        ))
        .with_hint("set TMPDIR to a directory with space"));
    }
    let rows = setup.rows()?;
    let what = rows.what.clone();
    let rows = rows.gather(ROWS_MAX)?;
    if rows.num_rows() == 0 {
        return Err(Error::invalid(format!("{what} has no such rows")));
    }
    let loaded = host.host_stats().memory_bytes;
    let ready = Runner::new(&plugin, &setup.using, &rows.schema())?;
    let idle = match host.host_stats().memory_bytes.saturating_sub(loaded) {
        // It works in the instance that was asked what it is.
        0 => loaded,
        own => own,
    };
    drop(ready);
    for note in &setup.notes {
        println!("{note}");
    }
    let mut table = Vec::new();
    for batch_rows in BATCH_ROWS {
        let new = || Runner::new(&plugin, &setup.using, &rows.schema());
        let (done, took) = measure(&rows, batch_rows, args.time.0, &new)
            .map_err(|error| error.context(format!("with {batch_rows} rows a batch")))?;
        let ns = took.as_nanos() as f64 / done as f64;
        table.push(vec![
            Some(grouped(batch_rows as u64)),
            Some(format!("{ns:.1}")),
            Some(grouped((done as f64 / took.as_secs_f64()) as u64)),
            Some(grouped(done)),
            Some(shown(took)),
        ]);
    }
    let held = match rows.num_rows() {
        few if few < ROWS_MAX => " and repeated",
        _ => ", the first of them, and repeated",
    };
    println!("{} rows of {what}{held}", grouped(rows.num_rows() as u64));
    let names = ["rows a batch", "ns a row", "rows/s", "rows", "time"];
    println!("{}", Grid::of_text(&names, table).render(None));
    let ms = |us: u64| shown(Duration::from_micros(us));
    let figures = [
        ("component", size(setup.wasm.len() as u64)),
        ("load, compiled", ms(cold.load_us)),
        ("load, from the cache", ms(warm.load_us)),
        ("memory idle, an instance", size(idle)),
        (
            "memory peak, an instance",
            size(plugin.stats().memory_bytes_peak),
        ),
    ];
    let figures = figures.map(|(name, value)| vec![Some(name.to_owned()), Some(value)]);
    println!("{}", Grid::of_text(&["", ""], figures.into()).render(None));
    Ok(ExitCode::SUCCESS)
}

/// Rows that went through in batches of so many, and the time spent in calls, which is at least `time`. Each
/// pass over the rows has an instance and a state of its own, whose making is not counted.
fn measure(
    rows: &RecordBatch,
    batch_rows: usize,
    time: Duration,
    new: &dyn Fn() -> Result<Runner>,
) -> Result<(u64, Duration)> {
    let rows = match rows.num_rows() {
        enough if enough >= batch_rows => rows.clone(),
        _ => repeated(rows, batch_rows)?,
    };
    let started = Instant::now();
    let (mut done, mut took) = (0, Duration::ZERO);
    loop {
        let mut runner = new()?;
        let over = |took: Duration| took >= time || started.elapsed() >= time * PATIENCE;
        for first in (0..=rows.num_rows() - batch_rows).step_by(batch_rows) {
            runner.step(&rows.slice(first, batch_rows))?;
            done += batch_rows as u64;
            if over(took + runner.busy()) {
                break;
            }
        }
        runner.finish()?;
        took += runner.busy();
        if over(took) {
            return Ok((done, took));
        }
    }
}
