//! Windows of time in `GROUP BY`, beside `tumble`: `hop(ts, slide, width)`, of which each row lies in several, and
//! `session(ts, gap)`, which ends where nothing comes for a while. Neither can be worked out from a row alone, so
//! the plan of a grouping by one of them is rewritten before anything else looks at it: a hop's row is repeated
//! for each of its windows, a session's start is found over the rows of its group in order of time.

mod hop;
mod session;

use std::sync::Arc;

use arrow::datatypes::DataType as ArrowType;
use datafusion::common::tree_node::Transformed;
use datafusion::common::{Column, Result, plan_err};
use datafusion::logical_expr::expr::ScalarFunction;
use datafusion::logical_expr::{
    Aggregate, ColumnarValue, Expr, ExprFunctionExt, LogicalPlan, LogicalPlanBuilder,
    ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility,
};

pub(crate) use hop::{fixed_ns, widths as hop_widths};

use crate::bucket::{TIMESTAMP, moment_type, width_type};

/// The column that a hop's windows are in.
const HOPS: &str = "__hops";

pub(crate) fn udfs() -> Vec<ScalarUDF> {
    [
        ("hop", 3, "hop(ts, '1 minute', '5 minutes')"),
        ("session", 2, "session(ts, '30 seconds')"),
    ]
    .into_iter()
    .map(|(name, args, usage)| {
        ScalarUDF::new_from_impl(Window {
            name,
            args,
            usage,
            signature: Signature::user_defined(Volatility::Immutable),
        })
    })
    .collect()
}

/// A window's name in a statement; it is never called, since the plan is rewritten where it may stand.
#[derive(Debug, PartialEq, Eq, Hash)]
struct Window {
    name: &'static str,
    args: usize,
    usage: &'static str,
    signature: Signature,
}

impl ScalarUDFImpl for Window {
    fn name(&self) -> &str {
        self.name
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _args: &[ArrowType]) -> Result<ArrowType> {
        Ok(TIMESTAMP)
    }

    fn coerce_types(&self, given: &[ArrowType]) -> Result<Vec<ArrowType>> {
        match given {
            [ts, widths @ ..] if given.len() == self.args => {
                let widths = widths.iter().map(width_type);
                std::iter::once(moment_type(ts)).chain(widths).collect()
            }
            _ => plan_err!("{}() is written as {}", self.name, self.usage),
        }
    }

    fn invoke_with_args(&self, _args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        plan_err!(
            "{}() stands alone in GROUP BY and nowhere else: SELECT {} AS w, … GROUP BY w",
            self.name,
            self.usage
        )
    }
}

/// The plan with its windows worked out.
///
/// # Errors
/// As the builder of plans.
pub(crate) fn rewrite(plan: LogicalPlan) -> Result<Transformed<LogicalPlan>> {
    plan.transform_up_with_subqueries(|plan| match plan {
        LogicalPlan::Aggregate(aggregate) => {
            for (place, expr) in aggregate.group_expr.iter().enumerate() {
                match call_of(expr) {
                    Some(call) if call.func.name() == "hop" => {
                        return hopping(&aggregate, place, call).map(Transformed::yes);
                    }
                    Some(call) if call.func.name() == "session" => {
                        return sessions(&aggregate, place, call).map(Transformed::yes);
                    }
                    _ => {}
                }
            }
            Ok(Transformed::no(LogicalPlan::Aggregate(aggregate)))
        }
        other => Ok(Transformed::no(other)),
    })
}

/// The call that an expression is, whatever name it was given.
pub(crate) fn call_of(expr: &Expr) -> Option<&ScalarFunction> {
    match expr {
        Expr::ScalarFunction(call) => Some(call),
        Expr::Alias(alias) => call_of(&alias.expr),
        _ => None,
    }
}

/// The same grouping over other rows, by a column in place of the call; its name stays that of the call.
pub(crate) fn grouped_by(
    aggregate: &Aggregate,
    place: usize,
    by: Expr,
    input: LogicalPlan,
) -> Result<LogicalPlan> {
    let groups = aggregate.group_expr.iter().enumerate().map(|(at, expr)| {
        if at == place {
            by.clone().alias(expr.schema_name().to_string())
        } else {
            expr.clone()
        }
    });
    let grouped = Aggregate::try_new(
        Arc::new(input),
        groups.collect(),
        aggregate.aggr_expr.clone(),
    )?;
    Ok(LogicalPlan::Aggregate(grouped))
}

fn hopping(aggregate: &Aggregate, place: usize, call: &ScalarFunction) -> Result<LogicalPlan> {
    let input = aggregate.input.as_ref();
    let columns = input.schema().columns().into_iter().map(Expr::Column);
    let starts = hop::udf().call(call.args.clone()).alias(HOPS);
    let input = LogicalPlanBuilder::from(input.clone())
        .project(columns.chain([starts]))?
        .unnest_column(Column::from_name(HOPS))?
        .build()?;
    grouped_by(
        aggregate,
        place,
        Expr::Column(Column::from_name(HOPS)),
        input,
    )
}

fn sessions(aggregate: &Aggregate, place: usize, call: &ScalarFunction) -> Result<LogicalPlan> {
    let [ts, _] = call.args.as_slice() else {
        return plan_err!("session() is written as session(ts, '30 seconds')");
    };
    let others = aggregate.group_expr.iter().enumerate();
    let others = others.filter(|(at, _)| *at != place);
    let mut others: Vec<Expr> = others.map(|(_, expr)| expr.clone()).collect();
    // As the table has its columns, which is mostly the order of its key: then rows are not sorted for it.
    let schema = aggregate.input.schema();
    others.sort_by_key(|expr| match expr {
        Expr::Column(column) => schema.maybe_index_of_column(column).unwrap_or(usize::MAX),
        _ => usize::MAX,
    });
    let start = session::udwf()
        .call(call.args.clone())
        .partition_by(others)
        .order_by(vec![ts.clone().sort(true, true)])
        .build()?;
    let column = Column::from_name(start.schema_name().to_string());
    let input = LogicalPlanBuilder::from(aggregate.input.as_ref().clone())
        .window([start])?
        .build()?;
    grouped_by(aggregate, place, Expr::Column(column), input)
}
