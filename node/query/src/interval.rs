//! An interval times a number, and one divided by a number, as PostgreSQL has them: `now() - 5 * INTERVAL '1 minute'`.
//! What is no whole month goes on as days, 30 a month, and what is no whole day as time, 24 hours a day.

use std::sync::Arc;

use activestore_types::Error;
use arrow::array::{ArrayRef, AsArray, IntervalMonthDayNanoArray, PrimitiveArray};
use arrow::datatypes::{
    DataType as ArrowType, Field, Float64Type, Int64Type, IntervalMonthDayNano,
    IntervalMonthDayNanoType, IntervalUnit,
};
use arrow::error::ArrowError;
use datafusion::common::{DFSchema, Result, plan_err};
use datafusion::logical_expr::expr::Placeholder;
use datafusion::logical_expr::planner::{ExprPlanner, PlannerResult, RawBinaryExpr};
use datafusion::logical_expr::{
    BinaryExpr, ColumnarValue, Expr, ExprSchemable, Operator, ScalarFunctionArgs, ScalarUDF,
    ScalarUDFImpl, Signature, Volatility,
};
use datafusion::scalar::ScalarValue;
use datafusion::sql::sqlparser::ast::BinaryOperator;

use crate::error::to_datafusion;

const DAYS_A_MONTH: i128 = 30;
const NANOS_A_DAY: i128 = 86_400_000_000_000;
/// Of a fraction of a month or a day so much counts: the digits behind it are those of floating point.
const FRACTIONS: f64 = 1_000_000.0;

const INTERVAL: ArrowType = ArrowType::Interval(IntervalUnit::MonthDayNano);

/// What is made of an interval and a number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Deed {
    Times,
    Divided,
}

impl Deed {
    fn name(self) -> &'static str {
        match self {
            Deed::Times => "interval_times",
            Deed::Divided => "interval_divided",
        }
    }

    /// By a whole number, to the last nanosecond.
    fn whole(self, of: IntervalMonthDayNano, by: i64) -> Result<IntervalMonthDayNano> {
        let far = || too_far(self, &by);
        let (months, days, nanos) = match self {
            Deed::Times => {
                let by = i128::from(by);
                (
                    i128::from(of.months) * by,
                    i128::from(of.days) * by,
                    i128::from(of.nanoseconds) * by,
                )
            }
            Deed::Divided if by == 0 => return Err(ArrowError::DivideByZero.into()),
            Deed::Divided => {
                let by = i128::from(by);
                let months = i128::from(of.months);
                let days = months % by * DAYS_A_MONTH + i128::from(of.days);
                let nanos = days % by * NANOS_A_DAY + i128::from(of.nanoseconds);
                let over = nanos % by;
                let up = match over.abs() * 2 >= by.abs() {
                    true => over.signum() * by.signum(),
                    false => 0,
                };
                (months / by, days / by, nanos / by + up)
            }
        };
        Ok(IntervalMonthDayNano {
            months: months.try_into().map_err(|_| far())?,
            days: days.try_into().map_err(|_| far())?,
            nanoseconds: nanos.try_into().map_err(|_| far())?,
        })
    }

    fn part(self, of: IntervalMonthDayNano, by: f64) -> Result<IntervalMonthDayNano> {
        if self == Deed::Divided && by == 0.0 {
            return Err(ArrowError::DivideByZero.into());
        }
        let deed = |count: f64| match self {
            Deed::Times => count * by,
            Deed::Divided => count / by,
        };
        let months = deed(f64::from(of.months));
        let more_days = snapped(months.fract() * 30.0);
        let days = deed(f64::from(of.days));
        let rest = snapped(days.fract() + more_days.fract());
        let (carried, rest) = (rest.trunc(), snapped(rest.fract() * 86_400.0));
        #[expect(
            clippy::cast_precision_loss,
            reason = "a number with a fraction is no more exact than that"
        )]
        let nanos = deed(of.nanoseconds as f64) + rest * 1e9;
        let whole_days = days.trunc() + more_days.trunc() + carried;
        let parts = (count(months), count(whole_days), count(nanos.round()));
        let (Some(months), Some(days), Some(nanoseconds)) = parts else {
            return Err(too_far(self, &by));
        };
        let far = |_| too_far(self, &by);
        Ok(IntervalMonthDayNano {
            months: i32::try_from(months).map_err(far)?,
            days: i32::try_from(days).map_err(far)?,
            nanoseconds,
        })
    }
}

fn snapped(value: f64) -> f64 {
    (value * FRACTIONS).round() / FRACTIONS
}

/// The whole part, where it is a count at all.
fn count(value: f64) -> Option<i64> {
    // 2^63, the first that is too much.
    const BOUND: f64 = 9_223_372_036_854_775_808.0;
    #[expect(
        clippy::cast_possible_truncation,
        reason = "it is within the bounds, and only its fraction goes"
    )]
    (value > -BOUND && value < BOUND).then_some(value as i64)
}

fn too_far(deed: Deed, by: &dyn std::fmt::Display) -> datafusion::common::DataFusionError {
    let deed = match deed {
        Deed::Times => "times",
        Deed::Divided => "divided by",
    };
    to_datafusion(
        Error::invalid(format!(
            "an interval {deed} {by} is longer than an interval can be"
        ))
        .with_hint("it holds 2147483647 months, as many days, and 292 years of hours and less"),
    )
}

/// An interval and a number, in the order in which they were written.
#[derive(Debug, PartialEq, Eq, Hash)]
struct Scaled {
    deed: Deed,
    signature: Signature,
}

fn call(deed: Deed, args: Vec<Expr>) -> Expr {
    let scaled = Scaled {
        deed,
        signature: Signature::user_defined(Volatility::Immutable),
    };
    ScalarUDF::new_from_impl(scaled).call(args)
}

