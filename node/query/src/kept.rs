//! Plans that are kept from one run of a statement to the next: the tables in them are names, which each run reads as
//! they are then. A query that names whole keys by its parameters is not planned at all.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use activestore_types::{ColumnId, Error, Result, TableName, TableSchema};
use arrow::datatypes::SchemaRef;
use arrow::record_batch::RecordBatch;
use async_trait::async_trait;
use datafusion::catalog::{Session, TableProvider};
use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::common::{Result as DataFusionResult, internal_err};
use datafusion::datasource::{DefaultTableSource, source_as_provider};
use datafusion::logical_expr::expr::Placeholder;
use datafusion::logical_expr::utils::split_conjunction;
use datafusion::logical_expr::{Expr, LogicalPlan, Operator, TableScan, TableType};
use datafusion::physical_plan::ExecutionPlan;

use crate::access;
use crate::engine::Engine;
use crate::error::{from_datafusion, to_datafusion};
use crate::params::{Param, bind, number};
use crate::prepare::worked_out;
use crate::provider::StoredTable;
use crate::pushdown::push_down;
use crate::rows::Rows;
use crate::tables::Tables;

/// Up to so many keys are read one by one.
const POINTS_MAX: usize = 64;

/// A plan without the data that it is about.
#[derive(Clone)]
pub struct KeptPlan(Arc<Kept>);

impl KeptPlan {
    /// Whether it reads one row by its whole key and computes nothing: that takes some microseconds.
    #[must_use]
    pub fn reads_one_row(&self) -> bool {
        self.0.point.as_ref().is_some_and(|point| point.one_key)
    }
}

struct Kept {
    plan: LogicalPlan,
    point: Option<Point>,
}

impl fmt::Debug for KeptPlan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("KeptPlan")
    }
}

/// A query of columns of one table whose filter may name whole keys.
struct Point {
    table: Arc<TableSchema>,
    filter: Expr,
    /// Whether each column of the key equals one value and nothing else is asked for.
    one_key: bool,
    columns: Vec<ColumnId>,
    schema: SchemaRef,
}

/// A table by its name.
#[derive(Debug)]
struct Named(Arc<TableSchema>);

#[async_trait]
impl TableProvider for Named {
    fn schema(&self) -> SchemaRef {
        self.0.arrow()
    }

    fn table_type(&self) -> TableType {
        TableType::Base
    }

    async fn scan(
        &self,
        _state: &dyn Session,
        _projection: Option<&Vec<usize>>,
        _filters: &[Expr],
        _limit: Option<usize>,
    ) -> DataFusionResult<Arc<dyn ExecutionPlan>> {
        internal_err!("a kept plan is run without its tables")
    }
}

/// Keeps a plan with its placeholders; `None` where it reads what is not a stored table.
pub(crate) fn keep(plan: &LogicalPlan) -> Option<KeptPlan> {
    let mut stored = true;
    let kept = plan.clone().transform_up_with_subqueries(|node| {
        let LogicalPlan::TableScan(scan) = node else {
            return Ok(Transformed::no(node));
        };
        let provider = source_as_provider(&scan.source)?;
        let Some(table) = provider.downcast_ref::<StoredTable>() else {
            stored = false;
            return Ok(Transformed::no(LogicalPlan::TableScan(scan)));
        };
        let named = Arc::new(Named(table.table().clone()));
        Ok(Transformed::yes(over(scan, named)))
    });
    let plan = kept.ok()?.data;
    stored.then(|| {
        let point = point(&plan);
        KeptPlan(Arc::new(Kept { plan, point }))
    })
}

fn over(scan: TableScan, provider: Arc<dyn TableProvider>) -> LogicalPlan {
    LogicalPlan::TableScan(TableScan {
        source: Arc::new(DefaultTableSource::new(provider)),
        ..scan
    })
}

/// The table of a scan in a kept plan.
fn named(scan: &TableScan) -> Option<Arc<TableSchema>> {
    let provider = source_as_provider(&scan.source).ok()?;
    let named = provider.downcast_ref::<Named>()?;
    Some(named.0.clone())
}

/// Columns over a filter over a table.
fn point(plan: &LogicalPlan) -> Option<Point> {
    let LogicalPlan::Projection(projection) = plan else {
        return None;
    };
    let LogicalPlan::Filter(filter) = projection.input.as_ref() else {
        return None;
    };
    let scan = match filter.input.as_ref() {
        LogicalPlan::SubqueryAlias(alias) => alias.input.as_ref(),
        input => input,
    };
    let LogicalPlan::TableScan(scan) = scan else {
        return None;
    };
    let table = named(scan)?;
    let mut columns = Vec::with_capacity(projection.expr.len());
    for expression in &projection.expr {
        let expression = match expression {
            Expr::Alias(alias) => alias.expr.as_ref(),
            expression => expression,
        };
        let Expr::Column(column) = expression else {
            return None;
        };
        let id = table.column(&column.name)?.id;
        if columns.contains(&id) {
            return None;
        }
        columns.push(id);
    }
    Some(Point {
        one_key: names_one_key(&table, &filter.predicate),
        table,
        filter: filter.predicate.clone(),
        columns,
        schema: Arc::new(projection.schema.as_arrow().clone()),
    })
}

