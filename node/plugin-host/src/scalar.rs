//! A scalar function: columns in, one column of the same length out.

use std::sync::Arc;

use activestore_types::{DataType, Error, Result};
use arrow::array::{Array, ArrayRef, make_array, new_empty_array};
use arrow::buffer::NullBuffer;
use arrow::compute::concat;

use crate::abi::{Column, GuestError, OwnedColumn, ScalarType};
use crate::callable::Callable;
use crate::column::{Lowered, lift};
use crate::instance::{Failure, Fault};
use crate::plugin::{Exports, Plugin, PluginKind, ROWS_PER_CALL_MAX};
use crate::shape::FunctionSignature;

pub(crate) type EvalParams<'a> = (u32, u32, &'a [Column<'a>]);
pub(crate) type EvalResult = (std::result::Result<OwnedColumn, GuestError>,);

/// One function of a plugin. Calls may come from several threads at once; each takes an instance
/// of its own from the plugin's pool.
#[derive(Debug)]
pub struct ScalarFunction {
    callable: Callable,
    returns: ScalarType,
}

impl ScalarFunction {
    pub(crate) fn first(plugin: &Arc<Plugin>, function: &str) -> Result<Self> {
        let mut all = Self::all(plugin, function)?;
        Ok(all.swap_remove(0))
    }

    pub(crate) fn all(plugin: &Arc<Plugin>, function: &str) -> Result<Vec<Self>> {
        let all = Callable::all(plugin, PluginKind::Scalar, function)?;
        all.into_iter()
            .map(|callable| {
                Ok(ScalarFunction {
                    returns: callable.value_kind()?,
                    callable,
                })
            })
            .collect()
    }

    /// Its shape.
    pub fn signature(&self) -> &FunctionSignature {
        &self.callable.signature
    }

    /// The type of its values.
    pub fn returns(&self) -> DataType {
        self.returns.data_type()
    }

    /// Most bytes of linear memory that one instance of its plugin held after a call.
    pub fn memory_bytes(&self) -> u64 {
        self.callable.plugin.memory_bytes_peak()
    }

    /// The function's value for each of `rows` rows. Arguments of other Arrow types are cast.
    ///
    /// # Errors
    /// `Invalid` for a wrong number or type of arguments, for what the function refuses, and for a
    /// fault (trap, deadline, memory, malformed result); `Overloaded` while the plugin is switched off.
    pub fn call(&self, rows: usize, args: &[ArrayRef]) -> Result<ArrayRef> {
        self.callable.check_count(args.len())?;
        if let Some(array) = args.iter().find(|array| array.len() != rows) {
            return Err(Error::invalid(format!(
                "function '{}' was given a column of {} rows where {rows} were named",
                self.callable.signature.name,
                array.len()
            )));
        }
        let mut parts = Vec::with_capacity(rows.div_ceil(ROWS_PER_CALL_MAX));
        for start in (0..rows).step_by(ROWS_PER_CALL_MAX) {
            let length = (rows - start).min(ROWS_PER_CALL_MAX);
            let args: Vec<_> = args
                .iter()
                .map(|array| array.slice(start, length))
                .collect();
            let part = self
                .callable
                .plugin
                .guarded(length, || self.eval(length, &args))?;
            parts.push(part);
        }
        match parts.as_slice() {
            [] => Ok(new_empty_array(&self.returns.data_type().arrow())),
            [one] => Ok(one.clone()),
            many => Ok(concat(&many.iter().map(AsRef::as_ref).collect::<Vec<_>>())?),
        }
    }

    fn eval(&self, rows: usize, args: &[ArrayRef]) -> std::result::Result<ArrayRef, Failure> {
        let Exports::Scalar { eval, .. } = &self.callable.plugin.exports else {
            return Err(self.callable.plugin.is_not(PluginKind::Scalar).into());
        };
        let lowered = args
            .iter()
            .zip(&self.callable.args)
            .map(|(array, kind)| Lowered::new(array, *kind))
            .collect::<Result<Vec<_>>>()?;
        let columns: Vec<_> = lowered.iter().map(Lowered::column).collect();
        let mut instance = match self.callable.plugin.pool.take() {
            Some(instance) => instance,
            None => self.callable.plugin.mould.cast()?,
        };
        let params: EvalParams<'_> = (self.callable.index, rows as u32, &columns);
        let (result,): EvalResult =
            instance.call(*eval, params, self.callable.plugin.mould.deadline)?;
        let column = match result {
            Ok(column) => column,
            Err(refused) => {
                self.callable.plugin.give_back(instance);
                return Err(refused.into());
            }
        };
        let array = lift(column, self.returns, rows).map_err(|error| {
            Fault::malformed(format!(
                "function '{}': {error}",
                self.callable.signature.name
            ))
        })?;
        self.callable.plugin.give_back(instance);
        Ok(if self.callable.signature.strict {
            with_nulls_of(&array, args)?
        } else {
            array
        })
    }
}

/// The array with a null in each row where one of `others` has a null.
pub(crate) fn with_nulls_of(array: &ArrayRef, others: &[ArrayRef]) -> Result<ArrayRef> {
    let nulls = others.iter().fold(None, |nulls, other| {
        NullBuffer::union(nulls.as_ref(), other.logical_nulls().as_ref())
    });
    let Some(nulls) = nulls else {
        return Ok(array.clone());
    };
    let nulls = NullBuffer::union(Some(&nulls), array.nulls());
    let data = array.to_data().into_builder().nulls(nulls).build()?;
    Ok(make_array(data))
}
