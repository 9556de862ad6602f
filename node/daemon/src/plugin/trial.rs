//! `plugin test`: the component in the same sandbox with the same limits as on a node, on rows from
//! a file, without a node.

use std::collections::BTreeMap;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use activestore_ingest::{Chunk, CsvOptions, CsvReader, JsonOptions, JsonReader};
use activestore_plugin_host::{HostOptions, Plugin, PluginHost, PluginKind, StateReader};
use activestore_types::{Error, NamedBatch, Result, TableName};
use arrow::array::{ArrayRef, AsArray, new_empty_array};
use arrow::compute::concat_batches;
use arrow::datatypes::{Field, Schema};
use arrow::record_batch::RecordBatch;

use crate::figures::{grouped, shown};
use crate::sql::Grid;

/// What to try.
pub struct Trial {
    /// The component.
    pub wasm: PathBuf,
    /// The rows, CSV or NDJSON.
    pub rows: PathBuf,
    /// A function or an aggregate of the plugin.
    pub function: Option<String>,
    /// A processor's settings.
    pub settings: BTreeMap<String, String>,
    /// A model's artifact.
    pub artifact: Option<PathBuf>,
}

/// Runs the rows through the plugin and prints what it gives.
///
/// # Errors
/// `Invalid` where a file cannot be read or the plugin refuses it; what the plugin says otherwise.
pub fn run(trial: &Trial) -> Result<()> {
    let host = PluginHost::new(HostOptions::default())?;
    let name = trial
        .wasm
        .file_stem()
        .and_then(|stem| stem.to_str())
        .unwrap_or("plugin");
    let plugin = host.load(name, &read(&trial.wasm)?)?;
    let batches = batches(&trial.rows)?;
    let started = Instant::now();
    let rows: u64 = batches.iter().map(|batch| batch.num_rows() as u64).sum();
    let ran = match plugin.kind() {
        PluginKind::Scalar => scalar(&plugin, trial, &batches),
        PluginKind::Aggregate => aggregate(&plugin, trial, &batches),
        PluginKind::Processor => processor(&plugin, trial, &batches),
        PluginKind::Model => model(&plugin, trial, &batches),
    };
    let took = started.elapsed();
    for line in plugin.logs() {
        eprintln!("log {}: {}", line.level.name(), line.message);
    }
    ran?;
    println!("{} rows in {}", grouped(rows), shown(took));
    Ok(())
}

/// The function that is to be tried.
fn function<'a>(plugin: &'a Plugin, trial: &'a Trial) -> Result<&'a str> {
    let names: Vec<&str> = plugin
        .functions()
        .iter()
        .map(|function| function.name.as_str())
        .collect();
    match (&trial.function, names.as_slice()) {
        (Some(name), _) => Ok(name.as_str()),
        (None, [only]) => Ok(only),
        (None, _) => Err(Error::invalid("the plugin has several functions")
            .with_hint(format!("add --function with one of {}", names.join(", ")))),
    }
}

/// The first columns of the file.
fn arguments<'a>(name: &str, wanted: usize, batch: &'a RecordBatch) -> Result<&'a [ArrayRef]> {
    batch.columns().get(..wanted).ok_or_else(|| {
        Error::invalid(format!(
            "{name} takes {wanted} columns; the file has {}",
            batch.num_columns()
        ))
    })
}

fn scalar(plugin: &Arc<Plugin>, trial: &Trial, batches: &[RecordBatch]) -> Result<()> {
    let name = function(plugin, trial)?;
    let function = plugin.scalar(name)?;
    let wanted = function.signature().args.len();
    let mut results = Vec::new();
    for batch in batches {
        let args = arguments(name, wanted, batch)?;
        let value = function.call(batch.num_rows(), args)?;
        results.push(with_column(batch, name, value)?);
    }
    print(&results)
}

/// All rows as one group. Each batch is one of its own first, whose state is merged: as on a node, where
/// several threads add rows.
fn aggregate(plugin: &Arc<Plugin>, trial: &Trial, batches: &[RecordBatch]) -> Result<()> {
    let name = function(plugin, trial)?;
    let function = plugin.aggregate(name)?;
    let wanted = function.signature().args.len();
    let mut all = function.begin();
    // The value of no rows is one as well.
    let none = function.signature().args.iter();
    let none: Vec<ArrayRef> = none.map(|arg| new_empty_array(&arg.arrow())).collect();
    all.update(&[], None, 1, &none)?;
    let mut state_bytes = 0;
    for batch in batches {
        let mut part = function.begin();
        let groups = vec![0; batch.num_rows()];
        part.update(&groups, None, 1, arguments(name, wanted, batch)?)?;
        let state = part.states(0..1)?;
        state_bytes = state.as_binary::<i32>().value_length(0).max(state_bytes);
        all.merge(&[0], 1, &state)?;
    }
    let value = all.finish(0..all.groups())?;
    let field = Field::new(name, value.data_type().clone(), true);
    let schema = Arc::new(Schema::new(vec![field]));
    print(&[RecordBatch::try_new(schema, vec![value])?])?;
    println!("{state_bytes} bytes of state, at most");
    Ok(())
}

