//! Aggregates over runs: the states that DataFusion's own aggregates merge, worked out a slice at a time.

use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, ArrowPrimitiveType, AsArray, Float64Array, Int64Array, UInt64Array,
};
use arrow::buffer::NullBuffer;
use arrow::datatypes::{
    DataType as ArrowType, Date32Type, Float32Type, Float64Type, Int32Type, Int64Type, SchemaRef,
    TimeUnit, TimestampNanosecondType,
};
use datafusion::common::{Result, internal_err};
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_expr::aggregate::AggregateFunctionExpr;
use datafusion::physical_expr::expressions::Literal;

use super::covered::Total;
use super::distinct::{self, Distinct};
use super::extreme::extreme;
use super::table::Run;

/// Sums that are added up side by side: one alone would wait for each addition.
const LANES: usize = 8;

/// An aggregate and what it is about.
#[derive(Clone, Debug)]
pub(super) struct FoldPlan {
    pub(super) kind: Kind,
    /// `None` where rows are counted, whatever is in them.
    pub(super) argument: Option<Arc<dyn PhysicalExpr>>,
    /// For EXPLAIN.
    pub(super) name: String,
}

#[derive(Clone, Debug)]
pub(super) enum Kind {
    Count,
    SumFloat,
    SumLong,
    Average,
    Distinct,
    Extreme { kind: ArrowType, most: bool },
}

/// How the aggregates of a step are worked out; `None` where one is not understood.
pub(super) fn plans(
    aggregates: &[Arc<AggregateFunctionExpr>],
    schema: &SchemaRef,
) -> Result<Option<Vec<FoldPlan>>> {
    let mut plans = Vec::with_capacity(aggregates.len());
    for aggregate in aggregates {
        let Some(plan) = plan(aggregate, schema)? else {
            return Ok(None);
        };
        plans.push(plan);
    }
    Ok(Some(plans))
}

fn plan(aggregate: &AggregateFunctionExpr, schema: &SchemaRef) -> Result<Option<FoldPlan>> {
    let arguments = aggregate.expressions();
    let [argument] = arguments.as_slice() else {
        return Ok(None);
    };
    if !aggregate.order_bys().is_empty() {
        return Ok(None);
    }
    let given = argument.data_type(schema)?;
    let kind = match (aggregate.fun().name(), &given) {
        ("count", ArrowType::Utf8) if aggregate.is_distinct() => Kind::Distinct,
        _ if aggregate.is_distinct() => return Ok(None),
        ("count", _) => Kind::Count,
        ("sum", ArrowType::Float64) => Kind::SumFloat,
        ("sum", ArrowType::Int64) => Kind::SumLong,
        ("avg", ArrowType::Float64) => Kind::Average,
        (name @ ("min" | "max"), kind) if has_extremes(kind) => Kind::Extreme {
            kind: kind.clone(),
            most: name == "max",
        },
        _ => return Ok(None),
    };
    let fields = aggregate.state_fields()?;
    let states: Vec<&ArrowType> = fields.iter().map(|field| field.data_type()).collect();
    let wanted: Vec<ArrowType> = match &kind {
        Kind::Count | Kind::SumLong => vec![ArrowType::Int64],
        Kind::SumFloat => vec![ArrowType::Float64],
        Kind::Average => vec![ArrowType::UInt64, ArrowType::Float64],
        Kind::Distinct => vec![distinct::state()],
        Kind::Extreme { kind, .. } => vec![kind.clone()],
    };
    if !states.iter().copied().eq(&wanted) {
        return Ok(None);
    }
    let literal = argument.downcast_ref::<Literal>();
    let rows = matches!(kind, Kind::Count) && literal.is_some_and(|it| !it.value().is_null());
    Ok(Some(FoldPlan {
        kind,
        argument: (!rows).then(|| argument.clone()),
        name: aggregate.name().to_owned(),
    }))
}

fn has_extremes(kind: &ArrowType) -> bool {
    matches!(
        kind,
        ArrowType::Int32
            | ArrowType::Int64
            | ArrowType::Date32
            | ArrowType::Float32
            | ArrowType::Float64
            | ArrowType::Timestamp(TimeUnit::Nanosecond, None)
    )
}

