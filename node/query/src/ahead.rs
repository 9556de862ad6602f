//! Conditions that the store asks of rows before it reads all of their columns: a physical rule. The step that asks
//! them stays, so the store may ask or not; what it leaves out would not have passed.

use std::sync::Arc;

use activestore_store::RowFilter;
use activestore_types::{ColumnId, Error, Result};
use arrow::array::{AsArray, BooleanArray};
use arrow::record_batch::RecordBatch;
use datafusion::common::Result as DataFusionResult;
use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::{Transformed, TransformedResult, TreeNode};
use datafusion::logical_expr::Operator;
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_expr::expressions::{
    BinaryExpr, Column, InListExpr, IsNotNullExpr, IsNullExpr, Literal, NotExpr,
};
use datafusion::physical_expr::utils::collect_columns;
use datafusion::physical_optimizer::PhysicalOptimizerRule;
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::execution_plan::replace_children_if_necessary;
use datafusion::physical_plan::filter::FilterExec;

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
        Ok(Some(Ahead {
            columns,
            predicate: predicate.data()?,
        }))
    }
}

impl RowFilter for Ahead {
    fn columns(&self) -> &[ColumnId] {
        &self.columns
    }

    fn holds(&self, rows: &RecordBatch) -> Result<BooleanArray> {
        let held = self.predicate.evaluate(rows).map_err(from_datafusion)?;
        let held = held.into_array(rows.num_rows()).map_err(from_datafusion)?;
        let held = held.as_boolean_opt().cloned();
        held.ok_or_else(|| Error::internal("a condition that is no condition"))
    }
}
