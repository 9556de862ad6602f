//! Lists, as statements of tools go through them: their places, their ends, their elements with places.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, Int64Array, ListArray, StructArray};
use arrow::datatypes::{DataType as ArrowType, Field, Fields};
use datafusion::common::{Result as DataFusionResult, plan_err};
use datafusion::logical_expr::{
    ColumnarValue, ScalarFunctionArgs, ScalarUDFImpl, Signature, Volatility,
};
use datafusion::sql::sqlparser::ast::{
    AccessExpr, BinaryOperator, CastKind, DataType, Expr, Function, FunctionArg, FunctionArgExpr,
    FunctionArguments, Query, SetExpr, TableFactor, Value,
};

use super::rewrite::call;

/// The keyspace that names without one are looked for in.
const SEARCHED: &str = "public";

/// A function of lists that the planner does not have, in functions that it has.
pub(super) fn rewritten(function: &Function) -> Option<Expr> {
    let FunctionArguments::List(list) = &function.args else {
        return None;
    };
    let FunctionArg::Unnamed(FunctionArgExpr::Expr(of)) = list.args.first()? else {
        return None;
    };
    let name = function.name.to_string().to_ascii_lowercase();
    let length = || as_bigint(call("array_length", [of.clone()]));
    Some(match name.as_str() {
        // A row for each place of a list.
        "generate_subscripts" => {
            let places = call("generate_series", [number("1"), length()]);
            call("unnest", [places])
        }
        // The first place is 1, of a list that has one.
        "array_lower" => call(
            "nullif",
            [call("least", [number("1"), length()]), number("0")],
        ),
        "array_upper" => call("nullif", [length(), number("0")]),
        // A row for each element, with its place.
        "information_schema._pg_expandarray" | "_pg_expandarray" => {
            call("unnest", [call(EXPANDED, [of.clone()])])
        }
        _ => return None,
    })
}

fn as_bigint(expr: Expr) -> Expr {
    Expr::Cast {
        kind: CastKind::Cast,
        expr: Box::new(expr),
        data_type: DataType::BigInt(None),
        array: false,
        format: None,
    }
}

fn number(text: &str) -> Expr {
    Expr::Value(Value::Number(text.to_owned(), false).with_empty_span())
}

/// `(pair).name`.
pub(super) fn field(root: &Expr, access: &[AccessExpr]) -> Option<Expr> {
    let [AccessExpr::Dot(Expr::Identifier(name))] = access else {
        return None;
    };
    let name = Value::SingleQuotedString(name.value.clone()).with_empty_span();
    Some(call("get_field", [root.clone(), Expr::Value(name)]))
}

/// `name IN (SELECT …)`, where what is selected are the elements of the search path and nothing else: that is one keyspace
/// here, whatever a session sets.
pub(super) fn in_search_path(name: &Expr, query: &Query, negated: bool) -> Option<Expr> {
    let SetExpr::Select(select) = query.body.as_ref() else {
        return None;
    };
    let goes_through_a_list = |factor: &TableFactor| match factor {
        TableFactor::Table {
            name,
            args: Some(_),
            ..
        }
        | TableFactor::Function { name, .. } => {
            let name = name.to_string().to_ascii_lowercase();
            matches!(
                name.as_str(),
                "generate_series" | "string_to_array" | "unnest"
            )
        }
        _ => false,
    };
    let all = select.from.iter();
    let lists_alone = !select.from.is_empty()
        && all
            .clone()
            .all(|from| from.joins.is_empty() && goes_through_a_list(&from.relation));
    let text = query.to_string();
    if !lists_alone
        || select.selection.is_some()
        || !text.contains("current_setting('search_path')")
    {
        return None;
    }
    let searched = Value::SingleQuotedString(SEARCHED.to_owned()).with_empty_span();
    Some(Expr::Nested(Box::new(Expr::BinaryOp {
        left: Box::new(name.clone()),
        op: if negated {
            BinaryOperator::NotEq
        } else {
            BinaryOperator::Eq
        },
        right: Box::new(Expr::Value(searched)),
    })))
}

/// The parts of a name that is written `a.b`, each in double quotes or in small letters.
pub(super) fn parts_of_name(text: &str) -> Vec<String> {
    let mut parts = vec![String::new()];
    let mut quoted = false;
    for c in text.trim().chars() {
        match c {
            '"' => quoted = !quoted,
            '.' if !quoted => parts.push(String::new()),
            c => {
                if let Some(part) = parts.last_mut() {
                    if quoted {
                        part.push(c);
                    } else {
                        part.extend(c.to_lowercase());
                    }
                }
            }
        }
    }
    parts
}

/// The name of [`Expanded`].
const EXPANDED: &str = "pg_expanded";

/// The elements of a list as pairs: the element `x` and its place `n`.
#[derive(Debug, PartialEq, Eq, Hash)]
pub(super) struct Expanded(Signature);

impl Expanded {
    pub(super) fn new() -> Self {
        Expanded(Signature::any(1, Volatility::Immutable))
    }
}

fn pairs(element: &Field) -> Fields {
    let x = Field::new("x", element.data_type().clone(), true);
    Fields::from(vec![x, Field::new("n", ArrowType::Int64, true)])
}

fn list_of(element: &Field) -> Arc<Field> {
    Arc::new(Field::new_list_field(
        ArrowType::Struct(pairs(element)),
        true,
    ))
}

impl ScalarUDFImpl for Expanded {
    fn name(&self) -> &'static str {
        EXPANDED
    }

    fn signature(&self) -> &Signature {
        &self.0
    }

    fn return_type(&self, args: &[ArrowType]) -> DataFusionResult<ArrowType> {
        match args {
            [ArrowType::List(element)] => Ok(ArrowType::List(list_of(element))),
            _ => plan_err!("_pg_expandarray goes through a list"),
        }
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> DataFusionResult<ColumnarValue> {
        let rows = args.number_rows;
        let Some(given) = args.args.into_iter().next() else {
            return plan_err!("_pg_expandarray goes through a list");
        };
        let given = given.into_array(rows)?;
        let Some(lists) = given.as_list_opt::<i32>() else {
            return plan_err!("_pg_expandarray goes through a list");
        };
        let ArrowType::List(element) = lists.data_type() else {
            return plan_err!("_pg_expandarray goes through a list");
        };
        // Elements that no list has, before the first and behind the last, have places that nobody sees.
        let mut places = vec![0_i64; lists.values().len()];
        for bounds in lists.offsets().windows(2) {
            let (start, end) = match bounds {
                [start, end] => (usize::try_from(*start), usize::try_from(*end)),
                _ => continue,
            };
            if let (Ok(start), Ok(end)) = (start, end)
                && let Some(of_list) = places.get_mut(start..end)
            {
                of_list
                    .iter_mut()
                    .zip(1..)
                    .for_each(|(place, n)| *place = n);
            }
        }
        let places: ArrayRef = Arc::new(Int64Array::from(places));
        let columns = vec![lists.values().clone(), places];
        let values = StructArray::try_new(pairs(element), columns, None)?;
        let list = ListArray::try_new(
            list_of(element),
            lists.offsets().clone(),
            Arc::new(values),
            lists.nulls().cloned(),
        )?;
        Ok(ColumnarValue::Array(Arc::new(list)))
    }
}
