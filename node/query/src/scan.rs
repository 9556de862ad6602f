//! The leaf of every plan: the store's scan as a stream. The scan runs on a blocking thread, a few
//! batches ahead; it stops when the stream is dropped.
//!
//! Rows come in key order, but no order is declared until a sort asks for one: measured, a declared
//! order makes DataFusion's grouped plans slower. A sort that the key order answers, forwards or
//! backwards, is taken over whole, its limit with it.

mod counters;
mod display;
mod inline;
mod last;
mod order;
mod outlet;
mod wanted;

use std::sync::Arc;

use activestore_store::{Covering, Narrowing, RowFilter, ScanRequest, ScanStats, Snapshot};
use activestore_types::{ColumnId, DataType, KeyRange};
use arrow::compute::concat_batches;
use arrow::datatypes::{Schema, SchemaRef};
use arrow::record_batch::{RecordBatch, RecordBatchOptions};
use datafusion::common::config::ConfigOptions;
use datafusion::common::stats::Precision;
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::common::{Result, Statistics, internal_err};
use datafusion::execution::TaskContext;
use datafusion::physical_expr::expressions::Column as PhysicalColumn;
use datafusion::physical_expr::{EquivalenceProperties, PhysicalExpr, PhysicalSortExpr};
use datafusion::physical_plan::execution_plan::{Boundedness, EmissionType, SchedulingType};
use datafusion::physical_plan::filter_pushdown::{
    ChildPushdownResult, FilterPushdownPhase, FilterPushdownPropagation, PushedDown,
};
use datafusion::physical_plan::metrics::{ExecutionPlanMetricsSet, MetricsSet};
use datafusion::physical_plan::sort_pushdown::SortOrderPushdownResult;
use datafusion::physical_plan::statistics::StatisticsArgs;
use datafusion::physical_plan::{
    ExecutionPlan, Partitioning, PlanProperties, SendableRecordBatchStream,
};

use crate::error::to_datafusion;
use crate::narrowing::Moving;
use crate::pushdown::{Pushed, is_folded};
use crate::rows::QueryStats;
use crate::runs::codes;
use counters::Counters;
use inline::Inline;
pub(crate) use order::InKeyOrder;

/// Up to so many keys are read one by one; the vectors of more are decoded whole.
const POINTS_MAX: usize = 64;

/// Scans one table.
#[derive(Clone)]
pub(crate) struct ScanExec {
    snapshot: Snapshot,
    schema: SchemaRef,
    columns: Vec<ColumnId>,
    pushed: Arc<Pushed>,
    partitions: Arc<Vec<Vec<KeyRange>>>,
    limit: Option<usize>,
    now_ms: u64,
    /// From the last key to the first.
    reverse: bool,
    /// Whether the rows' order was asked for.
    ordered: bool,
    /// Those of the columns that are read as codes of a dictionary.
    codes: Vec<ColumnId>,
    /// What rows are looked at for before all of their columns are read.
    filter: Option<Arc<dyn RowFilter>>,
    /// The condition of a step above that the filter is of, apart from what moves.
    condition: Option<Arc<dyn PhysicalExpr>>,
    /// Conditions that narrow while the scan runs.
    moving: Vec<Arc<Moving>>,
    /// What a step above finds out while it runs, and by which columns.
    within: Vec<(Arc<dyn Narrowing>, usize)>,
    /// Whether whoever asks for rows does the reading.
    inline: bool,
    /// Of each partition only the last row is read: of these partitions, or of all.
    last_rows: Option<Arc<Option<Vec<Vec<u8>>>>>,
    properties: Arc<PlanProperties>,
    metrics: ExecutionPlanMetricsSet,
}

impl ScanExec {
    pub(crate) fn new(
        snapshot: Snapshot,
        schema: SchemaRef,
        columns: Vec<ColumnId>,
        pushed: Pushed,
        partitions: Vec<Vec<KeyRange>>,
        limit: Option<usize>,
        now_ms: u64,
    ) -> Self {
        let properties = properties(EquivalenceProperties::new(schema.clone()), partitions.len());
        ScanExec {
            snapshot,
            schema,
            columns,
            pushed: Arc::new(pushed),
            partitions: Arc::new(partitions),
            limit,
            now_ms,
            reverse: false,
            ordered: false,
            codes: Vec::new(),
            filter: None,
            condition: None,
            moving: Vec::new(),
            within: Vec::new(),
            inline: false,
            last_rows: None,
            properties: Arc::new(properties),
            metrics: ExecutionPlanMetricsSet::new(),
        }
    }

