//! The operator: batches in, states of groups out.

use std::fmt;
use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use arrow::record_batch::RecordBatch;
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::common::{Result, internal_err};
use datafusion::execution::TaskContext;
use datafusion::execution::memory_pool::{MemoryConsumer, MemoryReservation};
use datafusion::physical_expr::{EquivalenceProperties, PhysicalExpr};
use datafusion::physical_plan::execution_plan::{Boundedness, EmissionType};
use datafusion::physical_plan::metrics::{
    BaselineMetrics, Count, ExecutionPlanMetricsSet, MetricBuilder, MetricsSet, RecordOutput,
};
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::{
    DisplayAs, DisplayFormatType, ExecutionPlan, ExecutionPlanProperties, Partitioning,
    PlanProperties, SendableRecordBatchStream,
};
use futures::{StreamExt, stream};

use super::covered::Covered;
use super::folds::{Fold, FoldPlan};
use super::grouped::{GroupExpr, Grouped};
use super::table::{Groups, Run};
use crate::scan::ScanExec;

/// Groups that are held at most; their states are then handed on, and counting begins anew.
const GROUPS_MAX: usize = 65_536;
/// Rows after which it shows whether rows come in runs.
const TRIED_ROWS: usize = 65_536;
/// Rows a run, on average, below which looking groups up is not worth it here: it is done once, in the step behind.
const SHORT_RUN: usize = 2;
/// Bytes of groups and states that are held at most, as with their number.
const BYTES_MAX: usize = 64 << 20;
/// Bytes of a state of one aggregate, at about.
const STATE_BYTES: usize = 16;
/// Rows of a batch that is put out.
const BATCH_ROWS: usize = 8192;

#[derive(Debug)]
pub(crate) struct RunAggregateExec {
    input: Arc<dyn ExecutionPlan>,
    groups: Vec<Arc<dyn PhysicalExpr>>,
    folds: Vec<FoldPlan>,
    /// Of the states.
    schema: SchemaRef,
    properties: Arc<PlanProperties>,
    metrics: ExecutionPlanMetricsSet,
}

impl RunAggregateExec {
    pub(super) fn new(
        input: Arc<dyn ExecutionPlan>,
        groups: Vec<Arc<dyn PhysicalExpr>>,
        folds: Vec<FoldPlan>,
        schema: SchemaRef,
    ) -> Self {
        let properties = PlanProperties::new(
            EquivalenceProperties::new(schema.clone()),
            Partitioning::UnknownPartitioning(input.output_partitioning().partition_count()),
            EmissionType::Final,
            Boundedness::Bounded,
        );
        RunAggregateExec {
            input,
            groups,
            folds,
            schema,
            properties: Arc::new(properties),
            metrics: ExecutionPlanMetricsSet::new(),
        }
    }
}

impl RunAggregateExec {
    /// What rows are grouped by.
    pub(crate) fn groups(&self) -> &[Arc<dyn PhysicalExpr>] {
        &self.groups
    }

    pub(crate) fn input(&self) -> &Arc<dyn ExecutionPlan> {
        &self.input
    }

    /// The scan of a whole table below, and who takes vectors of it unread; `None` where rows have to be seen.
    fn covered(&self) -> Option<(&ScanExec, Arc<Covered>)> {
        let scan = self.input.downcast_ref::<ScanExec>();
        let scan = scan.filter(|_| self.groups.is_empty())?;
        Some((scan, Covered::of(&self.folds, scan.columns())?))
    }
}

impl DisplayAs for RunAggregateExec {
    fn fmt_as(&self, _: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let groups: Vec<String> = self.groups.iter().map(ToString::to_string).collect();
        let folds: Vec<&str> = self.folds.iter().map(|fold| fold.name.as_str()).collect();
        write!(
            f,
            "RunAggregateExec: gby=[{}], aggr=[{}]",
            groups.join(", "),
            folds.join(", ")
        )
    }
}

