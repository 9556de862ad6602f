//! A stream processor: sees each batch of rows as it is written, sends rows to other tables, keeps state
//! and timers by key, and may reject rows. It stores nothing itself.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use activestore_types::{Error, Result};
use arrow::array::{ArrayRef, AsArray, StringArray, new_null_array};
use arrow::compute::concat_batches;
use arrow::datatypes::{Field as ArrowField, Schema, SchemaRef};
use arrow::record_batch::RecordBatch;
use wasmtime::component::ComponentExportIndex;

use crate::abi::{
    Batch, Due, Field, GuestError, OwnedBatch, OwnedVarBytes, ProcessedBatch, ScalarType, Spec,
    VarBytes,
};
use crate::column::{Lowered, lift_batch, scalar_type, var_bytes};
use crate::http::HttpRequest;
use crate::instance::{Failure, Fault, Instance};
use crate::log::cut;
use crate::plugin::{Exports, Plugin, PluginKind, ROWS_PER_CALL_MAX, check};
use crate::state::{StateReader, Writes, lend};

type InitParams<'a> = (&'a [(String, String)], &'a [Field]);
type InitResult = (std::result::Result<Spec, GuestError>,);
type ProcessParams<'a> = (Batch<'a>, bool);
type ProcessResult = (std::result::Result<ProcessedBatch, GuestError>,);
type TimerParams<'a> = (Due<'a>,);
type TimerResult = (std::result::Result<Vec<OwnedBatch>, GuestError>,);

/// Outputs that a processor may have.
const OUTPUTS_MAX: usize = 16;
/// Columns that an output may have.
const OUTPUT_COLUMNS_MAX: usize = 1024;
/// Rows that a processor may send for one batch, beside as many as it was given.
const OUTPUT_ROWS_SPARE: usize = 65_536;
/// … and how many for each row it was given.
const OUTPUT_ROWS_PER_ROW: usize = 16;

/// Rows that must not be stored, and why.
type Rejected = Vec<(usize, String)>;

/// The exports of a processor.
#[derive(Clone, Copy)]
pub(crate) struct ProcessorExports {
    pub(crate) init: ComponentExportIndex,
    pub(crate) process: ComponentExportIndex,
    pub(crate) on_timer: ComponentExportIndex,
}

impl ProcessorExports {
    /// Compares their types with the contract's.
    pub(crate) fn check(&self, instance: &mut Instance) -> std::result::Result<(), Failure> {
        check::<InitParams<'_>, InitResult>(instance, self.init, "init")?;
        check::<ProcessParams<'_>, ProcessResult>(instance, self.process, "process")?;
        check::<TimerParams<'_>, TimerResult>(instance, self.on_timer, "on-timer")
    }
}

/// Rows that a processor sends to one table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Output {
    /// What the processor calls it.
    pub name: String,
    /// The rows' columns.
    pub schema: SchemaRef,
    kinds: Vec<ScalarType>,
}