    /// Reads the last row of each partition alone; `None` means all partitions.
    pub(crate) fn of_last_rows(mut self, partitions: Option<Vec<Vec<u8>>>) -> Self {
        self.last_rows = Some(Arc::new(partitions));
        self
    }

    /// Whether rows are read range by range, rather than one by one.
    pub(crate) fn reads_ranges(&self) -> bool {
        self.last_rows.is_none() && self.points().is_none()
    }

    /// The same scan with those of these columns that are TEXT as codes, for a step above that knows them.
    pub(crate) fn with_codes(&self, columns: &[usize]) -> Self {
        let table = self.snapshot.schema();
        let text = |id: &ColumnId| {
            let column = table.column_by_id(*id);
            column.is_some_and(|column| column.data_type == DataType::Text)
        };
        let mut scan = self.clone();
        scan.metrics = ExecutionPlanMetricsSet::new();
        if self.ordered || !self.reads_ranges() {
            return scan;
        }
        let mut fields = self.schema.fields().to_vec();
        for place in columns {
            if let (Some(id), Some(field)) = (self.columns.get(*place), fields.get_mut(*place))
                && text(id)
                && !scan.codes.contains(id)
                && !scan.looks_at(*id)
            {
                *field = Arc::new(field.as_ref().clone().with_data_type(codes()));
                scan.codes.push(*id);
            }
        }
        scan.schema = Arc::new(Schema::new_with_metadata(
            fields,
            self.schema.metadata().clone(),
        ));
        scan.properties = Arc::new(properties(
            EquivalenceProperties::new(scan.schema.clone()),
            self.partitions.len(),
        ));
        scan
    }

    /// Adds what this scan did to a query's statistics.
    pub(crate) fn add_to(&self, stats: &mut QueryStats) {
        let metrics = self.metrics.clone_inner();
        let sum = |name: &str| {
            metrics
                .sum_by_name(name)
                .map_or(0, |value| value.as_usize() as u64)
        };
        stats.rows_scanned += sum("rows_scanned");
        stats.vectors_read += sum("vectors_read");
        stats.vectors_pruned += sum("vectors_pruned");
        stats.keys_merged += sum("keys_merged");
        stats.bytes_decoded += sum("bytes_decoded");
    }

    /// Whether the rows of each partition come in this order: `Some(false)` in key order,
    /// `Some(true)` in its reverse, `None` in neither.
    fn direction(&self, order: &[PhysicalSortExpr]) -> Option<bool> {
        let schema = self.snapshot.schema();
        let fixed = if self.pushed.prefixes == 1 {
            self.pushed.point_columns
        } else {
            0
        };
        let is_fixed = |id: ColumnId| schema.key_columns().take(fixed).any(|key| key.id == id);
        let mut keys = schema.key_columns().skip(fixed);
        let mut reverse = None;
        for expr in order {
            let column = expr.expr.downcast_ref::<PhysicalColumn>()?;
            let id = *self.columns.get(column.index())?;
            // A column that has one value only is in any order.
            if is_fixed(id) {
                continue;
            }
            let key = keys.next().filter(|key| key.id == id)?;
            // Key columns are never NULL, so where NULLs go does not matter.
            if is_folded(schema.column_by_id(id)?.data_type) {
                return None;
            }
            let against = expr.options.descending != key.descending;
            if *reverse.get_or_insert(against) != against {
                return None;
            }
        }
        Some(reverse.unwrap_or(false))
    }

    /// The keys that are read one by one, if this is what the scan comes to.
    fn points(&self) -> Option<&[Vec<u8>]> {
        let keys = self.pushed.encoded_keys.as_slice();
        (!keys.is_empty() && keys.len() <= POINTS_MAX && self.partitions.len() == 1).then_some(keys)
    }

    /// The rows of these keys, in the order of the scan.
    fn read_points(&self, keys: &[Vec<u8>]) -> Result<RecordBatch> {
        let get = |key: &Vec<u8>| self.snapshot.get(key, &self.columns, self.now_ms);
        let rows = keys
            .iter()
            .map(get)
            .filter_map(activestore_types::Result::transpose);
        let mut rows = rows
            .collect::<activestore_types::Result<Vec<RecordBatch>>>()
            .map_err(to_datafusion)?;
        if self.reverse {
            rows.reverse();
        }
        rows.truncate(self.limit.unwrap_or(usize::MAX));
        let rows = rows.into_iter().map(|row| labelled(row, &self.schema));
        let rows = rows.collect::<Result<Vec<RecordBatch>>>()?;
        match rows.as_slice() {
            [row] => Ok(row.clone()),
            rows if self.columns.is_empty() => {
                let options = RecordBatchOptions::new().with_row_count(Some(rows.len()));
                Ok(RecordBatch::try_new_with_options(
                    self.schema.clone(),
                    Vec::new(),
                    &options,
                )?)
            }
            rows => Ok(concat_batches(&self.schema, rows)?),
        }
    }