impl FoldPlan {
    /// Whether text may come to it as codes.
    pub(super) fn takes_codes(&self) -> bool {
        matches!(self.kind, Kind::Distinct)
    }

    pub(super) fn start(&self) -> Box<dyn Fold> {
        match &self.kind {
            Kind::Count => Box::new(Count::default()),
            Kind::SumFloat => Box::new(Sums::<false>::default()),
            Kind::Average => Box::new(Sums::<true>::default()),
            Kind::SumLong => Box::new(LongSums::default()),
            Kind::Distinct => Box::new(Distinct::default()),
            Kind::Extreme { kind, most } => match kind {
                ArrowType::Int32 => extreme::<Int32Type>(kind, *most),
                ArrowType::Date32 => extreme::<Date32Type>(kind, *most),
                ArrowType::Float32 => extreme::<Float32Type>(kind, *most),
                ArrowType::Float64 => extreme::<Float64Type>(kind, *most),
                ArrowType::Timestamp(..) => extreme::<TimestampNanosecondType>(kind, *most),
                _ => extreme::<Int64Type>(kind, *most),
            },
        }
    }
}

/// The states of one aggregate, a group's at the group's number.
pub(super) trait Fold: Send {
    /// Adds the rows of runs; `groups` is how many there are by now.
    fn add(&mut self, argument: Option<&ArrayRef>, runs: &[Run], groups: usize) -> Result<()>;
    /// Adds what vectors that were not read come to, to the first group; only where [`FoldPlan`] can be answered so.
    fn cover(&mut self, _total: &Total) {}
    /// About what the states hold beside a few numbers for each group.
    fn bytes(&self) -> usize {
        0
    }
    /// The states, as columns; forgets them.
    fn take(&mut self) -> Vec<ArrayRef>;
}

#[derive(Default)]
struct Count {
    counts: Vec<i64>,
}

impl Fold for Count {
    fn add(&mut self, argument: Option<&ArrayRef>, runs: &[Run], groups: usize) -> Result<()> {
        self.counts.resize(groups, 0);
        let nulls = argument.and_then(|array| array.logical_nulls());
        for run in runs {
            if let Some(count) = self.counts.get_mut(run.group) {
                *count += i64::try_from(valid(nulls.as_ref(), run)).unwrap_or(i64::MAX);
            }
        }
        Ok(())
    }

    fn cover(&mut self, total: &Total) {
        self.counts.resize(self.counts.len().max(1), 0);
        if let Some(count) = self.counts.first_mut() {
            *count += i64::try_from(total.values).unwrap_or(i64::MAX);
        }
    }

    fn take(&mut self) -> Vec<ArrayRef> {
        vec![Arc::new(Int64Array::from(std::mem::take(&mut self.counts)))]
    }
}

/// Sums of floats, with how many values they are of; both are the state of an average.
#[derive(Default)]
struct Sums<const AVERAGE: bool> {
    sums: Vec<f64>,
    counts: Vec<u64>,
}

impl<const AVERAGE: bool> Fold for Sums<AVERAGE> {
    fn add(&mut self, argument: Option<&ArrayRef>, runs: &[Run], groups: usize) -> Result<()> {
        self.sums.resize(groups, 0.0);
        self.counts.resize(groups, 0);
        let (values, nulls) = numbers::<Float64Type>(argument)?;
        for run in runs {
            let (Some(sum), Some(count), Some(values)) = (
                self.sums.get_mut(run.group),
                self.counts.get_mut(run.group),
                values.get(run.start..run.start + run.rows),
            ) else {
                return internal_err!("a run lies outside its batch");
            };
            *count += valid(nulls, run) as u64;
            *sum += match nulls {
                None => sum_of(values),
                Some(nulls) => {
                    let nulls = nulls.slice(run.start, run.rows);
                    let valid = values.iter().zip(nulls.iter());
                    valid
                        .map(|(value, valid)| if valid { *value } else { 0.0 })
                        .sum()
                }
            };
        }
        Ok(())
    }

