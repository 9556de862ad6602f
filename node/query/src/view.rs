//! A query that a materialized view keeps: what it groups by, how a row of its table tells which of its groups the row
//! is in, and the query over a part of the table alone.
//!
//! Groups that a write touches have to be told from the write by itself, which names the row's key and maybe nothing
//! else. So the window is one of a time in the table's key. Other columns of the key that it groups by tell
//! groups apart as well; those that are not of the key may change, and all groups of a window that differ in them alone are
//! looked at together.

mod aliases;
mod late;
mod sessions;
mod shape;
mod source;
mod windows;

use std::collections::BTreeSet;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use activestore_types::{ColumnId, DataType, Error, Result, TableName, TableSchema};
use arrow::array::ArrayRef;
use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::common::{Column, Result as DataFusionResult};
use datafusion::datasource::source_as_provider;
use datafusion::execution::SessionState;
use datafusion::logical_expr::utils::conjunction;
use datafusion::logical_expr::{Expr, LogicalPlan, LogicalPlanBuilder, TableScan, lit};
use datafusion::scalar::ScalarValue;
use futures::FutureExt;

use crate::engine::{Engine, physical};
use crate::error::{from_datafusion, panicked};
use crate::prepare::worked_out;
use crate::provider::StoredTable;
use crate::rows::Rows;
use crate::scan::InKeyOrder;
use crate::sessions::Session;

pub use late::LeftOut;
pub use source::Reference;
pub use windows::ViewWindows;

/// A view's query, understood.
#[derive(Clone, Debug)]
pub struct ViewQuery {
    /// The query as it is kept: it means the same whatever columns come to its table.
    pub text: String,
    /// The table that it reads, as it was when the query was understood.
    pub base: Arc<TableSchema>,
    /// The tables that it looks something up in for each row of the base.
    pub references: Vec<Reference>,
    /// The columns that it gives.
    pub columns: Vec<(String, DataType)>,
    /// The columns of the table's key that it groups by, beside the time, each with the place among those that
    /// it gives.
    pub anchors: Vec<(ColumnId, usize)>,
    /// The places of other columns that it groups by.
    pub others: Vec<usize>,
    /// The place of the window's start.
    pub window: usize,
    /// The time that windows are of.
    pub time: ColumnId,
    /// How time is divided.
    pub windows: ViewWindows,
}

/// A part of a table: a stretch of time, and for some columns the values that are in it.
#[derive(Clone, Debug)]
pub struct Within {
    /// The table.
    pub table: TableName,
    /// The column of the time.
    pub time: String,
    /// The first nanosecond.
    pub from: i64,
    /// The last one.
    pub to: i64,
    /// Columns with the values that they have.
    pub among: Vec<(String, ArrayRef)>,
    /// Rows that are not in it.
    pub but: Option<LeftOut>,
    /// The same of columns of other tables: what a query looks up, of which it needs no more.
    pub beside: Vec<(TableName, String, ArrayRef)>,
    /// Whether one reader takes the rows in the order of the key: then what groups them by columns of the key and by
    /// sessions holds one session at a time, and none of its rows.
    pub in_order: bool,
}

impl Engine {
    /// Understands the query of a view.
    ///
    /// # Errors
    /// `Invalid` for a query that no view can keep, with what to write instead; as [`Engine::query`] otherwise.
    pub async fn view(&self, sql: &str) -> Result<ViewQuery> {
        let state = self.session()?;
        let understood = AssertUnwindSafe(async {
            let plan = self
                .unbound(&state, sql, self.parsed(&state, sql)?, &[])
                .await?;
            if !plan
                .get_parameter_names()
                .map_err(from_datafusion)?
                .is_empty()
            {
                return Err(Error::invalid("the query of a view has no parameters"));
            }
            let shape = shape::of(&plan)?;
            let tables = shape.tables();
            let given = self.optimized(sql, &[]).await?;
            let mut query = shape.query(sql, given.schema().as_arrow())?;
            let dialect = state.config_options().sql_parser.dialect;
            let statement = state.sql_to_statement(sql, &dialect);
            let statement = statement.map_err(from_datafusion)?;
            if let Some(text) = aliases::written_out(statement, &tables)? {
                query.text = text;
            }
            Ok(query)
        })
        .catch_unwind()
        .await;
        understood.unwrap_or_else(|payload| Err(panicked(payload.as_ref())))
    }

    /// Runs a query over a part of one of its tables.
    ///
    /// # Errors
    /// As [`Engine::query`].
    pub async fn query_within(&self, sql: &str, within: &Within) -> Result<Rows> {
        let state = self.session_within(within)?;
        let planning = async {
            let plan = self.plan_within(&state, sql, within).await?;
            physical(&state, &plan).await
        };
        self.launch(&state, planning, None).await
    }

    /// The state that a query over a part of a table starts from.
    fn session_within(&self, within: &Within) -> Result<Session> {
        let mut session = self.session()?;
        if within.in_order {
            let state = session.own();
            state.config_mut().set_extension(Arc::new(InKeyOrder));
            let options = state.config_mut().options_mut();
            options.execution.target_partitions = 1;
            // The rows of one that is held come in no order.
            options.optimizer.join_reordering = false;
        }
        Ok(session)
    }

