//! `tumble(ts, '1 minute')`: the start of the window of fixed width that a timestamp lies in.
//! Windows are aligned to 1970-01-01; a width is at most a week's multiple, never a month.

use std::sync::Arc;

use activestore_catalog::parse_duration;
use activestore_types::{Error, Result};
use arrow::array::AsArray;
use arrow::datatypes::{DataType as ArrowType, TimeUnit, TimestampNanosecondType};
use datafusion::common::{Result as DataFusionResult, plan_err};
use datafusion::logical_expr::{
    ColumnarValue, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility,
};
use datafusion::scalar::ScalarValue;

use crate::error::to_datafusion;

const TIMESTAMP: ArrowType = ArrowType::Timestamp(TimeUnit::Nanosecond, None);

pub(crate) fn udf() -> ScalarUDF {
    ScalarUDF::new_from_impl(Tumble {
        signature: Signature::user_defined(Volatility::Immutable),
    })
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct Tumble {
    signature: Signature,
}

impl ScalarUDFImpl for Tumble {
    fn name(&self) -> &str {
        "tumble"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _args: &[ArrowType]) -> DataFusionResult<ArrowType> {
        Ok(TIMESTAMP)
    }

    fn coerce_types(&self, given: &[ArrowType]) -> DataFusionResult<Vec<ArrowType>> {
        let text = |given: &ArrowType| {
            matches!(
                given,
                ArrowType::Utf8 | ArrowType::LargeUtf8 | ArrowType::Utf8View | ArrowType::Null
            )
        };
        match given {
            [
                ArrowType::Timestamp(_, _) | ArrowType::Date32 | ArrowType::Null,
                width,
            ] if text(width) => Ok(vec![TIMESTAMP, ArrowType::Utf8]),
            [ts, width] if text(ts) && text(width) => Ok(vec![TIMESTAMP, ArrowType::Utf8]),
            _ => plan_err!("tumble() takes a timestamp and a width: tumble(ts, '1 minute')"),
        }
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> DataFusionResult<ColumnarValue> {
        let rows = args.number_rows;
        let mut values = args.args.into_iter();
        let (Some(ts), Some(ColumnarValue::Scalar(width))) = (values.next(), values.next()) else {
            return plan_err!("the width of tumble() is a constant: tumble(ts, '1 minute')");
        };
        let width = width_ns(&width).map_err(to_datafusion)?;
        let start = |ns: i64| ns.saturating_sub(ns.rem_euclid(width));
        match ts {
            ColumnarValue::Scalar(ScalarValue::TimestampNanosecond(ns, _)) => Ok(
                ColumnarValue::Scalar(ScalarValue::TimestampNanosecond(ns.map(start), None)),
            ),
            other => {
                let array = other.into_array(rows)?;
                let starts = array
                    .as_primitive::<TimestampNanosecondType>()
                    .unary::<_, TimestampNanosecondType>(start);
                Ok(ColumnarValue::Array(Arc::new(starts)))
            }
        }
    }
}

/// The width of windows in nanoseconds.
///
/// # Errors
/// `Invalid` for what is none.
pub(crate) fn width_ns(width: &ScalarValue) -> Result<i64> {
    let Some(Some(text)) = width.try_as_str() else {
        return Err(Error::invalid("tumble() needs a width, as in '1 minute'"));
    };
    let width = i64::try_from(parse_duration(text)?.as_nanos()).unwrap_or(0);
    if width <= 0 {
        return Err(
            Error::invalid(format!("'{text}' is not a width for tumble()"))
                .with_hint("use more than nothing and less than 292 years"),
        );
    }
    Ok(width)
}
