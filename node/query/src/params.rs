//! Parameters: `$1`, `$2`, … as JSON values or as values of a type that their sender names.

use activestore_types::{Error, Result};
use arrow::array::{Array, ArrayRef};
use arrow::util::display::array_value_to_string;
use datafusion::common::ParamValues;
use datafusion::logical_expr::LogicalPlan;
use datafusion::scalar::ScalarValue;
use serde_json::Value;

use crate::error::from_datafusion;

/// The most parameters of one statement.
pub const MAX_PARAMS: usize = 65_535;

/// What fills one placeholder.
#[derive(Clone, Debug)]
pub enum Param {
    /// As JSON has it. Numbers become BIGINT or DOUBLE, text stays text (and is coerced to what it is compared
    /// with), arrays and objects become their JSON text.
    Json(Value),
    /// The one value of an array of its type.
    Typed(ArrayRef),
}

impl Param {
    /// Of each of these values.
    pub fn all(values: &[Value]) -> Vec<Param> {
        values.iter().cloned().map(Param::Json).collect()
    }

    /// The value as JSON says it; text where JSON has no word for its type.
    pub fn json(&self) -> Value {
        let array = match self {
            Param::Json(value) => return value.clone(),
            Param::Typed(array) => array,
        };
        if array.is_empty() || array.is_null(0) {
            return Value::Null;
        }
        let text = array_value_to_string(array, 0).unwrap_or_default();
        let data_type = array.data_type();
        let plain = data_type.is_integer()
            || data_type.is_floating()
            || *data_type == arrow::datatypes::DataType::Boolean;
        match serde_json::from_str::<Value>(&text) {
            Ok(value) if plain => value,
            _ => Value::String(text),
        }
    }

    /// Whether it is NULL.
    #[must_use]
    pub fn is_null(&self) -> bool {
        match self {
            Param::Json(value) => value.is_null(),
            Param::Typed(array) => array.is_empty() || array.is_null(0),
        }
    }

    /// As an array of one value.
    pub(crate) fn array(&self) -> Result<ArrayRef> {
        match self {
            Param::Typed(array) => Ok(array.clone()),
            Param::Json(_) => self.scalar()?.to_array().map_err(from_datafusion),
        }
    }

    pub(crate) fn scalar(&self) -> Result<ScalarValue> {
        Ok(match self {
            Param::Typed(array) => {
                ScalarValue::try_from_array(array, 0).map_err(from_datafusion)?
            }
            Param::Json(Value::Null) => ScalarValue::Null,
            Param::Json(Value::Bool(value)) => ScalarValue::Boolean(Some(*value)),
            Param::Json(Value::Number(number)) => match (number.as_i64(), number.as_u64()) {
                (Some(value), _) => ScalarValue::Int64(Some(value)),
                (None, Some(value)) => ScalarValue::UInt64(Some(value)),
                (None, None) => ScalarValue::Float64(number.as_f64()),
            },
            Param::Json(Value::String(text)) => ScalarValue::Utf8(Some(text.clone())),
            Param::Json(value) => ScalarValue::Utf8(Some(value.to_string())),
        })
    }
}

/// The number of a placeholder as the planner names it.
pub(crate) fn number(name: &str) -> Option<usize> {
    name.strip_prefix('$')
        .and_then(|digits| digits.parse::<usize>().ok())
}

/// The plan with its placeholders replaced.
///
/// # Errors
/// `Invalid` for a placeholder without a value, or a value without a placeholder it could fill.
pub(crate) fn bind(plan: LogicalPlan, params: &[Param]) -> Result<LogicalPlan> {
    if params.len() > MAX_PARAMS {
        return Err(Error::invalid(format!(
            "the statement has {} parameters; at most {MAX_PARAMS} are taken",
            params.len()
        )));
    }
    let wanted = plan.get_parameter_names().map_err(from_datafusion)?;
    for name in &wanted {
        match number(name) {
            Some(number) if (1..=params.len()).contains(&number) => {}
            Some(number) => {
                return Err(Error::invalid(format!(
                    "the statement uses ${number}, but {} parameters were given",
                    params.len()
                )));
            }
            None => {
                return Err(Error::invalid(format!("'{name}' is not a parameter"))
                    .with_hint("parameters are $1, $2, …"));
            }
        }
    }
    if wanted.is_empty() {
        return Ok(plan);
    }
    let values: Vec<ScalarValue> = params.iter().map(Param::scalar).collect::<Result<_>>()?;
    plan.with_param_values(ParamValues::from(values))
        .map_err(from_datafusion)
}
