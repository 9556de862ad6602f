//! JSON in SQL: PostgreSQL's operators `->`, `->>`, `#>`, `#>>`, `?`, and functions by the names that
//! people know. A value is cut out of the text as it stands, so numbers keep every digit. What is not
//! there, and what is no JSON, is NULL.

mod path;

use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, BooleanArray, Float64Array, Int64Array, ListBuilder, StringArray,
    StringBuilder,
};
use arrow::datatypes::{DataType as ArrowType, Int64Type};
use datafusion::common::{DFSchema, Result, plan_err};
use datafusion::logical_expr::planner::{ExprPlanner, PlannerResult, RawBinaryExpr};
use datafusion::logical_expr::{
    ColumnarValue, Expr, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility, lit,
};
use datafusion::scalar::ScalarValue;
use datafusion::sql::sqlparser::ast::BinaryOperator;

use crate::bucket::is_text;
pub(crate) use path::{Step, find};
use path::{keys, length, text_of, type_of};

/// What a function makes of the value that a path leads to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Gives {
    Json,
    Text,
    Int,
    Float,
    Bool,
    Is,
    Length,
    Type,
    Keys,
}

/// The functions: name, what it gives, other names.
const FUNCTIONS: [(&str, Gives, &[&str]); 9] = [
    (
        "json_get",
        Gives::Json,
        &["json_get_json", "json_extract_path"],
    ),
    (
        "json_get_str",
        Gives::Text,
        &["json_as_text", "json_extract_path_text"],
    ),
    ("json_get_int", Gives::Int, &[]),
    ("json_get_float", Gives::Float, &[]),
    ("json_get_bool", Gives::Bool, &[]),
    ("json_contains", Gives::Is, &[]),
    ("json_length", Gives::Length, &["json_array_length"]),
    ("json_typeof", Gives::Type, &[]),
    ("json_object_keys", Gives::Keys, &[]),
];

pub(crate) fn udfs() -> Vec<ScalarUDF> {
    FUNCTIONS
        .into_iter()
        .map(|(name, gives, aliases)| udf(name, gives, aliases))
        .collect()
}

fn udf(name: &'static str, gives: Gives, aliases: &[&str]) -> ScalarUDF {
    ScalarUDF::new_from_impl(Json {
        name,
        gives,
        aliases: aliases.iter().map(ToString::to_string).collect(),
        signature: Signature::user_defined(Volatility::Immutable),
    })
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct Json {
    name: &'static str,
    gives: Gives,
    aliases: Vec<String>,
    signature: Signature,
}

impl ScalarUDFImpl for Json {
    fn name(&self) -> &str {
        self.name
    }

    fn aliases(&self) -> &[String] {
        &self.aliases
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _args: &[ArrowType]) -> Result<ArrowType> {
        Ok(match self.gives {
            Gives::Json | Gives::Text | Gives::Type => ArrowType::Utf8,
            Gives::Int | Gives::Length => ArrowType::Int64,
            Gives::Float => ArrowType::Float64,
            Gives::Bool | Gives::Is => ArrowType::Boolean,
            Gives::Keys => ArrowType::new_list(ArrowType::Utf8, true),
        })
    }

    fn coerce_types(&self, given: &[ArrowType]) -> Result<Vec<ArrowType>> {
        let plain = |given: &ArrowType| match given {
            ArrowType::Dictionary(_, value) => value.as_ref().clone(),
            other => other.clone(),
        };
        let [json, path @ ..] = given else {
            return plan_err!(
                "{0}() takes JSON and a path: {0}(body, 'key', 0)",
                self.name
            );
        };
        let json = plain(json);
        if !is_text(&json) && json != ArrowType::Null {
            return plan_err!("{}() takes JSON, not {json}", self.name);
        }
        let mut types = vec![ArrowType::Utf8];
        for step in path {
            match plain(step) {
                step if step.is_integer() => types.push(ArrowType::Int64),
                step if is_text(&step) || step == ArrowType::Null => types.push(ArrowType::Utf8),
                other => {
                    return plan_err!(
                        "a path of {}() is of keys and places: {other} is neither",
                        self.name
                    );
                }
            }
        }
        Ok(types)
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let constant = args
            .args
            .iter()
            .all(|arg| matches!(arg, ColumnarValue::Scalar(_)));
        let rows = if constant { 1 } else { args.number_rows };
        let arrays = args
            .args
            .into_iter()
            .map(|arg| arg.into_array(rows))
            .collect::<Result<Vec<_>>>()?;
        let [json, path @ ..] = arrays.as_slice() else {
            return plan_err!("{}() takes JSON and a path", self.name);
        };
        let Some(texts) = json.as_string_opt::<i32>() else {
            return plan_err!("{}() takes JSON", self.name);
        };
        let mut steps = Vec::with_capacity(path.len());
        let found = (0..rows).map(|row| {
            if texts.is_null(row) {
                return None;
            }
            steps.clear();
            for array in path {
                steps.push(step(array, row)?);
            }
            find(texts.value(row), &steps)
        });
        let values = self.collect(found);
        if constant {
            return Ok(ColumnarValue::Scalar(ScalarValue::try_from_array(
                &values, 0,
            )?));
        }
        Ok(ColumnarValue::Array(values))
    }
}

impl Json {
    fn collect<'a>(&self, found: impl Iterator<Item = Option<&'a str>>) -> ArrayRef {
        match self.gives {
            Gives::Json => Arc::new(found.collect::<StringArray>()),
            Gives::Text => Arc::new(
                found
                    .map(|json| json.and_then(text_of))
                    .collect::<StringArray>(),
            ),
            Gives::Int => Arc::new(
                found
                    .map(|json| json?.parse::<i64>().ok())
                    .collect::<Int64Array>(),
            ),
            Gives::Float => Arc::new(
                found
                    .map(|json| {
                        let json = json.filter(|json| type_of(json) == "number")?;
                        json.parse::<f64>().ok()
                    })
                    .collect::<Float64Array>(),
            ),
            Gives::Bool => Arc::new(
                found
                    .map(|json| json?.parse::<bool>().ok())
                    .collect::<BooleanArray>(),
            ),
            Gives::Is => Arc::new(
                found
                    .map(|json| Some(json.is_some()))
                    .collect::<BooleanArray>(),
            ),
            Gives::Length => Arc::new(
                found
                    .map(|json| json.and_then(length))
                    .collect::<Int64Array>(),
            ),
            Gives::Type => Arc::new(found.map(|json| json.map(type_of)).collect::<StringArray>()),
            Gives::Keys => {
                let mut lists = ListBuilder::new(StringBuilder::new());
                for json in found {
                    match json.and_then(keys) {
                        Some(keys) => {
                            for key in keys {
                                lists.values().append_value(key);
                            }
                            lists.append(true);
                        }
                        None => lists.append(false),
                    }
                }
                Arc::new(lists.finish())
            }
        }
    }
}

