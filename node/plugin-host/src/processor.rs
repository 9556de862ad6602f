//! A stream processor: sees each batch of rows as it is written, sends rows to another table, keeps
//! state by key, and may reject rows. It stores nothing itself.

use std::collections::BTreeMap;
use std::sync::Arc;

use activestore_types::{Error, Result};
use arrow::array::{ArrayRef, AsArray, StringArray, new_null_array};
use arrow::compute::concat_batches;
use arrow::datatypes::{Field as ArrowField, Schema, SchemaRef};
use arrow::record_batch::{RecordBatch, RecordBatchOptions};

use crate::abi::{Batch, Field, GuestError, OwnedColumn, ProcessedBatch, ScalarType, Spec};
use crate::column::{Lowered, lift, scalar_type, var_bytes};
use crate::instance::{Failure, Fault, Instance};
use crate::log::cut;
use crate::plugin::{Exports, Plugin, PluginKind, ROWS_PER_CALL_MAX};
use crate::state::{StateReader, Writes, lend};

pub(crate) type InitParams<'a> = (&'a [(String, String)], &'a [Field]);
pub(crate) type InitResult = (std::result::Result<Spec, GuestError>,);
pub(crate) type ProcessParams<'a> = (Batch<'a>,);
pub(crate) type ProcessResult = (std::result::Result<ProcessedBatch, GuestError>,);

/// Columns that a processor's output may have.
const OUTPUT_COLUMNS_MAX: usize = 1024;
/// Rows that a processor may send for one batch, beside as many as it was given.
const OUTPUT_ROWS_SPARE: usize = 65_536;
/// … and how many for each row it was given.
const OUTPUT_ROWS_PER_ROW: usize = 16;

/// What a processor made of a batch. Rows and state belong together: both become durable, or neither.
#[derive(Clone, Debug)]
pub struct Processed {
    /// Rows for the output table, shaped as [`Processor::outputs`]; may be empty.
    pub rows: RecordBatch,
    /// State to be kept, by key; `None` removes the key. Sorted, each key once.
    pub state: Vec<(Vec<u8>, Option<Vec<u8>>)>,
    /// Input rows that must not be stored, ascending, and why.
    pub rejected: Vec<(usize, String)>,
}

/// A processor with its configuration. It holds one instance; a fault drops it, and the next batch
/// makes a fresh one.
pub struct Processor {
    plugin: Arc<Plugin>,
    config: Vec<(String, String)>,
    fields: Vec<Field>,
    columns: Vec<Wanted>,
    outputs: SchemaRef,
    kinds: Vec<ScalarType>,
    instance: Option<Instance>,
}

/// An input column that the processor asked for.
struct Wanted {
    name: String,
    kind: ScalarType,
}

impl std::fmt::Debug for Processor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Processor")
            .field("plugin", &self.plugin)
            .field("outputs", &self.outputs)
            .finish_non_exhaustive()
    }
}

impl Processor {
    pub(crate) fn new(
        plugin: &Arc<Plugin>,
        config: &BTreeMap<String, String>,
        input: &Schema,
    ) -> Result<Self> {
        if plugin.kind() != PluginKind::Processor {
            return Err(plugin.is_not(PluginKind::Processor));
        }
        // Columns of types that cannot cross are not offered.
        let fields: Vec<_> = input
            .fields()
            .iter()
            .filter_map(|field| {
                Some(Field {
                    name: field.name().clone(),
                    kind: scalar_type(field.data_type())?,
                    nullable: field.is_nullable(),
                })
            })
            .collect();
        let config: Vec<_> = config.clone().into_iter().collect();
        let (instance, spec) = plugin.guarded(0, || init(plugin, &config, &fields))?;
        Processor::of_spec(plugin.clone(), config, fields, instance, &spec)
            .map_err(|error| error.context(format_args!("plugin '{}'", plugin.name())))
    }

