//! `time_bucket_gapfill(width, ts [, timezone] [, start, finish])` in `GROUP BY`: as `time_bucket`, and a row for
//! each bucket that has none. `locf(…)` carries the last row's value into such rows, `interpolate(…)` draws a line
//! to the next; everything else is NULL in them. As TimescaleDB has it, for each series of the other groups.
//!
//! The plan is rewritten before anything else looks at it: the grouping is by `time_bucket`, its rows go sorted
//! through an operator that adds what is missing, and the columns that it fills take the place of the calls.

mod exec;
mod fill;
mod node;
mod range;

use std::collections::BTreeMap;
use std::sync::Arc;

use activestore_types::Error;
use arrow::datatypes::DataType as ArrowType;
use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::common::{Column, Result, plan_err};
use datafusion::execution::SessionState;
use datafusion::logical_expr::expr::ScalarFunction;
use datafusion::logical_expr::{
    Aggregate, ColumnarValue, Expr, Extension, LogicalPlan, LogicalPlanBuilder, Projection,
    ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility,
};

use crate::bucket::{self, Buckets, TIMESTAMP, is_text, moment_type, width_type};
use crate::error::to_datafusion;
use crate::windows::{call_of, grouped_by};
pub(crate) use exec::{GapFillExec, Planner};
use node::{FillKind, GapFill};
use range::Constants;

const GAPFILL: &str = "time_bucket_gapfill";
const LOCF: &str = "locf";
const INTERPOLATE: &str = "interpolate";
/// The columns that are filled.
const FILLED: &str = "__filled_";
/// Buckets that one series may be filled with.
const BUCKETS_MAX: u64 = 10_000_000;

pub(crate) fn udfs() -> Vec<ScalarUDF> {
    [GAPFILL, LOCF, INTERPOLATE]
        .into_iter()
        .map(|name| {
            ScalarUDF::new_from_impl(Call {
                name,
                signature: Signature::user_defined(Volatility::Immutable),
            })
        })
        .collect()
}

/// A name of a statement; it is never called, since the plan is rewritten where it may stand.
#[derive(Debug, PartialEq, Eq, Hash)]
struct Call {
    name: &'static str,
    signature: Signature,
}

impl ScalarUDFImpl for Call {
    fn name(&self) -> &str {
        self.name
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, args: &[ArrowType]) -> Result<ArrowType> {
        match args.first() {
            Some(value) if self.name != GAPFILL => Ok(value.clone()),
            _ => Ok(TIMESTAMP),
        }
    }

    fn coerce_types(&self, given: &[ArrowType]) -> Result<Vec<ArrowType>> {
        match (self.name, given) {
            (LOCF, [value]) => Ok(vec![value.clone()]),
            (INTERPOLATE, [value]) if value.is_numeric() => Ok(vec![value.clone()]),
            (LOCF | INTERPOLATE, _) => plan_err!(
                "{0}() takes one value, as in {0}(avg(temp)); interpolate() one that is a number",
                self.name
            ),
            (_, [width, ts, more @ ..]) if more.len() <= 3 => {
                let mut types = vec![width_type(width)?, moment_type(ts)?];
                for more in more {
                    types.push(if is_text(more) {
                        ArrowType::Utf8
                    } else {
                        moment_type(more)?
                    });
                }
                Ok(types)
            }
            _ => plan_err!(
                "time_bucket_gapfill() is written as time_bucket_gapfill('1 hour', ts), with a time zone or a start and a finish after it"
            ),
        }
    }

    fn invoke_with_args(&self, _args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        if self.name == GAPFILL {
            return plan_err!(
                "time_bucket_gapfill() stands alone in GROUP BY: SELECT time_bucket_gapfill('1 hour', ts) AS hour, avg(temp) … GROUP BY hour"
            );
        }
        plan_err!(
            "{0}() stands in the SELECT of a query that is grouped by time_bucket_gapfill(): SELECT time_bucket_gapfill('1 hour', ts) AS hour, {0}(avg(temp)) … GROUP BY hour",
            self.name
        )
    }
}

