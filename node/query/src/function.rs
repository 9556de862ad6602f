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
    /// The names of its arguments; none where they cannot be given by name.
    fn arg_names(&self) -> &[String] {
        &[]
    }
    /// The types of its arguments.
    fn args(&self) -> &[DataType];
    /// The type of its result.
    fn returns(&self) -> DataType;
    /// Whether equal arguments give equal results: always, within a statement, or not even there.
    fn volatility(&self) -> Volatility {
        Volatility::Immutable
    }
    /// Most memory that one instance of it held, in bytes, as far as it is known.
    fn memory_bytes(&self) -> u64 {
        0
    }
    /// Computes `rows` values; every argument has as many, of the declared type.
    ///
    /// # Errors
    /// What the function says; the query fails with it.
    fn call(&self, rows: usize, args: &[ArrayRef]) -> Result<ArrayRef>;
}

/// One function of SQL: the functions with this name, one at least, which differ in the types of their
/// arguments.
pub(crate) fn udf(functions: &[Arc<dyn ColumnFunction>]) -> Result<ScalarUDF> {
    let Some(first) = functions.first() else {
        return Err(Error::internal("a function without any overload"));
    };
    let mut volatility = Volatility::Immutable;
    for function in functions {
        volatility = match (volatility, function.volatility()) {
            (Volatility::Volatile, _) | (_, Volatility::Volatile) => Volatility::Volatile,
            (Volatility::Stable, _) | (_, Volatility::Stable) => Volatility::Stable,
            _ => Volatility::Immutable,
        };
    }
    let mut signature = Signature::user_defined(volatility);
    signature.parameter_names = parameter_names(functions.iter().map(|one| one.arg_names()));
    Ok(ScalarUDF::new_from_impl(PluginFunction {
        name: first.name().to_owned(),
        signature,
        functions: functions.iter().cloned().map(Into::into).collect(),
    }))
}

/// The names that arguments may be given by, where all overloads have the same.
pub(crate) fn parameter_names<'a>(
    overloads: impl IntoIterator<Item = &'a [String]>,
) -> Option<Vec<String>> {
    let mut overloads = overloads.into_iter();
    let first = overloads.next()?;
    let alike = !first.is_empty() && overloads.all(|names| names == first);
    alike.then(|| first.to_vec())
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct PluginFunction {
    name: String,
    signature: Signature,
    functions: Vec<PtrEq<Arc<dyn ColumnFunction>>>,
}

impl PluginFunction {
    /// The overload whose arguments have just these types.
    fn exactly(&self, types: &[ArrowType]) -> DataFusionResult<&Arc<dyn ColumnFunction>> {
        let found = self.functions.iter().find(|function| {
            let declared = function.args().iter().map(|declared| declared.arrow());
            declared.eq(types.iter().cloned())
        });
        match found {
            Some(function) => Ok(function),
            None => plan_err!("{}() has no overload for these types", self.name),
        }
    }
}

impl ScalarUDFImpl for PluginFunction {
    fn name(&self) -> &str {
        &self.name
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, args: &[ArrowType]) -> DataFusionResult<ArrowType> {
        Ok(self.exactly(args)?.returns().arrow())
    }

    fn coerce_types(&self, given: &[ArrowType]) -> DataFusionResult<Vec<ArrowType>> {
        let mut best: Option<(u32, Vec<ArrowType>)> = None;
        for function in &self.functions {
            let Ok(types) = coerce(&self.name, function.args(), given) else {
                continue;
            };
            let distance = given
                .iter()
                .zip(&types)
                .map(|(from, to)| distance(from, to));
            let distance = distance.sum();
            if best.as_ref().is_none_or(|(least, _)| distance < *least) {
                best = Some((distance, types));
            }
        }
        match (best, self.functions.as_slice()) {
            (Some((_, types)), _) => Ok(types),
            (None, [function]) => coerce(&self.name, function.args(), given),
            (None, functions) => {
                let overloads: Vec<String> = functions
                    .iter()
                    .map(|function| heading(&self.name, function.args()))
                    .collect();
                plan_err!(
                    "{}() takes no such arguments: there are {}",
                    self.name,
                    overloads.join(", ")
                )
            }
        }
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> DataFusionResult<ColumnarValue> {
        let types: Vec<ArrowType> = args.args.iter().map(ColumnarValue::data_type).collect();
        let function = self.exactly(&types)?;
        // With nothing but constants one row is enough.
        let constant = args
            .args
            .iter()
            .all(|arg| matches!(arg, ColumnarValue::Scalar(_)));
        let single = constant && function.volatility() != Volatility::Volatile;
        let rows = if single { 1 } else { args.number_rows };
        let arrays = args
            .args
            .into_iter()
            .map(|arg| arg.into_array(rows))
            .collect::<DataFusionResult<Vec<_>>>()?;
        let result = function.call(rows, &arrays).map_err(to_datafusion)?;
        check(&self.name, &result, rows, &function.returns().arrow()).map_err(to_datafusion)?;
        if single {
            return Ok(ColumnarValue::Scalar(ScalarValue::try_from_array(
                &result, 0,
            )?));
        }
        Ok(ColumnarValue::Array(result))
    }
}

/// How far a cast takes a value from what it was: overloads are chosen by it.
fn distance(from: &ArrowType, to: &ArrowType) -> u32 {
    let is_text = |kind: &ArrowType| {
        matches!(
            kind,
            ArrowType::Utf8 | ArrowType::LargeUtf8 | ArrowType::Utf8View
        )
    };
    if from == to || (is_text(from) && is_text(to)) || *from == ArrowType::Null {
        return 0;
    }
    let lossless = match (from, to) {
        (_, ArrowType::Float64) => from.is_numeric(),
        (_, ArrowType::Int64) => from.is_integer(),
        (ArrowType::Date32, ArrowType::Timestamp(..)) => true,
        (ArrowType::Timestamp(..), ArrowType::Timestamp(..)) => true,
        _ => false,
    };
    if lossless {
        1
    } else if from.is_numeric() && to.is_numeric() {
        10
    } else {
        100
    }
}

/// A function as people write it.
pub(crate) fn heading(name: &str, args: &[DataType]) -> String {
    let types: Vec<String> = args.iter().map(ToString::to_string).collect();
    format!("{name}({})", types.join(", "))
}

/// The types that arguments are cast to: the declared ones, where the given ones can become those.
pub(crate) fn coerce(
    name: &str,
    declared: &[DataType],
    given: &[ArrowType],
) -> DataFusionResult<Vec<ArrowType>> {
    if declared.len() != given.len() {
        return plan_err!(
            "{} takes {} arguments, {} are given",
            heading(name, declared),
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