    /// The columns that it reads, in their order.
    pub(crate) fn columns(&self) -> &[ColumnId] {
        &self.columns
    }

    /// As `execute`; `covering` takes vectors as a whole where it can, and their rows do not come.
    pub(crate) fn execute_covered(
        &self,
        partition: usize,
        covering: Arc<dyn Covering>,
    ) -> Result<SendableRecordBatchStream> {
        self.run(partition, Some(covering), 1)
    }

    /// Reads one partition; `covering` takes of it what it can as a whole. There are so many threads for it at most.
    fn run(
        &self,
        partition: usize,
        covering: Option<Arc<dyn Covering>>,
        threads: usize,
    ) -> Result<SendableRecordBatchStream> {
        let Some(ranges) = self.partitions.get(partition) else {
            return internal_err!("a scan has no partition {partition}");
        };
        let counters = Counters::new(&self.metrics, partition);
        if let Some(keys) = self.points() {
            let (scan, keys) = (self.clone(), keys.to_vec());
            return Ok(outlet::stream(&self.schema, move |outlet| {
                let batch = scan.read_points(&keys)?;
                counters.rows.add(batch.num_rows());
                outlet.push(Ok(batch));
                Ok(())
            }));
        }
        if let Some(partitions) = &self.last_rows {
            return Ok(self.read_last(partitions.as_ref().clone(), threads, &counters));
        }
        let is_covering = covering.is_some();
        let request = ScanRequest {
            columns: self.columns.clone(),
            codes: self.codes.clone(),
            ranges: ranges.clone(),
            predicates: self.pushed.zones.clone(),
            filter: self.filter.clone(),
            narrowing: self.narrowing(),
            covering,
            limit: self.limit,
            reverse: self.reverse,
            // Whoever takes vectors as a whole cannot mind in which order.
            any_order: !self.ordered
                && self.limit.is_none()
                && (self.partitions.len() > 1 || is_covering),
            small_batches: self.inline,
            now_ms: self.now_ms,
        };
        let (snapshot, schema) = (self.snapshot.clone(), self.schema.clone());
        if self.inline {
            let rows = Inline::new(snapshot, request, schema, counters);
            return Ok(Box::pin(rows));
        }
        Ok(outlet::stream(&self.schema, move |outlet| {
            let mut scan = snapshot.scan(request).map_err(to_datafusion)?;
            let mut before = ScanStats::default();
            while let Some(batch) = scan.next() {
                let now = scan.stats();
                counters.add(&before, &now);
                before = now;
                if !outlet.push(labelled_or_failed(batch, &schema)) {
                    return Ok(());
                }
            }
            counters.add(&before, &scan.stats());
            Ok(())
        }))
    }

    fn estimate(&self) -> usize {
        let rows = usize::try_from(self.snapshot.row_count_estimate()).unwrap_or(usize::MAX);
        let rows = match self.last_rows.as_deref() {
            Some(Some(partitions)) => rows.min(partitions.len()),
            // A guess; partitions are not counted.
            Some(None) => rows / 100,
            None => rows,
        };
        let rows = match self.pushed.keys.len() {
            0 => rows,
            keys => rows.min(keys),
        };
        rows.min(self.limit.unwrap_or(usize::MAX))
    }
}