    fn cover(&mut self, total: &Total) {
        let groups = self.sums.len().max(1);
        self.sums.resize(groups, 0.0);
        self.counts.resize(groups, 0);
        if let (Some(sum), Some(count)) = (self.sums.first_mut(), self.counts.first_mut()) {
            *sum += total.sum();
            *count += total.values;
        }
    }

    fn take(&mut self) -> Vec<ArrayRef> {
        let counts = std::mem::take(&mut self.counts);
        let any: NullBuffer = counts
            .iter()
            .map(|count| *count > 0)
            .collect::<Vec<bool>>()
            .into();
        let sums = std::mem::take(&mut self.sums);
        let sums = Arc::new(Float64Array::new(sums.into(), Some(any.clone())));
        if AVERAGE {
            vec![Arc::new(UInt64Array::new(counts.into(), Some(any))), sums]
        } else {
            vec![sums]
        }
    }
}

/// Sums of whole numbers; they wrap, as DataFusion's do.
#[derive(Default)]
struct LongSums {
    sums: Vec<i64>,
    any: Vec<bool>,
}

impl Fold for LongSums {
    fn add(&mut self, argument: Option<&ArrayRef>, runs: &[Run], groups: usize) -> Result<()> {
        self.sums.resize(groups, 0);
        self.any.resize(groups, false);
        let (values, nulls) = numbers::<Int64Type>(argument)?;
        for run in runs {
            let (Some(sum), Some(any), Some(values)) = (
                self.sums.get_mut(run.group),
                self.any.get_mut(run.group),
                values.get(run.start..run.start + run.rows),
            ) else {
                return internal_err!("a run lies outside its batch");
            };
            *any |= valid(nulls, run) > 0;
            let added = match nulls {
                None => values
                    .iter()
                    .fold(0_i64, |sum, value| sum.wrapping_add(*value)),
                Some(nulls) => {
                    let nulls = nulls.slice(run.start, run.rows);
                    let valid = values.iter().zip(nulls.iter());
                    let valid = valid.filter(|(_, valid)| *valid);
                    valid.fold(0_i64, |sum, (value, _)| sum.wrapping_add(*value))
                }
            };
            *sum = sum.wrapping_add(added);
        }
        Ok(())
    }

    fn cover(&mut self, total: &Total) {
        let groups = self.sums.len().max(1);
        self.sums.resize(groups, 0);
        self.any.resize(groups, false);
        if let (Some(sum), Some(any)) = (self.sums.first_mut(), self.any.first_mut()) {
            *sum = sum.wrapping_add(total.wrapped());
            *any |= total.values > 0;
        }
    }

    fn take(&mut self) -> Vec<ArrayRef> {
        let any: NullBuffer = std::mem::take(&mut self.any).into();
        let sums = std::mem::take(&mut self.sums);
        vec![Arc::new(Int64Array::new(sums.into(), Some(any)))]
    }
}

/// The values of an argument, and which are NULL if any.
pub(super) type Numbers<'a, T> = (
    &'a [<T as ArrowPrimitiveType>::Native],
    Option<&'a NullBuffer>,
);

pub(super) fn numbers<T: ArrowPrimitiveType>(
    argument: Option<&ArrayRef>,
) -> Result<Numbers<'_, T>> {
    match argument.and_then(|array| array.as_primitive_opt::<T>()) {
        Some(array) => {
            let nulls = array.nulls().filter(|nulls| nulls.null_count() > 0);
            Ok((array.values(), nulls))
        }
        None => internal_err!("an aggregate over runs got values of another type"),
    }
}

/// How many values of a run are not NULL.
fn valid(nulls: Option<&NullBuffer>, run: &Run) -> usize {
    match nulls {
        None => run.rows,
        Some(nulls) => run.rows - nulls.slice(run.start, run.rows).null_count(),
    }
}

fn sum_of(values: &[f64]) -> f64 {
    let chunks = values.chunks_exact(LANES);
    let rest: f64 = chunks.remainder().iter().sum();
    let mut lanes = [0.0; LANES];
    for chunk in chunks {
        for (lane, value) in lanes.iter_mut().zip(chunk) {
            *lane += value;
        }
    }
    lanes.iter().sum::<f64>() + rest
}
