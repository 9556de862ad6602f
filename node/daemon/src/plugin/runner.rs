//! One component at work on batches of rows, whatever its kind: the only place of the command line that
//! calls into plugins.

use std::collections::{BTreeMap, HashMap};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use activestore_plugin_host::{
    AggregateFunction, Aggregation, Grants, MergeFunction, Model, Plugin, PluginHost, PluginKind,
    Processor, ScalarFunction, StateReader, SyncFilter, TableFunction,
};
use activestore_types::{Error, Result};
use arrow::array::{ArrayRef, AsArray, new_empty_array};
use arrow::compute::concat_batches;
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use arrow::record_batch::RecordBatch;
use arrow::row::{OwnedRow, RowConverter, SortField};

use super::shared;
use crate::cli::UseArgs;

/// Bytes of keyed state that a trial keeps; a node keeps no more either.
const STATE_BYTES_MAX: usize = 256 << 20;

/// The column of a model's scores.
const PREDICTION: &str = "predict";

/// Batches that a trial takes of a table function for one batch of constants.
const TABLE_BATCHES_MAX: usize = 10_000;

/// Groups of a trial of an aggregate.
const GROUPS_MAX: usize = 100_000;

/// How a component is used on the rows.
#[derive(Clone, Debug, Default)]
pub struct Using {
    /// A function or an aggregate of the plugin; `None` where it has only one.
    pub function: Option<String>,
    /// The columns that it is given; none means the first ones.
    pub columns: Vec<String>,
    /// A processor's settings.
    pub settings: BTreeMap<String, String>,
    /// A model's artifact.
    pub artifact: Vec<u8>,
    /// The columns whose values make a group for an aggregate; none means that all rows are one.
    pub groups: Vec<String>,
}

/// What a component made of one batch.
#[derive(Debug, Default)]
pub struct Produced {
    /// A processor's rows, one batch for each of its outputs; the values of a function or a model, one a row.
    pub outputs: Vec<RecordBatch>,
    /// Rows of the batch that must not be stored, ascending, and why.
    pub rejected: Vec<(usize, String)>,
}

/// A component at work.
pub struct Runner {
    plugin: Arc<Plugin>,
    work: Work,
    busy: Duration,
    requests: u64,
}

enum Work {
    Scalar(Arc<ScalarFunction>, Vec<String>),
    Aggregate(Box<Grouping>),
    Table(Arc<TableFunction>, Vec<String>),
    Model(Arc<Model>),
    Processor(Box<Processor>, State),
    Merge(Arc<MergeFunction>, Vec<String>),
    Filter(Box<SyncFilter>, SchemaRef),
}

impl Using {
    /// As the command line says.
    ///
    /// # Errors
    /// `Invalid` where the artifact cannot be read.
    pub fn of(args: &UseArgs) -> Result<Using> {
        Ok(Using {
            function: args.function.clone(),
            columns: args.columns.clone(),
            settings: args.settings.iter().cloned().collect(),
            artifact: match &args.artifact {
                Some(path) => read(path)?,
                None => Vec::new(),
            },
            groups: Vec::new(),
        })
    }
}

impl Runner {
    /// The component, ready for rows with these columns.
    ///
    /// # Errors
    /// `Invalid` for a function that it does not have and for settings, columns or an artifact that it
    /// refuses.
    pub fn new(plugin: &Arc<Plugin>, using: &Using, schema: &Schema) -> Result<Runner> {
        let work = match plugin.kind() {
            PluginKind::Scalar => {
                let function = plugin.scalar(&function(plugin, using)?)?;
                let wanted = function.signature().args.len();
                Work::Scalar(function, arguments(using, wanted, schema)?)
            }
            PluginKind::Aggregate => {
                let function = plugin.aggregate(&function(plugin, using)?)?;
                Work::Aggregate(Box::new(Grouping::new(function, using, schema)?))
            }
            PluginKind::Table => {
                let function = plugin.table_function(&function(plugin, using)?)?;
                let wanted = function.signature().args.len();
                Work::Table(function, arguments(using, wanted, schema)?)
            }
            PluginKind::Model => Work::Model(plugin.model(&using.settings, &using.artifact)?),
            PluginKind::Merge => {
                let columns = arguments(using, 2, schema)?;
                let name = function(plugin, using)?;
                Work::Merge(shared::merge(plugin, &name, &columns, schema)?, columns)
            }
            PluginKind::Filter => {
                let filter = plugin.filter(&using.settings, schema)?;
                let leaving = shared::leaving_schema(&filter, schema);
                Work::Filter(Box::new(filter), leaving)
            }
            PluginKind::Processor => {
                let processor = plugin.processor(&using.settings, schema)?;
                Work::Processor(Box::new(processor), State::default())
            }
        };
        Ok(Runner {
            plugin: plugin.clone(),
            work,
            busy: Duration::ZERO,
            requests: 0,
        })
    }