impl ScalarUDFImpl for Scaled {
    fn name(&self) -> &str {
        self.deed.name()
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _args: &[ArrowType]) -> Result<ArrowType> {
        Ok(INTERVAL)
    }

    fn coerce_types(&self, given: &[ArrowType]) -> Result<Vec<ArrowType>> {
        let types = given.iter().map(|given| match given {
            // What one moment is before another.
            ArrowType::Interval(_) | ArrowType::Duration(_) => Some(INTERVAL),
            other => number(other),
        });
        match types.collect::<Option<Vec<_>>>() {
            Some(types) if types.len() == 2 => Ok(types),
            _ => plan_err!("{}() takes an interval and a number", self.name()),
        }
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let constant = args
            .args
            .iter()
            .all(|arg| matches!(arg, ColumnarValue::Scalar(_)));
        let rows = if constant { 1 } else { args.number_rows };
        let arrays = args.args.into_iter().map(|arg| arg.into_array(rows));
        let arrays = arrays.collect::<Result<Vec<_>>>()?;
        let made = match arrays.as_slice() {
            [one, other] => match one.as_primitive_opt::<IntervalMonthDayNanoType>() {
                Some(intervals) => self.each(intervals, other)?,
                None => match other.as_primitive_opt::<IntervalMonthDayNanoType>() {
                    Some(intervals) => self.each(intervals, one)?,
                    None => return plan_err!("{}() takes an interval", self.name()),
                },
            },
            _ => return plan_err!("{}() takes an interval and a number", self.name()),
        };
        Ok(match constant {
            true => ColumnarValue::Scalar(ScalarValue::try_from_array(&made, 0)?),
            false => ColumnarValue::Array(made),
        })
    }
}

impl Scaled {
    fn each(&self, intervals: &IntervalMonthDayNanoArray, numbers: &ArrayRef) -> Result<ArrayRef> {
        let deed = self.deed;
        if let Some(whole) = numbers.as_primitive_opt::<Int64Type>() {
            return pairs(intervals, whole, |of, by| deed.whole(of, by));
        }
        match numbers.as_primitive_opt::<Float64Type>() {
            Some(numbers) => pairs(intervals, numbers, |of, by| deed.part(of, by)),
            None => plan_err!("{}() takes a number", self.name()),
        }
    }
}

fn pairs<T: arrow::array::ArrowPrimitiveType>(
    intervals: &IntervalMonthDayNanoArray,
    numbers: &PrimitiveArray<T>,
    deed: impl Fn(IntervalMonthDayNano, T::Native) -> Result<IntervalMonthDayNano>,
) -> Result<ArrayRef> {
    let pairs = intervals.iter().zip(numbers);
    let made = pairs.map(|pair| match pair {
        (Some(of), Some(by)) => deed(of, by).map(Some),
        _ => Ok(None),
    });
    let made = made.collect::<Result<IntervalMonthDayNanoArray>>()?;
    Ok(Arc::new(made))
}

/// As what a number is counted; `None` for what is none.
fn number(given: &ArrowType) -> Option<ArrowType> {
    match given {
        ArrowType::Null => Some(ArrowType::Int64),
        ArrowType::UInt64 => Some(ArrowType::Float64),
        given if given.is_integer() => Some(ArrowType::Int64),
        given if given.is_numeric() => Some(ArrowType::Float64),
        ArrowType::Dictionary(_, values) => number(values),
        _ => None,
    }
}

/// `*` and `/` as calls, where one side is an interval and the other a number.
#[derive(Debug)]
pub(crate) struct Operators;

impl ExprPlanner for Operators {
    fn plan_binary_op(
        &self,
        expr: RawBinaryExpr,
        schema: &DFSchema,
    ) -> Result<PlannerResult<RawBinaryExpr>> {
        let deed = match &expr.op {
            BinaryOperator::Multiply => Deed::Times,
            BinaryOperator::Divide => Deed::Divided,
            _ => return Ok(PlannerResult::Original(expr)),
        };
        let (left, right) = (side(&expr.left, schema), side(&expr.right, schema));
        let fits = match (left, right) {
            (Side::Interval, Side::Number) => true,
            (Side::Number, Side::Interval) => deed == Deed::Times,
            _ => false,
        };
        if !fits {
            return Ok(PlannerResult::Original(expr));
        }
        let args = [expr.left, expr.right].map(numbered);
        Ok(PlannerResult::Planned(call(deed, args.into())))
    }
}

/// What one side of an operator is.
#[derive(Clone, Copy)]
enum Side {
    Interval,
    Number,
    Other,
}

fn side(expr: &Expr, schema: &DFSchema) -> Side {
    match expr {
        // A product that is an interval has become a call; so long products are looked through once.
        Expr::BinaryExpr(BinaryExpr {
            op: Operator::Multiply | Operator::Divide | Operator::Modulo,
            ..
        })
        | Expr::Placeholder(Placeholder { field: None, .. }) => Side::Number,
        // What there is no type of is told where it is looked for.
        _ => match expr.get_type(schema) {
            Ok(ArrowType::Interval(_) | ArrowType::Duration(_)) => Side::Interval,
            Ok(given) if number(&given).is_some() => Side::Number,
            _ => Side::Other,
        },
    }
}

/// A parameter that nothing says the type of is a number with a fraction, as in PostgreSQL.
fn numbered(expr: Expr) -> Expr {
    match expr {
        Expr::Placeholder(Placeholder { id, field: None }) => {
            let field = Arc::new(Field::new("number", ArrowType::Float64, true));
            Expr::Placeholder(Placeholder {
                id,
                field: Some(field),
            })
        }
        other => other,
    }
}

#[cfg(test)]
mod tests;
