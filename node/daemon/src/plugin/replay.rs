//! Two versions of a plugin on the same rows, in the same sandbox, in the same order, and how what they make
//! of them differs. One version alone shows whether it gets through.

mod outputs;
mod report;

use std::sync::Arc;

use activestore_plugin_host::{Plugin, PluginKind};
use activestore_types::{Error, Result};
use arrow::array::{ArrayRef, UInt64Array};
use arrow::datatypes::{Field, Schema, SchemaRef};
use arrow::record_batch::RecordBatch;

use self::outputs::{Difference, Outputs, Shown, joined, named};
pub use self::report::Report;
use self::report::{Compared, Ran, Rejections};
use super::rows::Rows;
use super::runner::{Produced, Runner, Using};

/// The column that numbers rows without a key.
const ROW: &str = "row";

/// A version of a plugin.
pub struct Version {
    /// What people call it.
    pub label: String,
    /// It.
    pub plugin: Arc<Plugin>,
}

/// What is to be run.
pub struct Replay {
    /// The rows.
    pub rows: Rows,
    /// How both versions are used.
    pub using: Using,
    /// The version that is there already, if any.
    pub old: Option<Version>,
    /// The version on trial.
    pub new: Version,
    /// The columns that tell rows apart; none where they are counted.
    pub row_key: Vec<String>,
    /// The columns by which a processor's outputs belong together; none where they have to be alike as a whole.
    pub output_key: Vec<String>,
    /// How many differences are kept.
    pub show: usize,
    /// What is to be said of the circumstances.
    pub notes: Vec<String>,
}

/// One version at work.
struct Running {
    label: String,
    runner: Runner,
    failed: u64,
    first_error: Option<String>,
}

impl Running {
    fn new(version: Version, using: &Using, schema: &Schema) -> Result<Self> {
        let runner = Runner::new(&version.plugin, using, schema)
            .map_err(|error| error.context(&version.label))?;
        Ok(Running {
            label: version.label,
            runner,
            failed: 0,
            first_error: None,
        })
    }

    /// What it makes of a batch, or nothing where it fails, as on a node that keeps the rows all the same.
    fn step(&mut self, batch: &RecordBatch) -> Option<Produced> {
        match self.runner.step(batch) {
            Ok(produced) => Some(produced),
            Err(error) => {
                self.note(&error);
                None
            }
        }
    }

    fn finish(&mut self) -> Option<RecordBatch> {
        match self.runner.finish() {
            Ok(values) => values,
            Err(error) => {
                self.note(&error);
                None
            }
        }
    }

    fn note(&mut self, error: &Error) {
        self.failed += 1;
        self.first_error
            .get_or_insert_with(|| error.message().to_owned());
    }

    /// Whether going on would tell nothing more.
    fn is_over(&self) -> bool {
        let plugin = self.runner.plugin();
        let lost = self.failed > 0 && plugin.kind() == PluginKind::Aggregate;
        lost || plugin.stats().off_for.is_some()
    }

    fn ran(&self) -> Ran {
        let stats = self.runner.plugin().stats();
        Ran {
            label: self.label.clone(),
            busy: self.runner.busy(),
            failed: self.failed,
            first_error: self.first_error.clone(),
            faults: stats.faults,
            memory_bytes_peak: stats.memory_bytes_peak,
            state_keys: self.runner.state_keys(),
        }
    }
}

