//! A model: an artifact loaded into a guest, columns in, one score a row out.

use std::collections::BTreeMap;
use std::sync::Arc;

use activestore_types::{DataType, Error, Result};
use arrow::array::{Array, ArrayRef, Float64Array};
use arrow::compute::concat;

use crate::abi::{Column, GuestError, OwnedColumn, ScalarType, Signature};
use crate::column::{Lowered, as_kind, lift};
use crate::instance::{Failure, Fault, Instance};
use crate::plugin::{Exports, Plugin, PluginKind, ROWS_PER_CALL_MAX};
use crate::pool::Pool;
use crate::scalar::with_nulls_of;

pub(crate) type LoadParams<'a> = (&'a [(String, String)], &'a [u8]);
pub(crate) type LoadResult = (std::result::Result<Signature, GuestError>,);
pub(crate) type InferParams<'a> = (u32, &'a [Column<'a>]);
pub(crate) type InferResult = (std::result::Result<Vec<OwnedColumn>, GuestError>,);

/// Inputs and outputs that a model may have.
const FIELDS_MAX: usize = 1024;
/// Loading parses and optimises the artifact: it may take this many times a call's deadline.
const LOAD_DEADLINES: u32 = 10;

/// A loaded model. Calls may come from several threads at once; each takes an instance that has
/// the artifact loaded.
pub struct Model {
    plugin: Arc<Plugin>,
    config: Vec<(String, String)>,
    artifact: Vec<u8>,
    inputs: Vec<(String, DataType)>,
    kinds: Vec<ScalarType>,
    outputs: Vec<(String, ScalarType)>,
    pool: Pool<Instance>,
}

impl std::fmt::Debug for Model {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Model")
            .field("plugin", &self.plugin)
            .field("inputs", &self.inputs)
            .field("idle_instances", &self.pool.len())
            .finish_non_exhaustive()
    }
}

impl Model {
    pub(crate) fn new(
        plugin: &Arc<Plugin>,
        config: &BTreeMap<String, String>,
        artifact: &[u8],
    ) -> Result<Self> {
        if plugin.kind() != PluginKind::Model {
            return Err(plugin.is_not(PluginKind::Model));
        }
        let config: Vec<_> = config.clone().into_iter().collect();
        let (instance, signature) = plugin.guarded(0, || load(plugin, &config, artifact))?;
        let inputs = signature.inputs.iter();
        let model = Model {
            plugin: plugin.clone(),
            config,
            artifact: artifact.to_vec(),
            inputs: inputs
                .clone()
                .map(|field| (field.name.clone(), field.kind.data_type()))
                .collect(),
            kinds: inputs.map(|field| field.kind).collect(),
            outputs: signature
                .outputs
                .into_iter()
                .map(|field| (field.name, field.kind))
                .collect(),
            pool: Pool::new(),
        };
        model.give_back(instance);
        Ok(model)
    }

    /// The columns that it takes, in order.
    pub fn inputs(&self) -> &[(String, DataType)] {
        &self.inputs
    }

    /// The names of what it gives, in order. Those that are numbers can be asked for.
    pub fn outputs(&self) -> impl Iterator<Item = &str> {
        self.outputs.iter().map(|(name, _)| name.as_str())
    }

    /// The columns that it gives, in order.
    pub fn output_columns(&self) -> impl Iterator<Item = (String, DataType)> {
        let outputs = self.outputs.iter();
        outputs.map(|(name, kind)| (name.clone(), kind.data_type()))
    }

    /// Bytes of its artifact.
    pub fn artifact_bytes(&self) -> usize {
        self.artifact.len()
    }

    /// The model's first output for each row, as `Float64`; null where an input is null. Numbers of
    /// other types are cast.
    ///
    /// # Errors
    /// `Invalid` for a wrong number, length or type of arguments, for what the model refuses, and for
    /// a fault (trap, deadline, memory, malformed result); `Overloaded` while the plugin is switched off.
    pub fn predict(&self, args: &[ArrayRef]) -> Result<ArrayRef> {
        self.predict_output(0, args)
    }

