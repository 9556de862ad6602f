//! Where sessions begin: over rows in order of time, at each that comes a gap or more after the one before.

use std::sync::Arc;

use activestore_types::Error;
use arrow::array::{Array, ArrayRef, AsArray, TimestampNanosecondArray};
use arrow::datatypes::{DataType as ArrowType, Field, FieldRef, TimestampNanosecondType};
use datafusion::common::{Result, plan_err};
use datafusion::logical_expr::function::{PartitionEvaluatorArgs, WindowUDFFieldArgs};
use datafusion::logical_expr::{
    PartitionEvaluator, Signature, Volatility, WindowUDF, WindowUDFImpl,
};
use datafusion::scalar::ScalarValue;

use super::hop::fixed_ns;
use crate::bucket::{TIMESTAMP, moment_type, width_type};
use crate::error::to_datafusion;

pub(super) fn udwf() -> WindowUDF {
    WindowUDF::new_from_impl(SessionStart {
        signature: Signature::user_defined(Volatility::Immutable),
    })
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct SessionStart {
    signature: Signature,
}

impl WindowUDFImpl for SessionStart {
    fn name(&self) -> &str {
        "session_start"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn partition_evaluator(
        &self,
        _args: PartitionEvaluatorArgs<'_>,
    ) -> Result<Box<dyn PartitionEvaluator>> {
        Ok(Box::new(Starts))
    }

    fn field(&self, args: WindowUDFFieldArgs<'_>) -> Result<FieldRef> {
        Ok(Arc::new(Field::new(args.name(), TIMESTAMP, true)))
    }

    fn coerce_types(&self, given: &[ArrowType]) -> Result<Vec<ArrowType>> {
        let [ts, gap] = given else {
            return plan_err!("session() is written as session(ts, '30 seconds')");
        };
        Ok(vec![moment_type(ts)?, width_type(gap)?])
    }
}

#[derive(Debug)]
struct Starts;

impl PartitionEvaluator for Starts {
    fn evaluate_all(&mut self, values: &[ArrayRef], rows: usize) -> Result<ArrayRef> {
        let [moments, gaps] = values else {
            return plan_err!("session() is written as session(ts, '30 seconds')");
        };
        let Some(moments) = moments.as_primitive_opt::<TimestampNanosecondType>() else {
            return plan_err!("session() takes a timestamp: session(ts, '30 seconds')");
        };
        if rows == 0 {
            return Ok(Arc::new(TimestampNanosecondArray::from(Vec::<i64>::new())));
        }
        let gap = fixed_ns(&ScalarValue::try_from_array(gaps, 0)?).map_err(to_datafusion)?;
        let mut session: Option<(i64, i64)> = None;
        let starts: TimestampNanosecondArray = (0..rows.min(moments.len()))
            .map(|row| {
                if moments.is_null(row) {
                    return None;
                }
                let at = moments.value(row);
                let start = match session {
                    Some((start, last)) if at.saturating_sub(last) < gap => start,
                    _ => at,
                };
                session = Some((start, at));
                Some(start)
            })
            .collect();
        if starts.len() != rows {
            return Err(to_datafusion(Error::internal(
                "a window has fewer moments than rows",
            )));
        }
        Ok(Arc::new(starts))
    }
}
