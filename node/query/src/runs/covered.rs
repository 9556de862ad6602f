//! Aggregates of all rows of a table: whole vectors are added up by what the store knows of them, unread.

use std::sync::Arc;

use activestore_store::{Covering, Known, Sum, Summary, ZoneValue};
use activestore_types::{ColumnId, Result};
use arrow::datatypes::DataType as ArrowType;
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_expr::expressions::{CastExpr, Column};
use parking_lot::Mutex;

use super::folds::{FoldPlan, Kind};

/// What an aggregate has to know of a vector.
#[derive(Clone, Copy, Debug)]
enum Ask {
    /// How many rows.
    Rows,
    /// How many values of a column.
    Values(ColumnId),
    /// What the values come to, wrapping around where they are whole numbers.
    Wrapped(ColumnId),
    /// What they come to as a float.
    Sum(ColumnId),
    /// The least and the greatest value.
    Bounds(ColumnId),
}

/// What was taken of a column, or of rows.
#[derive(Debug, Default)]
pub(super) struct Total {
    /// How many.
    pub(super) values: u64,
    ints: i128,
    floats: f64,
    pub(super) low: Option<ZoneValue>,
    pub(super) high: Option<ZoneValue>,
}

impl Total {
    /// What the values come to.
    pub(super) fn sum(&self) -> f64 {
        self.floats + self.ints as f64
    }

    /// What whole numbers come to, modulo 2^64.
    pub(super) fn wrapped(&self) -> i64 {
        self.ints as i64
    }

    fn add(&mut self, values: usize, summary: Option<&Summary>) {
        self.values += values as u64;
        let Some(summary) = summary else {
            return;
        };
        match summary.sum {
            Some(Sum::Int(sum)) => self.ints += i128::from(sum),
            Some(Sum::Float(sum)) => self.floats += sum,
            None => {}
        }
        if let Some((low, high)) = &summary.bounds {
            let least = self.low.as_ref().is_none_or(|held| is_below(low, held));
            if least {
                self.low = Some(low.clone());
            }
            let greatest = self.high.as_ref().is_none_or(|held| is_below(held, high));
            if greatest {
                self.high = Some(high.clone());
            }
        }
    }
}

fn is_below(one: &ZoneValue, other: &ZoneValue) -> bool {
    match (one, other) {
        (ZoneValue::Int(one), ZoneValue::Int(other)) => one < other,
        (ZoneValue::Float(one), ZoneValue::Float(other)) => one < other,
        _ => false,
    }
}

/// Takes vectors for the aggregates of a step; one for each of its partitions.
#[derive(Debug)]
pub(super) struct Covered {
    asks: Vec<Ask>,
    totals: Mutex<Vec<Total>>,
}

impl Covered {
    /// For aggregates over a scan of these columns; `None` where one of them has to see the rows.
    pub(super) fn of(folds: &[FoldPlan], columns: &[ColumnId]) -> Option<Arc<Self>> {
        let asks = folds.iter().map(|fold| ask(fold, columns));
        let asks = asks.collect::<Option<Vec<Ask>>>()?;
        Some(Arc::new(Covered {
            totals: Mutex::new(asks.iter().map(|_| Total::default()).collect()),
            asks,
        }))
    }

    /// What was taken, for each aggregate; `None` where nothing was.
    pub(super) fn take(&self) -> Option<Vec<Total>> {
        let mut totals = self.totals.lock();
        let taken = std::mem::take(&mut *totals);
        taken.iter().any(|total| total.values > 0).then_some(taken)
    }
}

fn ask(fold: &FoldPlan, columns: &[ColumnId]) -> Option<Ask> {
    let Some(argument) = &fold.argument else {
        return matches!(fold.kind, Kind::Count).then_some(Ask::Rows);
    };
    let id = |expr: &Arc<dyn PhysicalExpr>| {
        let column = expr.downcast_ref::<Column>()?;
        columns.get(column.index()).copied()
    };
    match fold.kind {
        Kind::Count => id(argument).map(Ask::Values),
        Kind::SumLong => id(uncast(argument, &ArrowType::Int64)).map(Ask::Wrapped),
        Kind::SumFloat | Kind::Average => id(uncast(argument, &ArrowType::Float64)).map(Ask::Sum),
        Kind::Extreme { .. } => id(argument).map(Ask::Bounds),
        Kind::Distinct => None,
    }
}

/// What is cast to this type, which of whole numbers and floats is what sums are of; sums of other columns are not told.
fn uncast<'a>(argument: &'a Arc<dyn PhysicalExpr>, kind: &ArrowType) -> &'a Arc<dyn PhysicalExpr> {
    match argument.downcast_ref::<CastExpr>() {
        Some(cast) if cast.cast_type() == kind => cast.expr(),
        _ => argument,
    }
}

/// Whether whole numbers between these come to what their sum says, however it was added up.
fn never_wraps(summary: &Summary) -> bool {
    let Some((ZoneValue::Int(low), ZoneValue::Int(high))) = summary.bounds else {
        return false;
    };
    let greatest = low.unsigned_abs().max(high.unsigned_abs());
    let most = u128::from(greatest) * summary.rows as u128;
    most <= u128::from(i64::MAX.unsigned_abs())
}

impl Covering for Covered {
    fn cover(&self, known: &Known<'_>) -> Result<bool> {
        let mut found: Vec<(usize, Option<Summary>)> = Vec::with_capacity(self.asks.len());
        for ask in &self.asks {
            let (Ask::Values(id) | Ask::Wrapped(id) | Ask::Sum(id) | Ask::Bounds(id)) = ask else {
                found.push((known.rows(), None));
                continue;
            };
            let summary = known.summary(*id)?;
            let values = summary.rows - summary.missing;
            let enough = match ask {
                _ if values == 0 => true,
                Ask::Rows | Ask::Values(_) => true,
                Ask::Wrapped(_) => matches!(summary.sum, Some(Sum::Int(_))),
                Ask::Sum(_) => match summary.sum {
                    Some(Sum::Int(_)) => never_wraps(&summary),
                    Some(Sum::Float(_)) => true,
                    None => false,
                },
                Ask::Bounds(_) => summary.bounds.is_some(),
            };
            if !enough {
                return Ok(false);
            }
            found.push((values, (values > 0).then_some(summary)));
        }
        let mut totals = self.totals.lock();
        for (total, (values, summary)) in totals.iter_mut().zip(&found) {
            total.add(*values, summary.as_ref());
        }
        Ok(true)
    }
}