fn model(plugin: &Arc<Plugin>, trial: &Trial, batches: &[RecordBatch]) -> Result<()> {
    let artifact = match &trial.artifact {
        Some(path) => read(path)?,
        None => Vec::new(),
    };
    let model = plugin.model(&artifact)?;
    let mut results = Vec::new();
    for batch in batches {
        let args: Vec<ArrayRef> = model
            .inputs()
            .iter()
            .map(|(input, _)| {
                batch.column_by_name(input).cloned().ok_or_else(|| {
                    Error::invalid(format!(
                        "the model's input '{input}' is not a column of the file"
                    ))
                })
            })
            .collect::<Result<_>>()?;
        results.push(with_column(batch, "predict", model.predict(&args)?)?);
    }
    print(&results)
}

/// Keyed state between batches, as a node keeps it between writes.
#[derive(Default)]
struct State(BTreeMap<Vec<u8>, Vec<u8>>);

impl StateReader for State {
    fn get(&self, key: &[u8]) -> Option<Vec<u8>> {
        self.0.get(key).cloned()
    }
}

fn processor(plugin: &Arc<Plugin>, trial: &Trial, batches: &[RecordBatch]) -> Result<()> {
    let Some(first) = batches.first() else {
        return Err(Error::invalid("the file holds no rows"));
    };
    let mut processor = plugin.processor(&trial.settings, first.schema().as_ref())?;
    let mut state = State::default();
    let mut given = Vec::new();
    let mut before = 0;
    for batch in batches {
        let processed = processor.process(batch, &state)?;
        for (key, value) in processed.state {
            match value {
                Some(value) => state.0.insert(key, value),
                None => state.0.remove(&key),
            };
        }
        for (row, reason) in processed.rejected {
            println!("row {} refused: {reason}", before + row + 1);
        }
        before += batch.num_rows();
        given.push(processed.rows);
    }
    print(&given)?;
    println!("{} keys of state", grouped(state.0.len() as u64));
    Ok(())
}

fn with_column(batch: &RecordBatch, name: &str, value: ArrayRef) -> Result<RecordBatch> {
    let mut fields: Vec<Arc<Field>> = batch.schema().fields().to_vec();
    fields.push(Arc::new(Field::new(name, value.data_type().clone(), true)));
    let mut columns = batch.columns().to_vec();
    columns.push(value);
    Ok(RecordBatch::try_new(
        Arc::new(Schema::new(fields)),
        columns,
    )?)
}

fn print(batches: &[RecordBatch]) -> Result<()> {
    // A processor without outputs gives batches without columns.
    let Some(first) = batches.first().filter(|batch| batch.num_columns() > 0) else {
        return Ok(());
    };
    let mut grid = Grid::new(&first.schema());
    for batch in batches {
        grid.push(batch)?;
    }
    println!("{}", grid.render(None));
    Ok(())
}

fn read(path: &Path) -> Result<Vec<u8>> {
    std::fs::read(path)
        .map_err(|error| Error::invalid(format!("{} cannot be read: {error}", path.display())))
}

/// The file's rows in one batch a chunk, all with the first chunk's columns.
fn batches(path: &Path) -> Result<Vec<RecordBatch>> {
    let file = File::open(path)
        .map_err(|error| Error::invalid(format!("{} cannot be read: {error}", path.display())))?;
    let table = TableName::new("trial", "rows");
    let chunks: Box<dyn Iterator<Item = Result<Chunk>>> =
        match path.extension().and_then(|extension| extension.to_str()) {
            Some("csv") => Box::new(CsvReader::new(file, CsvOptions::new(table))),
            Some("json" | "ndjson" | "jsonl") => {
                Box::new(JsonReader::new(file, JsonOptions::new(table)))
            }
            _ => {
                return Err(Error::invalid("the rows must be a .csv or .ndjson file"));
            }
        };
    let mut found = Vec::new();
    for chunk in chunks {
        let chunk = chunk?;
        for refused in &chunk.rejected {
            eprintln!(
                "{}, line {}: {}",
                path.display(),
                refused.line,
                refused.reason
            );
        }
        for batch in &chunk.batches {
            found.push(record_batch(batch)?);
        }
    }
    if let [first, rest @ ..] = found.as_slice()
        && rest.iter().any(|batch| batch.schema() != first.schema())
    {
        // Columns that appear late change the schema; one batch has one.
        return Ok(vec![concat_batches(&first.schema(), &found)?]);
    }
    Ok(found)
}

fn record_batch(batch: &NamedBatch) -> Result<RecordBatch> {
    let fields: Vec<Field> = batch
        .columns
        .iter()
        .map(|column| Field::new(&column.name, column.array.data_type().clone(), true))
        .collect();
    let columns = batch.columns.iter().map(|column| column.array.clone());
    Ok(RecordBatch::try_new(
        Arc::new(Schema::new(fields)),
        columns.collect(),
    )?)
}
