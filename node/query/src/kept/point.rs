//! Queries that name whole keys of one table and compute nothing: they are read without a plan.

use std::collections::BTreeSet;
use std::sync::Arc;

use activestore_types::{ColumnId, Result, TableSchema};
use arrow::datatypes::SchemaRef;
use arrow::record_batch::RecordBatch;
use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::common::{Result as DataFusionResult, internal_err};
use datafusion::logical_expr::expr::Placeholder;
use datafusion::logical_expr::utils::split_conjunction;
use datafusion::logical_expr::{Expr, LogicalPlan, Operator};

use super::named;
use crate::error::{from_datafusion, to_datafusion};
use crate::params::{Param, number};
use crate::pushdown::push_down;
use crate::rows::Rows;
use crate::tables::Tables;

/// Up to so many keys are read one by one.
const POINTS_MAX: usize = 64;

/// A query of columns of one table whose filters may name whole keys.
pub(super) struct Point {
    table: Arc<TableSchema>,
    filters: Vec<Expr>,
    /// Whether each column of the key equals one value and nothing else is asked for.
    pub(super) one_key: bool,
    columns: Vec<ColumnId>,
    schema: SchemaRef,
}

impl Point {
    /// Columns of a filtered table, in a plan that names its tables; filters of an optimized plan are in its scan.
    pub(super) fn of(plan: &LogicalPlan) -> Option<Point> {
        let (given, input) = match plan {
            LogicalPlan::Projection(projection) => {
                (Some(&projection.expr), projection.input.as_ref())
            }
            input => (None, input),
        };
        let (predicate, input) = match input {
            LogicalPlan::Filter(filter) => (Some(&filter.predicate), filter.input.as_ref()),
            input => (None, input),
        };
        let input = match input {
            LogicalPlan::SubqueryAlias(alias) => alias.input.as_ref(),
            input => input,
        };
        let LogicalPlan::TableScan(scan) = input else {
            return None;
        };
        let (table, last_rows) = named(scan, |named| (named.table.clone(), named.last_rows))?;
        let filters: Vec<Expr> = predicate
            .into_iter()
            .chain(&scan.filters)
            .cloned()
            .collect();
        if last_rows || scan.fetch.is_some() || filters.is_empty() {
            return None;
        }
        let names: Vec<&str> = match given {
            Some(expressions) => expressions.iter().map(name_of).collect::<Option<_>>()?,
            None => {
                let fields = plan.schema().fields().iter();
                fields.map(|field| field.name().as_str()).collect()
            }
        };
        let mut columns = Vec::with_capacity(names.len());
        for name in names {
            let id = table.column(name)?.id;
            if columns.contains(&id) {
                return None;
            }
            columns.push(id);
        }
        Some(Point {
            one_key: names_one_key(&table, &filters),
            table,
            filters,
            columns,
            schema: Arc::new(plan.schema().as_arrow().clone()),
        })
    }

    /// The rows, where the values name whole keys and nothing else.
    pub(super) fn read(&self, tables: &dyn Tables, params: &[Param]) -> Result<Option<Rows>> {
        let filled = self.filters.iter().map(|filter| filled(filter, params));
        let filters = filled.collect::<DataFusionResult<Vec<Expr>>>();
        let pushed = push_down(&self.table, &filters.map_err(from_datafusion)?);
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
        let found = rows.len() as u64;
        Ok(Some(
            Rows::from_batches(self.schema.clone(), rows).of_points(found),
        ))
    }
}

/// A filter with values in the place of its parameters.
fn filled(filter: &Expr, params: &[Param]) -> DataFusionResult<Expr> {
    let filled = filter.clone().transform_up(|expression| {
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
    Ok(filled?.data)
}

/// The column that an expression is, whatever it is called.
fn name_of(expression: &Expr) -> Option<&str> {
    let expression = match expression {
        Expr::Alias(alias) => alias.expr.as_ref(),
        expression => expression,
    };
    match expression {
        Expr::Column(column) => Some(&column.name),
        _ => None,
    }
}

/// Whether filters are an equation for each column of the key and nothing else.
fn names_one_key(table: &TableSchema, filters: &[Expr]) -> bool {
    let conditions: Vec<&Expr> = filters.iter().flat_map(split_conjunction).collect();
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
