//! Where sessions begin: over rows in order of time, at each that comes a gap or more after the one before. Each row is
//! told from those before it, so rows are let go of as they come, however many a session has.

use std::ops::Range;
use std::sync::Arc;

use activestore_types::Error;
use arrow::array::{Array, ArrayRef, AsArray, TimestampNanosecondArray};
use arrow::compute::SortOptions;
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
        Ok(Box::new(Starts::default()))
    }

    fn field(&self, args: WindowUDFFieldArgs<'_>) -> Result<FieldRef> {
        Ok(Arc::new(Field::new(args.name(), TIMESTAMP, true)))
    }

    /// Starts follow the rows, which come in order of time: groups by them end as the rows go by.
    fn sort_options(&self) -> Option<SortOptions> {
        Some(SortOptions {
            descending: false,
            nulls_first: true,
        })
    }

    fn coerce_types(&self, given: &[ArrowType]) -> Result<Vec<ArrowType>> {
        let [ts, gap] = given else {
            return plan_err!("session() is written as session(ts, '30 seconds')");
        };
        Ok(vec![moment_type(ts)?, width_type(gap)?])
    }
}

/// The sessions of one partition, as its rows come.
#[derive(Debug, Default)]
struct Starts {
    gap: Option<i64>,
    /// The start of the last one, and its last row.
    session: Option<(i64, i64)>,
}

impl Starts {
    fn gap(&mut self, gaps: &ArrayRef) -> Result<i64> {
        if let Some(gap) = self.gap {
            return Ok(gap);
        }
        let gap = fixed_ns(&ScalarValue::try_from_array(gaps, 0)?).map_err(to_datafusion)?;
        self.gap = Some(gap);
        Ok(gap)
    }

    /// When the session of the next row begins.
    fn next(&mut self, at: i64, gap: i64) -> i64 {
        let start = match self.session {
            Some((start, last)) if at.saturating_sub(last) < gap => start,
            _ => at,
        };
        self.session = Some((start, at));
        start
    }
}

/// The moments of rows, and the gap.
fn of(values: &[ArrayRef]) -> Result<(&TimestampNanosecondArray, &ArrayRef)> {
    let [moments, gaps] = values else {
        return plan_err!("session() is written as session(ts, '30 seconds')");
    };
    match moments.as_primitive_opt::<TimestampNanosecondType>() {
        Some(moments) => Ok((moments, gaps)),
        None => plan_err!("session() takes a timestamp: session(ts, '30 seconds')"),
    }
}

fn fewer() -> Error {
    Error::internal("a window has fewer moments than rows")
}

impl PartitionEvaluator for Starts {
    fn supports_bounded_execution(&self) -> bool {
        true
    }

    fn is_causal(&self) -> bool {
        true
    }

    /// Asked of each row once, in their order.
    fn evaluate(&mut self, values: &[ArrayRef], range: &Range<usize>) -> Result<ScalarValue> {
        let (moments, gaps) = of(values)?;
        let row = range.start;
        if row >= moments.len() {
            return Err(to_datafusion(fewer()));
        }
        let start = if moments.is_null(row) {
            None
        } else {
            let gap = self.gap(gaps)?;
            Some(self.next(moments.value(row), gap))
        };
        Ok(ScalarValue::TimestampNanosecond(start, None))
    }

    fn evaluate_all(&mut self, values: &[ArrayRef], rows: usize) -> Result<ArrayRef> {
        let (moments, gaps) = of(values)?;
        if rows == 0 {
            return Ok(Arc::new(TimestampNanosecondArray::from(Vec::<i64>::new())));
        }
        if moments.len() < rows {
            return Err(to_datafusion(fewer()));
        }
        let gap = self.gap(gaps)?;
        let starts: TimestampNanosecondArray = (0..rows)
            .map(|row| {
                let at = moments.is_valid(row).then(|| moments.value(row));
                at.map(|at| self.next(at, gap))
            })
            .collect();
        Ok(Arc::new(starts))
    }
}
