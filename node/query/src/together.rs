//! Steps that run on the thread of their scan: a physical rule and its operator. A scan works on a thread of its own and
//! hands batches over; where what follows makes little of much, a grouping above all, the handing over costs more than
//! what is done with a batch, which is not in the cache any more by then. So such steps are done where rows are read,
//! and only what they make is handed over.

use std::fmt;
use std::pin::pin;
use std::sync::Arc;

use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::{Transformed, TransformedResult, TreeNode, TreeNodeRecursion};
use datafusion::common::{Result, internal_err};
use datafusion::execution::TaskContext;
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_optimizer::PhysicalOptimizerRule;
use datafusion::physical_plan::aggregates::{AggregateExec, AggregateMode};
use datafusion::physical_plan::execution_plan::replace_children_if_necessary;
use datafusion::physical_plan::filter::FilterExec;
use datafusion::physical_plan::projection::ProjectionExec;
use datafusion::physical_plan::sorts::sort::SortExec;
use datafusion::physical_plan::stream::RecordBatchReceiverStreamBuilder;
use datafusion::physical_plan::{
    DisplayAs, DisplayFormatType, ExecutionPlan, PlanProperties, SendableRecordBatchStream,
};
use futures::StreamExt;
use futures::future::{Either, select};
use tokio::runtime::Handle;

use crate::latest::LatestExec;
use crate::runs::RunAggregateExec;
use crate::scan::ScanExec;

/// Batches that the thread may be ahead of whoever reads them.
const BATCHES_AHEAD: usize = 2;

/// The rule; it comes behind those that look for a scan.
#[derive(Debug)]
pub(crate) struct Together;

impl PhysicalOptimizerRule for Together {
    fn optimize(
        &self,
        plan: Arc<dyn ExecutionPlan>,
        _config: &ConfigOptions,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        plan.transform_down(|plan| {
            let input = match plan.children().as_slice() {
                [input] if makes_little(&plan) => Arc::clone(input),
                _ => return Ok(Transformed::no(plan)),
            };
            match on_thread(&input)? {
                Some(input) => {
                    let input = replace_children_if_necessary(plan.clone(), vec![input])?;
                    let together = Arc::new(TogetherExec { input });
                    Ok(Transformed::new(together, true, TreeNodeRecursion::Jump))
                }
                None => Ok(Transformed::no(plan)),
            }
        })
        .data()
    }

    fn name(&self) -> &'static str {
        "together"
    }

    fn schema_check(&self) -> bool {
        true
    }
}

/// Whether a step makes few rows of many.
fn makes_little(plan: &Arc<dyn ExecutionPlan>) -> bool {
    if let Some(aggregate) = plan.downcast_ref::<AggregateExec>() {
        return matches!(
            aggregate.mode(),
            AggregateMode::Partial | AggregateMode::Single | AggregateMode::SinglePartitioned
        );
    }
    let first = plan.downcast_ref::<SortExec>();
    first.is_some_and(|sort| sort.fetch().is_some())
        || plan.downcast_ref::<RunAggregateExec>().is_some()
}

/// The same input, read by whoever asks for it; `None` where it is more than rows of one table.
fn on_thread(plan: &Arc<dyn ExecutionPlan>) -> Result<Option<Arc<dyn ExecutionPlan>>> {
    if let Some(scan) = plan.downcast_ref::<ScanExec>() {
        let scan = scan.on_thread();
        return Ok(scan.map(|scan| Arc::new(scan) as Arc<dyn ExecutionPlan>));
    }
    let passes = plan.downcast_ref::<FilterExec>().is_some()
        || plan.downcast_ref::<ProjectionExec>().is_some()
        || plan.downcast_ref::<LatestExec>().is_some();
    let input = match plan.children().as_slice() {
        [input] if passes => Arc::clone(input),
        _ => return Ok(None),
    };
    match on_thread(&input)? {
        Some(input) => replace_children_if_necessary(plan.clone(), vec![input]).map(Some),
        None => Ok(None),
    }
}

/// Runs what is below it on one thread for each partition.
#[derive(Debug)]
struct TogetherExec {
    input: Arc<dyn ExecutionPlan>,
}

impl DisplayAs for TogetherExec {
    fn fmt_as(&self, _: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TogetherExec")
    }
}

impl ExecutionPlan for TogetherExec {
    fn name(&self) -> &'static str {
        "TogetherExec"
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        self.input.properties()
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        vec![&self.input]
    }

    fn apply_expressions(
        &self,
        _visit: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> Result<TreeNodeRecursion>,
    ) -> Result<TreeNodeRecursion> {
        Ok(TreeNodeRecursion::Continue)
    }

    fn maintains_input_order(&self) -> Vec<bool> {
        vec![true]
    }

    fn benefits_from_input_partitioning(&self) -> Vec<bool> {
        vec![false]
    }

    fn with_new_children(
        self: Arc<Self>,
        children: Vec<Arc<dyn ExecutionPlan>>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        match <[Arc<dyn ExecutionPlan>; 1]>::try_from(children) {
            Ok([input]) => Ok(Arc::new(TogetherExec { input })),
            Err(_) => internal_err!("steps that run together have one input"),
        }
    }

    fn execute(
        &self,
        partition: usize,
        context: Arc<TaskContext>,
    ) -> Result<SendableRecordBatchStream> {
        let mut input = self.input.execute(partition, context)?;
        let mut builder = RecordBatchReceiverStreamBuilder::new(self.input.schema(), BATCHES_AHEAD);
        let sender = builder.tx();
        let runtime = Handle::current();
        builder.spawn_blocking(move || {
            runtime.block_on(async {
                loop {
                    // Nobody may want the answer any more, which the scan gives way to find out.
                    let batch = match select(pin!(sender.closed()), input.next()).await {
                        Either::Left(_) | Either::Right((None, _)) => return Ok(()),
                        Either::Right((Some(batch), _)) => batch,
                    };
                    let failed = batch.is_err();
                    if sender.send(batch).await.is_err() || failed {
                        return Ok(());
                    }
                }
            })
        });
        Ok(builder.build())
    }
}
