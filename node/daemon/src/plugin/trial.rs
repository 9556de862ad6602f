//! `plugin test`: the component in the same sandbox with the same limits as on a node, on rows of a file or
//! of a table; alone, or beside another version.

use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use activestore_plugin_host::{Plugin, PluginKind};
use activestore_types::{Error, Result};
use arrow::datatypes::Schema;
use arrow::record_batch::RecordBatch;

use super::node;
use super::replay::{self, Replay, Version};
use super::runner::{Runner, load, read};
use super::setup::{Setup, Source};
use crate::cli::TestArgs;
use crate::figures::{grouped, shown, size};
use crate::sql::Grid;

/// Rows from which on the time of each says something.
const ROWS_FOR_A_RATE: u64 = 1_000;

/// Refused rows that are listed; more are counted.
const REFUSED_SHOWN_MAX: u64 = 1_000;

/// Runs the rows through the plugin and prints what it gives, or how that differs from what the other
/// version gives.
///
/// # Errors
/// `Invalid` where a file cannot be read or the plugin refuses it; what the plugin or the node says.
pub fn run(args: &TestArgs) -> Result<ExitCode> {
    let source = Source::of(&args.rows)?;
    let mut setup = Setup::new(
        &args.wasm,
        args.name.as_deref(),
        source,
        &args.using,
        &args.node,
        None,
    )?;
    let old = match (&args.against, &args.against_deployed) {
        (Some(path), _) => {
            let label = path.display().to_string();
            let plugin = load(&setup.host, &setup.name, &read(path)?);
            let plugin = plugin.map_err(|error| error.context(&label))?;
            Version { label, plugin }
        }
        (None, Some(version)) => {
            let version = Some(version.as_str()).filter(|version| !version.is_empty());
            deployed(&setup, version)?
        }
        (None, None) if args.fail_on_difference || !args.key.is_empty() => {
            return Err(Error::invalid("there is nothing to compare with")
                .with_hint("add --against-deployed or --against FILE"));
        }
        (None, None) => {
            let done = alone(&setup);
            said(&setup.plugin);
            return done.map(|()| ExitCode::SUCCESS);
        }
    };
    if !args.key.is_empty() {
        setup.output_key.clone_from(&args.key);
    }
    let label = args.wasm.display().to_string();
    let before = old.plugin.clone();
    let report = replay::run(of(&mut setup, Some(old), label, args.show)?);
    said(&setup.plugin);
    let report = report?;
    println!("{}", report.render());
    if before.sha256() == setup.plugin.sha256() {
        println!("both are the same component");
    }
    let differs = report.difference().or_else(|| report.fault());
    Ok(match differs {
        Some(_) if args.fail_on_difference => ExitCode::FAILURE,
        _ => ExitCode::SUCCESS,
    })
}

/// A version that the node holds, in the sandbox of the trial.
///
/// # Errors
/// What the node says; `Invalid` where this program cannot run it.
pub fn deployed(setup: &Setup, version: Option<&str>) -> Result<Version> {
    let (held, wasm) = node::component(&setup.client, &setup.name, version)?;
    let label = format!("{} {}", setup.name, held.version);
    let plugin = load(&setup.host, &setup.name, &wasm);
    Ok(Version {
        plugin: plugin
            .map_err(|error| error.context(format!("the deployed version {}", held.version)))?,
        label,
    })
}

/// The component of a setup beside another one.
///
/// # Errors
/// Where the rows cannot be had.
pub fn of(setup: &mut Setup, old: Option<Version>, label: String, show: usize) -> Result<Replay> {
    let rows = setup.rows()?;
    if setup.plugin.kind() == PluginKind::Processor {
        setup
            .notes
            .push("keyed state: empty at the beginning".to_owned());
    }
    Ok(Replay {
        rows,
        using: setup.using.clone(),
        old,
        new: Version {
            label,
            plugin: setup.plugin.clone(),
        },
        row_key: setup.row_key(),
        output_key: setup.output_key.clone(),
        show,
        notes: std::mem::take(&mut setup.notes),
    })
}