/// What a processor made of a batch. Rows, state, timers and requests belong together: all become durable, or
/// none.
#[derive(Clone, Debug)]
pub struct Processed {
    /// Rows for each output, shaped as [`Processor::outputs`]; may be empty.
    pub outputs: Vec<RecordBatch>,
    /// State to be kept, by key; `None` removes the key. Each key once, in no order.
    pub state: Vec<(Vec<u8>, Option<Vec<u8>>)>,
    /// Timers to be set, by key: in how many nanoseconds they go off; `None` takes the timer away.
    /// Each key once, in no order.
    pub timers: Vec<(Vec<u8>, Option<i64>)>,
    /// Requests to be sent once all of it is durable, in their order.
    pub requests: Vec<HttpRequest>,
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
    outputs: Vec<Output>,
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
        if spec.columns.len() > fields.len() {
            return Err(Error::invalid("it asks for more columns than there are"));
        }
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
        Ok(Processor {
            outputs: outputs(spec)?,
            plugin,
            config,
            fields,
            columns,
            instance: Some(instance),
        })
    }

    /// The rows that it sends; none when it sends no rows.
    pub fn outputs(&self) -> &[Output] {
        &self.outputs
    }

    /// The names of the input columns that it looks at.
    pub fn columns(&self) -> impl Iterator<Item = &str> {
        self.columns.iter().map(|wanted| wanted.name.as_str())
    }

    /// Shows the processor a batch. Columns are found by name; one that the batch lacks is null.
    /// `replay` says that the rows were stored before.
    ///
    /// # Errors
    /// `Invalid` for what the processor refuses and for a fault (trap, deadline, memory, malformed
    /// result); `Overloaded` while the plugin is switched off. Nothing of the batch has then
    /// happened: no rows, no state, no timers, no requests. A plugin may remember between batches what it wrote: who
    /// cannot make the state of a batch durable drops this processor as well.
    pub fn process(
        &mut self,
        batch: &RecordBatch,
        replay: bool,
        state: &dyn StateReader,
    ) -> Result<Processed> {
        let mut writes = Writes::default();
        let mut parts = Vec::new();
        let mut rejected = Vec::new();
        for start in (0..batch.num_rows()).step_by(ROWS_PER_CALL_MAX) {
            let length = (batch.num_rows() - start).min(ROWS_PER_CALL_MAX);
            let slice = batch.slice(start, length);
            let (sent, refused) = self.call(length, |processor| {
                processor.process_slice(&slice, replay, state, &mut writes)
            })?;
            parts.push(sent);
            rejected.extend(refused.into_iter().map(|(row, why)| (row + start, why)));
        }
        self.processed(&parts, writes, rejected)
    }

    /// Tells the processor which timers went off, as (key, when), in the order of their time.
    ///
    /// # Errors
    /// As [`Processor::process`].
    pub fn on_timer(
        &mut self,
        due: &[(Vec<u8>, i64)],
        state: &dyn StateReader,
    ) -> Result<Processed> {
        let mut writes = Writes::default();
        let mut parts = Vec::new();
        for due in due.chunks(ROWS_PER_CALL_MAX) {
            parts.push(self.call(due.len(), |processor| {
                processor.timers_went_off(due, state, &mut writes)
            })?);
        }
        self.processed(&parts, writes, Vec::new())
    }

    fn processed(
        &self,
        parts: &[Vec<RecordBatch>],
        writes: Writes,
        rejected: Rejected,
    ) -> Result<Processed> {
        let outputs = self.outputs.iter().enumerate().map(|(number, output)| {
            let parts = parts.iter().filter_map(|part| part.get(number));
            Ok(concat_batches(&output.schema, parts)?)
        });
        Ok(Processed {
            outputs: outputs.collect::<Result<_>>()?,
            state: writes.state.into_iter().collect(),
            timers: writes.timers.into_iter().collect(),
            requests: writes.requests,
            rejected,
        })
    }

    fn call<T>(
        &mut self,
        rows: usize,
        call: impl FnOnce(&mut Self) -> std::result::Result<T, Failure>,
    ) -> Result<T> {
        let plugin = self.plugin.clone();
        let result = plugin.guarded(rows, || call(self));
        // After a refusal the guest may have half of a batch in its own memory.
        result.inspect_err(|_| self.instance = None)
    }

    fn process_slice(
        &mut self,
        batch: &RecordBatch,
        replay: bool,
        state: &dyn StateReader,
        writes: &mut Writes,
    ) -> std::result::Result<(Vec<RecordBatch>, Rejected), Failure> {
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
        let input = Batch {
            rows: rows as u32,
            columns: &columns,
        };
        self.with_state(state, writes, |processor, instance, exports, deadline| {
            let params: ProcessParams<'_> = (input, replay);
            let (result,): ProcessResult = instance.call(exports.process, params, deadline)?;
            let done = result?;
            let sent = processor.lift(done.outputs, rows)?;
            let rejected = rejected(done.rejected_rows, done.rejected_reasons, rows)
                .map_err(|error| Fault::malformed(format!("its rejected rows: {error}")))?;
            Ok((sent, rejected))
        })
    }

    fn timers_went_off(
        &mut self,
        due: &[(Vec<u8>, i64)],
        state: &dyn StateReader,
        writes: &mut Writes,
    ) -> std::result::Result<Vec<RecordBatch>, Failure> {
        let mut keys = OwnedVarBytes {
            offsets: vec![0],
            data: Vec::new(),
        };
        for (key, _) in due {
            keys.data.extend_from_slice(key);
            let end = i32::try_from(keys.data.len())
                .map_err(|_| Error::invalid("timers of too many bytes went off at once"))?;
            keys.offsets.push(end);
        }
        let at_ns: Vec<i64> = due.iter().map(|(_, at_ns)| *at_ns).collect();
        self.with_state(state, writes, |processor, instance, exports, deadline| {
            let due = Due {
                keys: VarBytes {
                    offsets: &keys.offsets,
                    data: &keys.data,
                },
                at_ns: &at_ns,
            };
            let params: TimerParams<'_> = (due,);
            let (result,): TimerResult = instance.call(exports.on_timer, params, deadline)?;
            Ok(processor.lift(result?, at_ns.len())?)
        })
    }

    /// Runs a call with state lent to the guest; its instance is kept where all went well.
    fn with_state<T>(
        &mut self,
        state: &dyn StateReader,
        writes: &mut Writes,
        call: impl FnOnce(
            &Self,
            &mut Instance,
            ProcessorExports,
            Duration,
        ) -> std::result::Result<T, Failure>,
    ) -> std::result::Result<T, Failure> {
        let Exports::Processor(exports) = self.plugin.exports else {
            return Err(self.plugin.is_not(PluginKind::Processor).into());
        };
        let mut instance = match self.instance.take() {
            Some(instance) => instance,
            None => self.fresh()?,
        };
        let deadline = self.plugin.mould.deadline;
        let (result, written) = lend(&mut instance, state, std::mem::take(writes), |instance| {
            call(self, instance, exports, deadline)
        });
        *writes = written;
        let result = result?;
        self.plugin.note_memory(&instance);
        self.instance = (!instance.is_bloated()).then_some(instance);
        Ok(result)
    }

    /// Another instance, which must declare what the first one did.
    fn fresh(&self) -> std::result::Result<Instance, Failure> {
        let (instance, spec) = init(&self.plugin, &self.config, &self.fields)?;
        let declared = outputs(&spec).map_err(|error| Fault::malformed(error.to_string()))?;
        if declared == self.outputs && spec.columns.len() == self.columns.len() {
            Ok(instance)
        } else {
            Err(Fault::malformed("it declares other columns than before").into())
        }
    }

    fn lift(
        &self,
        batches: Vec<OwnedBatch>,
        rows_in: usize,
    ) -> std::result::Result<Vec<RecordBatch>, Fault> {
        if batches.len() != self.outputs.len() {
            return Err(Fault::malformed(format!(
                "it sent {} batches where it declared {} outputs",
                batches.len(),
                self.outputs.len()
            )));
        }
        let rows_max = rows_in * OUTPUT_ROWS_PER_ROW + OUTPUT_ROWS_SPARE;
        let rows = batches
            .iter()
            .map(|batch| batch.rows as usize)
            .sum::<usize>();
        if rows > rows_max {
            return Err(Fault::malformed(format!(
                "it sent {rows} rows for {rows_in}, where {rows_max} are allowed"
            )));
        }
        let batches = batches.into_iter().zip(&self.outputs);
        batches
            .map(|(batch, output)| lift_batch(batch, &output.kinds, &output.schema))
            .collect::<std::result::Result<_, _>>()
            .map_err(Fault::malformed)
    }
}