    /// Requests that it would have sent.
    pub fn requests(&self) -> u64 {
        self.requests
    }

    /// The component.
    pub fn plugin(&self) -> &Arc<Plugin> {
        &self.plugin
    }

    /// Gives it a batch. After an error nothing of the batch has happened, as on a node.
    ///
    /// # Errors
    /// What the component says, and faults of it.
    pub fn step(&mut self, batch: &RecordBatch) -> Result<Produced> {
        match &mut self.work {
            Work::Scalar(function, columns) => {
                let args = picked(batch, columns)?;
                let value = timed(&mut self.busy, || function.call(batch.num_rows(), &args))?;
                Ok(Produced::of(&function.signature().name, value)?)
            }
            Work::Table(function, columns) => {
                let args = picked(batch, columns)?;
                let rows = timed(&mut self.busy, || from_each_row(function, &args))?;
                Ok(Produced {
                    outputs: vec![concat_batches(function.schema(), &rows)?],
                    rejected: Vec::new(),
                })
            }
            Work::Model(model) => {
                let columns: Vec<_> = model
                    .inputs()
                    .iter()
                    .map(|(name, _)| name.clone())
                    .collect();
                let args =
                    picked(batch, &columns).map_err(|error| error.context("the model's inputs"))?;
                let value = timed(&mut self.busy, || model.predict(&args))?;
                Ok(Produced::of(PREDICTION, value)?)
            }
            Work::Merge(function, columns) => {
                let args = picked(batch, columns)?;
                let [left, right] = args.as_slice() else {
                    return Err(Error::internal("a merge function takes two columns"));
                };
                let value = timed(&mut self.busy, || function.merge(left, right))?;
                Ok(Produced::of(function.name(), value)?)
            }
            Work::Filter(filter, _) => Ok(Produced {
                outputs: vec![timed(&mut self.busy, || shared::leaving(filter, batch))?],
                rejected: Vec::new(),
            }),
            Work::Aggregate(grouping) => {
                grouping.add(batch, &mut self.busy)?;
                Ok(Produced::default())
            }
            Work::Processor(processor, state) => {
                let done = timed(&mut self.busy, || processor.process(batch, false, state))?;
                state.keep(done.state)?;
                self.requests += done.requests.len() as u64;
                Ok(Produced {
                    outputs: done.outputs,
                    rejected: done.rejected,
                })
            }
        }
    }

    /// The values of an aggregate, one row a group; nothing for other kinds.
    ///
    /// # Errors
    /// As [`Runner::step`].
    pub fn finish(&mut self) -> Result<Option<RecordBatch>> {
        match &mut self.work {
            Work::Aggregate(grouping) => grouping.finish(&mut self.busy).map(Some),
            _ => Ok(None),
        }
    }

    /// The columns of what [`Runner::step`] puts out; nothing for an aggregate.
    pub fn outputs(&self) -> Vec<SchemaRef> {
        let value = |name: &str, kind: DataType| {
            vec![Arc::new(Schema::new(vec![Field::new(name, kind, true)]))]
        };
        match &self.work {
            Work::Scalar(function, _) => {
                let signature = function.signature();
                value(&signature.name, function.returns().arrow())
            }
            Work::Table(function, _) => vec![function.schema().clone()],
            Work::Merge(function, _) => value(function.name(), function.data_type().arrow()),
            Work::Filter(_, leaving) => vec![leaving.clone()],
            Work::Model(_) => value(PREDICTION, DataType::Float64),
            Work::Aggregate(_) => Vec::new(),
            Work::Processor(processor, _) => {
                let outputs = processor.outputs().iter();
                outputs.map(|output| output.schema.clone()).collect()
            }
        }
    }

    /// Keys of state that a processor keeps.
    pub fn state_keys(&self) -> Option<usize> {
        match &self.work {
            Work::Processor(_, state) => Some(state.values.len()),
            _ => None,
        }
    }

    /// Bytes of an aggregate's largest state of a group; read by [`Runner::finish`].
    pub fn state_bytes(&self) -> Option<usize> {
        match &self.work {
            Work::Aggregate(grouping) => Some(grouping.state_bytes),
            _ => None,
        }
    }

    /// Time spent in calls, the host's share included.
    pub fn busy(&self) -> Duration {
        self.busy
    }
}

