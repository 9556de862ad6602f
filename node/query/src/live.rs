//! A query that is asked of the rows of one table as they are written: conditions and expressions, compiled once,
//! over whole batches. What looks at more than one row is refused: that is what a view keeps.

mod refusal;

use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use activestore_types::{ColumnId, Error, Result, TableSchema};
use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, UInt32Array};
use arrow::compute::{and, cast, filter, filter_record_batch, prep_null_mask_filter};
use arrow::datatypes::{DataType as ArrowType, Schema, SchemaRef};
use arrow::record_batch::{RecordBatch, RecordBatchOptions};
use datafusion::common::DFSchema;
use datafusion::datasource::source_as_provider;
use datafusion::execution::SessionState;
use datafusion::logical_expr::simplify::SimplifyContext;
use datafusion::logical_expr::{Expr, LogicalPlan};
use datafusion::optimizer::simplify_expressions::ExprSimplifier;
use datafusion::physical_expr::PhysicalExpr;
use futures::FutureExt;
use serde_json::Value;

use crate::engine::Engine;
use crate::error::{from_datafusion, panicked};
use crate::params::Param;
use crate::parse::{Statement, parse};
use crate::provider::StoredTable;
pub use refusal::LiveFor;
use refusal::{check, not_stored, refused};

/// A query over rows as they come.
pub struct LiveQuery {
    table: Arc<TableSchema>,
    needed: Vec<ColumnId>,
    input: SchemaRef,
    steps: Vec<Step>,
    output: SchemaRef,
    judges_keys: bool,
}

/// What is done with rows, one after the other.
enum Step {
    /// Those go on for which it holds.
    Keep(Arc<dyn PhysicalExpr>),
    /// They become these columns.
    Give(SchemaRef, Vec<Arc<dyn PhysicalExpr>>),
}

impl fmt::Debug for LiveQuery {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "LiveQuery({})", self.table.name)
    }
}

impl Engine {
    /// Compiles a query that is to be asked of rows as they are written, `by` whom; `params` fill `$1`, `$2`, ….
    ///
    /// # Errors
    /// As [`Engine::query`] for what cannot be planned; `Invalid` for what looks at more than one row, at another
    /// table, or at the time.
    pub async fn live(&self, by: LiveFor, sql: &str, params: &[Value]) -> Result<LiveQuery> {
        let mut statements = parse(sql)?;
        let (Some(Statement::Query { sql }), true) = (statements.pop(), statements.is_empty())
        else {
            return Err(Error::invalid(match by {
                LiveFor::Subscription => "what is subscribed to is one query",
                LiveFor::Sink => "what a sink sends is what one query gives",
            }));
        };
        let state = self.session()?;
        let compiled = AssertUnwindSafe(async {
            let plan = self.plan(&state, &sql, &Param::all(params)).await?;
            let analyzer = state.analyzer();
            let plan = analyzer.execute_and_check(plan, state.config_options(), |_, _| {});
            LiveQuery::compile(by, &state, &plan.map_err(from_datafusion)?)
        })
        .catch_unwind()
        .await;
        compiled.unwrap_or_else(|payload| Err(panicked(payload.as_ref())))
    }
}

