//! `min` and `max` of floats in one order, whatever order rows come in: as in PostgreSQL NaN is above all numbers, and
//! -0.0 stands below 0.0. DataFusion's own let the last of a NaN and a number win, or tell NaN with a sign from NaN
//! without, by the step that happens to work them out. Floats are handed to them as whole numbers in that order.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, BooleanArray};
use arrow::datatypes::{
    DataType as ArrowType, Field, Float32Type, Float64Type, Int32Type, Int64Type,
};
use datafusion::common::Result;
use datafusion::execution::SessionState;
use datafusion::execution::registry::FunctionRegistry;
use datafusion::logical_expr::function::{AccumulatorArgs, StateFieldsArgs};
use datafusion::logical_expr::utils::AggregateOrderSensitivity;
use datafusion::logical_expr::{
    Accumulator, AggregateUDF, AggregateUDFImpl, Documentation, EmitTo, GroupsAccumulator,
    ReversedUDAF, SetMonotonicity, Signature, StatisticsArgs,
};
use datafusion::scalar::ScalarValue;

/// The one NaN.
const NAN: u64 = 0x7ff8_0000_0000_0000;
const NAN_SHORT: u32 = 0x7fc0_0000;

/// Puts our order on the functions of a state.
pub(crate) fn order(state: &mut SessionState) -> Result<()> {
    for name in ["min", "max"] {
        let Some(inner) = state.aggregate_functions().get(name).cloned() else {
            continue;
        };
        let ordered = AggregateUDF::new_from_impl(Ordered { inner });
        state.register_udaf(Arc::new(ordered))?;
    }
    Ok(())
}

/// A whole number that stands among others as the float does.
pub(crate) fn rank(value: f64) -> i64 {
    let bits = if value.is_nan() { NAN } else { value.to_bits() };
    turned(bits.cast_signed())
}

/// As [`rank`].
pub(crate) fn rank_short(value: f32) -> i32 {
    let bits = if value.is_nan() {
        NAN_SHORT
    } else {
        value.to_bits()
    };
    turned_short(bits.cast_signed())
}

/// Negative floats ascend as their bits descend. Its own inverse.
fn turned(bits: i64) -> i64 {
    bits ^ ((bits >> 63).cast_unsigned() >> 1).cast_signed()
}

fn turned_short(bits: i32) -> i32 {
    bits ^ ((bits >> 31).cast_unsigned() >> 1).cast_signed()
}

/// The ranks of floats; anything else stays.
fn ranks(array: &ArrayRef) -> ArrayRef {
    match array.data_type() {
        ArrowType::Float64 => Arc::new(
            array
                .as_primitive::<Float64Type>()
                .unary::<_, Int64Type>(rank),
        ),
        ArrowType::Float32 => Arc::new(
            array
                .as_primitive::<Float32Type>()
                .unary::<_, Int32Type>(rank_short),
        ),
        _ => array.clone(),
    }
}

fn all_ranks(arrays: &[ArrayRef]) -> Vec<ArrayRef> {
    arrays.iter().map(ranks).collect()
}

/// The floats of ranks.
fn floats(array: &ArrayRef) -> ArrayRef {
    let float = |rank| f64::from_bits(turned(rank).cast_unsigned());
    let short = |rank| f32::from_bits(turned_short(rank).cast_unsigned());
    match array.data_type() {
        ArrowType::Int64 => Arc::new(
            array
                .as_primitive::<Int64Type>()
                .unary::<_, Float64Type>(float),
        ),
        ArrowType::Int32 => Arc::new(
            array
                .as_primitive::<Int32Type>()
                .unary::<_, Float32Type>(short),
        ),
        _ => array.clone(),
    }
}

fn all_floats(arrays: &[ArrayRef]) -> Vec<ArrayRef> {
    arrays.iter().map(floats).collect()
}

fn float(rank: ScalarValue) -> ScalarValue {
    match rank {
        ScalarValue::Int64(rank) => {
            ScalarValue::Float64(rank.map(|rank| f64::from_bits(turned(rank).cast_unsigned())))
        }
        ScalarValue::Int32(rank) => ScalarValue::Float32(
            rank.map(|rank| f32::from_bits(turned_short(rank).cast_unsigned())),
        ),
        other => other,
    }
}

/// The type of the ranks of what an aggregate gives; `None` where it gives no floats.
fn ranked<'a>(args: &AccumulatorArgs<'a>) -> Option<AccumulatorArgs<'a>> {
    let kind = match args.return_field.data_type() {
        ArrowType::Float64 => ArrowType::Int64,
        ArrowType::Float32 => ArrowType::Int32,
        _ => return None,
    };
    let field = Field::new(args.return_field.name(), kind, true);
    Some(AccumulatorArgs {
        return_field: Arc::new(field),
        ..args.clone()
    })
}

/// One of the two functions.
#[derive(Debug, PartialEq, Eq, Hash)]
struct Ordered {
    inner: Arc<AggregateUDF>,
}