/// What a specification says that the processor sends.
fn outputs(spec: &Spec) -> Result<Vec<Output>> {
    if spec.outputs.len() > OUTPUTS_MAX {
        return Err(Error::invalid(format!(
            "it declares {} outputs where {OUTPUTS_MAX} are allowed",
            spec.outputs.len()
        )));
    }
    let outputs = spec.outputs.iter().map(|output| {
        if output.fields.is_empty() || output.fields.len() > OUTPUT_COLUMNS_MAX {
            return Err(Error::invalid(format!(
                "its output '{}' has {} columns where 1 to {OUTPUT_COLUMNS_MAX} are allowed",
                cut(&output.name),
                output.fields.len()
            )));
        }
        let fields: Vec<_> = output
            .fields
            .iter()
            .map(|field| {
                ArrowField::new(&field.name, field.kind.data_type().arrow(), field.nullable)
            })
            .collect();
        for (index, field) in fields.iter().enumerate() {
            let mut earlier = fields.iter().take(index);
            if earlier.any(|other| other.name() == field.name()) {
                return Err(Error::invalid(format!(
                    "its output names column '{}' twice",
                    cut(field.name())
                )));
            }
        }
        Ok(Output {
            name: cut(&output.name).to_owned(),
            schema: Schema::new(fields).into(),
            kinds: output.fields.iter().map(|field| field.kind).collect(),
        })
    });
    outputs.collect()
}

fn rejected(
    rows: Vec<u32>,
    reasons: OwnedVarBytes,
    rows_in: usize,
) -> std::result::Result<Rejected, String> {
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
    let Exports::Processor(exports) = &plugin.exports else {
        return Err(plugin.is_not(PluginKind::Processor).into());
    };
    let mut instance = plugin.mould.cast()?;
    let params: InitParams<'_> = (config, fields);
    let (result,): InitResult = instance.call(exports.init, params, plugin.mould.deadline)?;
    Ok((instance, result?))
}
