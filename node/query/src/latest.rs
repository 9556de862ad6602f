//! The latest groups without the rows of the others: a physical rule. `GROUP BY time_bucket('1 minute', ts) ORDER BY 1
//! DESC LIMIT 5` wants rows of five buckets, and which these are shows as soon as the newest rows of any device were
//! seen. From then on older rows are left out, and vectors that hold nothing else stay unread.

mod bound;
mod exec;

use std::sync::Arc;

use activestore_store::Narrowing;
use datafusion::common::Result;
use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::{Transformed, TransformedResult, TreeNode};
use datafusion::physical_expr::expressions::Column;
use datafusion::physical_expr::utils::collect_columns;
use datafusion::physical_expr::{PhysicalExpr, ScalarFunctionExpr};
use datafusion::physical_optimizer::PhysicalOptimizerRule;
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::aggregates::{AggregateExec, AggregateMode};
use datafusion::physical_plan::coalesce_partitions::CoalescePartitionsExec;
use datafusion::physical_plan::execution_plan::replace_children_if_necessary;
use datafusion::physical_plan::filter::FilterExec;
use datafusion::physical_plan::projection::ProjectionExec;
use datafusion::physical_plan::repartition::RepartitionExec;
use datafusion::physical_plan::sorts::sort::SortExec;

use crate::bucket::TIMESTAMP;
use crate::runs::RunAggregateExec;
use crate::scan::ScanExec;
pub(crate) use bound::Bound;
pub(crate) use exec::LatestExec;

/// Functions of a moment that give the start of what it lies in: never later than it, and the later it is, the later.
const STARTS: [&str; 4] = ["time_bucket", "date_bin", "date_trunc", "tumble"];
/// Groups asked for at most: more of them leave little out, and have to be remembered.
const GROUPS_MAX: usize = 1000;

/// The rule; it comes behind that of groups by runs.
#[derive(Debug)]
pub(crate) struct LatestGroups;

impl PhysicalOptimizerRule for LatestGroups {
    fn optimize(
        &self,
        plan: Arc<dyn ExecutionPlan>,
        _config: &ConfigOptions,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        plan.transform_up(|plan| {
            let narrowed = match plan.downcast_ref::<SortExec>() {
                Some(sort) => of_sort(sort)?,
                None => None,
            };
            match narrowed {
                Some(input) => {
                    let sort = replace_children_if_necessary(plan, vec![input])?;
                    Ok(Transformed::yes(sort))
                }
                None => Ok(Transformed::no(plan)),
            }
        })
        .data()
    }

    fn name(&self) -> &'static str {
        "latest_groups"
    }

    fn schema_check(&self) -> bool {
        true
    }
}

/// The input of a sort that keeps the latest of some groups, without the rows of the others.
fn of_sort(sort: &SortExec) -> Result<Option<Arc<dyn ExecutionPlan>>> {
    let first = sort.expr().first();
    let Some(groups) = sort.fetch().filter(|_| first.options.descending) else {
        return Ok(None);
    };
    let Some(column) = first.expr.downcast_ref::<Column>() else {
        return Ok(None);
    };
    if groups == 0 || groups > GROUPS_MAX {
        return Ok(None);
    }
    below(sort.input(), column.index(), groups)
}

/// The same step, where what it gives in this column is what rows are grouped by further down.
fn below(
    plan: &Arc<dyn ExecutionPlan>,
    column: usize,
    groups: usize,
) -> Result<Option<Arc<dyn ExecutionPlan>>> {
    let (input, column) = if let Some(projection) = plan.downcast_ref::<ProjectionExec>() {
        let given = projection.expr().get(column);
        let given = given.and_then(|given| given.expr.downcast_ref::<Column>());
        let Some(given) = given else {
            return Ok(None);
        };
        (projection.input(), given.index())
    } else if let Some(repartition) = plan.downcast_ref::<RepartitionExec>() {
        (repartition.input(), column)
    } else if let Some(merge) = plan.downcast_ref::<CoalescePartitionsExec>() {
        // With a limit of its own it would give some groups and not others.
        if merge.fetch().is_some() {
            return Ok(None);
        }
        (merge.input(), column)
    } else if let Some(aggregate) = plan.downcast_ref::<AggregateExec>() {
        let by = aggregate.group_expr();
        if !by.is_single() || aggregate.limit_options().is_some() || column >= by.expr().len() {
            return Ok(None);
        }
        if is_first(aggregate.mode()) {
            let group = by.input_exprs().get(column).cloned();
            return of_groups(plan, aggregate.input(), group, groups);
        }
        (aggregate.input(), column)
    } else if let Some(runs) = plan.downcast_ref::<RunAggregateExec>() {
        let group = runs.groups().get(column).cloned();
        return of_groups(plan, runs.input(), group, groups);
    } else {
        return Ok(None);
    };
    let Some(narrowed) = below(input, column, groups)? else {
        return Ok(None);
    };
    replace_children_if_necessary(plan.clone(), vec![narrowed]).map(Some)
}

