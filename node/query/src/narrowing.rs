//! Conditions that narrow while a query runs: a sort that keeps ten rows wants none below the least of those that it
//! has. DataFusion hands such a condition down to the scan, which asks it of rows before it reads all of their columns,
//! and of vectors, by what they hold at least and at most, before it reads them at all.

use std::cmp::Ordering;
use std::fmt;
use std::sync::Arc;

use activestore_store::{Narrowing, Wanted, WantedValues, ZonePredicate};
use activestore_types::{Column as TableColumn, ColumnId, TableSchema};
use datafusion::logical_expr::Operator;
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_expr::expressions::{
    BinaryExpr, Column, DynamicFilterPhysicalExpr, IsNotNullExpr, IsNullExpr, Literal,
};
use datafusion::scalar::ScalarValue;
use parking_lot::Mutex;

use crate::pushdown::zone_value;

/// A condition of a step above a scan on some of its columns.
pub(crate) struct Moving {
    condition: Arc<dyn PhysicalExpr>,
    /// The columns that it looks at, by their places in the scan.
    columns: Vec<(usize, TableColumn)>,
    /// What it came to when it was last looked at, and which state of it that was.
    known: Mutex<(u64, Arc<[Wanted]>)>,
}

impl Moving {
    /// Of a condition over these columns of a table; `None` where it does not move or is about more than bare columns,
    /// working which out might fail on rows that are not asked for.
    pub(crate) fn of(
        condition: &Arc<dyn PhysicalExpr>,
        read: &[ColumnId],
        table: &TableSchema,
    ) -> Option<Self> {
        let moving = condition.downcast_ref::<DynamicFilterPhysicalExpr>()?;
        let columns = moving.children().into_iter().map(|child| {
            let place = child.downcast_ref::<Column>()?.index();
            let column = table.column_by_id(*read.get(place)?)?;
            Some((place, column.clone()))
        });
        Some(Moving {
            columns: columns.collect::<Option<Vec<_>>>()?,
            condition: condition.clone(),
            known: Mutex::new((0, Arc::default())),
        })
    }

    /// The condition.
    pub(crate) fn condition(&self) -> &Arc<dyn PhysicalExpr> {
        &self.condition
    }

    /// The names of its columns.
    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        self.columns.iter().map(|(_, column)| column.name.as_str())
    }
}

impl fmt::Debug for Moving {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Moving({})", self.condition)
    }
}

impl Narrowing for Moving {
    fn now(&self) -> Arc<[Wanted]> {
        let generation = self.condition.snapshot_generation();
        let mut known = self.known.lock();
        if known.0 != generation
            && let Some(moving) = self.condition.downcast_ref::<DynamicFilterPhysicalExpr>()
            && let Ok(condition) = moving.current()
        {
            let wanted = self.columns.iter();
            let wanted = wanted.filter_map(|(place, column)| {
                Reach::of(&condition, *place, column).wanted(column.id)
            });
            *known = (generation, wanted.collect());
        }
        known.1.clone()
    }
}

/// Which values of a column a condition may hold of.
#[derive(Clone, Debug, PartialEq)]
struct Reach {
    /// The least and the greatest, both inclusive; nothing at all where it holds of no value.
    values: Option<(Option<ScalarValue>, Option<ScalarValue>)>,
    nulls: bool,
}

const ALL: Reach = Reach {
    values: Some((None, None)),
    nulls: true,
};
const NOTHING: Reach = Reach {
    values: None,
    nulls: false,
};
const NULLS: Reach = Reach {
    values: None,
    nulls: true,
};
const VALUES: Reach = Reach {
    values: Some((None, None)),
    nulls: false,
};