impl ExecutionPlan for ScanExec {
    fn name(&self) -> &'static str {
        "ScanExec"
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        &self.properties
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        Vec::new()
    }

    fn apply_expressions(
        &self,
        visit: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> Result<TreeNodeRecursion>,
    ) -> Result<TreeNodeRecursion> {
        for moving in &self.moving {
            if visit(moving.condition())? == TreeNodeRecursion::Stop {
                return Ok(TreeNodeRecursion::Stop);
            }
        }
        Ok(TreeNodeRecursion::Continue)
    }

    fn handle_child_pushdown_result(
        &self,
        phase: FilterPushdownPhase,
        pushed: ChildPushdownResult,
        _config: &ConfigOptions,
    ) -> Result<FilterPushdownPropagation<Arc<dyn ExecutionPlan>>> {
        let asked = &pushed.parent_filters;
        let narrowed = match phase {
            FilterPushdownPhase::Pre => None,
            FilterPushdownPhase::Post => self.narrowed(asked.iter().map(|one| &one.filter))?,
        };
        // Whoever asks goes on asking: rows that are not wanted may come.
        let asked = vec![PushedDown::No; asked.len()];
        let answer = FilterPushdownPropagation::with_parent_pushdown_result(asked);
        Ok(match narrowed {
            Some(scan) => answer.with_updated_node(Arc::new(scan) as Arc<dyn ExecutionPlan>),
            None => answer,
        })
    }

    fn reset_state(self: Arc<Self>) -> Result<Arc<dyn ExecutionPlan>> {
        // What was wanted of the rows of one turn says nothing about the next.
        Ok(Arc::new(self.unmoved()?))
    }

    fn with_new_children(
        self: Arc<Self>,
        children: Vec<Arc<dyn ExecutionPlan>>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        if !children.is_empty() {
            return internal_err!("a scan has no children");
        }
        Ok(self)
    }

    fn execute(
        &self,
        partition: usize,
        context: Arc<TaskContext>,
    ) -> Result<SendableRecordBatchStream> {
        self.run(
            partition,
            None,
            context.session_config().target_partitions(),
        )
    }

    fn metrics(&self) -> Option<MetricsSet> {
        Some(self.metrics.clone_inner())
    }

    fn statistics_from_inputs(
        &self,
        _inputs: &[Arc<Statistics>],
        _args: &StatisticsArgs,
    ) -> Result<Arc<Statistics>> {
        let mut statistics = Statistics::new_unknown(&self.schema);
        statistics.num_rows = Precision::Inexact(self.estimate());
        Ok(Arc::new(statistics))
    }

    fn supports_limit_pushdown(&self) -> bool {
        false
    }

    fn with_fetch(&self, limit: Option<usize>) -> Option<Arc<dyn ExecutionPlan>> {
        if self.last_rows.is_some() {
            return None;
        }
        let mut scan = self.clone();
        scan.limit = match (self.limit, limit) {
            (Some(mine), Some(asked)) => Some(mine.min(asked)),
            (mine, asked) => asked.or(mine),
        };
        scan.metrics = ExecutionPlanMetricsSet::new();
        Some(Arc::new(scan))
    }

    fn fetch(&self) -> Option<usize> {
        self.limit
    }

    fn try_pushdown_sort(
        &self,
        order: &[PhysicalSortExpr],
    ) -> Result<SortOrderPushdownResult<Arc<dyn ExecutionPlan>>> {
        // Rows cut off by a limit must not change with the order.
        let free = self.limit.is_none() && self.last_rows.is_none();
        let Some(reverse) = self.direction(order).filter(|_| free) else {
            return Ok(SortOrderPushdownResult::Unsupported);
        };
        let mut scan = self.clone();
        scan.reverse = reverse;
        scan.ordered = true;
        scan.metrics = ExecutionPlanMetricsSet::new();
        scan.properties = Arc::new(properties(
            EquivalenceProperties::new_with_orderings(self.schema.clone(), [order.to_vec()]),
            self.partitions.len(),
        ));
        Ok(SortOrderPushdownResult::Exact {
            inner: Arc::new(scan),
        })
    }
}

/// The channel that the batches come through yields to the runtime by itself.
fn properties(order: EquivalenceProperties, partitions: usize) -> PlanProperties {
    PlanProperties::new(
        order,
        Partitioning::UnknownPartitioning(partitions),
        EmissionType::Incremental,
        Boundedness::Bounded,
    )
    .with_scheduling_type(SchedulingType::Cooperative)
}

/// A batch of the store as one of the plan.
fn labelled_or_failed(
    batch: activestore_types::Result<RecordBatch>,
    schema: &SchemaRef,
) -> Result<RecordBatch> {
    labelled(batch.map_err(to_datafusion)?, schema)
}

/// The store's batch under the plan's schema, which carries the fields' metadata.
fn labelled(batch: RecordBatch, schema: &SchemaRef) -> Result<RecordBatch> {
    let options = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
    Ok(RecordBatch::try_new_with_options(
        schema.clone(),
        batch.columns().to_vec(),
        &options,
    )?)
}