/// Prints what the component logged.
fn said(plugin: &Plugin) {
    for line in plugin.logs() {
        eprintln!("log {}: {}", line.level.name(), line.message);
    }
}

/// One version: what it makes of the rows, as a table.
fn alone(setup: &Setup) -> Result<()> {
    let mut rows = setup.rows()?;
    let mut runner = Runner::new(&setup.plugin, &setup.using, &rows.schema)?;
    for note in &setup.notes {
        println!("{note}");
    }
    let mut grids: Vec<Grid> = Vec::new();
    let (mut seen, mut refused) = (0, 0);
    for batch in &mut rows {
        let batch = batch?;
        let made = runner.step(&batch)?;
        for (row, reason) in made.rejected {
            refused += 1;
            if refused <= REFUSED_SHOWN_MAX {
                println!("row {} refused: {reason}", seen + row as u64 + 1);
            }
        }
        for (number, output) in made.outputs.iter().enumerate() {
            let output = match setup.plugin.kind() {
                PluginKind::Scalar | PluginKind::Model | PluginKind::Merge => {
                    beside(&batch, output)?
                }
                _ => output.clone(),
            };
            show(&mut grids, number, &output)?;
        }
        seen += batch.num_rows() as u64;
    }
    rows.done();
    if refused > REFUSED_SHOWN_MAX {
        println!(
            "and {} more rows refused",
            grouped(refused - REFUSED_SHOWN_MAX)
        );
    }
    if let Some(values) = runner.finish()? {
        show(&mut grids, 0, &values)?;
    }
    // A processor without outputs gives batches without columns.
    for grid in grids.iter().filter(|grid| grid.columns().next().is_some()) {
        println!("{}", grid.render(None));
        if grid.hidden() > 0 {
            println!("and {} more rows", grouped(grid.hidden()));
        }
    }
    if let Some(bytes) = runner.state_bytes() {
        println!("{bytes} bytes of state, at most");
    }
    if setup.plugin.kind() == PluginKind::Merge {
        setup.plugin.check_laws()?;
        println!("commutative, associative and idempotent on all values that a node tries");
    }
    if let Some(keys) = runner.state_keys() {
        println!("{} keys of state", grouped(keys as u64));
    }
    if runner.requests() > 0 {
        println!(
            "{} requests, none of which was sent",
            grouped(runner.requests())
        );
    }
    let (took, stats) = (runner.busy(), setup.plugin.stats());
    let each = match took.as_nanos().checked_div(u128::from(seen)) {
        Some(ns) if seen >= ROWS_FOR_A_RATE => format!(", {ns} ns a row"),
        _ => String::new(),
    };
    println!(
        "{} rows in {}{each}; compiled in {}; {} of memory",
        grouped(seen),
        shown(took),
        shown(Duration::from_micros(stats.load_us)),
        size(stats.memory_bytes_peak),
    );
    Ok(())
}

/// Adds rows to the table of an output.
fn show(grids: &mut Vec<Grid>, number: usize, rows: &RecordBatch) -> Result<()> {
    if number == grids.len() {
        grids.push(Grid::new(&rows.schema()));
    }
    grids.get_mut(number).map_or(Ok(()), |grid| grid.push(rows))
}

/// Rows with values behind them.
fn beside(rows: &RecordBatch, values: &RecordBatch) -> Result<RecordBatch> {
    let (left, right) = (rows.schema(), values.schema());
    let fields: Vec<_> = left
        .fields()
        .iter()
        .chain(right.fields())
        .cloned()
        .collect();
    let columns = rows.columns().iter().chain(values.columns()).cloned();
    Ok(RecordBatch::try_new(
        Arc::new(Schema::new(fields)),
        columns.collect(),
    )?)
}