/// Runs it. What a version refuses or faults on is part of the report, not an error.
///
/// # Errors
/// `Invalid` where the versions are of different kinds, or one cannot be used on such rows at all; what
/// reading the rows says.
pub fn run(mut replay: Replay) -> Result<Report> {
    let schema = replay.rows.schema.clone();
    if let Some(old) = &replay.old
        && old.plugin.kind() != replay.new.plugin.kind()
    {
        return Err(Error::invalid(format!(
            "{} is of kind {}, {} of kind {}: they cannot be compared",
            replay.new.label,
            replay.new.plugin.kind().name(),
            old.label,
            old.plugin.kind().name(),
        )));
    }
    let kind = replay.new.plugin.kind();
    let mut old = replay
        .old
        .map(|old| Running::new(old, &replay.using, &schema))
        .transpose()?;
    let mut new = Running::new(replay.new, &replay.using, &schema)?;
    let keyed = Keyed::new(kind, &replay.row_key, &new.runner.outputs(), &schema);
    let declared = |running: &Running| -> Result<Vec<SchemaRef>> {
        let outputs = running.runner.outputs();
        outputs.iter().map(|output| keyed.schema(output)).collect()
    };
    let key = match kind {
        PluginKind::Processor => replay.output_key,
        _ => keyed.columns(),
    };
    let mut compared = Vec::new();
    if let Some(old) = &old {
        let (before, after) = (declared(old)?, declared(&new)?);
        let none = Arc::new(Schema::empty());
        for number in 0..before.len().max(after.len()) {
            let of = |all: &[SchemaRef]| all.get(number).unwrap_or(&none).clone();
            compared.push(Outputs::new(&of(&before), &of(&after), &key)?);
        }
    }
    let mut shown = Shown::new(replay.show);
    let mut rejections = Rejections::default();
    let (mut rows, mut batches, mut sent, mut stopped) = (0, 0, 0, None);
    for batch in &mut replay.rows {
        let batch = batch?;
        let before = old.as_mut().map(|old| old.step(&batch));
        let after = new.step(&batch);
        sent += after
            .iter()
            .flat_map(|made| &made.outputs)
            .map(|made| made.num_rows() as u64)
            .sum::<u64>();
        if let Some(before) = before {
            for (number, outputs) in compared.iter_mut().enumerate() {
                let of = |made: &Option<Produced>| -> Result<Option<RecordBatch>> {
                    let made = made.as_ref().and_then(|made| made.outputs.get(number));
                    made.map(|made| keyed.output(made, &batch, rows))
                        .transpose()
                };
                let (before, after) = (of(&before)?, of(&after)?);
                outputs.compare(before.as_ref(), after.as_ref(), &mut shown)?;
            }
            let reasons =
                |made: Option<Produced>| made.map(|made| made.rejected).unwrap_or_default();
            let describe = |row: usize| keyed.describe(&batch, row, rows);
            rejections.compare(&reasons(before), &reasons(after), &describe, &mut shown)?;
        } else if let Some(after) = after {
            rejections.only_new += after.rejected.len() as u64;
        }
        rows += batch.num_rows() as u64;
        batches += 1;
        let over = [old.as_ref(), Some(&new)]
            .into_iter()
            .flatten()
            .find(|side| side.is_over());
        if let Some(over) = over {
            stopped = Some(format!(
                "stopped after these rows, since {} keeps failing",
                over.label
            ));
            break;
        }
    }
    replay.rows.done();
    if kind == PluginKind::Aggregate && stopped.is_none() {
        let after = new.finish();
        sent += after.as_ref().map_or(0, |values| values.num_rows() as u64);
        if let Some(old) = &mut old {
            let before = old.finish();
            let groups = &replay.using.groups;
            let (before, after) = (one_group(before, groups)?, one_group(after, groups)?);
            if let Some(either) = before.as_ref().or(after.as_ref()) {
                let of = |values: &Option<RecordBatch>| {
                    values
                        .as_ref()
                        .map_or_else(|| either.schema(), RecordBatch::schema)
                };
                let key = if groups.is_empty() {
                    vec![ROW.to_owned()]
                } else {
                    groups.clone()
                };
                let mut values = Outputs::new(&of(&before), &of(&after), &key)?;
                values.compare(before.as_ref(), after.as_ref(), &mut shown)?;
                compared.push(values);
            }
        }
    }
    for outputs in &mut compared {
        outputs.settle(&mut shown)?;
    }
    Ok(Report {
        kind,
        what: replay.rows.what.clone(),
        rows,
        batches,
        sent,
        outputs: compared.iter().map(Compared::of).collect(),
        rejections,
        differences: shown.all,
        old: old.as_ref().map(Running::ran),
        new: new.ran(),
        stopped,
        notes: replay.notes,
    })
}

/// The values of an aggregate with a number in the place of a group's key, where all rows are one group.
fn one_group(values: Option<RecordBatch>, groups: &[String]) -> Result<Option<RecordBatch>> {
    values
        .map(|values| match groups {
            [] => numbered(&values, 0),
            _ => Ok(values),
        })
        .transpose()
}

/// A batch behind the numbers of its rows.
fn numbered(batch: &RecordBatch, before: u64) -> Result<RecordBatch> {
    let numbers = UInt64Array::from_iter_values((before + 1..).take(batch.num_rows()));
    let mut columns: Vec<(String, ArrayRef)> = vec![(ROW.to_owned(), Arc::new(numbers))];
    for (field, column) in batch.schema().fields().iter().zip(batch.columns()) {
        columns.push((field.name().clone(), column.clone()));
    }
    Ok(RecordBatch::try_from_iter(columns)?)
}