impl AggregateUDFImpl for Ordered {
    fn name(&self) -> &str {
        self.inner.name()
    }

    fn aliases(&self) -> &[String] {
        self.inner.aliases()
    }

    fn signature(&self) -> &Signature {
        self.inner.signature()
    }

    fn return_type(&self, given: &[ArrowType]) -> Result<ArrowType> {
        self.inner.inner().return_type(given)
    }

    fn state_fields(&self, args: StateFieldsArgs<'_>) -> Result<Vec<Arc<Field>>> {
        self.inner.inner().state_fields(args)
    }

    fn accumulator(&self, args: AccumulatorArgs<'_>) -> Result<Box<dyn Accumulator>> {
        Ok(match ranked(&args) {
            Some(args) => Box::new(Ranked(self.inner.accumulator(args)?)),
            None => self.inner.accumulator(args)?,
        })
    }

    fn groups_accumulator_supported(&self, args: AccumulatorArgs<'_>) -> bool {
        self.inner.groups_accumulator_supported(args)
    }

    fn create_groups_accumulator(
        &self,
        args: AccumulatorArgs<'_>,
    ) -> Result<Box<dyn GroupsAccumulator>> {
        Ok(match ranked(&args) {
            Some(args) => Box::new(RankedGroups(self.inner.create_groups_accumulator(args)?)),
            None => self.inner.create_groups_accumulator(args)?,
        })
    }

    fn create_sliding_accumulator(
        &self,
        args: AccumulatorArgs<'_>,
    ) -> Result<Box<dyn Accumulator>> {
        Ok(match ranked(&args) {
            Some(args) => Box::new(Ranked(self.inner.create_sliding_accumulator(args)?)),
            None => self.inner.create_sliding_accumulator(args)?,
        })
    }

    fn order_sensitivity(&self) -> AggregateOrderSensitivity {
        self.inner.inner().order_sensitivity()
    }

    fn coerce_types(&self, given: &[ArrowType]) -> Result<Vec<ArrowType>> {
        self.inner.coerce_types(given)
    }

    fn reverse_expr(&self) -> ReversedUDAF {
        ReversedUDAF::Identical
    }

    fn is_descending(&self) -> Option<bool> {
        self.inner.is_descending()
    }

    fn value_from_stats(&self, args: &StatisticsArgs<'_>) -> Option<ScalarValue> {
        self.inner.value_from_stats(args)
    }

    fn set_monotonicity(&self, kind: &ArrowType) -> SetMonotonicity {
        self.inner.inner().set_monotonicity(kind)
    }

    fn documentation(&self) -> Option<&Documentation> {
        self.inner.documentation()
    }
}

/// An accumulator of ranks that is told floats.
#[derive(Debug)]
struct Ranked(Box<dyn Accumulator>);

impl Accumulator for Ranked {
    fn update_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        self.0.update_batch(&all_ranks(values))
    }

    fn evaluate(&mut self) -> Result<ScalarValue> {
        self.0.evaluate().map(float)
    }

    fn size(&self) -> usize {
        self.0.size()
    }

    fn state(&mut self) -> Result<Vec<ScalarValue>> {
        let states = self.0.state()?;
        Ok(states.into_iter().map(float).collect())
    }

    fn merge_batch(&mut self, states: &[ArrayRef]) -> Result<()> {
        self.0.merge_batch(&all_ranks(states))
    }

    fn retract_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        self.0.retract_batch(&all_ranks(values))
    }

    fn supports_retract_batch(&self) -> bool {
        self.0.supports_retract_batch()
    }
}

/// As [`Ranked`], of many groups.
struct RankedGroups(Box<dyn GroupsAccumulator>);

impl GroupsAccumulator for RankedGroups {
    fn update_batch(
        &mut self,
        values: &[ArrayRef],
        group_indices: &[usize],
        filter: Option<&BooleanArray>,
        groups: usize,
    ) -> Result<()> {
        let ranks = all_ranks(values);
        self.0.update_batch(&ranks, group_indices, filter, groups)
    }

    fn evaluate(&mut self, emit_to: EmitTo) -> Result<ArrayRef> {
        Ok(floats(&self.0.evaluate(emit_to)?))
    }

    fn state(&mut self, emit_to: EmitTo) -> Result<Vec<ArrayRef>> {
        Ok(all_floats(&self.0.state(emit_to)?))
    }

    fn merge_batch(
        &mut self,
        values: &[ArrayRef],
        group_indices: &[usize],
        groups: usize,
    ) -> Result<()> {
        let ranks = all_ranks(values);
        self.0.merge_batch(&ranks, group_indices, groups)
    }

    fn convert_to_state(
        &self,
        values: &[ArrayRef],
        filter: Option<&BooleanArray>,
    ) -> Result<Vec<ArrayRef>> {
        let ranks = all_ranks(values);
        Ok(all_floats(&self.0.convert_to_state(&ranks, filter)?))
    }

    fn size(&self) -> usize {
        self.0.size()
    }
}

#[cfg(test)]
mod tests;
