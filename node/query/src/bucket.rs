//! `time_bucket(width, ts [, timezone | origin] [, origin])`: the start of the bucket that a moment lies in.
//! As TimescaleDB has it: buckets of weeks begin on Mondays, those of months on the first, and with a time zone
//! days and longer are those of its calendar.

mod calendar;

pub(crate) use calendar::Buckets;

use std::cell::Cell;
use std::str::FromStr;
use std::sync::Arc;

use activestore_types::{Error, Result};
use arrow::array::AsArray;
use arrow::array::timezone::Tz;
use arrow::compute::kernels::cast_utils::string_to_timestamp_nanos;
use arrow::datatypes::{DataType as ArrowType, IntervalUnit, TimeUnit, TimestampNanosecondType};
use datafusion::common::{Result as DataFusionResult, plan_err};
use datafusion::logical_expr::{
    ColumnarValue, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility,
};
use datafusion::physical_expr::expressions::Literal;
use datafusion::physical_expr::{PhysicalExpr, ScalarFunctionExpr};
use datafusion::scalar::ScalarValue;

use crate::error::to_datafusion;

/// The type of a moment.
pub(crate) const TIMESTAMP: ArrowType = ArrowType::Timestamp(TimeUnit::Nanosecond, None);
const USAGE: &str =
    "time_bucket('5 minutes', ts), time_bucket(INTERVAL '1 day', ts, 'Europe/Berlin')";

pub(crate) fn udf() -> ScalarUDF {
    ScalarUDF::new_from_impl(TimeBucket {
        signature: Signature::user_defined(Volatility::Immutable),
    })
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct TimeBucket {
    signature: Signature,
}

impl ScalarUDFImpl for TimeBucket {
    fn name(&self) -> &str {
        "time_bucket"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _args: &[ArrowType]) -> DataFusionResult<ArrowType> {
        Ok(TIMESTAMP)
    }

    fn coerce_types(&self, given: &[ArrowType]) -> DataFusionResult<Vec<ArrowType>> {
        let (Some((width, ts)), true) = (
            given.first().zip(given.get(1)),
            (2..=4).contains(&given.len()),
        ) else {
            return plan_err!("time_bucket() takes a width and a timestamp: {USAGE}");
        };
        let mut types = vec![width_type(width)?, moment_type(ts)?];
        for more in given.iter().skip(2) {
            types.push(if is_text(more) {
                ArrowType::Utf8
            } else {
                moment_type(more)?
            });
        }
        Ok(types)
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> DataFusionResult<ColumnarValue> {
        let rows = args.number_rows;
        let mut constants = Vec::new();
        let mut ts = None;
        for (place, arg) in args.args.into_iter().enumerate() {
            match arg {
                arg if place == 1 => ts = Some(arg),
                ColumnarValue::Scalar(constant) => constants.push(constant),
                ColumnarValue::Array(_) => {
                    return plan_err!(
                        "the width, the time zone and the origin of time_bucket() are constants: {USAGE}"
                    );
                }
            }
        }
        let buckets = Buckets::of_args(&constants).map_err(to_datafusion)?;
        match ts {
            Some(ColumnarValue::Scalar(ScalarValue::TimestampNanosecond(ns, _))) => {
                let start = ns.map(|ns| buckets.start_of(ns));
                Ok(ColumnarValue::Scalar(ScalarValue::TimestampNanosecond(
                    start, None,
                )))
            }
            Some(other) => {
                let array = other.into_array(rows)?;
                let Some(moments) = array.as_primitive_opt::<TimestampNanosecondType>() else {
                    return plan_err!("time_bucket() takes a timestamp: {USAGE}");
                };
                let last: Cell<Option<(i64, i64)>> = Cell::new(None);
                let starts = moments.unary::<_, TimestampNanosecondType>(|ns| match last.get() {
                    // Rows come in order mostly, so the bucket is often that of the row before.
                    Some((start, next)) if (start..next).contains(&ns) => start,
                    _ => {
                        let start = buckets.start_of(ns);
                        last.set(Some((start, buckets.next(start))));
                        start
                    }
                });
                Ok(ColumnarValue::Array(Arc::new(starts)))
            }
            None => plan_err!("time_bucket() takes a width and a timestamp: {USAGE}"),
        }
    }
}

/// The moments that a call is about, and the buckets it puts them in; `None` for any other expression.
pub(crate) fn of_call(expr: &Arc<dyn PhysicalExpr>) -> Option<(Arc<dyn PhysicalExpr>, Buckets)> {
    let call = expr.downcast_ref::<ScalarFunctionExpr>()?;
    call.fun().inner().downcast_ref::<TimeBucket>()?;
    let mut constants = Vec::new();
    for (place, arg) in call.args().iter().enumerate() {
        if place != 1 {
            constants.push(arg.downcast_ref::<Literal>()?.value().clone());
        }
    }
    let buckets = Buckets::of_args(&constants).ok()?;
    Some((call.args().get(1)?.clone(), buckets))
}

pub(crate) fn is_text(given: &ArrowType) -> bool {
    matches!(
        given,
        ArrowType::Utf8 | ArrowType::LargeUtf8 | ArrowType::Utf8View
    )
}

/// The type that a width is read as.
pub(crate) fn width_type(given: &ArrowType) -> DataFusionResult<ArrowType> {
    match given {
        given if is_text(given) => Ok(ArrowType::Utf8),
        ArrowType::Null => Ok(ArrowType::Utf8),
        ArrowType::Interval(_) => Ok(ArrowType::Interval(IntervalUnit::MonthDayNano)),
        other => plan_err!(
            "a width is an interval, as in INTERVAL '5 minutes' or '5 minutes', not {other}"
        ),
    }
}

/// The type that a moment is read as.
pub(crate) fn moment_type(given: &ArrowType) -> DataFusionResult<ArrowType> {
    match given {
        ArrowType::Timestamp(_, _) | ArrowType::Date32 | ArrowType::Date64 | ArrowType::Null => {
            Ok(TIMESTAMP)
        }
        given if is_text(given) => Ok(TIMESTAMP),
        other => plan_err!("a timestamp is needed, not {other}"),
    }
}

impl Buckets {
    /// Buckets by the constants of a call: the width, and after it a time zone, an origin, or both.
    ///
    /// # Errors
    /// `Invalid` for a width of nothing, an unknown time zone, or an origin that is no moment.
    pub(crate) fn of_args(constants: &[ScalarValue]) -> Result<Buckets> {
        let mut constants = constants.iter();
        let Some(width) = constants.next() else {
            return Err(Error::invalid("a bucket needs a width").with_hint(USAGE));
        };
        let mut buckets = Buckets::of_width(width)?;
        for constant in constants {
            match constant {
                ScalarValue::TimestampNanosecond(Some(origin), _) => {
                    buckets = buckets.with_origin(*origin)?;
                }
                ScalarValue::Utf8(Some(text)) => {
                    if Tz::from_str(text).is_ok() {
                        buckets = buckets.with_zone(text)?;
                    } else if let Ok(origin) = string_to_timestamp_nanos(text) {
                        buckets = buckets.with_origin(origin)?;
                    } else {
                        return Err(Error::invalid(format!(
                            "'{text}' is neither a time zone nor a timestamp"
                        ))
                        .with_hint("time zones are written as 'Europe/Berlin' or '+02:00'"));
                    }
                }
                constant if constant.is_null() => {}
                _ => {
                    return Err(
                        Error::invalid("time_bucket() takes a time zone and an origin")
                            .with_hint(USAGE),
                    );
                }
            }
        }
        Ok(buckets)
    }
}
