//! Parameters: `$1`, `$2`, … from JSON values.

use activestore_types::{Error, Result};
use datafusion::common::ParamValues;
use datafusion::logical_expr::LogicalPlan;
use datafusion::scalar::ScalarValue;
use serde_json::Value;

use crate::error::from_datafusion;

/// The most parameters of one statement.
const MAX_PARAMS: usize = 65_535;

/// The plan with its placeholders replaced. Numbers become BIGINT or DOUBLE, text stays text (and
/// is coerced to what it is compared with), arrays and objects become their JSON text.
///
/// # Errors
/// `Invalid` for a placeholder without a value, or a value without a placeholder it could fill.
pub(crate) fn bind(plan: LogicalPlan, params: &[Value]) -> Result<LogicalPlan> {
    if params.len() > MAX_PARAMS {
        return Err(Error::invalid(format!(
            "the statement has {} parameters; at most {MAX_PARAMS} are taken",
            params.len()
        )));
    }
    let wanted = plan.get_parameter_names().map_err(from_datafusion)?;
    for name in &wanted {
        let number = name
            .strip_prefix('$')
            .and_then(|digits| digits.parse::<usize>().ok());
        match number {
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
    let values: Vec<ScalarValue> = params.iter().map(scalar).collect();
    plan.with_param_values(ParamValues::from(values))
        .map_err(from_datafusion)
}

fn scalar(value: &Value) -> ScalarValue {
    match value {
        Value::Null => ScalarValue::Null,
        Value::Bool(value) => ScalarValue::Boolean(Some(*value)),
        Value::Number(number) => match (number.as_i64(), number.as_u64()) {
            (Some(value), _) => ScalarValue::Int64(Some(value)),
            (None, Some(value)) => ScalarValue::UInt64(Some(value)),
            (None, None) => ScalarValue::Float64(number.as_f64()),
        },
        Value::String(text) => ScalarValue::Utf8(Some(text.clone())),
        Value::Array(_) | Value::Object(_) => ScalarValue::Utf8(Some(value.to_string())),
    }
}