fn step(array: &ArrayRef, row: usize) -> Option<Step<'_>> {
    if array.is_null(row) {
        return None;
    }
    match array.as_primitive_opt::<Int64Type>() {
        Some(places) => Some(Step::Place(places.value(row))),
        None => Some(Step::Key(array.as_string_opt::<i32>()?.value(row))),
    }
}

/// PostgreSQL's operators as calls.
#[derive(Debug)]
pub(crate) struct Operators;

impl ExprPlanner for Operators {
    fn plan_binary_op(
        &self,
        expr: RawBinaryExpr,
        _schema: &DFSchema,
    ) -> Result<PlannerResult<RawBinaryExpr>> {
        let (gives, whole_path) = match &expr.op {
            BinaryOperator::Arrow => (Gives::Json, false),
            BinaryOperator::LongArrow => (Gives::Text, false),
            BinaryOperator::HashArrow => (Gives::Json, true),
            BinaryOperator::HashLongArrow => (Gives::Text, true),
            BinaryOperator::Question => (Gives::Is, false),
            _ => return Ok(PlannerResult::Original(expr)),
        };
        let Some((name, gives, aliases)) = FUNCTIONS.iter().find(|(_, one, _)| *one == gives)
        else {
            return Ok(PlannerResult::Original(expr));
        };
        let mut args = vec![expr.left];
        if whole_path {
            args.extend(steps(&expr.right)?);
        } else {
            args.push(expr.right);
        }
        Ok(PlannerResult::Planned(
            udf(name, *gives, aliases).call(args),
        ))
    }
}

/// `'{a,0,b}'` as steps.
fn steps(path: &Expr) -> Result<Vec<Expr>> {
    let text = match path {
        Expr::Literal(value, _) => value.try_as_str().flatten(),
        _ => None,
    };
    let inner = text.and_then(|text| text.trim().strip_prefix('{')?.strip_suffix('}'));
    let Some(inner) = inner else {
        return plan_err!("the path after #> is a constant, as in body #> '{{sensors,0,name}}'");
    };
    Ok(inner
        .split(',')
        .map(|step| step.trim().trim_matches('"'))
        .filter(|step| !step.is_empty())
        .map(lit)
        .collect())
}