    fn of_spec(
        plugin: Arc<Plugin>,
        config: Vec<(String, String)>,
        fields: Vec<Field>,
        instance: Instance,
        spec: &Spec,
    ) -> Result<Self> {
        let columns = spec
            .columns
            .iter()
            .map(|index| match fields.get(*index as usize) {
                Some(field) => Ok(Wanted {
                    name: field.name.clone(),
                    kind: field.kind,
                }),
                None => Err(Error::invalid(format!(
                    "it asks for column {index} of {}",
                    fields.len()
                ))),
            })
            .collect::<Result<Vec<_>>>()?;
        if spec.outputs.len() > OUTPUT_COLUMNS_MAX || columns.len() > fields.len() {
            return Err(Error::invalid(
                "it declares more columns than a table may have",
            ));
        }
        let outputs: Vec<_> = spec
            .outputs
            .iter()
            .map(|field| {
                ArrowField::new(&field.name, field.kind.data_type().arrow(), field.nullable)
            })
            .collect();
        for (index, field) in outputs.iter().enumerate() {
            let mut earlier = outputs.iter().take(index);
            if earlier.any(|other| other.name() == field.name()) {
                return Err(Error::invalid(format!(
                    "its output names column '{}' twice",
                    field.name()
                )));
            }
        }
        Ok(Processor {
            plugin,
            config,
            fields,
            columns,
            outputs: Schema::new(outputs).into(),
            kinds: spec.outputs.iter().map(|field| field.kind).collect(),
            instance: Some(instance),
        })
    }

    /// The columns of the rows it sends into its output table; none when it sends no rows.
    pub fn outputs(&self) -> &SchemaRef {
        &self.outputs
    }

    /// The names of the input columns that it looks at.
    pub fn columns(&self) -> impl Iterator<Item = &str> {
        self.columns.iter().map(|wanted| wanted.name.as_str())
    }

    /// Shows the processor a batch. Columns are found by name; one that the batch lacks is null.
    ///
    /// # Errors
    /// `Invalid` for what the processor refuses and for a fault (trap, deadline, memory, malformed
    /// result); `Overloaded` while the plugin is switched off. Nothing of the batch has then
    /// happened: no rows, no state.
    pub fn process(&mut self, batch: &RecordBatch, state: &dyn StateReader) -> Result<Processed> {
        let mut writes = Writes::new();
        let mut parts = Vec::new();
        let mut rejected = Vec::new();
        for start in (0..batch.num_rows()).step_by(ROWS_PER_CALL_MAX) {
            let length = (batch.num_rows() - start).min(ROWS_PER_CALL_MAX);
            let slice = batch.slice(start, length);
            let plugin = self.plugin.clone();
            let result = plugin.guarded(length, || self.process_slice(&slice, state, &mut writes));
            // After a refusal the guest may have half of a batch in its own memory.
            let (rows, refused) = result.inspect_err(|_| self.instance = None)?;
            parts.push(rows);
            rejected.extend(refused.into_iter().map(|(row, why)| (row + start, why)));
        }
        Ok(Processed {
            rows: concat_batches(&self.outputs, &parts)?,
            state: writes.into_iter().collect(),
            rejected,
        })
    }

    fn process_slice(
        &mut self,
        batch: &RecordBatch,
        state: &dyn StateReader,
        writes: &mut Writes,
    ) -> std::result::Result<(RecordBatch, Vec<(usize, String)>), Failure> {
        let Exports::Processor { process, .. } = &self.plugin.exports else {
            return Err(self.plugin.is_not(PluginKind::Processor).into());
        };
        let rows = batch.num_rows();
        let lowered = self
            .columns
            .iter()
            .map(|wanted| match batch.column_by_name(&wanted.name) {
                Some(array) => Lowered::new(array, wanted.kind)
                    .map_err(|error| error.context(format_args!("column '{}'", wanted.name))),
                None => {
                    let nulls = new_null_array(&wanted.kind.data_type().arrow(), rows);
                    Lowered::new(&nulls, wanted.kind)
                }
            })
            .collect::<Result<Vec<_>>>()?;
        let columns: Vec<_> = lowered.iter().map(Lowered::column).collect();
        let mut instance = match self.instance.take() {
            Some(instance) => instance,
            None => self.fresh()?,
        };
        let input = Batch {
            rows: rows as u32,
            columns: &columns,
        };
        let deadline = self.plugin.mould.deadline;
        let (result, written) = lend(&mut instance, state, std::mem::take(writes), |instance| {
            instance.call::<ProcessParams<'_>, ProcessResult>(*process, (input,), deadline)
        });
        *writes = written;
        let (result,) = result?;
        let processed = result?;
        let lifted = self.lift(processed, rows)?;
        self.plugin.note_memory(&instance);
        self.instance = (!instance.is_bloated()).then_some(instance);
        Ok(lifted)
    }

