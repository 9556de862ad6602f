//! Queries that can be stopped. A step that makes many rows of few, a join above all, never waits for anything, and
//! whoever polls it gets no say until its rows are all made: no deadline, no reader that is gone. So such steps, and
//! what they read, give way now and then. A join gets the side that it compares with the other in portions: between
//! two of them it is asked again, and of a join that keeps no row of millions this is the only moment.

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use arrow::datatypes::SchemaRef;
use arrow::record_batch::RecordBatch;
use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::{Transformed, TransformedResult, TreeNode, TreeNodeRecursion};
use datafusion::common::{Result, internal_err};
use datafusion::execution::{RecordBatchStream, SendableRecordBatchStream, TaskContext};
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_optimizer::PhysicalOptimizerRule;
use datafusion::physical_plan::execution_plan::replace_children_if_necessary;
use datafusion::physical_plan::joins::{
    CrossJoinExec, HashJoinExec, NestedLoopJoinExec, SortMergeJoinExec,
};
use datafusion::physical_plan::unnest::UnnestExec;
use datafusion::physical_plan::{DisplayAs, DisplayFormatType, ExecutionPlan, PlanProperties};
use futures::{Stream, StreamExt};

use crate::gapfill::GapFillExec;

/// How long a step may go on before it lets others have a look.
const WORK_MAX: Duration = Duration::from_millis(10);

/// Rows of the first portion that a join gets; how long it takes over one says how large the next is.
const FIRST_PORTION_ROWS: usize = 8;
const PORTION_ROWS_MAX: usize = 64 * 1024;
/// A portion that took less than this part of the time is followed by a larger one.
const QUICK: u32 = 4;

/// The rule; it comes after all others.
#[derive(Debug)]
pub(crate) struct Yielding;

impl PhysicalOptimizerRule for Yielding {
    fn optimize(
        &self,
        plan: Arc<dyn ExecutionPlan>,
        _config: &ConfigOptions,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        plan.transform_up(|plan| {
            if !makes_many(plan.as_ref()) {
                return Ok(Transformed::no(plan));
            }
            let compared = compared(plan.as_ref());
            let inputs = plan.children().into_iter().cloned().enumerate();
            let inputs = inputs
                .map(|(place, input)| {
                    if Some(place) == compared {
                        GiveWayExec::in_portions(input)
                    } else {
                        GiveWayExec::over(input)
                    }
                })
                .collect();
            let plan = replace_children_if_necessary(plan, inputs)?;
            Ok(Transformed::yes(GiveWayExec::over(plan)))
        })
        .data()
    }

    fn name(&self) -> &'static str {
        "yielding"
    }

    fn schema_check(&self) -> bool {
        true
    }
}

fn makes_many(plan: &dyn ExecutionPlan) -> bool {
    plan.downcast_ref::<CrossJoinExec>().is_some()
        || plan.downcast_ref::<NestedLoopJoinExec>().is_some()
        || plan.downcast_ref::<HashJoinExec>().is_some()
        || plan.downcast_ref::<SortMergeJoinExec>().is_some()
        || plan.downcast_ref::<UnnestExec>().is_some()
        || plan.downcast_ref::<GapFillExec>().is_some()
}

/// The input of a join whose rows it compares with all of the other's, as they come. One that compares nothing is asked
/// again for each batch that it makes, and portions would only make those small.
fn compared(plan: &dyn ExecutionPlan) -> Option<usize> {
    let compares = plan.downcast_ref::<NestedLoopJoinExec>().is_some()
        || plan.downcast_ref::<HashJoinExec>().is_some();
    compares.then_some(1)
}

/// Hands rows on and gives way now and then.
#[derive(Debug)]
struct GiveWayExec {
    input: Arc<dyn ExecutionPlan>,
    /// Whether rows go on in portions.
    in_portions: bool,
}