impl LiveQuery {
    fn compile(by: LiveFor, state: &SessionState, plan: &LogicalPlan) -> Result<Self> {
        let mut nodes = Vec::new();
        let mut at = plan;
        let scan = loop {
            for expr in at.expressions() {
                check(by, &expr)?;
            }
            at = match at {
                LogicalPlan::TableScan(scan) => break scan,
                LogicalPlan::Projection(node) => {
                    nodes.push(at);
                    node.input.as_ref()
                }
                LogicalPlan::Filter(node) => {
                    nodes.push(at);
                    node.input.as_ref()
                }
                LogicalPlan::SubqueryAlias(node) => node.input.as_ref(),
                other => return Err(refused(by, other)),
            };
        };
        nodes.reverse();
        let provider = source_as_provider(&scan.source).map_err(from_datafusion)?;
        let Some(table) = provider.downcast_ref::<StoredTable>() else {
            return Err(not_stored(by, &scan.table_name));
        };
        let table = table.table().clone();
        let places = needed(&nodes, &table)?;
        let mut narrow = Some(places.as_slice());
        let mut steps = Vec::new();
        let mut judges_keys = true;
        for node in &nodes {
            let (input, give) = match node {
                LogicalPlan::Filter(node) => (&node.input, None),
                LogicalPlan::Projection(node) => (&node.input, Some(&node.schema)),
                _ => continue,
            };
            let fields = match narrow {
                Some(places) => narrowed(input.schema(), places)?,
                None => input.schema().as_ref().clone(),
            };
            let compiled = node.expressions().into_iter();
            let mut compiled = compiled
                .map(|expr| physical(state, expr, &fields))
                .collect::<Result<Vec<_>>>()?;
            match give {
                Some(schema) => {
                    steps.push(Step::Give(Arc::new(schema.as_arrow().clone()), compiled));
                    narrow = None;
                }
                None => {
                    let keys = |expr: &Expr| {
                        let named = expr.column_refs();
                        named.iter().all(|column| {
                            let known = table.column(&column.name);
                            known.is_some_and(|column| table.is_key(column.id))
                        })
                    };
                    judges_keys &= narrow.is_some() && node.expressions().iter().all(keys);
                    steps.extend(compiled.pop().map(Step::Keep));
                }
            }
        }
        let all = table.arrow();
        let fields = places.iter().filter_map(|place| all.fields().get(*place));
        let input = Schema::new(fields.cloned().collect::<Vec<_>>());
        let columns = places.iter().filter_map(|place| table.columns.get(*place));
        Ok(LiveQuery {
            needed: columns.map(|column| column.id).collect(),
            input: Arc::new(input),
            steps,
            output: Arc::new(plan.schema().as_arrow().clone()),
            judges_keys,
            table,
        })
    }

    /// The table whose rows it is about.
    pub fn table(&self) -> &Arc<TableSchema> {
        &self.table
    }

    /// The columns of the table that it looks at.
    pub fn needed(&self) -> &[ColumnId] {
        &self.needed
    }

    /// The same columns, as batches for [`LiveQuery::rows`] have them.
    pub fn input(&self) -> &SchemaRef {
        &self.input
    }

    /// The columns of what it gives.
    pub fn output(&self) -> &SchemaRef {
        &self.output
    }

    /// Whether a key alone tells if its row is asked for.
    pub fn judges_keys(&self) -> bool {
        self.judges_keys
    }

    /// Which of the rows are asked for, and what they become.
    ///
    /// # Errors
    /// `Invalid` for a batch of other columns, and for what cannot be computed.
    pub fn rows(&self, rows: &RecordBatch) -> Result<(UInt32Array, RecordBatch)> {
        guarded(|| {
            let mut picks = UInt32Array::from_iter_values(
                0..u32::try_from(rows.num_rows())
                    .map_err(|_| Error::internal("a batch of more than 2^32 rows"))?,
            );
            let mut rows = rows.clone();
            for step in &self.steps {
                match step {
                    Step::Keep(condition) => {
                        let held = held(condition, &rows)?;
                        if held.true_count() < held.len() {
                            rows = filter_record_batch(&rows, &held)?;
                            picks = filter(&picks, &held)?.as_primitive().clone();
                        }
                    }
                    Step::Give(schema, expressions) => rows = given(schema, expressions, &rows)?,
                }
                if rows.num_rows() == 0 {
                    rows = RecordBatch::new_empty(self.output.clone());
                    break;
                }
            }
            Ok((picks, rows))
        })
    }

