//! The least and the greatest value of each group.

use std::sync::Arc;

use activestore_store::ZoneValue;
use arrow::array::{ArrayRef, ArrowPrimitiveType, PrimitiveArray};
use arrow::buffer::NullBuffer;
use arrow::datatypes::{ArrowNativeTypeOp, DataType as ArrowType};
use datafusion::common::{Result, internal_err};

use super::covered::Total;
use super::folds::{Fold, numbers};
use super::table::Run;
use crate::extremes::{rank, rank_short};

/// The least or the greatest value; floats in the order of [`crate::extremes`].
struct Extreme<T: ArrowPrimitiveType> {
    kind: ArrowType,
    most: bool,
    values: Vec<T::Native>,
    any: Vec<bool>,
}

pub(super) fn extreme<T: ArrowPrimitiveType<Native: Ranked>>(
    kind: &ArrowType,
    most: bool,
) -> Box<dyn Fold> {
    Box::new(Extreme::<T> {
        kind: kind.clone(),
        most,
        values: Vec::new(),
        any: Vec::new(),
    })
}

impl<T: ArrowPrimitiveType<Native: Ranked>> Fold for Extreme<T> {
    fn add(&mut self, argument: Option<&ArrayRef>, runs: &[Run], groups: usize) -> Result<()> {
        self.values.resize(groups, T::Native::default());
        self.any.resize(groups, false);
        let (values, nulls) = numbers::<T>(argument)?;
        let most = self.most;
        let better = |one: T::Native, other: T::Native| {
            let wins = if most {
                other.is_above(one)
            } else {
                one.is_above(other)
            };
            if wins { other } else { one }
        };
        for run in runs {
            let (Some(held), Some(any), Some(values)) = (
                self.values.get_mut(run.group),
                self.any.get_mut(run.group),
                values.get(run.start..run.start + run.rows),
            ) else {
                return internal_err!("a run lies outside its batch");
            };
            let found = match nulls {
                None => values.iter().copied().reduce(better),
                Some(nulls) => {
                    let nulls = nulls.slice(run.start, run.rows);
                    let valid = values.iter().zip(nulls.iter());
                    let valid = valid.filter(|(_, valid)| *valid);
                    valid.map(|(value, _)| *value).reduce(better)
                }
            };
            if let Some(found) = found {
                *held = if *any { better(*held, found) } else { found };
                *any = true;
            }
        }
        Ok(())
    }

    fn cover(&mut self, total: &Total) {
        let groups = self.values.len().max(1);
        self.values.resize(groups, T::Native::default());
        self.any.resize(groups, false);
        let bound = if self.most { &total.high } else { &total.low };
        let found = bound.as_ref().and_then(T::Native::of);
        if let (Some(found), Some(held), Some(any)) =
            (found, self.values.first_mut(), self.any.first_mut())
        {
            let wins = if self.most {
                found.is_above(*held)
            } else {
                held.is_above(found)
            };
            if wins || !*any {
                *held = found;
            }
            *any = true;
        }
    }

    fn take(&mut self) -> Vec<ArrayRef> {
        let any: NullBuffer = std::mem::take(&mut self.any).into();
        let values = std::mem::take(&mut self.values);
        let array = PrimitiveArray::<T>::new(values.into(), Some(any));
        vec![Arc::new(array.with_data_type(self.kind.clone()))]
    }
}

/// What extremes are taken of.
pub(super) trait Ranked: ArrowNativeTypeOp {
    fn is_above(self, other: Self) -> bool;
    /// A bound of a vector's values.
    fn of(bound: &ZoneValue) -> Option<Self>;
}

impl Ranked for i32 {
    fn is_above(self, other: Self) -> bool {
        self > other
    }

    fn of(bound: &ZoneValue) -> Option<Self> {
        match bound {
            ZoneValue::Int(value) => i32::try_from(*value).ok(),
            _ => None,
        }
    }
}

impl Ranked for i64 {
    fn is_above(self, other: Self) -> bool {
        self > other
    }

    fn of(bound: &ZoneValue) -> Option<Self> {
        match bound {
            ZoneValue::Int(value) => Some(*value),
            _ => None,
        }
    }
}

impl Ranked for f32 {
    fn is_above(self, other: Self) -> bool {
        rank_short(self) > rank_short(other)
    }

    fn of(bound: &ZoneValue) -> Option<Self> {
        match bound {
            // It was widened from one.
            ZoneValue::Float(value) => Some(*value as f32),
            _ => None,
        }
    }
}

impl Ranked for f64 {
    fn is_above(self, other: Self) -> bool {
        rank(self) > rank(other)
    }

    fn of(bound: &ZoneValue) -> Option<Self> {
        match bound {
            ZoneValue::Float(value) => Some(*value),
            _ => None,
        }
    }
}