impl ExecutionPlan for RunAggregateExec {
    fn name(&self) -> &'static str {
        "RunAggregateExec"
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        &self.properties
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        vec![&self.input]
    }

    fn apply_expressions(
        &self,
        visit: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> Result<TreeNodeRecursion>,
    ) -> Result<TreeNodeRecursion> {
        let arguments = self.folds.iter().filter_map(|fold| fold.argument.as_ref());
        for expr in self.groups.iter().chain(arguments) {
            if visit(expr)? == TreeNodeRecursion::Stop {
                return Ok(TreeNodeRecursion::Stop);
            }
        }
        Ok(TreeNodeRecursion::Continue)
    }

    fn with_new_children(
        self: Arc<Self>,
        children: Vec<Arc<dyn ExecutionPlan>>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        match <[Arc<dyn ExecutionPlan>; 1]>::try_from(children) {
            Ok([input]) => Ok(Arc::new(RunAggregateExec::new(
                input,
                self.groups.clone(),
                self.folds.clone(),
                self.schema.clone(),
            ))),
            Err(_) => internal_err!("a grouping by runs has one input"),
        }
    }

    fn execute(
        &self,
        partition: usize,
        context: Arc<TaskContext>,
    ) -> Result<SendableRecordBatchStream> {
        let (input, covered) = match self.covered() {
            Some((scan, covered)) => {
                let input = scan.execute_covered(partition, covered.clone())?;
                (input, Some(covered))
            }
            None => (self.input.execute(partition, context.clone())?, None),
        };
        let consumer = MemoryConsumer::new(format!("RunAggregateExec[{partition}]"));
        let state = Folding {
            arguments: self
                .folds
                .iter()
                .map(|fold| fold.argument.clone())
                .collect(),
            folds: self.folds.iter().map(FoldPlan::start).collect(),
            exprs: self.groups.iter().map(GroupExpr::new).collect(),
            groups: Groups::default(),
            runs: Vec::new(),
            covered,
            schema: self.schema.clone(),
            memory: consumer.register(context.memory_pool()),
            tried: Tried::default(),
            baseline: BaselineMetrics::new(&self.metrics, partition),
            runs_seen: MetricBuilder::new(&self.metrics).counter("runs", partition),
            ready: None,
        };
        let batches = stream::try_unfold((input, state), |(mut input, mut state)| async move {
            loop {
                if let Some(batch) = state.next_batch() {
                    return Ok(Some((batch, (input, state))));
                }
                if state.tried.ended {
                    return Ok(None);
                }
                match input.next().await {
                    Some(batch) => state.add(&batch?)?,
                    None => {
                        state.tried.ended = true;
                        state.add_covered()?;
                        state.hand_on()?;
                    }
                }
            }
        });
        Ok(Box::pin(RecordBatchStreamAdapter::new(
            self.schema.clone(),
            batches,
        )))
    }

    fn metrics(&self) -> Option<MetricsSet> {
        Some(self.metrics.clone_inner())
    }
}

/// How it went so far.
#[derive(Default)]
struct Tried {
    rows: usize,
    runs: usize,
    ended: bool,
}

impl Tried {
    /// Whether rows come in no runs, so that groups are better looked up elsewhere.
    fn in_no_runs(&self) -> bool {
        self.rows >= TRIED_ROWS && self.runs * SHORT_RUN > self.rows
    }
}

/// One partition at work.
struct Folding {
    exprs: Vec<GroupExpr>,
    arguments: Vec<Option<Arc<dyn PhysicalExpr>>>,
    folds: Vec<Box<dyn Fold>>,
    groups: Groups,
    runs: Vec<Run>,
    /// What vectors that were not read come to.
    covered: Option<Arc<Covered>>,
    schema: SchemaRef,
    memory: MemoryReservation,
    tried: Tried,
    baseline: BaselineMetrics,
    runs_seen: Count,
    /// States on their way out.
    ready: Option<RecordBatch>,
}

impl Folding {
    fn next_batch(&mut self) -> Option<RecordBatch> {
        let ready = self.ready.take()?;
        let rows = ready.num_rows();
        let out = ready.slice(0, rows.min(BATCH_ROWS));
        if rows > BATCH_ROWS {
            self.ready = Some(ready.slice(BATCH_ROWS, rows - BATCH_ROWS));
        } else {
            self.memory.free();
        }
        Some(out.record_output(&self.baseline))
    }

    fn add(&mut self, batch: &RecordBatch) -> Result<()> {
        let clock = self.baseline.elapsed_compute().clone();
        let _timer = clock.timer();
        let rows = batch.num_rows();
        let value = |expr: &Arc<dyn PhysicalExpr>| expr.evaluate(batch)?.into_array(rows);
        let columns = self
            .exprs
            .iter()
            .map(|expr| expr.of(batch))
            .collect::<Result<Vec<Grouped>>>()?;
        let forget = self.tried.in_no_runs();
        self.groups.runs(&columns, rows, forget, &mut self.runs)?;
        let groups = self.groups.len();
        for (fold, argument) in self.folds.iter_mut().zip(&self.arguments) {
            let argument = argument.as_ref().map(value).transpose()?;
            fold.add(argument.as_ref(), &self.runs, groups)?;
        }
        self.tried.rows += rows;
        self.tried.runs += self.runs.len();
        self.runs_seen.add(self.runs.len());
        let states: usize = self.folds.iter().map(|fold| fold.bytes()).sum();
        let bytes = self.groups.bytes() + groups * STATE_BYTES * self.folds.len() + states;
        let full = groups >= GROUPS_MAX || bytes > BYTES_MAX;
        if forget || full || self.memory.try_resize(bytes).is_err() {
            self.hand_on()?;
        }
        Ok(())
    }

    /// Adds what vectors that were not read come to.
    fn add_covered(&mut self) -> Result<()> {
        let Some(totals) = self.covered.as_ref().and_then(|covered| covered.take()) else {
            return Ok(());
        };
        // A batch without columns and rows has the one group that there is.
        self.groups.runs(&[], 1, false, &mut self.runs)?;
        for (fold, total) in self.folds.iter_mut().zip(&totals) {
            fold.cover(total);
        }
        Ok(())
    }

    /// Puts the states out and begins anew; what is handed on may come again, since states are merged behind.
    fn hand_on(&mut self) -> Result<()> {
        if self.groups.len() == 0 {
            return Ok(());
        }
        let mut columns = self.groups.take(self.exprs.len(), &self.schema)?;
        columns.extend(self.folds.iter_mut().flat_map(|fold| fold.take()));
        self.ready = Some(RecordBatch::try_new(self.schema.clone(), columns)?);
        Ok(())
    }
}
