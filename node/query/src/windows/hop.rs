//! The starts of all windows of one width that begin every so often and hold a moment.

use std::sync::Arc;

use activestore_catalog::parse_duration;
use activestore_types::{Error, Result};
use arrow::array::{Array, AsArray, ListBuilder, TimestampNanosecondBuilder};
use arrow::datatypes::{DataType as ArrowType, TimestampNanosecondType};
use datafusion::common::{Result as DataFusionResult, plan_err};
use datafusion::logical_expr::{
    ColumnarValue, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility,
};
use datafusion::scalar::ScalarValue;

use crate::bucket::{TIMESTAMP, moment_type, width_type};
use crate::error::to_datafusion;

/// Windows that one row may lie in.
const WINDOWS_MAX: i64 = 1_000;

pub(super) fn udf() -> ScalarUDF {
    ScalarUDF::new_from_impl(Hops {
        signature: Signature::user_defined(Volatility::Immutable),
    })
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct Hops {
    signature: Signature,
}

impl ScalarUDFImpl for Hops {
    fn name(&self) -> &str {
        "hops"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _args: &[ArrowType]) -> DataFusionResult<ArrowType> {
        Ok(ArrowType::new_list(TIMESTAMP, true))
    }

    fn coerce_types(&self, given: &[ArrowType]) -> DataFusionResult<Vec<ArrowType>> {
        let [ts, slide, width] = given else {
            return plan_err!("hop() is written as hop(ts, '1 minute', '5 minutes')");
        };
        Ok(vec![
            moment_type(ts)?,
            width_type(slide)?,
            width_type(width)?,
        ])
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> DataFusionResult<ColumnarValue> {
        let [
            ts,
            ColumnarValue::Scalar(slide),
            ColumnarValue::Scalar(width),
        ] = args.args.as_slice()
        else {
            return plan_err!(
                "the widths of hop() are constants: hop(ts, '1 minute', '5 minutes')"
            );
        };
        let (slide, width) = widths(slide, width).map_err(to_datafusion)?;
        let moments = ts.to_array(args.number_rows)?;
        let Some(moments) = moments.as_primitive_opt::<TimestampNanosecondType>() else {
            return plan_err!("hop() takes a timestamp: hop(ts, '1 minute', '5 minutes')");
        };
        let mut starts = ListBuilder::new(TimestampNanosecondBuilder::new());
        for row in 0..moments.len() {
            if moments.is_null(row) {
                starts.append_null();
                continue;
            }
            let ns = moments.value(row);
            // From the latest window that holds the moment to the earliest, given out earliest first.
            let last = ns.saturating_sub(ns.rem_euclid(slide));
            let reach = ns.saturating_sub(width);
            let count =
                (i128::from(last) - i128::from(reach) + i128::from(slide) - 1) / i128::from(slide);
            for back in (0..i64::try_from(count).unwrap_or(0)).rev() {
                starts
                    .values()
                    .append_value(last.saturating_sub(back.saturating_mul(slide)));
            }
            starts.append(true);
        }
        Ok(ColumnarValue::Array(Arc::new(starts.finish())))
    }
}

/// How often windows begin and how wide they are, in nanoseconds.
///
/// # Errors
/// `Invalid` for what is no width, and where a moment would lie in too many windows.
pub(crate) fn widths(slide: &ScalarValue, width: &ScalarValue) -> Result<(i64, i64)> {
    let (slide, width) = (fixed_ns(slide)?, fixed_ns(width)?);
    if width / slide >= WINDOWS_MAX {
        return Err(Error::invalid(format!(
            "a row would lie in more than {WINDOWS_MAX} windows of hop()"
        ))
        .with_hint("let windows begin less often"));
    }
    Ok((slide, width))
}

/// A width in nanoseconds; months have no fixed one.
pub(crate) fn fixed_ns(width: &ScalarValue) -> Result<i64> {
    let ns = match width {
        ScalarValue::Utf8(Some(text)) => i64::try_from(parse_duration(text)?.as_nanos()).ok(),
        ScalarValue::IntervalMonthDayNano(Some(interval)) if interval.months == 0 => {
            i64::from(interval.days)
                .checked_mul(86_400_000_000_000)
                .and_then(|days| days.checked_add(interval.nanoseconds))
        }
        _ => None,
    };
    ns.filter(|ns| *ns > 0).ok_or_else(|| {
        Error::invalid(format!("{width} is not the width of a window"))
            .with_hint("write an interval above zero, without months: '30 seconds', '5 minutes'")
    })
}
