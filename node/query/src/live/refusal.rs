//! Why a query cannot be asked of rows as they come, in the words of who asks.

use activestore_types::{Error, Result};
use datafusion::common::TableReference;
use datafusion::common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion::logical_expr::{Expr, LogicalPlan, Volatility};

use crate::error::from_datafusion;

/// Who asks a query of rows as they come, and hears in words of its own why one cannot be asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LiveFor {
    /// `SUBSCRIBE`.
    Subscription,
    /// `CREATE SINK`.
    Sink,
}

/// Refuses what cannot be asked of one row by itself.
pub(super) fn check(by: LiveFor, expr: &Expr) -> Result<()> {
    let mut wrong = None;
    expr.apply(|expr| {
        wrong = match expr {
            Expr::ScalarFunction(call)
                if call.func.signature().volatility == Volatility::Stable =>
            {
                Some(
                    Error::invalid(format!(
                        "{}() stays what it is for a whole statement, and a {} has no end",
                        call.func.name(),
                        match by {
                            LiveFor::Subscription => "subscription",
                            LiveFor::Sink => "sink",
                        }
                    ))
                    .with_hint("compare with a moment that you give, or leave the comparison to who reads the events"),
                )
            }
            Expr::AggregateFunction(_) => Some(beyond(by, "an aggregate")),
            Expr::WindowFunction(_) => Some(beyond(by, "a window function")),
            Expr::Exists(_) | Expr::InSubquery(_) | Expr::ScalarSubquery(_) => {
                Some(beyond(by, "a query inside of it"))
            }
            _ => return Ok(TreeNodeRecursion::Continue),
        };
        Ok(TreeNodeRecursion::Stop)
    })
    .map_err(from_datafusion)?;
    match wrong {
        None => Ok(()),
        Some(error) => Err(error),
    }
}

/// Why a query of which this is a part cannot be asked of one row by itself.
pub(super) fn refused(by: LiveFor, node: &LogicalPlan) -> Error {
    let what = match node {
        LogicalPlan::Aggregate(_) => "groups or aggregates",
        LogicalPlan::Join(_) => "a join",
        LogicalPlan::Sort(_) => "ORDER BY",
        LogicalPlan::Limit(_) => "LIMIT",
        LogicalPlan::Distinct(_) => "DISTINCT",
        LogicalPlan::Window(_) => "a window function",
        LogicalPlan::Union(_) => "UNION",
        LogicalPlan::Values(_) | LogicalPlan::EmptyRelation(_) => "no table",
        _ => "more than a table",
    };
    beyond(by, what)
}

fn beyond(by: LiveFor, what: &str) -> Error {
    let (tells, how) = match by {
        LiveFor::Subscription => (
            "SUBSCRIBE tells",
            "subscribe to columns, expressions and a WHERE over one table; materialized views keep groups by windows of time, as tables that can be subscribed to",
        ),
        LiveFor::Sink => (
            "a sink sends",
            "select columns, expressions and a WHERE over one table; materialized views keep groups by windows of time, as tables that can have sinks: CREATE MATERIALIZED VIEW first, then a sink over the view",
        ),
    };
    Error::invalid(format!(
        "{tells} the rows of one table as they are written, and this query has {what}"
    ))
    .with_hint(how)
}

/// Why a table that is made when it is asked for is none that rows are written to.
pub(super) fn not_stored(by: LiveFor, name: &TableReference) -> Error {
    Error::invalid(format!(
        "{name} is made when it is asked for: nothing is written to it that could be told"
    ))
    .with_hint(match by {
        LiveFor::Subscription => {
            "subscribe to a table of your own, and ask this one again and again"
        }
        LiveFor::Sink => {
            "a sink sends on what is written to a table of your own, or to a materialized view"
        }
    })
}
