//! A table function: constants in, rows out, a batch at a time. Each run has an instance to itself, because
//! what it has given already is known to the guest alone.

use std::sync::Arc;

use activestore_types::{Error, Result};
use arrow::array::ArrayRef;
use arrow::datatypes::{Field as ArrowField, Schema, SchemaRef};
use arrow::record_batch::RecordBatch;
use wasmtime::component::ComponentExportIndex;

use crate::abi::{Column, GuestError, OwnedBatch, ScalarType, TableFunction as Described};
use crate::callable::Callable;
use crate::column::{Lowered, lift_batch};
use crate::instance::{Failure, Fault, Instance};
use crate::plugin::{Exports, Plugin, PluginKind, check};
use crate::shape::{FunctionSignature, Returns};

type OpenParams<'a> = (u32, &'a [Column<'a>]);
type OpenResult = (std::result::Result<(), GuestError>,);
type NextResult = (std::result::Result<Option<OwnedBatch>, GuestError>,);

/// Rows that a call asks for.
const ROWS_AT_ONCE: u32 = 8_192;
/// Empty batches in a row that are taken for an answer.
const EMPTY_MAX: u32 = 1_000;

/// The exports of a plugin of table functions.
#[derive(Clone, Copy)]
pub(crate) struct TableExports {
    pub(crate) describe: ComponentExportIndex,
    pub(crate) open: ComponentExportIndex,
    pub(crate) next: ComponentExportIndex,
}

impl TableExports {
    /// Compares their types with the contract's.
    pub(crate) fn check(&self, instance: &mut Instance) -> std::result::Result<(), Failure> {
        check::<(), (Vec<Described>,)>(instance, self.describe, "describe")?;
        check::<OpenParams<'_>, OpenResult>(instance, self.open, "open")?;
        check::<(u32,), NextResult>(instance, self.next, "next")
    }
}

/// One table function of a plugin.
#[derive(Debug)]
pub struct TableFunction {
    callable: Callable,
    schema: SchemaRef,
    kinds: Vec<ScalarType>,
}

impl TableFunction {
    pub(crate) fn new(plugin: &Arc<Plugin>, function: &str) -> Result<Self> {
        let callable = Callable::find(plugin, PluginKind::Table, function)?;
        let Returns::Rows(columns) = &callable.signature.returns else {
            return Err(Error::internal("a table function without columns"));
        };
        let fields: Vec<ArrowField> = columns
            .iter()
            .map(|column| ArrowField::new(&column.name, column.data_type.arrow(), column.nullable))
            .collect();
        Ok(TableFunction {
            kinds: columns
                .iter()
                .map(|column| ScalarType::of(column.data_type))
                .collect(),
            schema: Schema::new(fields).into(),
            callable,
        })
    }

    /// Its shape.
    pub fn signature(&self) -> &FunctionSignature {
        &self.callable.signature
    }

    /// The columns of its rows.
    pub fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    /// Begins a run; each argument is an array of one value. Arguments of other Arrow types are cast.
    ///
    /// # Errors
    /// `Invalid` for a wrong number or type of arguments, for what the function refuses, and for a fault
    /// (trap, deadline, memory); `Overloaded` while the plugin is switched off.
    pub fn open(self: &Arc<Self>, args: &[ArrayRef]) -> Result<TableRun> {
        let callable = &self.callable;
        callable.check_count(args.len())?;
        let lowered = args
            .iter()
            .zip(&callable.args)
            .map(|(array, kind)| Lowered::new(array, *kind))
            .collect::<Result<Vec<_>>>()?;
        let columns: Vec<_> = lowered.iter().map(Lowered::column).collect();
        let exports = self.exports()?;
        let plugin = &callable.plugin;
        let instance = plugin.step(0, || {
            let mut instance = match plugin.pool.take() {
                Some(instance) => instance,
                None => plugin.mould.cast()?,
            };
            let params: OpenParams<'_> = (callable.index, &columns);
            let (opened,): OpenResult =
                instance.call(exports.open, params, plugin.mould.deadline)?;
            opened?;
            Ok(instance)
        })?;
        Ok(TableRun {
            function: Arc::clone(self),
            instance: Some(instance),
        })
    }

    fn exports(&self) -> Result<TableExports> {
        match &self.callable.plugin.exports {
            Exports::Table(exports) => Ok(*exports),
            _ => Err(self.callable.plugin.is_not(PluginKind::Table)),
        }
    }
}

/// A run under way. After an error or its end it gives no more rows.
pub struct TableRun {
    function: Arc<TableFunction>,
    instance: Option<Instance>,
}

impl std::fmt::Debug for TableRun {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TableRun")
            .field("function", &self.function)
            .finish_non_exhaustive()
    }
}

impl TableRun {
    /// Linear memory that it holds, in bytes.
    pub fn memory_bytes(&self) -> u64 {
        self.instance.as_ref().map_or(0, Instance::memory_bytes) as u64
    }

    /// The next rows, one at least; `None` once there are no more.
    ///
    /// # Errors
    /// `Invalid` for what the function refuses and for a fault (trap, deadline, memory, malformed
    /// result); `Overloaded` while the plugin is switched off.
    pub fn next_rows(&mut self) -> Result<Option<RecordBatch>> {
        let function = self.function.clone();
        let plugin = &function.callable.plugin;
        let exports = function.exports()?;
        for _ in 0..EMPTY_MAX {
            let Some(mut instance) = self.instance.take() else {
                return Ok(None);
            };
            let (instance, batch) = plugin.guarded(0, || {
                let (next,): NextResult =
                    instance.call(exports.next, (ROWS_AT_ONCE,), plugin.mould.deadline)?;
                let batch = next?
                    .map(|batch| function.lift(batch))
                    .transpose()
                    .map_err(Fault::malformed)?;
                Ok((instance, batch))
            })?;
            plugin.note_memory(&instance);
            match batch {
                None => {
                    plugin.give_back(instance);
                    return Ok(None);
                }
                Some(batch) => {
                    self.instance = Some(instance);
                    if batch.num_rows() > 0 {
                        return Ok(Some(batch));
                    }
                }
            }
        }
        self.instance = None;
        Err(Error::invalid(format!(
            "plugin '{}' gave {EMPTY_MAX} empty batches in a row and was stopped",
            plugin.name()
        )))
    }
}

impl TableFunction {
    fn lift(&self, batch: OwnedBatch) -> std::result::Result<RecordBatch, String> {
        if batch.rows > ROWS_AT_ONCE {
            return Err(format!(
                "it gave {} rows where {ROWS_AT_ONCE} were asked for",
                batch.rows
            ));
        }
        lift_batch(batch, &self.kinds, &self.schema)
    }
}
