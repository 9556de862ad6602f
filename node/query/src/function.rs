//! Scalar functions that plugins provide, as SQL functions. Arguments are cast to the declared
//! types before the call, and what comes back is checked like bytes from the network.

use std::fmt::Debug;
use std::sync::Arc;

use activestore_types::{DataType, Error, Result};
use arrow::array::{Array, ArrayRef};
use arrow::compute::can_cast_types;
use arrow::datatypes::DataType as ArrowType;
use datafusion::common::{Result as DataFusionResult, plan_err};
use datafusion::logical_expr::ptr_eq::PtrEq;
use datafusion::logical_expr::{
    ColumnarValue, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility,
};
use datafusion::scalar::ScalarValue;

use crate::error::to_datafusion;

/// A function from columns to a column. Called from many threads at once.
pub trait ColumnFunction: Send + Sync + Debug {
    /// Its name in SQL.
    fn name(&self) -> &str;
    /// The types of its arguments.
    fn args(&self) -> &[DataType];
    /// The type of its result.
    fn returns(&self) -> DataType;
    /// Whether equal arguments may give different results.
    fn volatile(&self) -> bool;
    /// Computes `rows` values; every argument has as many, of the declared type.
    ///
    /// # Errors
    /// What the function says; the query fails with it.
    fn call(&self, rows: usize, args: &[ArrayRef]) -> Result<ArrayRef>;
}

pub(crate) fn udf(function: Arc<dyn ColumnFunction>) -> ScalarUDF {
    let volatility = if function.volatile() {
        Volatility::Volatile
    } else {
        Volatility::Immutable
    };
    ScalarUDF::new_from_impl(PluginFunction {
        signature: Signature::user_defined(volatility),
        function: function.into(),
    })
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct PluginFunction {
    signature: Signature,
    function: PtrEq<Arc<dyn ColumnFunction>>,
}

impl ScalarUDFImpl for PluginFunction {
    fn name(&self) -> &str {
        self.function.name()
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _args: &[ArrowType]) -> DataFusionResult<ArrowType> {
        Ok(self.function.returns().arrow())
    }

    fn coerce_types(&self, given: &[ArrowType]) -> DataFusionResult<Vec<ArrowType>> {
        coerce(self.name(), self.function.args(), given)
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> DataFusionResult<ColumnarValue> {
        // With nothing but constants one row is enough.
        let constant = args
            .args
            .iter()
            .all(|arg| matches!(arg, ColumnarValue::Scalar(_)));
        let single = constant && !self.function.volatile();
        let rows = if single { 1 } else { args.number_rows };
        let arrays = args
            .args
            .into_iter()
            .map(|arg| arg.into_array(rows))
            .collect::<DataFusionResult<Vec<_>>>()?;
        let result = self.function.call(rows, &arrays).map_err(to_datafusion)?;
        check(self.name(), &result, rows, &self.function.returns().arrow())
            .map_err(to_datafusion)?;
        if single {
            return Ok(ColumnarValue::Scalar(ScalarValue::try_from_array(
                &result, 0,
            )?));
        }
        Ok(ColumnarValue::Array(result))
    }
}

/// The types that arguments are cast to: the declared ones, where the given ones can become those.
pub(crate) fn coerce(
    name: &str,
    declared: &[DataType],
    given: &[ArrowType],
) -> DataFusionResult<Vec<ArrowType>> {
    if declared.len() != given.len() {
        let types: Vec<String> = declared.iter().map(ToString::to_string).collect();
        return plan_err!(
            "{name}({}) takes {} arguments, {} are given",
            types.join(", "),
            declared.len(),
            given.len()
        );
    }
    for (number, (declared, given)) in (1..).zip(declared.iter().zip(given)) {
        if !can_cast_types(given, &declared.arrow()) {
            return plan_err!(
                "argument {number} of {name}() is {declared}, which {given} cannot become"
            );
        }
    }
    Ok(declared.iter().map(|declared| declared.arrow()).collect())
}

/// Checks that what a plugin returned has the length and the type it promised.
pub(crate) fn check(name: &str, result: &ArrayRef, rows: usize, wanted: &ArrowType) -> Result<()> {
    if result.len() != rows {
        return Err(Error::invalid(format!(
            "{name}() returned {} values for {rows} rows",
            result.len()
        ))
        .with_hint("the plugin is at fault; it must return one value a row"));
    }
    if result.data_type() != wanted {
        return Err(Error::invalid(format!(
            "{name}() returned {} where it declares {wanted}",
            result.data_type()
        ))
        .with_hint("the plugin is at fault; it must return what it declares"));
    }
    Ok(())
}
