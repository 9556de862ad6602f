//! The operator: it passes rows on that may be of the latest groups, and notes which these are.

use std::fmt;
use std::sync::Arc;

use arrow::array::{Array, AsArray, BooleanArray, Scalar, TimestampNanosecondArray};
use arrow::compute::filter_record_batch;
use arrow::compute::kernels::cmp::gt_eq;
use arrow::datatypes::TimestampNanosecondType;
use arrow::record_batch::RecordBatch;
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::common::{Result, internal_datafusion_err, internal_err};
use datafusion::execution::TaskContext;
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_expr::expressions::Column;
use datafusion::physical_plan::metrics::{
    BaselineMetrics, Count, ExecutionPlanMetricsSet, MetricBuilder, MetricsSet, RecordOutput,
};
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::{
    DisplayAs, DisplayFormatType, ExecutionPlan, PlanProperties, SendableRecordBatchStream,
};
use futures::{TryStreamExt, future};

use super::Bound;

#[derive(Debug)]
pub(crate) struct LatestExec {
    input: Arc<dyn ExecutionPlan>,
    /// What rows are grouped by, and the moments that it is worked out from.
    group: Arc<dyn PhysicalExpr>,
    moment: Column,
    bound: Arc<Bound>,
    metrics: ExecutionPlanMetricsSet,
}

impl LatestExec {
    pub(super) fn new(
        input: Arc<dyn ExecutionPlan>,
        group: Arc<dyn PhysicalExpr>,
        moment: Column,
        bound: Arc<Bound>,
    ) -> Self {
        LatestExec {
            input,
            group,
            moment,
            bound,
            metrics: ExecutionPlanMetricsSet::new(),
        }
    }
}

impl DisplayAs for LatestExec {
    fn fmt_as(&self, _: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let groups = self.bound.groups();
        write!(f, "LatestExec: groups={groups}, by={}", self.group)
    }
}

impl ExecutionPlan for LatestExec {
    fn name(&self) -> &'static str {
        "LatestExec"
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        self.input.properties()
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        vec![&self.input]
    }

    fn apply_expressions(
        &self,
        visit: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> Result<TreeNodeRecursion>,
    ) -> Result<TreeNodeRecursion> {
        visit(&self.group)
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
            Ok([input]) => Ok(Arc::new(LatestExec::new(
                input,
                self.group.clone(),
                self.moment.clone(),
                self.bound.clone(),
            ))),
            Err(_) => internal_err!("the latest groups have one input"),
        }
    }

    fn reset_state(self: Arc<Self>) -> Result<Arc<dyn ExecutionPlan>> {
        // Groups of one turn say nothing about those of the next.
        Ok(Arc::new(LatestExec::new(
            self.input.clone(),
            self.group.clone(),
            self.moment.clone(),
            Arc::new(self.bound.anew()),
        )))
    }

    fn execute(
        &self,
        partition: usize,
        context: Arc<TaskContext>,
    ) -> Result<SendableRecordBatchStream> {
        let input = self.input.execute(partition, context)?;
        let latest = Latest {
            group: self.group.clone(),
            moment: self.moment.clone(),
            bound: self.bound.clone(),
            baseline: BaselineMetrics::new(&self.metrics, partition),
            left_out: MetricBuilder::new(&self.metrics).counter("rows_left_out", partition),
        };
        let rows = input.try_filter_map(move |batch| future::ready(latest.pass(&batch)));
        Ok(Box::pin(RecordBatchStreamAdapter::new(
            self.input.schema(),
            rows,
        )))
    }

    fn metrics(&self) -> Option<MetricsSet> {
        Some(self.metrics.clone_inner())
    }
}

/// One partition at work.
struct Latest {
    group: Arc<dyn PhysicalExpr>,
    moment: Column,
    bound: Arc<Bound>,
    baseline: BaselineMetrics,
    left_out: Count,
}

impl Latest {
    /// The rows of a batch that may be of the latest groups, if any.
    fn pass(&self, batch: &RecordBatch) -> Result<Option<RecordBatch>> {
        let clock = self.baseline.elapsed_compute().clone();
        let _timer = clock.timer();
        let wanted = self.wanted(batch)?;
        self.left_out.add(batch.num_rows() - wanted.num_rows());
        if wanted.num_rows() == 0 {
            return Ok(None);
        }
        let groups = self.group.evaluate(&wanted)?;
        let groups = groups.into_array(wanted.num_rows())?;
        let starts = groups.as_primitive_opt::<TimestampNanosecondType>();
        let starts = starts.ok_or_else(|| internal_datafusion_err!("groups of no moment"))?;
        // Rows of one group lie side by side mostly.
        let mut before = None;
        self.bound.note(starts.iter().flatten().filter(|start| {
            let is_new = before != Some(*start);
            before = Some(*start);
            is_new
        }));
        Ok(Some(wanted.record_output(&self.baseline)))
    }

    fn wanted(&self, batch: &RecordBatch) -> Result<RecordBatch> {
        let from = self.bound.from();
        if from == i64::MIN {
            return Ok(batch.clone());
        }
        let moments = self.moment.evaluate(batch)?.into_array(batch.num_rows())?;
        let from = Scalar::new(TimestampNanosecondArray::from(vec![from]));
        let wanted: BooleanArray = gt_eq(&moments, &from)?;
        if wanted.null_count() == 0 && wanted.true_count() == batch.num_rows() {
            return Ok(batch.clone());
        }
        Ok(filter_record_batch(batch, &wanted)?)
    }
}
