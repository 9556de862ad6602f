//! The newest row of each group without reading the others: an optimizer rule.
//!
//! A query that groups a table by columns of its partition key, and asks of each group only for what
//! its newest row says (`last_value(x ORDER BY ts)`, `DISTINCT ON`, `max(ts)`), gets the same answer
//! from the last row of each partition. The store finds those without a scan, so the rule puts
//! the last rows in the place of the table. Where groups are single partitions, the last row is the group, and
//! nothing is left to be grouped; else the grouping stays as it is.

use std::cell::Cell;
use std::sync::Arc;

use activestore_types::{ColumnId, TableSchema};
use datafusion::common::Result;
use datafusion::common::tree_node::Transformed;
use datafusion::datasource::{DefaultTableSource, source_as_provider};
use datafusion::logical_expr::expr::{AggregateFunction, NullTreatment, Sort};
use datafusion::logical_expr::{Aggregate, Expr, LogicalPlan, Projection, TableScan};
use datafusion::optimizer::{ApplyOrder, OptimizerConfig, OptimizerRule};

use crate::provider::StoredTable;
use crate::pushdown::is_folded;

/// The rule.
#[derive(Debug)]
pub(crate) struct LastRows;

impl OptimizerRule for LastRows {
    fn name(&self) -> &'static str {
        "last_rows"
    }

    fn apply_order(&self) -> Option<ApplyOrder> {
        Some(ApplyOrder::BottomUp)
    }

    fn supports_rewrite(&self) -> bool {
        true
    }

    fn rewrite(
        &self,
        plan: LogicalPlan,
        _config: &dyn OptimizerConfig,
    ) -> Result<Transformed<LogicalPlan>> {
        let LogicalPlan::Aggregate(aggregate) = &plan else {
            return Ok(Transformed::no(plan));
        };
        if aggregate.aggr_expr.is_empty() {
            return Ok(Transformed::no(plan));
        }
        let single = Cell::new(false);
        let asks = |table: &TableSchema| {
            Question::new(table, &aggregate.group_expr).is_some_and(|question| {
                single.set(question.is_of_single_partitions());
                aggregate.aggr_expr.iter().all(|expr| question.is(expr))
            })
        };
        let Some(input) = of_last_rows(&aggregate.input, &asks) else {
            return Ok(Transformed::no(plan));
        };
        if single.get()
            && let Some(columns) = of_the_row(aggregate)
        {
            let projection = Projection::try_new(columns, Arc::new(input))?;
            return Ok(Transformed::yes(LogicalPlan::Projection(projection)));
        }
        let (expressions, inputs) = (plan.expressions(), vec![input]);
        plan.with_new_exprs(expressions, inputs)
            .map(Transformed::yes)
    }
}

/// What a grouping gives where each group is one row, under the same names.
fn of_the_row(aggregate: &Aggregate) -> Option<Vec<Expr>> {
    let groups = aggregate.group_expr.iter().cloned().map(Some);
    let values = aggregate.aggr_expr.iter().map(|expr| {
        let Expr::AggregateFunction(call) = expr.clone().unalias() else {
            return None;
        };
        call.params.args.into_iter().next()
    });
    let names = aggregate.schema.iter();
    let columns = groups.chain(values).zip(names);
    let columns = columns
        .map(|(expr, (table, field))| Some(expr?.alias_qualified(table.cloned(), field.name())));
    columns.collect()
}

/// The same input over the last rows of its table, where it is nothing but a table, whole or some
/// partitions of it, and `asks` agrees.
fn of_last_rows(input: &LogicalPlan, asks: &dyn Fn(&TableSchema) -> bool) -> Option<LogicalPlan> {
    match input {
        LogicalPlan::TableScan(scan) if scan.fetch.is_none() => {
            let provider = source_as_provider(&scan.source).ok()?;
            let table = provider.downcast_ref::<StoredTable>()?;
            if !asks(table.table()) {
                return None;
            }
            let last = table.of_last_rows(&scan.filters)?;
            Some(LogicalPlan::TableScan(TableScan {
                source: Arc::new(DefaultTableSource::new(Arc::new(last))),
                ..scan.clone()
            }))
        }
        LogicalPlan::SubqueryAlias(alias) => {
            let inner = of_last_rows(&alias.input, asks)?;
            input.with_new_exprs(input.expressions(), vec![inner]).ok()
        }
        _ => None,
    }
}

/// What a group is, and which of its rows is the newest.
struct Question<'a> {
    table: &'a TableSchema,
    /// Columns that have one value in a group.
    groups: Vec<ColumnId>,
}

impl<'a> Question<'a> {
    /// `None` where a group is not made of whole partitions.
    fn new(table: &'a TableSchema, group_by: &[Expr]) -> Option<Self> {
        let time = table.clustering_key.first()?;
        if is_folded(table.column_by_id(time.id)?.data_type) {
            return None;
        }
        let groups = group_by.iter().map(|expr| column_of(table, expr));
        let groups = groups.collect::<Option<Vec<ColumnId>>>()?;
        let whole = groups.iter().all(|id| {
            let column = table.column_by_id(*id);
            table.partition_key.contains(id)
                && column.is_some_and(|column| !is_folded(column.data_type))
        });
        whole.then_some(Question { table, groups })
    }

    /// Whether a group is one partition.
    fn is_of_single_partitions(&self) -> bool {
        let mut key = self.table.partition_key.iter();
        key.all(|id| self.groups.contains(id))
    }

    /// Whether an aggregate depends on the newest row of each group alone.
    fn is(&self, expr: &Expr) -> bool {
        let Expr::AggregateFunction(AggregateFunction { func, params }) = expr.clone().unalias()
        else {
            return false;
        };
        if params.distinct
            || params.filter.is_some()
            || matches!(params.null_treatment, Some(NullTreatment::IgnoreNulls))
        {
            return false;
        }
        match func.name() {
            "last_value" => self.newest_is(&params.order_by, false),
            "first_value" => self.newest_is(&params.order_by, true),
            "max" => {
                let time = self.table.clustering_key.first();
                let asked = params
                    .args
                    .first()
                    .and_then(|arg| column_of(self.table, arg));
                asked.is_some() && asked == time.map(|time| time.id)
            }
            _ => false,
        }
    }

    /// Whether the newest row is the last one of this order, or the first one if `first`.
    fn newest_is(&self, order: &[Sort], first: bool) -> bool {
        // By the clustering key the newest row is the last one if its first column ascends.
        let newest_first = self
            .table
            .clustering_key
            .first()
            .is_some_and(|time| time.descending);
        let mut clustering = self.table.clustering_key.iter();
        let mut named = false;
        for sort in order {
            let Some(id) = column_of(self.table, &sort.expr) else {
                return false;
            };
            if self.groups.contains(&id) {
                continue;
            }
            let Some(key) = clustering.next().filter(|key| key.id == id) else {
                return false;
            };
            let folded = self
                .table
                .column_by_id(id)
                .is_none_or(|column| is_folded(column.data_type));
            let against = sort.asc == key.descending;
            // In key order, or against it: the newest row must be at the end that is asked for.
            if folded || (newest_first != against) != first {
                return false;
            }
            named = true;
        }
        named
    }
}

/// The table's column that an expression is, bare.
fn column_of(table: &TableSchema, expr: &Expr) -> Option<ColumnId> {
    let Expr::Column(column) = expr else {
        return None;
    };
    table.column(&column.name).map(|column| column.id)
}