impl Produced {
    fn of(name: &str, value: ArrayRef) -> Result<Produced> {
        Ok(Produced {
            outputs: vec![RecordBatch::try_from_iter_with_nullable([(
                name, value, true,
            )])?],
            rejected: Vec::new(),
        })
    }
}

fn timed<T>(busy: &mut Duration, call: impl FnOnce() -> T) -> T {
    let started = Instant::now();
    let done = call();
    *busy += started.elapsed();
    done
}

/// Loads a component for a trial, in which it may reach for whatever can be granted.
///
/// # Errors
/// What the host says.
pub fn load(host: &PluginHost, name: &str, wasm: &[u8]) -> Result<Arc<Plugin>> {
    host.load_granted(name, wasm, &Grants::trial())
}

/// The rows of a table function for the constants of each row, one after the other.
fn from_each_row(function: &Arc<TableFunction>, args: &[ArrayRef]) -> Result<Vec<RecordBatch>> {
    let mut given = Vec::new();
    let rows = args.first().map_or(1, |array| array.len());
    for row in 0..rows {
        let constants: Vec<ArrayRef> = args.iter().map(|array| array.slice(row, 1)).collect();
        let mut run = function.open(&constants)?;
        while let Some(rows) = run.next_rows()? {
            given.push(rows);
            if given.len() > TABLE_BATCHES_MAX {
                return Err(Error::invalid("the table function gives rows without end")
                    .with_hint("try it with constants that give fewer"));
            }
        }
    }
    Ok(given)
}

/// The function that is to be tried.
fn function(plugin: &Plugin, using: &Using) -> Result<String> {
    let functions = plugin.functions().iter();
    let names: Vec<&str> = functions.map(|function| function.name.as_str()).collect();
    match (&using.function, names.as_slice()) {
        (Some(name), _) => Ok(name.clone()),
        (None, [only, rest @ ..]) if rest.iter().all(|name| name == only) => Ok((*only).to_owned()),
        (None, _) => Err(Error::invalid("the plugin has several functions")
            .with_hint(format!("add --function with one of {}", names.join(", ")))),
    }
}

/// The columns that a function is given: those named, or the first ones.
fn arguments(using: &Using, wanted: usize, schema: &Schema) -> Result<Vec<String>> {
    let all: Vec<String> = schema
        .fields()
        .iter()
        .map(|field| field.name().clone())
        .collect();
    let mut columns = match using.columns.as_slice() {
        [] => all,
        named if named.len() == wanted => return Ok(named.to_vec()),
        named => {
            return Err(Error::invalid(format!(
                "the function takes {wanted} columns; {} are named",
                named.len()
            )));
        }
    };
    if columns.len() < wanted {
        return Err(Error::invalid(format!(
            "the function takes {wanted} columns; the rows have {}",
            columns.len()
        )));
    }
    columns.truncate(wanted);
    Ok(columns)
}

/// Columns by their names.
fn picked(batch: &RecordBatch, names: &[String]) -> Result<Vec<ArrayRef>> {
    let columns = names.iter().map(|name| {
        batch
            .column_by_name(name)
            .cloned()
            .ok_or_else(|| Error::invalid(format!("'{name}' is not a column of the rows")))
    });
    columns.collect()
}

/// Keyed state between batches, as a node keeps it between writes.
#[derive(Default)]
struct State {
    values: BTreeMap<Vec<u8>, Vec<u8>>,
    bytes: usize,
}

impl StateReader for State {
    fn get(&self, key: &[u8]) -> Option<Vec<u8>> {
        self.values.get(key).cloned()
    }
}

impl State {
    fn keep(&mut self, writes: Vec<(Vec<u8>, Option<Vec<u8>>)>) -> Result<()> {
        for (key, value) in writes {
            let key_bytes = key.len();
            self.bytes += value.as_ref().map_or(0, |value| key_bytes + value.len());
            let before = match value {
                Some(value) => self.values.insert(key, value),
                None => self.values.remove(&key),
            };
            self.bytes -= before.map_or(0, |before| key_bytes + before.len());
        }
        if self.bytes > STATE_BYTES_MAX {
            return Err(Error::invalid(format!(
                "its state is larger than {} MiB",
                STATE_BYTES_MAX >> 20
            ))
            .with_hint("choose fewer rows with --where or --limit"));
        }
        Ok(())
    }
}