/// The plan with its gaps filled.
///
/// # Errors
/// `Invalid` where the span of time is open, or the functions stand where they cannot.
pub(crate) fn rewrite(plan: LogicalPlan, state: &SessionState) -> Result<Transformed<LogicalPlan>> {
    plan.transform_down_with_subqueries(|plan| {
        let LogicalPlan::Projection(projection) = &plan else {
            return Ok(Transformed::no(plan));
        };
        if !leads_to_gaps(&projection.input) {
            return Ok(Transformed::no(plan));
        }
        let mut fills = Fills::default();
        let mut exprs = Vec::with_capacity(projection.expr.len());
        for expr in &projection.expr {
            exprs.push(fills.take(expr)?);
        }
        let input = filled(&projection.input, &fills, state)?;
        let projection = Projection::try_new(exprs, Arc::new(input))?;
        Ok(Transformed::yes(LogicalPlan::Projection(projection)))
    })
}

/// The grouping that rows come from, through conditions on groups alone.
fn grouping(plan: &LogicalPlan) -> Option<(&Aggregate, usize, &ScalarFunction)> {
    match plan {
        LogicalPlan::Aggregate(aggregate) => {
            let groups = aggregate.group_expr.iter().enumerate();
            let mut calls = groups.filter_map(|(place, expr)| Some((place, call_of(expr)?)));
            let (place, call) = calls.find(|(_, call)| call.func.name() == GAPFILL)?;
            Some((aggregate, place, call))
        }
        LogicalPlan::Filter(filter) => grouping(&filter.input),
        _ => None,
    }
}

fn leads_to_gaps(plan: &LogicalPlan) -> bool {
    match plan {
        LogicalPlan::Window(window) => leads_to_gaps(&window.input),
        LogicalPlan::Filter(filter) if grouping(plan).is_none() => leads_to_gaps(&filter.input),
        other => grouping(other).is_some(),
    }
}

/// What `locf` and `interpolate` are asked for, by the columns that take their place.
#[derive(Default)]
struct Fills {
    calls: Vec<(Expr, FillKind)>,
    places: BTreeMap<String, usize>,
}

impl Fills {
    /// The expression with columns in place of its calls, under the name that it had.
    fn take(&mut self, expr: &Expr) -> Result<Expr> {
        let name = expr.schema_name().to_string();
        let taken = expr.clone().transform_down(|inner| {
            let Expr::ScalarFunction(call) = &inner else {
                return Ok(Transformed::no(inner));
            };
            let kind = match call.func.name() {
                LOCF => FillKind::Last,
                INTERPOLATE => FillKind::Line,
                _ => return Ok(Transformed::no(inner)),
            };
            let [value] = call.args.as_slice() else {
                return plan_err!(
                    "{0}() takes one value, as in {0}(avg(temp))",
                    call.func.name()
                );
            };
            if value.exists(|inner| Ok(is_fill(inner)))? {
                return plan_err!("locf() and interpolate() do not stand within each other");
            }
            let shown = inner.schema_name().to_string();
            let place = match self.places.get(&shown) {
                Some(place) => *place,
                None => {
                    self.calls.push((value.clone(), kind));
                    self.places.insert(shown, self.calls.len() - 1);
                    self.calls.len() - 1
                }
            };
            let column = Column::from_name(format!("{FILLED}{place}"));
            Ok(Transformed::yes(Expr::Column(column)))
        })?;
        if !taken.transformed || matches!(taken.data, Expr::Alias(_)) {
            return Ok(taken.data);
        }
        Ok(taken.data.alias(name))
    }
}

fn is_fill(expr: &Expr) -> bool {
    matches!(expr, Expr::ScalarFunction(call) if [LOCF, INTERPOLATE].contains(&call.func.name()))
}

/// The plan with the operator over its grouping.
fn filled(plan: &LogicalPlan, fills: &Fills, state: &SessionState) -> Result<LogicalPlan> {
    if let Some((aggregate, place, call)) = grouping(plan) {
        return fill(plan, aggregate, place, call, fills, state);
    }
    let exprs = plan.expressions();
    for expr in &exprs {
        if expr.exists(|inner| Ok(is_fill(inner)))? {
            return plan_err!(
                "locf() and interpolate() do not stand within a window function; take them in a subquery first"
            );
        }
    }
    match plan.inputs().as_slice() {
        [input] => plan.with_new_exprs(exprs, vec![filled(input, fills, state)?]),
        _ => plan_err!("a query with time_bucket_gapfill() has one grouping"),
    }
}

