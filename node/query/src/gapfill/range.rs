//! From when to when gaps are filled, where a statement's conditions say it; constants of a statement.

use activestore_types::Error;
use arrow::datatypes::{DataType as ArrowType, IntervalUnit};
use datafusion::common::{Column, DFSchema, Result, plan_err};
use datafusion::execution::SessionState;
use datafusion::logical_expr::simplify::SimplifyContext;
use datafusion::logical_expr::utils::split_conjunction;
use datafusion::logical_expr::{BinaryExpr, Expr, ExprSchemable, LogicalPlan, Operator, cast};
use datafusion::optimizer::simplify_expressions::ExprSimplifier;
use datafusion::scalar::ScalarValue;
use std::sync::Arc;

use crate::bucket::TIMESTAMP;
use crate::error::to_datafusion;

/// Works out what does not depend on any row, `now()` included.
pub(super) struct Constants<'a> {
    state: &'a SessionState,
}

impl<'a> Constants<'a> {
    pub(super) fn new(state: &'a SessionState) -> Self {
        Constants { state }
    }

    fn value(&self, expr: &Expr, wanted: &ArrowType) -> Result<Option<ScalarValue>> {
        let schema = Arc::new(DFSchema::empty());
        let context = SimplifyContext::builder()
            .with_schema(schema.clone())
            .with_config_options(self.state.config_options().clone())
            .with_query_execution_start_time(
                self.state.execution_props().query_execution_start_time,
            )
            .build();
        let simplifier = ExprSimplifier::new(context);
        let expr = simplifier.coerce(expr.clone(), &schema)?;
        let given = expr.get_type(schema.as_ref())?;
        let expr = if given == *wanted {
            expr
        } else {
            cast(expr, wanted.clone())
        };
        match simplifier.simplify(expr)? {
            Expr::Literal(value, _) => Ok(Some(value)),
            _ => Ok(None),
        }
    }

    /// The width of a bucket.
    pub(super) fn width(&self, expr: &Expr) -> Result<ScalarValue> {
        let given = expr.get_type(&DFSchema::empty());
        let wanted = match given {
            Ok(ArrowType::Interval(_)) => ArrowType::Interval(IntervalUnit::MonthDayNano),
            _ => ArrowType::Utf8,
        };
        self.needed(expr, &wanted)
    }

    /// A constant text.
    pub(super) fn text(&self, expr: &Expr) -> Result<ScalarValue> {
        self.needed(expr, &ArrowType::Utf8)
    }

    fn needed(&self, expr: &Expr, wanted: &ArrowType) -> Result<ScalarValue> {
        if expr.any_column_refs() {
            return plan_err!("the width and the time zone of time_bucket_gapfill() are constants");
        }
        self.value(expr, wanted)?.map_or_else(
            || plan_err!("the width and the time zone of time_bucket_gapfill() are constants"),
            Ok,
        )
    }

    /// A moment that is said; `None` for NULL.
    pub(super) fn moment(&self, expr: &Expr) -> Result<Option<i64>> {
        if expr.any_column_refs() {
            return Err(to_datafusion(Error::invalid(
                "the start and the finish of time_bucket_gapfill() are constants",
            )));
        }
        match self.value(expr, &TIMESTAMP)? {
            Some(ScalarValue::TimestampNanosecond(ns, _)) => Ok(ns),
            _ => plan_err!("the start and the finish of time_bucket_gapfill() are timestamps"),
        }
    }
}

/// The bounds that conditions put on a timestamp: from, and up to before.
pub(super) fn of(
    plan: &LogicalPlan,
    ts: &Expr,
    constants: &Constants<'_>,
) -> Result<(Option<i64>, Option<i64>)> {
    let (mut from, mut to) = (None, None);
    let Some(mut column) = column_of(ts).cloned() else {
        return Ok((from, to));
    };
    let mut plan = plan;
    loop {
        plan = match plan {
            LogicalPlan::Filter(filter) => {
                for condition in split_conjunction(&filter.predicate) {
                    bound(condition, &column, constants, &mut from, &mut to)?;
                }
                &filter.input
            }
            LogicalPlan::SubqueryAlias(alias) => {
                column = Column::from_name(column.name);
                &alias.input
            }
            LogicalPlan::Projection(projection) => {
                let place = projection
                    .schema
                    .columns()
                    .iter()
                    .position(|one| is_same(one, &column));
                let inner = place.and_then(|place| projection.expr.get(place));
                let Some(inner) = inner.and_then(column_of) else {
                    return Ok((from, to));
                };
                column = inner.clone();
                &projection.input
            }
            LogicalPlan::Sort(sort) => &sort.input,
            _ => return Ok((from, to)),
        };
    }
}

/// The column that an expression is, whatever name or cast it has.
fn column_of(expr: &Expr) -> Option<&Column> {
    match expr {
        Expr::Column(column) => Some(column),
        Expr::Alias(alias) => column_of(&alias.expr),
        Expr::Cast(cast) => column_of(&cast.expr),
        _ => None,
    }
}

fn is_same(one: &Column, other: &Column) -> bool {
    one.name == other.name
        && (one.relation.is_none() || other.relation.is_none() || one.relation == other.relation)
}

fn bound(
    condition: &Expr,
    column: &Column,
    constants: &Constants<'_>,
    from: &mut Option<i64>,
    to: &mut Option<i64>,
) -> Result<()> {
    let is_ts = |expr: &Expr| column_of(expr).is_some_and(|one| is_same(one, column));
    let mut at_least = |ns: i64| *from = Some(from.map_or(ns, |known| known.max(ns)));
    let mut before = |ns: i64| *to = Some(to.map_or(ns, |known| known.min(ns)));
    match condition {
        Expr::BinaryExpr(BinaryExpr { left, op, right }) => {
            let (op, bound) = match (is_ts(left), is_ts(right)) {
                (true, false) => (*op, right),
                (false, true) => match op.swap() {
                    Some(swapped) => (swapped, left),
                    None => return Ok(()),
                },
                _ => return Ok(()),
            };
            if bound.any_column_refs() {
                return Ok(());
            }
            let Some(ns) = constants.moment(bound)? else {
                return Ok(());
            };
            match op {
                Operator::GtEq => at_least(ns),
                Operator::Gt => at_least(ns.saturating_add(1)),
                Operator::Lt => before(ns),
                Operator::LtEq => before(ns.saturating_add(1)),
                Operator::Eq => {
                    at_least(ns);
                    before(ns.saturating_add(1));
                }
                _ => {}
            }
        }
        Expr::Between(between)
            if !between.negated
                && is_ts(&between.expr)
                && !between.low.any_column_refs()
                && !between.high.any_column_refs() =>
        {
            if let Some(low) = constants.moment(&between.low)? {
                at_least(low);
            }
            if let Some(high) = constants.moment(&between.high)? {
                before(high.saturating_add(1));
            }
        }
        _ => {}
    }
    Ok(())
}
