//! The sessions of a view in a part of its table: when each begins and when its last row was, without what the view
//! adds up of them.

use std::sync::Arc;

use activestore_types::{Error, Result};
use datafusion::execution::SessionState;
use datafusion::functions_aggregate::count::count;
use datafusion::functions_aggregate::min_max::max;
use datafusion::logical_expr::{Aggregate, Expr, LogicalPlan, LogicalPlanBuilder, lit};

use super::{ViewQuery, Within};
use crate::engine::{Engine, physical};
use crate::error::from_datafusion;
use crate::prepare::worked_out;
use crate::rows::Rows;
use crate::windows::call_of;

impl Engine {
    /// The sessions of a part of a view's table, as if it had no rows but those: the columns that groups are told apart by
    /// (anchors, then others), when the session begins, when its last row was, and how many rows it has.
    ///
    /// # Errors
    /// As [`Engine::query`].
    pub async fn sessions_within(
        &self,
        sql: &str,
        query: &ViewQuery,
        within: &Within,
    ) -> Result<Rows> {
        let state = self.session_within(within)?;
        let planning = async {
            let plan = self.plan_sessions(&state, sql, query, within).await?;
            physical(&state, &plan).await
        };
        self.launch(&state, planning, None).await
    }

    async fn plan_sessions(
        &self,
        state: &SessionState,
        sql: &str,
        query: &ViewQuery,
        within: &Within,
    ) -> Result<LogicalPlan> {
        let plan = self.narrowed(state, sql, within).await?;
        worked_out(ends(&plan, query)?, state)
    }
}

/// The groups of a view's plan with the ends of their sessions alone.
fn ends(plan: &LogicalPlan, query: &ViewQuery) -> Result<LogicalPlan> {
    let mut node = plan;
    let aggregate = loop {
        node = match node {
            LogicalPlan::Aggregate(aggregate) => break aggregate,
            LogicalPlan::Projection(projection) => projection.input.as_ref(),
            LogicalPlan::Filter(having) => having.input.as_ref(),
            _ => return Err(changed()),
        };
    };
    let is_session = |expr: &Expr| call_of(expr).is_some_and(|call| call.name() == "session");
    let window = aggregate.group_expr.iter().position(is_session);
    let window = window.ok_or_else(changed)?;
    let time = aggregate.group_expr.get(window).and_then(call_of);
    let time = time
        .and_then(|call| call.args.first())
        .ok_or_else(changed)?;
    // Those of the key first, as the view's query has them.
    let (mut anchors, mut others) = (Vec::new(), Vec::new());
    for (place, group) in aggregate.group_expr.iter().enumerate() {
        let column = match group {
            Expr::Column(column) => query.base.column(&column.name),
            _ => None,
        };
        match column.filter(|column| query.base.is_key(column.id)) {
            _ if place == window => {}
            Some(_) => anchors.push(place),
            None => others.push(place),
        }
    }
    let groups = aggregate.group_expr.len();
    let grouped = Aggregate::try_new(
        Arc::clone(&aggregate.input),
        aggregate.group_expr.clone(),
        vec![max(time.clone()), count(lit(1_i64))],
    )
    .map_err(from_datafusion)?;
    let columns = grouped.schema.columns();
    let order = anchors.into_iter().chain(others);
    let picks = order
        .chain([window, groups, groups + 1])
        .map(|place| columns.get(place).cloned().map(Expr::Column))
        .collect::<Option<Vec<Expr>>>()
        .ok_or_else(changed)?;
    LogicalPlanBuilder::from(LogicalPlan::Aggregate(grouped))
        .project(picks)
        .and_then(LogicalPlanBuilder::build)
        .map_err(from_datafusion)
}

fn changed() -> Error {
    Error::internal("the query of a view has no sessions any more")
}