fn fill(
    plan: &LogicalPlan,
    aggregate: &Aggregate,
    place: usize,
    call: &ScalarFunction,
    fills: &Fills,
    state: &SessionState,
) -> Result<LogicalPlan> {
    let constants = Constants::new(state);
    let (width, ts, zone, span) = match call.args.as_slice() {
        [width, ts] => (width, ts, None, None),
        [width, ts, zone] => (width, ts, Some(zone), None),
        [width, ts, start, finish] => (width, ts, None, Some((start, finish))),
        [width, ts, zone, start, finish] => (width, ts, Some(zone), Some((start, finish))),
        _ => return plan_err!("time_bucket_gapfill() takes a width and a timestamp"),
    };
    let mut settings = vec![constants.width(width)?];
    if let Some(zone) = zone {
        settings.push(constants.text(zone)?);
    }
    let buckets = Buckets::of_args(&settings).map_err(to_datafusion)?;
    let (start, finish) = span_of(aggregate, ts, span, &constants)?;
    if buckets.count(start, finish) > BUCKETS_MAX {
        return Err(to_datafusion(
            Error::invalid(format!(
                "time_bucket_gapfill() would fill more than {BUCKETS_MAX} buckets"
            ))
            .with_hint("make the buckets wider or the span of time shorter"),
        ));
    }
    let bucketed = [Some(width), Some(ts), zone];
    let by = bucket::udf().call(bucketed.into_iter().flatten().cloned().collect());
    let grouped = grouped_by(aggregate, place, by, aggregate.input.as_ref().clone())?;
    // Conditions on groups are asked before gaps are filled.
    let input = regrouped(plan, &grouped)?;
    let columns = input.schema().columns().into_iter().map(Expr::Column);
    let calls = fills.calls.iter().enumerate();
    let calls = calls.map(|(place, (value, _))| value.clone().alias(format!("{FILLED}{place}")));
    let input = LogicalPlanBuilder::from(input)
        .project(columns.chain(calls))?
        .build()?;
    let groups = aggregate.group_expr.len();
    let kinds = (0..input.schema().fields().len()).map(|column| {
        if column == place {
            return FillKind::Time;
        }
        if column < groups {
            return FillKind::Series;
        }
        let called = column.checked_sub(input.schema().fields().len() - fills.calls.len());
        match called.and_then(|called| fills.calls.get(called)) {
            Some((_, kind)) => *kind,
            None => FillKind::Null,
        }
    });
    let kinds = kinds.collect();
    let node = GapFill::new(
        input,
        kinds,
        buckets.clone(),
        buckets.start_of(start),
        finish,
    )?;
    Ok(LogicalPlan::Extension(Extension {
        node: Arc::new(node),
    }))
}

/// The same conditions over another grouping.
fn regrouped(plan: &LogicalPlan, grouped: &LogicalPlan) -> Result<LogicalPlan> {
    match plan {
        LogicalPlan::Filter(filter) => {
            let input = regrouped(&filter.input, grouped)?;
            plan.with_new_exprs(vec![filter.predicate.clone()], vec![input])
        }
        _ => Ok(grouped.clone()),
    }
}

/// From when, and up to before when: as the call says, else as the conditions on the rows say.
fn span_of(
    aggregate: &Aggregate,
    ts: &Expr,
    given: Option<(&Expr, &Expr)>,
    constants: &Constants<'_>,
) -> Result<(i64, i64)> {
    let (mut start, mut finish) = (None, None);
    if let Some((from, to)) = given {
        start = constants.moment(from)?;
        finish = constants.moment(to)?;
    }
    if start.is_none() || finish.is_none() {
        let (from, to) = range::of(&aggregate.input, ts, constants)?;
        start = start.or(from);
        finish = finish.or(to);
    }
    let open = |what: &str, shown: &str| {
        to_datafusion(
            Error::invalid(format!(
                "time_bucket_gapfill() does not know {what} filling gaps"
            ))
            .with_hint(format!(
                "bound the timestamp in WHERE, as in {shown}, or say it: time_bucket_gapfill('1 hour', ts, start, finish)"
            )),
        )
    };
    let start = start.ok_or_else(|| open("where to begin", "ts >= now() - INTERVAL '1 day'"))?;
    let finish = finish.ok_or_else(|| open("where to end", "ts < now()"))?;
    Ok((start, finish))
}
