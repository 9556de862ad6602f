//! Filling gaps as a step of a running query: rows come sorted by series and time, batch by batch.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use arrow::compute::SortOptions;
use arrow::datatypes::SchemaRef;
use async_trait::async_trait;
use datafusion::catalog::Session;
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::common::{Result, internal_err};
use datafusion::execution::TaskContext;
use datafusion::execution::context::QueryPlanner;
use datafusion::logical_expr::physical_planning_context::PhysicalPlanningContext;
use datafusion::logical_expr::{LogicalPlan, UserDefinedLogicalNode};
use datafusion::physical_expr::expressions::Column as PhysicalColumn;
use datafusion::physical_expr::{
    Distribution, EquivalenceProperties, LexOrdering, OrderingRequirements, PhysicalExpr,
    PhysicalSortExpr,
};
use datafusion::physical_plan::execution_plan::{Boundedness, EmissionType};
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::{
    DisplayAs, DisplayFormatType, ExecutionPlan, ExecutionPlanProperties, PlanProperties,
    SendableRecordBatchStream,
};
use datafusion::physical_planner::{DefaultPhysicalPlanner, ExtensionPlanner, PhysicalPlanner};
use futures::{StreamExt, stream};

use super::fill::Filler;
use super::node::{FillKind, GapFill, shown};

/// Plans of this engine: DataFusion's, with gaps filled.
#[derive(Debug)]
pub(crate) struct Planner;

#[async_trait]
impl QueryPlanner for Planner {
    async fn create_physical_plan(
        &self,
        plan: &LogicalPlan,
        session: &dyn Session,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let planner = DefaultPhysicalPlanner::with_extension_planners(vec![Arc::new(Steps)]);
        planner.create_physical_plan(plan, session).await
    }
}

#[derive(Debug)]
struct Steps;

#[async_trait]
impl ExtensionPlanner for Steps {
    async fn plan_extension(
        &self,
        _planner: &dyn PhysicalPlanner,
        node: &dyn UserDefinedLogicalNode,
        _logical: &[&LogicalPlan],
        inputs: &[Arc<dyn ExecutionPlan>],
        _session: &dyn Session,
        _context: &PhysicalPlanningContext,
    ) -> Result<Option<Arc<dyn ExecutionPlan>>> {
        let (Some(node), [input]) = (node.as_any().downcast_ref::<GapFill>(), inputs) else {
            return Ok(None);
        };
        Ok(Some(Arc::new(GapFillExec::new(
            input.clone(),
            Arc::new(node.clone()),
        ))))
    }
}

#[derive(Clone, Debug)]
pub(crate) struct GapFillExec {
    input: Arc<dyn ExecutionPlan>,
    node: Arc<GapFill>,
    schema: SchemaRef,
    properties: Arc<PlanProperties>,
    /// Rows that the series so far have when they are filled, in all partitions.
    filled: Arc<AtomicU64>,
}

impl GapFillExec {
    fn new(input: Arc<dyn ExecutionPlan>, node: Arc<GapFill>) -> Self {
        let schema: SchemaRef = node.schema.inner().clone();
        let mut order = EquivalenceProperties::new(schema.clone());
        if let Some(ordering) = ordering(&node, &schema) {
            order.add_ordering(ordering);
        }
        let properties = PlanProperties::new(
            order,
            input.output_partitioning().clone(),
            EmissionType::Incremental,
            Boundedness::Bounded,
        );
        GapFillExec {
            input,
            node,
            schema,
            properties: Arc::new(properties),
            filled: Arc::default(),
        }
    }

    fn series(&self) -> Vec<Arc<dyn PhysicalExpr>> {
        columns(&self.node, FillKind::Series, &self.input.schema())
    }
}

fn columns(node: &GapFill, kind: FillKind, schema: &SchemaRef) -> Vec<Arc<dyn PhysicalExpr>> {
    let fields = schema.fields().iter().zip(&node.kinds).enumerate();
    fields
        .filter(|(_, (_, one))| **one == kind)
        .map(|(place, (field, _))| {
            Arc::new(PhysicalColumn::new(field.name(), place)) as Arc<dyn PhysicalExpr>
        })
        .collect()
}

/// By series, and within each by time.
fn ordering(node: &GapFill, schema: &SchemaRef) -> Option<LexOrdering> {
    let mut keys = columns(node, FillKind::Series, schema);
    keys.extend(columns(node, FillKind::Time, schema));
    LexOrdering::new(keys.into_iter().map(|expr| {
        PhysicalSortExpr::new(
            expr,
            SortOptions {
                descending: false,
                nulls_first: true,
            },
        )
    }))
}

impl DisplayAs for GapFillExec {
    fn fmt_as(&self, _: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "GapFillExec: {}",
            shown(self.node.start, self.node.finish)
        )
    }
}

impl ExecutionPlan for GapFillExec {
    fn name(&self) -> &'static str {
        "GapFillExec"
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        &self.properties
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

    fn required_input_distribution(&self) -> Vec<Distribution> {
        let series = self.series();
        if series.is_empty() {
            return vec![Distribution::SinglePartition];
        }
        vec![Distribution::KeyPartitioned(series)]
    }

    fn required_input_ordering(&self) -> Vec<Option<OrderingRequirements>> {
        vec![ordering(&self.node, &self.input.schema()).map(OrderingRequirements::from)]
    }

    fn maintains_input_order(&self) -> Vec<bool> {
        vec![true]
    }

    fn with_new_children(
        self: Arc<Self>,
        children: Vec<Arc<dyn ExecutionPlan>>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        match <[Arc<dyn ExecutionPlan>; 1]>::try_from(children) {
            Ok([input]) => Ok(Arc::new(GapFillExec::new(input, self.node.clone()))),
            Err(_) => internal_err!("gaps are filled in the rows of one input"),
        }
    }

    fn execute(
        &self,
        partition: usize,
        context: Arc<TaskContext>,
    ) -> Result<SendableRecordBatchStream> {
        let input = self.input.execute(partition, context)?;
        let filler = Filler::new(&self.node, self.schema.clone(), self.filled.clone())?;
        let rows = stream::try_unfold((input, filler), |(mut input, mut filler)| async move {
            loop {
                if let Some(batch) = filler.next_batch()? {
                    return Ok(Some((batch, (input, filler))));
                }
                if filler.is_done() {
                    return Ok(None);
                }
                match input.next().await {
                    Some(batch) => filler.give(batch?)?,
                    None => filler.finish(),
                }
            }
        });
        Ok(Box::pin(RecordBatchStreamAdapter::new(
            self.schema.clone(),
            rows,
        )))
    }
}