impl GiveWayExec {
    fn over(input: Arc<dyn ExecutionPlan>) -> Arc<dyn ExecutionPlan> {
        if input.downcast_ref::<GiveWayExec>().is_some() {
            return input;
        }
        Arc::new(GiveWayExec {
            input,
            in_portions: false,
        })
    }

    fn in_portions(input: Arc<dyn ExecutionPlan>) -> Arc<dyn ExecutionPlan> {
        let input = match input.downcast_ref::<GiveWayExec>() {
            Some(whole) => whole.input.clone(),
            None => input,
        };
        Arc::new(GiveWayExec {
            input,
            in_portions: true,
        })
    }
}

impl DisplayAs for GiveWayExec {
    fn fmt_as(&self, _: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("GiveWayExec")
    }
}

impl ExecutionPlan for GiveWayExec {
    fn name(&self) -> &'static str {
        "GiveWayExec"
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
            Ok([input]) if self.in_portions => Ok(GiveWayExec::in_portions(input)),
            Ok([input]) => Ok(GiveWayExec::over(input)),
            Err(_) => internal_err!("a step that gives way has one input"),
        }
    }

    fn execute(
        &self,
        partition: usize,
        context: Arc<TaskContext>,
    ) -> Result<SendableRecordBatchStream> {
        Ok(Box::pin(GiveWay {
            input: self.input.execute(partition, context)?,
            since: None,
            portions: self.in_portions.then(Portions::new),
        }))
    }
}

struct GiveWay {
    input: SendableRecordBatchStream,
    /// Since when nobody else had a look.
    since: Option<Instant>,
    portions: Option<Portions>,
}

impl Stream for GiveWay {
    type Item = Result<RecordBatch>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = &mut *self;
        let now = Instant::now();
        if let Some(portions) = &mut this.portions {
            portions.asked(now);
        }
        let since = *this.since.get_or_insert(now);
        if now.duration_since(since) > WORK_MAX {
            this.since = None;
            context.waker().wake_by_ref();
            return Poll::Pending;
        }
        if let Some(portion) = this.portions.as_mut().and_then(Portions::next) {
            return Poll::Ready(Some(Ok(portion)));
        }
        let polled = this.input.poll_next_unpin(context);
        match polled {
            Poll::Pending => {
                this.since = None;
                Poll::Pending
            }
            Poll::Ready(Some(Ok(batch))) => Poll::Ready(Some(Ok(match &mut this.portions {
                Some(portions) => portions.first(batch),
                None => batch,
            }))),
            ended => ended,
        }
    }
}

/// Batches cut into portions, of which whoever reads them works on each for about as long as it may.
struct Portions {
    rows: usize,
    left: Option<RecordBatch>,
    /// When the last one was given, and whether it was a full one.
    given: Option<(Instant, bool)>,
}

impl Portions {
    fn new() -> Self {
        Portions {
            rows: FIRST_PORTION_ROWS,
            left: None,
            given: None,
        }
    }

    /// The reader wants more: it is done with what it has.
    fn asked(&mut self, now: Instant) {
        let Some((given, is_full)) = self.given.take() else {
            return;
        };
        let took = now.duration_since(given);
        if took > WORK_MAX {
            self.rows = (self.rows / 2).max(1);
        } else if is_full && took < WORK_MAX / QUICK {
            self.rows = self.rows.saturating_mul(2).min(PORTION_ROWS_MAX);
        }
    }

    fn first(&mut self, batch: RecordBatch) -> RecordBatch {
        let rows = batch.num_rows();
        let portion = if rows > self.rows {
            let portion = batch.slice(0, self.rows);
            self.left = Some(batch.slice(self.rows, rows - self.rows));
            portion
        } else {
            batch
        };
        self.given = Some((Instant::now(), portion.num_rows() >= self.rows));
        portion
    }

    fn next(&mut self) -> Option<RecordBatch> {
        let left = self.left.take()?;
        Some(self.first(left))
    }
}

impl RecordBatchStream for GiveWay {
    fn schema(&self) -> SchemaRef {
        self.input.schema()
    }
}

#[cfg(test)]
mod tests;