    /// Another instance, which must declare what the first one did.
    fn fresh(&self) -> std::result::Result<Instance, Failure> {
        let (instance, spec) = init(&self.plugin, &self.config, &self.fields)?;
        let same = spec.outputs.len() == self.kinds.len()
            && spec.columns.len() == self.columns.len()
            && spec
                .outputs
                .iter()
                .zip(&self.kinds)
                .all(|(field, kind)| field.kind == *kind);
        if same {
            Ok(instance)
        } else {
            Err(Fault::malformed("it declares other columns than before").into())
        }
    }

    fn lift(
        &self,
        processed: ProcessedBatch,
        rows_in: usize,
    ) -> std::result::Result<(RecordBatch, Vec<(usize, String)>), Fault> {
        let rows = processed.rows.rows as usize;
        let rows_max = rows_in * OUTPUT_ROWS_PER_ROW + OUTPUT_ROWS_SPARE;
        if rows > rows_max {
            return Err(Fault::malformed(format!(
                "it sent {rows} rows for {rows_in}, where {rows_max} are allowed"
            )));
        }
        if processed.rows.columns.len() != self.kinds.len() {
            return Err(Fault::malformed(format!(
                "it sent {} columns where it declared {}",
                processed.rows.columns.len(),
                self.kinds.len()
            )));
        }
        let arrays = processed
            .rows
            .columns
            .into_iter()
            .zip(self.kinds.iter().zip(self.outputs.fields()))
            .map(|(column, (kind, field))| self.lift_column(column, *kind, field, rows))
            .collect::<std::result::Result<Vec<_>, _>>()?;
        let options = RecordBatchOptions::new().with_row_count(Some(rows));
        let batch = RecordBatch::try_new_with_options(self.outputs.clone(), arrays, &options)
            .map_err(|error| Fault::malformed(error.to_string()))?;
        let rejected = rejected(processed.rejected_rows, processed.rejected_reasons, rows_in)
            .map_err(|error| Fault::malformed(format!("its rejected rows: {error}")))?;
        Ok((batch, rejected))
    }

    fn lift_column(
        &self,
        column: OwnedColumn,
        kind: ScalarType,
        field: &ArrowField,
        rows: usize,
    ) -> std::result::Result<ArrayRef, Fault> {
        lift(column, kind, rows)
            .map_err(|error| Fault::malformed(format!("output '{}': {error}", field.name())))
    }
}

fn rejected(
    rows: Vec<u32>,
    reasons: crate::abi::OwnedVarBytes,
    rows_in: usize,
) -> std::result::Result<Vec<(usize, String)>, String> {
    let ascending = rows.windows(2).all(|pair| matches!(pair, [a, b] if a < b));
    if !ascending || rows.last().is_some_and(|row| *row as usize >= rows_in) {
        return Err(format!("they do not rise within the {rows_in} rows given"));
    }
    let (offsets, data) = var_bytes(reasons, rows.len())?;
    let reasons = StringArray::try_new(offsets, data, None).map_err(|error| error.to_string())?;
    let reasons: ArrayRef = Arc::new(reasons);
    Ok(rows
        .into_iter()
        .zip(reasons.as_string::<i32>().iter())
        .map(|(row, reason)| (row as usize, cut(reason.unwrap_or_default()).to_owned()))
        .collect())
}

fn init(
    plugin: &Plugin,
    config: &[(String, String)],
    fields: &[Field],
) -> std::result::Result<(Instance, Spec), Failure> {
    let Exports::Processor { init, .. } = &plugin.exports else {
        return Err(plugin.is_not(PluginKind::Processor).into());
    };
    let mut instance = plugin.mould.cast()?;
    let (result,): InitResult = instance.call(*init, (config, fields), plugin.mould.deadline)?;
    Ok((instance, result?))
}