/// Whether a step groups rows rather than states.
fn is_first(mode: &AggregateMode) -> bool {
    matches!(
        mode,
        AggregateMode::Partial | AggregateMode::Single | AggregateMode::SinglePartitioned
    )
}

/// A step that groups rows of a table by a moment, over those rows alone that may be of the latest groups.
fn of_groups(
    step: &Arc<dyn ExecutionPlan>,
    input: &Arc<dyn ExecutionPlan>,
    group: Option<Arc<dyn PhysicalExpr>>,
    groups: usize,
) -> Result<Option<Arc<dyn ExecutionPlan>>> {
    let Some((group, moment)) = group.and_then(|group| Some((group.clone(), moment_of(&group)?)))
    else {
        return Ok(None);
    };
    let schema = input.schema();
    let is_moment = |expr: &Arc<dyn PhysicalExpr>| -> Result<bool> {
        Ok(expr.data_type(&schema)? == TIMESTAMP)
    };
    let column: Arc<dyn PhysicalExpr> = Arc::new(moment.clone());
    if !is_moment(&group)? || !is_moment(&column)? {
        return Ok(None);
    }
    let Some((input, bound)) = narrowed(input, moment.index(), groups)? else {
        return Ok(None);
    };
    let input = LatestExec::new(input, group, moment, bound);
    replace_children_if_necessary(step.clone(), vec![Arc::new(input)]).map(Some)
}

/// The column of moments that groups follow.
fn moment_of(group: &Arc<dyn PhysicalExpr>) -> Option<Column> {
    if let Some(column) = group.downcast_ref::<Column>() {
        return Some(column.clone());
    }
    let call = group.downcast_ref::<ScalarFunctionExpr>()?;
    if !STARTS.contains(&call.fun().name()) {
        return None;
    }
    // The moment itself, not something that is worked out from it.
    let mut columns = call.args().iter().filter(|arg| {
        let looked_at = collect_columns(arg);
        !looked_at.is_empty()
    });
    match (columns.next(), columns.next()) {
        (Some(only), None) => only.downcast_ref::<Column>().cloned(),
        _ => None,
    }
}

/// A plan, and what bounds it.
type Bounded = (Arc<dyn ExecutionPlan>, Arc<Bound>);

/// The same input of a table's rows, bounded by what is known of the moments in this column.
fn narrowed(
    plan: &Arc<dyn ExecutionPlan>,
    column: usize,
    groups: usize,
) -> Result<Option<Bounded>> {
    if let Some(scan) = plan.downcast_ref::<ScanExec>() {
        let Some(id) = scan.key_column(column) else {
            return Ok(None);
        };
        let bound = Arc::new(Bound::new(id, groups));
        let scan = scan
            .unmoved()?
            .within(bound.clone() as Arc<dyn Narrowing>, column);
        return Ok(Some((Arc::new(scan), bound)));
    }
    let (input, column) = if let Some(filter) = plan.downcast_ref::<FilterExec>() {
        let column = match filter.projection().as_ref() {
            Some(places) => places.get(column).copied(),
            None => Some(column),
        };
        // Rows that it keeps at most are not to be others.
        (filter.input(), column.filter(|_| filter.fetch().is_none()))
    } else if let Some(projection) = plan.downcast_ref::<ProjectionExec>() {
        let given = projection.expr().get(column);
        let given = given.and_then(|given| given.expr.downcast_ref::<Column>());
        (projection.input(), given.map(Column::index))
    } else {
        return Ok(None);
    };
    let Some(column) = column else {
        return Ok(None);
    };
    let Some((input, bound)) = narrowed(input, column, groups)? else {
        return Ok(None);
    };
    let plan = replace_children_if_necessary(plan.clone(), vec![input])?;
    Ok(Some((plan, bound)))
}