/// What tells rows apart where each row has one value.
struct Keyed {
    /// The positions of the key's columns among those of the rows; none where rows are numbered.
    places: Vec<usize>,
    schema: SchemaRef,
    /// Whether outputs are values of rows, and so get the key of their row.
    by_row: bool,
}

impl Keyed {
    fn new(kind: PluginKind, key: &[String], outputs: &[SchemaRef], rows: &SchemaRef) -> Self {
        // A value's name may be that of a column of the key.
        let taken = |name: &String| {
            outputs
                .iter()
                .any(|output| output.field_with_name(name).is_ok())
        };
        let by_row = matches!(
            kind,
            PluginKind::Scalar | PluginKind::Model | PluginKind::Merge
        );
        let places = key.iter().map(|name| rows.index_of(name).ok());
        let places: Option<Vec<usize>> = places.collect();
        let clash = by_row && key.iter().any(taken);
        Keyed {
            places: places.filter(|_| !clash).unwrap_or_default(),
            schema: rows.clone(),
            by_row,
        }
    }

    fn columns(&self) -> Vec<String> {
        match self.places.as_slice() {
            [] => vec![ROW.to_owned()],
            places => {
                let fields = places
                    .iter()
                    .filter_map(|place| self.schema.fields().get(*place));
                fields.map(|field| field.name().clone()).collect()
            }
        }
    }

    /// An output's columns as they are compared.
    fn schema(&self, output: &SchemaRef) -> Result<SchemaRef> {
        let none = RecordBatch::new_empty(output.clone());
        let rows = RecordBatch::new_empty(self.schema.clone());
        Ok(self.output(&none, &rows, 0)?.schema())
    }

    /// An output as it is compared: values of rows get the keys of the rows.
    fn output(&self, made: &RecordBatch, rows: &RecordBatch, before: u64) -> Result<RecordBatch> {
        if !self.by_row {
            return Ok(made.clone());
        }
        if self.places.is_empty() {
            return numbered(made, before);
        }
        let keys = rows.project(&self.places)?;
        let schema = keys.schema();
        let made_schema = made.schema();
        let fields = schema.fields().iter().chain(made_schema.fields());
        let fields: Vec<Field> = fields
            .map(|field| Field::new(field.name(), field.data_type().clone(), true))
            .collect();
        let columns = keys
            .columns()
            .iter()
            .chain(made.columns())
            .cloned()
            .collect();
        Ok(RecordBatch::try_new(
            Arc::new(Schema::new(fields)),
            columns,
        )?)
    }

    /// A row of a batch, for people.
    fn describe(&self, batch: &RecordBatch, row: usize, before: u64) -> Result<String> {
        if self.places.is_empty() {
            return Ok(format!("{ROW}={}", before + row as u64 + 1));
        }
        Ok(joined(named(&batch.project(&self.places)?, row)?.iter()))
    }
}

impl Rejections {
    /// Compares what both sides refused of one batch, each ascending.
    fn compare(
        &mut self,
        old: &[(usize, String)],
        new: &[(usize, String)],
        describe: &dyn Fn(usize) -> Result<String>,
        shown: &mut Shown,
    ) -> Result<()> {
        let (mut old, mut new) = (old.iter().peekable(), new.iter().peekable());
        loop {
            let next = match (old.peek(), new.peek()) {
                (None, None) => return Ok(()),
                (Some((row, _)), None) | (None, Some((row, _))) => *row,
                (Some((one, _)), Some((other, _))) => *one.min(other),
            };
            let before = old
                .next_if(|(row, _)| *row == next)
                .map(|(_, reason)| reason);
            let after = new
                .next_if(|(row, _)| *row == next)
                .map(|(_, reason)| reason);
            let (what, count) = match (before, after) {
                (Some(before), Some(after)) if before == after => {
                    self.same += 1;
                    continue;
                }
                (Some(_), Some(_)) => ("other reason", &mut self.other_reason),
                (Some(_), None) => ("refused by old", &mut self.only_old),
                _ => ("refused by new", &mut self.only_new),
            };
            *count += 1;
            shown.keep(|| {
                Ok(Difference {
                    what,
                    key: describe(next)?,
                    old: before.cloned(),
                    new: after.cloned(),
                })
            })?;
        }
    }
}
