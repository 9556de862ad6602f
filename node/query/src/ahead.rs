//! Conditions that the store asks of rows before it reads all of their columns: a physical rule. The step that asks
//! them stays, so the store may ask or not; what it leaves out would not have passed.

use std::sync::Arc;

use activestore_store::RowFilter;
use activestore_types::{ColumnId, Error, Result};
use arrow::array::{AsArray, BooleanArray};
use arrow::buffer::BooleanBuffer;
use arrow::record_batch::RecordBatch;
use datafusion::common::Result as DataFusionResult;
use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::{Transformed, TransformedResult, TreeNode};
use datafusion::logical_expr::Operator;
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_expr::expressions::{
    BinaryExpr, Column, InListExpr, IsNotNullExpr, IsNullExpr, Literal, NotExpr,
};
use datafusion::physical_expr::split_conjunction;
use datafusion::physical_expr::utils::collect_columns;
use datafusion::physical_optimizer::PhysicalOptimizerRule;
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::execution_plan::replace_children_if_necessary;
use datafusion::physical_plan::filter::FilterExec;
use datafusion::scalar::ScalarValue;

use crate::error::from_datafusion;
use crate::scan::ScanExec;

/// The rule.
#[derive(Debug)]
pub(crate) struct AskAhead;

impl PhysicalOptimizerRule for AskAhead {
    fn optimize(
        &self,
        plan: Arc<dyn ExecutionPlan>,
        _config: &ConfigOptions,
    ) -> DataFusionResult<Arc<dyn ExecutionPlan>> {
        plan.transform_up(|plan| {
            let scan = plan
                .downcast_ref::<FilterExec>()
                .and_then(|filter| Some((filter, filter.input().downcast_ref::<ScanExec>()?)));
            let asking = match scan {
                Some((filter, scan)) if is_harmless(filter.predicate()) => {
                    scan.with_filter(filter.predicate())?
                }
                _ => None,
            };
            match asking {
                Some(scan) => {
                    let asking = replace_children_if_necessary(plan, vec![Arc::new(scan)])?;
                    Ok(Transformed::yes(asking))
                }
                None => Ok(Transformed::no(plan)),
            }
        })
        .data()
    }

    fn name(&self) -> &'static str {
        "ask_ahead"
    }

    fn schema_check(&self) -> bool {
        true
    }
}

/// Whether a condition is cheap and cannot fail: comparisons with what is given, and how they are joined.
fn is_harmless(predicate: &Arc<dyn PhysicalExpr>) -> bool {
    let known = match predicate.downcast_ref::<BinaryExpr>() {
        Some(binary) => matches!(
            binary.op(),
            Operator::And
                | Operator::Or
                | Operator::Eq
                | Operator::NotEq
                | Operator::Lt
                | Operator::LtEq
                | Operator::Gt
                | Operator::GtEq
        ),
        None => {
            predicate.downcast_ref::<Column>().is_some()
                || predicate.downcast_ref::<Literal>().is_some()
                || predicate.downcast_ref::<NotExpr>().is_some()
                || predicate.downcast_ref::<IsNullExpr>().is_some()
                || predicate.downcast_ref::<IsNotNullExpr>().is_some()
                || predicate.downcast_ref::<InListExpr>().is_some()
        }
    };
    known && predicate.children().into_iter().all(is_harmless)
}

/// A condition on some columns of a scan.
#[derive(Debug)]
pub(crate) struct Ahead {
    columns: Vec<ColumnId>,
    /// Over these columns, in their order.
    predicate: Arc<dyn PhysicalExpr>,
    /// Those that have to hold all of them.
    conditions: Vec<Condition>,
}

