//! A scalar function: columns in, one column of the same length out.

use std::sync::Arc;

use activestore_types::{Error, Result};
use arrow::array::{Array, ArrayRef, make_array, new_empty_array};
use arrow::buffer::NullBuffer;
use arrow::compute::concat;

use crate::abi::{Column, Function, GuestError, GuestVolatility, OwnedColumn, ScalarType};
use crate::callable::Callable;
use crate::column::{Lowered, lift};
use crate::instance::{Failure, Fault};
use crate::plugin::{
    Exports, FunctionSignature, Plugin, PluginKind, ROWS_PER_CALL_MAX, Volatility,
};

pub(crate) type EvalParams<'a> = (u32, u32, &'a [Column<'a>]);
pub(crate) type EvalResult = (std::result::Result<OwnedColumn, GuestError>,);

/// Functions that one plugin may have.
const FUNCTIONS_MAX: usize = 256;
/// Arguments that one function may have.
const ARGS_MAX: usize = 64;
/// Bytes of a function's name.
const NAME_BYTES_MAX: usize = 128;

/// One function of a plugin. Calls may come from several threads at once; each takes an instance
/// of its own from the plugin's pool.
#[derive(Debug)]
pub struct ScalarFunction(Callable);

impl ScalarFunction {
    pub(crate) fn new(plugin: &Arc<Plugin>, function: &str) -> Result<Self> {
        Callable::find(plugin, PluginKind::Scalar, function).map(ScalarFunction)
    }

    /// Its shape.
    pub fn signature(&self) -> &FunctionSignature {
        &self.0.signature
    }

    /// The function's value for each of `rows` rows. Arguments of other Arrow types are cast.
    ///
    /// # Errors
    /// `Invalid` for a wrong number or type of arguments, for what the function refuses, and for a
    /// fault (trap, deadline, memory, malformed result); `Overloaded` while the plugin is switched off.
    pub fn call(&self, rows: usize, args: &[ArrayRef]) -> Result<ArrayRef> {
        self.0.check_count(args.len())?;
        if let Some(array) = args.iter().find(|array| array.len() != rows) {
            return Err(Error::invalid(format!(
                "function '{}' was given a column of {} rows where {rows} were named",
                self.0.signature.name,
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
            let part = self.0.plugin.guarded(length, || self.eval(length, &args))?;
            parts.push(part);
        }
        match parts.as_slice() {
            [] => Ok(new_empty_array(&self.0.signature.returns.arrow())),
            [one] => Ok(one.clone()),
            many => Ok(concat(&many.iter().map(AsRef::as_ref).collect::<Vec<_>>())?),
        }
    }

    fn eval(&self, rows: usize, args: &[ArrayRef]) -> std::result::Result<ArrayRef, Failure> {
        let Exports::Scalar { eval, .. } = &self.0.plugin.exports else {
            return Err(self.0.plugin.is_not(PluginKind::Scalar).into());
        };
        let lowered = args
            .iter()
            .zip(&self.0.args)
            .map(|(array, kind)| Lowered::new(array, *kind))
            .collect::<Result<Vec<_>>>()?;
        let columns: Vec<_> = lowered.iter().map(Lowered::column).collect();
        let mut instance = match self.0.plugin.pool.take() {
            Some(instance) => instance,
            None => self.0.plugin.mould.cast()?,
        };
        let params: EvalParams<'_> = (self.0.index, rows as u32, &columns);
        let (result,): EvalResult = instance.call(*eval, params, self.0.plugin.mould.deadline)?;
        let column = match result {
            Ok(column) => column,
            Err(refused) => {
                self.0.plugin.give_back(instance);
                return Err(refused.into());
            }
        };
        let array = lift(column, self.0.returns, rows).map_err(|error| {
            Fault::malformed(format!("function '{}': {error}", self.0.signature.name))
        })?;
        self.0.plugin.give_back(instance);
        Ok(if self.0.signature.strict {
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

/// What `describe` returned, checked.
pub(crate) fn signatures(
    functions: Vec<Function>,
) -> std::result::Result<Vec<FunctionSignature>, Failure> {
    if functions.is_empty() || functions.len() > FUNCTIONS_MAX {
        return Err(Error::invalid(format!(
            "it describes {} functions where 1 to {FUNCTIONS_MAX} are allowed",
            functions.len()
        ))
        .into());
    }
    let mut signatures: Vec<FunctionSignature> = Vec::with_capacity(functions.len());
    for function in functions {
        let name = function.name;
        let is_name = !name.is_empty()
            && name.len() <= NAME_BYTES_MAX
            && !name.starts_with(|c: char| c.is_ascii_digit())
            && name
                .chars()
                .all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_');
        if !is_name {
            return Err(Error::invalid(format!(
                "'{}' cannot name a function",
                name.escape_default().take(64).collect::<String>()
            ))
            .with_hint("lower-case letters, digits and _ are allowed, a letter first")
            .into());
        }
        if function.args.len() > ARGS_MAX {
            return Err(Error::invalid(format!(
                "function '{name}' has {} arguments where {ARGS_MAX} are allowed",
                function.args.len()
            ))
            .into());
        }
        if signatures.iter().any(|other| other.name == name) {
            return Err(Error::invalid(format!("function '{name}' stands twice")).into());
        }
        signatures.push(FunctionSignature {
            name,
            args: function
                .args
                .into_iter()
                .map(ScalarType::data_type)
                .collect(),
            returns: function.returns.data_type(),
            volatility: match function.volatility {
                GuestVolatility::Immutable => Volatility::Immutable,
                GuestVolatility::Stable => Volatility::Stable,
                GuestVolatility::Volatile => Volatility::Volatile,
            },
            strict: function.strict,
        });
    }
    Ok(signatures)
}
