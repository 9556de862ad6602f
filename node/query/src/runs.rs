//! Groups that follow the order in which rows are stored: a physical rule and its operator.
//!
//! Rows of a table lie device by device and moment by moment, so rows of one group mostly come one behind the
//! other. The operator looks for where groups change, adds up what lies between as a slice, and looks a group up
//! once a run instead of once a row. It takes the place of the first of two steps of a grouping and gives what
//! that one gives, states to be merged, so nothing is right or wrong by the order: where rows come in any
//! order, runs are short, and groups that come again are merged as those of other partitions are.

mod covered;
mod distinct;
mod exec;
mod extreme;
mod folds;
mod grouped;
mod keys;
mod table;

use std::sync::Arc;

use arrow::datatypes::DataType as ArrowType;
use datafusion::common::Result;
use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::{Transformed, TransformedResult, TreeNode};
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_expr::expressions::Column;
use datafusion::physical_expr::utils::collect_columns;
use datafusion::physical_optimizer::PhysicalOptimizerRule;
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::aggregates::{AggregateExec, AggregateMode};
use datafusion::physical_plan::execution_plan::replace_children_if_necessary;
use datafusion::physical_plan::filter::FilterExec;
use datafusion::physical_plan::projection::ProjectionExec;

use crate::scan::ScanExec;
pub(crate) use exec::RunAggregateExec;
use folds::FoldPlan;
pub(crate) use keys::codes;

/// The rule; it comes behind DataFusion's own.
#[derive(Debug)]
pub(crate) struct RunAggregates;

impl PhysicalOptimizerRule for RunAggregates {
    fn optimize(
        &self,
        plan: Arc<dyn ExecutionPlan>,
        _config: &ConfigOptions,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        plan.transform_up(|plan| {
            let Some(aggregate) = plan.downcast_ref::<AggregateExec>() else {
                return Ok(Transformed::no(plan));
            };
            match by_runs(aggregate)? {
                Some(step) => Ok(Transformed::yes(step)),
                None => Ok(Transformed::no(plan)),
            }
        })
        .data()
    }

    fn name(&self) -> &'static str {
        "run_aggregates"
    }

    fn schema_check(&self) -> bool {
        true
    }
}

/// The same step by runs; `None` where it is not one that follows the order of a table.
fn by_runs(aggregate: &AggregateExec) -> Result<Option<Arc<dyn ExecutionPlan>>> {
    let group_by = aggregate.group_expr();
    let plain = group_by.is_single()
        && aggregate.limit_options().is_none()
        && aggregate.filter_expr().iter().all(Option::is_none);
    if !plain || !is_scan(aggregate.input()) {
        return Ok(None);
    }
    let schema = aggregate.input().schema();
    let groups = group_by.input_exprs();
    // A bucket of time alone comes again with every partition, a few rows at a time: what has one value in long
    // runs is a key or a tag.
    let follows = |expr: &Arc<dyn PhysicalExpr>| {
        let column = expr.downcast_ref::<Column>().is_some();
        column
            && expr
                .data_type(&schema)
                .is_ok_and(|kind| kind == ArrowType::Utf8)
    };
    let mut known = true;
    for expr in &groups {
        known &= keys::is_known(&expr.data_type(&schema)?);
    }
    // Without any there is one run from the first row to the last.
    if !known || !groups.is_empty() && !groups.iter().any(follows) {
        return Ok(None);
    }
    let single = match aggregate.mode() {
        AggregateMode::Partial => false,
        AggregateMode::Single | AggregateMode::SinglePartitioned => true,
        _ => return Ok(None),
    };
    let Some(folds) = folds::plans(aggregate.aggr_expr(), &schema)? else {
        return Ok(None);
    };
    let input = coded(aggregate.input(), &bare_columns(&folds, &groups))?;
    if !single {
        let step = RunAggregateExec::new(input, groups, folds, aggregate.schema());
        return Ok(Some(Arc::new(step)));
    }
    // What one step did is done by two.
    let first = AggregateExec::try_new(
        AggregateMode::Partial,
        group_by.clone(),
        aggregate.aggr_expr().to_vec(),
        aggregate.filter_expr().to_vec(),
        aggregate.input().clone(),
        aggregate.input_schema(),
    )?;
    let step = RunAggregateExec::new(input, groups, folds, first.schema());
    let merged = AggregateExec::try_new(
        match aggregate.mode() {
            AggregateMode::SinglePartitioned => AggregateMode::FinalPartitioned,
            _ => AggregateMode::Final,
        },
        group_by.as_final(),
        aggregate.aggr_expr().to_vec(),
        aggregate.filter_expr().to_vec(),
        Arc::new(step),
        aggregate.input_schema(),
    )?;
    let same = merged.schema() == aggregate.schema();
    Ok(same.then(|| Arc::new(merged) as Arc<dyn ExecutionPlan>))
}

/// Whether a step reads nothing but a stored table, from which rows and columns may be left out.
fn is_scan(plan: &Arc<dyn ExecutionPlan>) -> bool {
    if let Some(scan) = plan.downcast_ref::<ScanExec>() {
        return scan.reads_ranges();
    }
    let passes = plan.downcast_ref::<FilterExec>().is_some()
        || plan.downcast_ref::<ProjectionExec>().is_some();
    passes && plan.children().into_iter().all(is_scan)
}

/// The columns of the input that are grouped by or told apart as they are, and used for nothing else.
fn bare_columns(folds: &[FoldPlan], groups: &[Arc<dyn PhysicalExpr>]) -> Vec<usize> {
    let arguments = folds.iter().filter_map(|fold| {
        let argument = fold.argument.as_ref()?;
        Some((argument, fold.takes_codes()))
    });
    let mut bare: Vec<usize> = Vec::new();
    let mut used: Vec<usize> = Vec::new();
    for (expr, takes_codes) in groups.iter().map(|group| (group, true)).chain(arguments) {
        match expr.downcast_ref::<Column>() {
            Some(column) if takes_codes => bare.push(column.index()),
            _ => used.extend(collect_columns(expr).iter().map(Column::index)),
        }
    }
    bare.retain(|index| !used.contains(index));
    bare
}

/// The same input with those of these columns that are text as codes of a dictionary, where nothing on
/// their way looks into them.
fn coded(plan: &Arc<dyn ExecutionPlan>, columns: &[usize]) -> Result<Arc<dyn ExecutionPlan>> {
    if columns.is_empty() {
        return Ok(plan.clone());
    }
    if let Some(scan) = plan.downcast_ref::<ScanExec>() {
        return Ok(Arc::new(scan.unmoved()?.with_codes(columns)));
    }
    let mut below = Vec::new();
    let mut used: Vec<usize> = Vec::new();
    if let Some(filter) = plan.downcast_ref::<FilterExec>() {
        let projection = filter.projection().as_ref();
        below.extend(columns.iter().filter_map(|column| match projection {
            Some(places) => places.get(*column).copied(),
            None => Some(*column),
        }));
        used.extend(
            collect_columns(filter.predicate())
                .iter()
                .map(Column::index),
        );
    } else if let Some(projection) = plan.downcast_ref::<ProjectionExec>() {
        for (place, one) in projection.expr().iter().enumerate() {
            match one.expr.downcast_ref::<Column>() {
                Some(column) if columns.contains(&place) => below.push(column.index()),
                _ => used.extend(collect_columns(&one.expr).iter().map(Column::index)),
            }
        }
    }
    below.retain(|column| !used.contains(column));
    let mut inputs = Vec::new();
    for input in plan.children() {
        inputs.push(coded(input, &below)?);
    }
    replace_children_if_necessary(plan.clone(), inputs)
}