    async fn plan_within(
        &self,
        state: &SessionState,
        sql: &str,
        within: &Within,
    ) -> Result<LogicalPlan> {
        worked_out(self.narrowed(state, sql, within).await?, state)
    }

    /// The plan of a query over a part of one of its tables, of which windows are not worked out.
    async fn narrowed(
        &self,
        state: &SessionState,
        sql: &str,
        within: &Within,
    ) -> Result<LogicalPlan> {
        let plan = self
            .unbound(state, sql, self.parsed(state, sql)?, &[])
            .await?;
        let late = self.left_out(state, within).await?;
        let narrowed = plan
            .transform_up(|node| {
                let LogicalPlan::TableScan(scan) = node else {
                    return Ok(Transformed::no(node));
                };
                let provider = source_as_provider(&scan.source)?;
                let stored = provider.downcast_ref::<StoredTable>();
                let Some(of) = stored.map(|stored| stored.table().name.clone()) else {
                    return Ok(Transformed::no(LogicalPlan::TableScan(scan)));
                };
                if of != within.table {
                    return within.beside(scan, &of).map(Transformed::yes);
                }
                let table = scan.table_name.clone();
                let rows = within.over(scan)?;
                let rows = match (&within.but, &late) {
                    (Some(but), Some(late)) => but.from(rows, &table, late.clone())?,
                    _ => rows,
                };
                Ok(Transformed::yes(rows))
            })
            .map_err(from_datafusion)?;
        Ok(narrowed.data)
    }
}

impl Within {
    /// A scan of the table, or of one with its key, of that part alone.
    fn over(&self, scan: TableScan) -> DataFusionResult<LogicalPlan> {
        let time = Expr::Column(Column::new(Some(scan.table_name.clone()), &self.time));
        let moment = |ns: i64| lit(ScalarValue::TimestampNanosecond(Some(ns), None));
        let mut conditions = vec![
            time.clone().gt_eq(moment(self.from)),
            time.lt_eq(moment(self.to)),
        ];
        for (name, values) in &self.among {
            conditions.push(one_of(&scan, name, values)?);
        }
        meeting(scan, conditions)
    }

    /// A scan of another table, of what of it is needed.
    fn beside(&self, scan: TableScan, of: &TableName) -> DataFusionResult<LogicalPlan> {
        let meant = self.beside.iter().filter(|(table, ..)| table == of);
        let conditions = meant.map(|(_, name, values)| one_of(&scan, name, values));
        let conditions = conditions.collect::<DataFusionResult<_>>()?;
        meeting(scan, conditions)
    }
}

/// That a column of a scan has one of these values.
fn one_of(scan: &TableScan, name: &str, values: &ArrayRef) -> DataFusionResult<Expr> {
    let column = Expr::Column(Column::new(Some(scan.table_name.clone()), name));
    let values = (0..values.len())
        .map(|row| ScalarValue::try_from_array(values, row).map(lit))
        .collect::<DataFusionResult<Vec<Expr>>>()?;
    Ok(column.in_list(values, false))
}

/// The rows of a scan that meet all conditions.
fn meeting(scan: TableScan, conditions: Vec<Expr>) -> DataFusionResult<LogicalPlan> {
    let scan = LogicalPlan::TableScan(scan);
    match conjunction(conditions) {
        None => Ok(scan),
        Some(condition) => LogicalPlanBuilder::from(scan).filter(condition)?.build(),
    }
}

impl ViewQuery {
    /// What rows of the base with these values can look up: columns of reference tables with the values that they have.
    /// A table that is joined twice is looked up by each join's own columns, and is read whole.
    pub fn looked_up(&self, among: &[(ColumnId, ArrayRef)]) -> Vec<(TableName, String, ArrayRef)> {
        let mut all = Vec::new();
        for reference in &self.references {
            let table = &reference.table;
            let same = self
                .references
                .iter()
                .filter(|one| one.table.id == table.id);
            if same.count() > 1 {
                continue;
            }
            for (key, by) in table.key_columns().zip(&reference.by) {
                let values = among.iter().find(|(id, _)| Some(*id) == *by);
                if let Some(((_, values), column)) = values.zip(table.column_by_id(key.id)) {
                    all.push((table.name.clone(), column.name.clone(), values.clone()));
                }
            }
        }
        all
    }

    /// The columns of the view's key: those of its partition key, and those that order its rows.
    pub fn key(&self) -> (Vec<String>, Vec<String>) {
        let name = |place: &usize| self.columns.get(*place).map(|(name, _)| name.clone());
        let of_partition = |id: &ColumnId| self.base.partition_key.contains(id);
        let groups = self.anchors.iter().map(|(_, place)| place);
        let groups: Vec<usize> = groups.chain(&self.others).copied().collect();
        let anchored = self.anchors.iter().filter(|(id, _)| of_partition(id));
        let mut partition: Vec<usize> = anchored.map(|(_, place)| *place).collect();
        if partition.is_empty() {
            partition.clone_from(&groups);
        }
        let mut clustering = Vec::new();
        if partition.is_empty() {
            partition.push(self.window);
        } else {
            clustering.push(self.window);
        }
        let known: BTreeSet<usize> = partition.iter().copied().collect();
        clustering.extend(groups.into_iter().filter(|place| !known.contains(place)));
        (
            partition.iter().filter_map(name).collect(),
            clustering.iter().filter_map(name).collect(),
        )
    }
}

#[cfg(test)]
mod tests;