    /// As [`Model::predict`], one of its outputs by its place.
    ///
    /// # Errors
    /// As [`Model::predict`]; `Invalid` for an output that there is not or that holds no numbers.
    pub fn predict_output(&self, output: usize, args: &[ArrayRef]) -> Result<ArrayRef> {
        match self.outputs.get(output) {
            None => {
                return Err(Error::invalid(format!(
                    "the model has {} outputs",
                    self.outputs.len()
                )));
            }
            Some((name, kind)) if !is_number(*kind) => {
                return Err(Error::invalid(format!(
                    "the model's output '{name}' holds no numbers"
                )));
            }
            Some(_) => {}
        }
        if args.len() != self.inputs.len() {
            let names: Vec<_> = self.inputs.iter().map(|(name, _)| name.as_str()).collect();
            return Err(Error::invalid(format!(
                "the model takes {} inputs ({}), {} were given",
                self.inputs.len(),
                names.join(", "),
                args.len()
            )));
        }
        let rows = args.first().map_or(0, |array| array.len());
        if args.iter().any(|array| array.len() != rows) {
            return Err(Error::invalid("the model's inputs differ in length"));
        }
        let mut parts = Vec::with_capacity(rows.div_ceil(ROWS_PER_CALL_MAX));
        for start in (0..rows).step_by(ROWS_PER_CALL_MAX) {
            let length = (rows - start).min(ROWS_PER_CALL_MAX);
            let args: Vec<_> = args
                .iter()
                .map(|array| array.slice(start, length))
                .collect();
            let part = || self.infer(length, output, &args);
            parts.push(self.plugin.guarded(length, part)?);
        }
        match parts.as_slice() {
            [] => Ok(Arc::new(Float64Array::from(Vec::<f64>::new()))),
            [one] => Ok(one.clone()),
            many => Ok(concat(&many.iter().map(AsRef::as_ref).collect::<Vec<_>>())?),
        }
    }

    fn infer(
        &self,
        rows: usize,
        output: usize,
        args: &[ArrayRef],
    ) -> std::result::Result<ArrayRef, Failure> {
        let Exports::Model { infer, .. } = &self.plugin.exports else {
            return Err(self.plugin.is_not(PluginKind::Model).into());
        };
        let lowered = args
            .iter()
            .zip(&self.kinds)
            .map(|(array, kind)| Lowered::new(array, *kind))
            .collect::<Result<Vec<_>>>()?;
        let columns: Vec<_> = lowered.iter().map(Lowered::column).collect();
        let mut instance = match self.pool.take() {
            Some(instance) => instance,
            None => load(&self.plugin, &self.config, &self.artifact)?.0,
        };
        let params: InferParams<'_> = (rows as u32, &columns);
        let (result,): InferResult = instance.call(*infer, params, self.plugin.mould.deadline)?;
        let outputs = match result {
            Ok(outputs) => outputs,
            Err(refused) => {
                self.give_back(instance);
                return Err(refused.into());
            }
        };
        if outputs.len() != self.outputs.len() {
            return Err(Fault::malformed(format!(
                "the model returned {} columns where it declared {}",
                outputs.len(),
                self.outputs.len()
            ))
            .into());
        }
        let wanted = outputs.into_iter().zip(&self.outputs).nth(output);
        let Some((column, (name, kind))) = wanted else {
            return Err(Fault::malformed("the model returned nothing").into());
        };
        let array = lift(column, *kind, rows)
            .map_err(|error| Fault::malformed(format!("the model's output '{name}': {error}")))?;
        self.give_back(instance);
        let scores = as_kind(&array, ScalarType::Float64)?;
        Ok(with_nulls_of(&scores, args)?)
    }

    fn give_back(&self, instance: Instance) {
        self.plugin.note_memory(&instance);
        // A large artifact is no bloat: the next instance would hold it as well.
        self.pool.put(instance);
    }
}

/// An instance with the artifact loaded, and what the model takes and gives.
fn load(
    plugin: &Plugin,
    config: &[(String, String)],
    artifact: &[u8],
) -> std::result::Result<(Instance, Signature), Failure> {
    let Exports::Model { load, .. } = &plugin.exports else {
        return Err(plugin.is_not(PluginKind::Model).into());
    };
    let mut instance = plugin.mould.cast()?;
    let deadline = plugin.mould.deadline.saturating_mul(LOAD_DEADLINES);
    let (result,): LoadResult = instance.call(*load, (config, artifact), deadline)?;
    let signature = result?;
    let fits = |count: usize| (1..=FIELDS_MAX).contains(&count);
    if !fits(signature.inputs.len()) || !fits(signature.outputs.len()) {
        return Err(Fault::malformed(format!(
            "the model declares {} inputs and {} outputs where 1 to {FIELDS_MAX} are allowed",
            signature.inputs.len(),
            signature.outputs.len()
        ))
        .into());
    }
    let score = signature.outputs.first().map(|field| field.kind);
    if !score.is_some_and(is_number) {
        return Err(Fault::malformed("the model's first output is not a number").into());
    }
    Ok((instance, signature))
}

fn is_number(kind: ScalarType) -> bool {
    !matches!(
        kind,
        ScalarType::Text | ScalarType::Bytes | ScalarType::Timestamp | ScalarType::Date
    )
}
