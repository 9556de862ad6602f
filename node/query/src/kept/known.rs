//! What is known of a plan before it is kept: which tables it reads, and whether it means the same whenever it is run.

use std::collections::BTreeSet;
use std::sync::Arc;

use activestore_types::TableSchema;
use datafusion::common::Result as DataFusionResult;
use datafusion::common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion::datasource::source_as_provider;
use datafusion::logical_expr::{Expr, LogicalPlan, Volatility};

use crate::model;
use crate::provider::StoredTable;

/// What is known of a plan.
pub(super) struct Known {
    /// The tables that it reads, each once. An optimizer may find that it needs none of them: it is about them still.
    pub(super) tables: Vec<Arc<TableSchema>>,
    /// Whether no parameter and no call in it can mean another thing in the next run.
    pub(super) is_fixed: bool,
    /// Functions, aggregates and window functions that it calls.
    pub(super) calls: BTreeSet<String>,
    /// Whether it asks models, which are those of who had it planned.
    pub(super) asks_models: bool,
    /// Expressions and columns in it, of all its steps: what its size is in proportion to.
    pub(super) parts: usize,
}

impl Known {
    /// `None` where it reads what is not a stored table.
    pub(super) fn of(plan: &LogicalPlan) -> Option<Known> {
        let mut known = Known {
            tables: Vec::new(),
            is_fixed: true,
            calls: BTreeSet::new(),
            asks_models: false,
            parts: 0,
        };
        let mut stored = true;
        let looked = plan.apply_with_subqueries(|node| {
            known.parts += 1 + node.schema().fields().len();
            if let LogicalPlan::TableScan(scan) = node {
                let provider = source_as_provider(&scan.source)?;
                let Some(table) = provider.downcast_ref::<StoredTable>() else {
                    stored = false;
                    return Ok(TreeNodeRecursion::Stop);
                };
                let table = table.table();
                if !known.tables.contains(table) {
                    known.tables.push(table.clone());
                }
            }
            node.apply_expressions(|expression| known.expression(expression))
        });
        (looked.is_ok() && stored).then_some(known)
    }

    fn expression(&mut self, expression: &Expr) -> DataFusionResult<TreeNodeRecursion> {
        expression.apply(|expression| {
            self.parts += 1;
            let (name, volatility) = called(expression);
            self.is_fixed &= volatility == Volatility::Immutable;
            if let Some(name) = name {
                self.asks_models |= model::is_asked_by(name);
                if !self.calls.contains(name) {
                    self.calls.insert(name.to_owned());
                }
            }
            Ok(TreeNodeRecursion::Continue)
        })
    }
}

/// What an expression calls, and whether by itself, without those in it, it may give another value in the next run.
fn called(expression: &Expr) -> (Option<&str>, Volatility) {
    match expression {
        Expr::ScalarFunction(call) => (Some(call.name()), call.func.signature().volatility),
        Expr::HigherOrderFunction(call) => {
            (Some(call.func.name()), call.func.signature().volatility)
        }
        Expr::AggregateFunction(call) => (Some(call.func.name()), call.func.signature().volatility),
        Expr::WindowFunction(call) => (Some(call.fun.name()), call.fun.signature().volatility),
        // A parameter is given with each run; variables are those of a session.
        Expr::Placeholder(_) | Expr::ScalarVariable(..) => (None, Volatility::Volatile),
        _ => (None, Volatility::Immutable),
    }
}