impl Reach {
    fn of(condition: &Arc<dyn PhysicalExpr>, place: usize, column: &TableColumn) -> Reach {
        let is_it = |expr: &Arc<dyn PhysicalExpr>| {
            let named = expr.downcast_ref::<Column>();
            named.is_some_and(|named| named.index() == place)
        };
        if let Some(literal) = condition.downcast_ref::<Literal>() {
            return match literal.value() {
                ScalarValue::Boolean(Some(true)) => ALL,
                ScalarValue::Boolean(_) | ScalarValue::Null => NOTHING,
                _ => ALL,
            };
        }
        if let Some(is_null) = condition.downcast_ref::<IsNullExpr>() {
            return if is_it(is_null.arg()) { NULLS } else { ALL };
        }
        if let Some(is_not_null) = condition.downcast_ref::<IsNotNullExpr>() {
            return if is_it(is_not_null.arg()) {
                VALUES
            } else {
                ALL
            };
        }
        let Some(binary) = condition.downcast_ref::<BinaryExpr>() else {
            return ALL;
        };
        let (left, right) = (binary.left(), binary.right());
        let sides = || {
            (
                Reach::of(left, place, column),
                Reach::of(right, place, column),
            )
        };
        match binary.op() {
            Operator::And => {
                let (left, right) = sides();
                left.and(right)
            }
            Operator::Or => {
                let (left, right) = sides();
                left.or(right)
            }
            op if is_it(left) => Reach::compared(*op, right, column),
            op if is_it(right) => match op.swap() {
                Some(op) => Reach::compared(op, left, column),
                None => ALL,
            },
            _ => ALL,
        }
    }

    /// Of the column compared with something.
    fn compared(op: Operator, with: &Arc<dyn PhysicalExpr>, column: &TableColumn) -> Reach {
        let literal = with.downcast_ref::<Literal>().map(Literal::value);
        let bound = literal
            .filter(|value| value.data_type() == column.data_type.arrow())
            .cloned();
        let nothing = literal.is_some_and(ScalarValue::is_null);
        let values = match op {
            Operator::Eq | Operator::Lt | Operator::LtEq | Operator::Gt | Operator::GtEq
                if nothing =>
            {
                return NOTHING;
            }
            Operator::Eq => (bound.clone(), bound),
            Operator::Gt | Operator::GtEq => (bound, None),
            Operator::Lt | Operator::LtEq => (None, bound),
            _ => return ALL,
        };
        Reach {
            values: Some(values),
            nulls: false,
        }
    }

    fn and(self, other: Reach) -> Reach {
        let values = match (self.values, other.values) {
            (Some(mine), Some(theirs)) => Some((
                tighter(mine.0, theirs.0, Ordering::Greater),
                tighter(mine.1, theirs.1, Ordering::Less),
            )),
            _ => None,
        };
        Reach {
            values,
            nulls: self.nulls && other.nulls,
        }
    }

    fn or(self, other: Reach) -> Reach {
        let values = match (self.values, other.values) {
            (Some(mine), Some(theirs)) => Some((
                looser(mine.0, theirs.0, Ordering::Less),
                looser(mine.1, theirs.1, Ordering::Greater),
            )),
            (mine, theirs) => mine.or(theirs),
        };
        Reach {
            values,
            nulls: self.nulls || other.nulls,
        }
    }

    /// The same for the store; `None` where everything is wanted.
    fn wanted(self, column: ColumnId) -> Option<Wanted> {
        let range = self.values.map(|(low, high)| ZonePredicate {
            column,
            low: low.as_ref().and_then(zone_value),
            high: high.as_ref().and_then(zone_value),
        });
        let free = |range: &ZonePredicate| range.low.is_none() && range.high.is_none();
        if self.nulls && range.as_ref().is_some_and(free) {
            return None;
        }
        Some(Wanted {
            one_of: vec![WantedValues {
                column,
                range,
                nulls: self.nulls,
            }],
        })
    }
}

/// The bound of two, both of which hold, that is `ahead` of the other.
fn tighter(
    one: Option<ScalarValue>,
    other: Option<ScalarValue>,
    ahead: Ordering,
) -> Option<ScalarValue> {
    match (one, other) {
        (Some(one), Some(other)) => {
            let is_ahead = other.partial_cmp(&one) == Some(ahead);
            Some(if is_ahead { other } else { one })
        }
        (one, other) => one.or(other),
    }
}

/// The bound of two, one of which holds, that is `ahead` of the other; `None` where that is not known.
fn looser(
    one: Option<ScalarValue>,
    other: Option<ScalarValue>,
    ahead: Ordering,
) -> Option<ScalarValue> {
    let (one, other) = (one?, other?);
    match other.partial_cmp(&one)? {
        order if order == ahead => Some(other),
        _ => Some(one),
    }
}

#[cfg(test)]
mod tests;