/// Whether a filter is an equation for each column of the key and nothing else.
fn names_one_key(table: &TableSchema, filter: &Expr) -> bool {
    let conditions = split_conjunction(filter);
    let named: BTreeSet<&str> = conditions.iter().filter_map(|it| equated(it)).collect();
    let mut key = table.columns.iter().take(table.key_len());
    conditions.len() == table.key_len() && key.all(|column| named.contains(column.name.as_str()))
}

/// The column that has to equal a value.
fn equated(condition: &Expr) -> Option<&str> {
    let Expr::BinaryExpr(equation) = condition else {
        return None;
    };
    let sides = (equation.left.as_ref(), equation.right.as_ref());
    match (equation.op, sides) {
        (
            Operator::Eq,
            (Expr::Column(column), Expr::Placeholder(_) | Expr::Literal(..))
            | (Expr::Placeholder(_) | Expr::Literal(..), Expr::Column(column)),
        ) => Some(&column.name),
        _ => None,
    }
}

impl Engine {
    /// Runs a plan that was kept; `None` where a table of it is not what it was, so that it has to be planned anew.
    ///
    /// # Errors
    /// As [`Engine::query`].
    pub async fn query_kept(&self, kept: &KeptPlan, params: &[Param]) -> Result<Option<Rows>> {
        let tables = match &self.access {
            Some(access) => access::guarded(&self.tables, access),
            None => self.tables.clone(),
        };
        if let Some(point) = &kept.0.point
            && let Some(rows) = point.read(tables.as_ref(), params)?
        {
            self.counters.queries.fetch_add(1, Ordering::Relaxed);
            return Ok(Some(rows));
        }
        let Some(plan) = filled(&kept.0.plan, tables.as_ref())? else {
            return Ok(None);
        };
        self.counters.queries.fetch_add(1, Ordering::Relaxed);
        let state = self.session()?;
        let planning = async { worked_out(bind(plan, params)?, &state) };
        let rows = self.launch(&state, planning, None).await;
        rows.map(Some).inspect_err(|_| {
            self.counters.failed.fetch_add(1, Ordering::Relaxed);
        })
    }
}

impl Point {
    /// The rows, where the values name whole keys and nothing else.
    fn read(&self, tables: &dyn Tables, params: &[Param]) -> Result<Option<Rows>> {
        let filter = self.filter.clone().transform_up(|expression| {
            let Expr::Placeholder(Placeholder { id, .. }) = &expression else {
                return Ok(Transformed::no(expression));
            };
            let place = number(id).and_then(|number| number.checked_sub(1));
            let Some(param) = place.and_then(|place| params.get(place)) else {
                return internal_err!("a parameter without a value");
            };
            let value = param.scalar().map_err(to_datafusion)?;
            Ok(Transformed::yes(Expr::Literal(value, None)))
        });
        let filter = filter.map_err(from_datafusion)?.data;
        let pushed = push_down(&self.table, [&filter]);
        let keys = &pushed.encoded_keys;
        if !pushed.exact || keys.is_empty() || keys.len() > POINTS_MAX {
            return Ok(None);
        }
        let Some(snapshot) = tables.snapshot(&self.table.name)? else {
            return Ok(None);
        };
        if *snapshot.schema() != self.table {
            return Ok(None);
        }
        let now_ms = u64::try_from(tables.now_ns() / 1_000_000).unwrap_or(0);
        let mut rows = Vec::with_capacity(keys.len());
        for key in keys {
            if let Some(row) = snapshot.get(key, &self.columns, now_ms)? {
                rows.push(RecordBatch::try_new(
                    self.schema.clone(),
                    row.columns().to_vec(),
                )?);
            }
        }
        Ok(Some(Rows::from_batches(self.schema.clone(), rows)))
    }
}

/// The plan over its tables as they are now.
fn filled(plan: &LogicalPlan, tables: &dyn Tables) -> Result<Option<LogicalPlan>> {
    let now_ms = u64::try_from(tables.now_ns() / 1_000_000).unwrap_or(0);
    // One statement sees a table at one moment, however often it names it.
    let mut seen: BTreeMap<TableName, Arc<StoredTable>> = BTreeMap::new();
    let mut same = true;
    let plan = plan.clone().transform_up_with_subqueries(|node| {
        let LogicalPlan::TableScan(scan) = node else {
            return Ok(Transformed::no(node));
        };
        let Some(table) = named(&scan) else {
            return Err(to_datafusion(Error::internal(
                "a kept plan with a table of its own",
            )));
        };
        let stored = match seen.get(&table.name) {
            Some(stored) => stored.clone(),
            None => {
                let snapshot = tables.snapshot(&table.name).map_err(to_datafusion)?;
                let Some(snapshot) = snapshot.filter(|now| *now.schema() == table) else {
                    same = false;
                    return Ok(Transformed::no(LogicalPlan::TableScan(scan)));
                };
                let stored = Arc::new(StoredTable::new(snapshot, now_ms));
                seen.insert(table.name.clone(), stored.clone());
                stored
            }
        };
        Ok(Transformed::yes(over(scan, stored)))
    });
    let plan = plan.map_err(from_datafusion)?.data;
    Ok(same.then_some(plan))
}