impl Ahead {
    /// `None` where it looks at none of the columns that are read, or at all of them.
    pub(crate) fn new(
        predicate: &Arc<dyn PhysicalExpr>,
        read: &[ColumnId],
    ) -> DataFusionResult<Option<Self>> {
        let mut places: Vec<usize> = collect_columns(predicate)
            .iter()
            .map(Column::index)
            .collect();
        places.sort_unstable();
        places.dedup();
        let columns = places.iter().map(|place| read.get(*place).copied());
        let Some(columns) = columns.collect::<Option<Vec<ColumnId>>>() else {
            return Ok(None);
        };
        if columns.is_empty() || columns.len() >= read.len() {
            return Ok(None);
        }
        let predicate = predicate.clone().transform_up(|expr| {
            let Some(column) = expr.downcast_ref::<Column>() else {
                return Ok(Transformed::no(expr));
            };
            let place = places.binary_search(&column.index()).unwrap_or(usize::MAX);
            let column = Column::new(column.name(), place);
            Ok(Transformed::yes(Arc::new(column) as Arc<dyn PhysicalExpr>))
        });
        let predicate = predicate.data()?;
        let conditions = split_conjunction(&predicate).into_iter().map(Condition::of);
        Ok(Some(Ahead {
            columns,
            conditions: conditions.collect(),
            predicate,
        }))
    }

    /// What is left to be asked of rows whose values lie within these bounds; `None` where nothing is.
    fn left(&self, bounds: &[Option<(i64, i64)>]) -> Option<Arc<dyn PhysicalExpr>> {
        let open = |condition: &&Condition| !condition.is_certain(bounds);
        let left: Vec<&Condition> = self.conditions.iter().filter(open).collect();
        if left.len() == self.conditions.len() {
            return Some(self.predicate.clone());
        }
        let left = left.into_iter().map(|condition| condition.expr.clone());
        left.reduce(|one, other| Arc::new(BinaryExpr::new(one, Operator::And, other)))
    }
}

/// A condition that is one of several.
#[derive(Debug)]
struct Condition {
    expr: Arc<dyn PhysicalExpr>,
    /// The place of a column of whole numbers or moments, and between which values, both inclusive, all that it has satisfy
    /// the condition.
    within: Option<(usize, i64, i64)>,
}

impl Condition {
    fn of(expr: &Arc<dyn PhysicalExpr>) -> Self {
        Condition {
            within: range_of(expr),
            expr: expr.clone(),
        }
    }

    /// Whether it holds of all rows whose values lie within these bounds.
    fn is_certain(&self, bounds: &[Option<(i64, i64)>]) -> bool {
        self.within.is_some_and(|(place, low, high)| {
            let bounds = bounds.get(place).copied().flatten();
            bounds.is_some_and(|(least, greatest)| low <= least && greatest <= high)
        })
    }
}

/// The values that a comparison of a column with a number or a moment holds of.
fn range_of(expr: &Arc<dyn PhysicalExpr>) -> Option<(usize, i64, i64)> {
    let binary = expr.downcast_ref::<BinaryExpr>()?;
    let value = |side: &Arc<dyn PhysicalExpr>| match side.downcast_ref::<Literal>()?.value() {
        ScalarValue::Int64(value) | ScalarValue::TimestampNanosecond(value, _) => *value,
        _ => None,
    };
    let place = |side: &Arc<dyn PhysicalExpr>| Some(side.downcast_ref::<Column>()?.index());
    let (left, right) = (binary.left(), binary.right());
    let (place, op, value) = match (place(left), value(right)) {
        (Some(place), Some(value)) => (place, *binary.op(), value),
        _ => (place(right)?, binary.op().swap()?, value(left)?),
    };
    let (low, high) = match op {
        Operator::Eq => (value, value),
        Operator::Lt => (i64::MIN, value.checked_sub(1)?),
        Operator::LtEq => (i64::MIN, value),
        Operator::Gt => (value.checked_add(1)?, i64::MAX),
        Operator::GtEq => (value, i64::MAX),
        _ => return None,
    };
    Some((place, low, high))
}

impl RowFilter for Ahead {
    fn columns(&self) -> &[ColumnId] {
        &self.columns
    }

    fn holds(&self, rows: &RecordBatch, bounds: &[Option<(i64, i64)>]) -> Result<BooleanArray> {
        let Some(left) = self.left(bounds) else {
            return Ok(BooleanArray::new(
                BooleanBuffer::new_set(rows.num_rows()),
                None,
            ));
        };
        let held = left.evaluate(rows).map_err(from_datafusion)?;
        let held = held.into_array(rows.num_rows()).map_err(from_datafusion)?;
        let held = held.as_boolean_opt().cloned();
        held.ok_or_else(|| Error::internal("a condition that is no condition"))
    }
}

#[cfg(test)]
mod tests;