/// An aggregate over groups of rows. Batches take turns between two aggregations whose states are merged at
/// the end, as on a node, where several threads add rows.
struct Grouping {
    function: Arc<AggregateFunction>,
    columns: Vec<String>,
    /// The columns that make a group.
    by: Vec<String>,
    converter: RowConverter,
    numbers: HashMap<OwnedRow, usize>,
    rows: Vec<OwnedRow>,
    parts: [Aggregation; 2],
    turn: usize,
    state_bytes: usize,
}

impl Grouping {
    fn new(function: Arc<AggregateFunction>, using: &Using, schema: &Schema) -> Result<Self> {
        let columns = arguments(using, function.signature().args.len(), schema)?;
        let fields = using.groups.iter().map(|name| {
            let field = schema.field_with_name(name)?;
            Ok(SortField::new(field.data_type().clone()))
        });
        let mut parts = [function.begin(), function.begin()];
        let none = function.signature().args.iter();
        let none: Vec<ArrayRef> = none.map(|arg| new_empty_array(&arg.arrow())).collect();
        let total = usize::from(using.groups.is_empty());
        for part in &mut parts {
            // All rows are one group, and it is there without rows too.
            part.update(&[], None, total, &none)?;
        }
        Ok(Grouping {
            columns,
            by: using.groups.clone(),
            converter: RowConverter::new(fields.collect::<Result<_>>()?)?,
            numbers: HashMap::new(),
            rows: Vec::new(),
            parts,
            turn: 0,
            function,
            state_bytes: 0,
        })
    }

    fn add(&mut self, batch: &RecordBatch, busy: &mut Duration) -> Result<()> {
        let numbers = if self.by.is_empty() {
            vec![0; batch.num_rows()]
        } else {
            let rows = self.converter.convert_columns(&picked(batch, &self.by)?)?;
            let mut numbers = Vec::with_capacity(rows.num_rows());
            for row in &rows {
                let next = self.rows.len();
                let row = row.owned();
                let number = *self.numbers.entry(row.clone()).or_insert(next);
                if number == next {
                    if next == GROUPS_MAX {
                        return Err(Error::invalid(format!(
                            "the rows make more than {GROUPS_MAX} groups"
                        ))
                        .with_hint("choose fewer with --where or --limit"));
                    }
                    self.rows.push(row);
                }
                numbers.push(number);
            }
            numbers
        };
        let args = picked(batch, &self.columns)?;
        let total = self.total();
        self.turn += 1;
        let [one, other] = &mut self.parts;
        let part = if self.turn.is_multiple_of(2) {
            other
        } else {
            one
        };
        timed(busy, || part.update(&numbers, None, total, &args))
    }

    fn total(&self) -> usize {
        if self.by.is_empty() {
            1
        } else {
            self.rows.len()
        }
    }

    fn finish(&mut self, busy: &mut Duration) -> Result<RecordBatch> {
        let total = self.total();
        let signature = self.function.signature();
        let [one, other] = &mut self.parts;
        let groups: Vec<usize> = (0..other.groups()).collect();
        if !groups.is_empty() {
            let states = timed(busy, || other.states(0..groups.len()))?;
            let bytes = states.as_binary_opt::<i32>().into_iter().flatten();
            let longest = bytes.flatten().map(<[u8]>::len).max();
            self.state_bytes = longest.unwrap_or(0);
            timed(busy, || one.merge(&groups, total, &states))?;
        }
        let value = match total {
            0 => new_empty_array(&self.function.returns().arrow()),
            _ => timed(busy, || one.finish(0..total))?,
        };
        let keys = self
            .converter
            .convert_rows(self.rows.iter().map(OwnedRow::row))?;
        let mut fields: Vec<Field> = self
            .by
            .iter()
            .zip(&keys)
            .map(|(name, key)| Field::new(name, key.data_type().clone(), true))
            .collect();
        fields.push(Field::new(&signature.name, value.data_type().clone(), true));
        let columns = keys.into_iter().chain([value]).collect();
        Ok(RecordBatch::try_new(
            Arc::new(Schema::new(fields)),
            columns,
        )?)
    }
}

/// A file's bytes.
///
/// # Errors
/// `Invalid` where it cannot be read.
pub fn read(path: &Path) -> Result<Vec<u8>> {
    std::fs::read(path)
        .map_err(|error| Error::invalid(format!("{} cannot be read: {error}", path.display())))
}

/// So many rows, made of these by repeating them.
///
/// # Errors
/// `Internal` where they cannot be joined.
pub fn repeated(batch: &RecordBatch, rows: usize) -> Result<RecordBatch> {
    let times = rows.div_ceil(batch.num_rows().max(1));
    let copies: Vec<&RecordBatch> = std::iter::repeat_n(batch, times).collect();
    Ok(concat_batches(&batch.schema(), copies)?)
}
