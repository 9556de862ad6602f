//! `first(value, ts)` and `last(value, ts)`: the value at the earliest and at the latest moment, of any type.
//! Over groups they are DataFusion's `first_value` and `last_value` of the rows that have both.

use arrow::array::{Array, ArrayRef};
use arrow::datatypes::{DataType as ArrowType, Field, FieldRef, TimeUnit};
use datafusion::common::{DataFusionError, Result, ScalarValue, plan_err};
use datafusion::functions_aggregate::first_last::{first_value_udaf, last_value_udaf};
use datafusion::logical_expr::expr::{AggregateFunction, Sort};
use datafusion::logical_expr::function::{
    AccumulatorArgs, AggregateFunctionSimplification, StateFieldsArgs,
};
use datafusion::logical_expr::utils::AggregateOrderSensitivity;
use datafusion::logical_expr::{
    Accumulator, AggregateUDF, AggregateUDFImpl, Expr, Signature, Volatility,
};
use std::sync::Arc;

const TIMESTAMP: ArrowType = ArrowType::Timestamp(TimeUnit::Nanosecond, None);

/// Which of the two.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum End {
    First,
    Last,
}

pub(super) fn udaf(end: End) -> AggregateUDF {
    AggregateUDF::new_from_impl(AtEnd {
        end,
        signature: Signature::user_defined(Volatility::Immutable),
    })
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct AtEnd {
    end: End,
    signature: Signature,
}

impl AggregateUDFImpl for AtEnd {
    fn name(&self) -> &str {
        match self.end {
            End::First => "first",
            End::Last => "last",
        }
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, args: &[ArrowType]) -> Result<ArrowType> {
        match args.first() {
            Some(value) => Ok(value.clone()),
            None => plan_err!(
                "{0}() takes a value and a moment: {0}(temp, ts)",
                self.name()
            ),
        }
    }

    fn coerce_types(&self, given: &[ArrowType]) -> Result<Vec<ArrowType>> {
        match given {
            [value, at] if at.is_temporal() || matches!(at, ArrowType::Null | ArrowType::Utf8) => {
                Ok(vec![value.clone(), TIMESTAMP])
            }
            [value, at] if at.is_numeric() => Ok(vec![value.clone(), at.clone()]),
            _ => plan_err!(
                "{0}() takes a value and a moment: {0}(temp, ts)",
                self.name()
            ),
        }
    }

    fn state_fields(&self, args: StateFieldsArgs<'_>) -> Result<Vec<FieldRef>> {
        let [value, at] = args.input_fields else {
            return plan_err!("{}() takes two arguments", self.name());
        };
        let field = |of: &str, given: &FieldRef| {
            let name = format!("{}[{of}]", args.name);
            Arc::new(Field::new(name, given.data_type().clone(), true))
        };
        Ok(vec![field("value", value), field("at", at)])
    }

    fn accumulator(&self, args: AccumulatorArgs<'_>) -> Result<Box<dyn Accumulator>> {
        if args.is_distinct {
            return plan_err!("{0}(DISTINCT …) is the same as {0}(…)", self.name());
        }
        let [value, at] = args.expr_fields else {
            return plan_err!("{}() takes two arguments", self.name());
        };
        Ok(Box::new(Found {
            end: self.end,
            value: ScalarValue::try_from(value.data_type())?,
            at: ScalarValue::try_from(at.data_type())?,
        }))
    }

    fn create_sliding_accumulator(
        &self,
        _args: AccumulatorArgs<'_>,
    ) -> Result<Box<dyn Accumulator>> {
        plan_err!(
            "{0}() cannot take rows back, so a window's frame must begin at UNBOUNDED PRECEDING; {0}_value(…) OVER (ORDER BY …) can",
            self.name()
        )
    }

    fn order_sensitivity(&self) -> AggregateOrderSensitivity {
        AggregateOrderSensitivity::Insensitive
    }

    fn simplify(&self) -> Option<AggregateFunctionSimplification> {
        let end = self.end;
        Some(Box::new(move |call: AggregateFunction, _| {
            let AggregateFunction { func, mut params } = call;
            let Ok([value, at]) = <[Expr; 2]>::try_from(std::mem::take(&mut params.args)) else {
                return Err(DataFusionError::Plan(format!(
                    "{}() takes two arguments",
                    func.name()
                )));
            };
            let there = value.clone().is_not_null().and(at.clone().is_not_null());
            params.filter = Some(Box::new(match params.filter.take() {
                Some(filter) => filter.and(there),
                None => there,
            }));
            params.args = vec![value];
            params.order_by = vec![Sort::new(at, true, false)];
            let func = match end {
                End::First => first_value_udaf(),
                End::Last => last_value_udaf(),
            };
            Ok(Expr::AggregateFunction(AggregateFunction { func, params }))
        }))
    }
}

/// What one group or window has come to.
#[derive(Debug)]
struct Found {
    end: End,
    value: ScalarValue,
    at: ScalarValue,
}

impl Found {
    fn take(&mut self, values: &ArrayRef, moments: &ArrayRef) -> Result<()> {
        for row in 0..values.len() {
            if values.is_null(row) || moments.is_null(row) {
                continue;
            }
            let at = ScalarValue::try_from_array(moments, row)?;
            let better = self.at.is_null()
                || match self.end {
                    End::First => at < self.at,
                    End::Last => at >= self.at,
                };
            if better {
                self.value = ScalarValue::try_from_array(values, row)?;
                self.at = at;
            }
        }
        Ok(())
    }
}

impl Accumulator for Found {
    fn update_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        let [values, moments] = values else {
            return plan_err!("first() and last() take two arguments");
        };
        self.take(values, moments)
    }

    fn evaluate(&mut self) -> Result<ScalarValue> {
        Ok(self.value.clone())
    }

    fn size(&self) -> usize {
        size_of_val(self) + self.value.size() + self.at.size()
    }

    fn state(&mut self) -> Result<Vec<ScalarValue>> {
        Ok(vec![self.value.clone(), self.at.clone()])
    }

    fn merge_batch(&mut self, states: &[ArrayRef]) -> Result<()> {
        self.update_batch(states)
    }
}