    /// Which of these keys are asked for, where [`LiveQuery::judges_keys`]: all cells of other columns may be
    /// NULL.
    ///
    /// # Errors
    /// As [`LiveQuery::rows`].
    pub fn keys(&self, rows: &RecordBatch) -> Result<BooleanArray> {
        guarded(|| {
            let mut fits = BooleanArray::from(vec![true; rows.num_rows()]);
            for step in &self.steps {
                if let Step::Keep(condition) = step {
                    fits = and(&fits, &held(condition, rows)?)?;
                }
            }
            Ok(fits)
        })
    }
}

fn guarded<T>(work: impl FnOnce() -> Result<T>) -> Result<T> {
    let done = catch_unwind(AssertUnwindSafe(work));
    done.unwrap_or_else(|payload| Err(panicked(payload.as_ref())))
}

/// Of which rows it holds; NULL does not.
fn held(condition: &Arc<dyn PhysicalExpr>, rows: &RecordBatch) -> Result<BooleanArray> {
    let value = condition.evaluate(rows).map_err(from_datafusion)?;
    let value = value.into_array(rows.num_rows()).map_err(from_datafusion)?;
    let value = cast(&value, &ArrowType::Boolean)?;
    let value = value.as_boolean();
    Ok(match value.null_count() {
        0 => value.clone(),
        _ => prep_null_mask_filter(value),
    })
}

fn given(
    schema: &SchemaRef,
    expressions: &[Arc<dyn PhysicalExpr>],
    rows: &RecordBatch,
) -> Result<RecordBatch> {
    let columns = expressions.iter().map(|expression| {
        let value = expression.evaluate(rows).map_err(from_datafusion)?;
        value.into_array(rows.num_rows()).map_err(from_datafusion)
    });
    let columns = columns.collect::<Result<Vec<ArrayRef>>>()?;
    let options = RecordBatchOptions::new().with_row_count(Some(rows.num_rows()));
    let batch = RecordBatch::try_new_with_options(schema.clone(), columns, &options)?;
    Ok(batch)
}

/// The places in the table of the columns that are looked at.
fn needed(nodes: &[&LogicalPlan], table: &TableSchema) -> Result<Vec<usize>> {
    let mut wanted = vec![false; table.columns.len()];
    for node in nodes {
        for expr in node.expressions() {
            for column in expr.column_refs() {
                let place = table.columns.iter().position(|one| one.name == column.name);
                let slot = place.and_then(|place| wanted.get_mut(place));
                let Some(slot) = slot else {
                    return Err(Error::internal(format!(
                        "{} has no column '{}'",
                        table.name, column.name
                    )));
                };
                *slot = true;
            }
        }
        if matches!(node, LogicalPlan::Projection(_)) {
            break;
        }
    }
    // Rows that are only counted need a column to be told by.
    let none = !wanted.contains(&true);
    let first = table.partition_key.first().filter(|_| none);
    let first = first.and_then(|id| table.columns.iter().position(|column| column.id == *id));
    if let Some(slot) = first.and_then(|place| wanted.get_mut(place)) {
        *slot = true;
    }
    let places = wanted.iter().enumerate().filter(|(_, wanted)| **wanted);
    Ok(places.map(|(place, _)| place).collect())
}

/// The fields at these places.
fn narrowed(schema: &DFSchema, places: &[usize]) -> Result<DFSchema> {
    let all: Vec<_> = schema.iter().collect();
    let fields = places.iter().filter_map(|place| all.get(*place));
    let fields = fields.map(|(qualifier, field)| (qualifier.cloned(), (*field).clone()));
    DFSchema::new_with_metadata(fields.collect(), Default::default()).map_err(from_datafusion)
}

fn physical(state: &SessionState, expr: Expr, fields: &DFSchema) -> Result<Arc<dyn PhysicalExpr>> {
    let context = SimplifyContext::builder()
        .with_schema(Arc::new(fields.clone()))
        .with_config_options(state.config_options().clone())
        .build();
    let simplified = ExprSimplifier::new(context).simplify(expr);
    let simplified = simplified.map_err(from_datafusion)?;
    state
        .create_physical_expr(simplified.unalias(), fields)
        .map_err(from_datafusion)
}
