//! Rows that a view leaves out: those whose keys are in its table of late rows.

use activestore_types::{Result, TableName};
use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::common::{Column, JoinType, Result as DataFusionResult, TableReference};
use datafusion::execution::SessionState;
use datafusion::logical_expr::{LogicalPlan, LogicalPlanBuilder};

use super::Within;
use crate::engine::Engine;
use crate::error::from_datafusion;
use crate::write::quote;

/// What the table of late rows is called in a plan.
const LATE: &str = "__late";

/// A table whose keys are left out.
#[derive(Clone, Debug)]
pub struct LeftOut {
    /// The table.
    pub table: TableName,
    /// The columns of the key.
    pub key: Vec<String>,
}

impl Engine {
    /// The keys of the part that are left out.
    pub(super) async fn left_out(
        &self,
        state: &SessionState,
        within: &Within,
    ) -> Result<Option<LogicalPlan>> {
        let Some(late) = &within.but else {
            return Ok(None);
        };
        let key: Vec<String> = late.key.iter().map(|name| quote(name)).collect();
        let sql = format!(
            "SELECT {} FROM {}.{}",
            key.join(", "),
            quote(&late.table.keyspace),
            quote(&late.table.table)
        );
        let plan = self
            .unbound(state, &sql, self.parsed(state, &sql)?, &[])
            .await?;
        let narrowed = plan.transform_up(|node| match node {
            LogicalPlan::TableScan(scan) => within.over(scan).map(Transformed::yes),
            other => Ok(Transformed::no(other)),
        });
        let narrowed = narrowed.map_err(from_datafusion)?.data;
        let named = LogicalPlanBuilder::from(narrowed)
            .alias(LATE)
            .and_then(LogicalPlanBuilder::build);
        named.map(Some).map_err(from_datafusion)
    }
}

impl LeftOut {
    /// The rows of a table without those, which are the fewer: the keys are held, and the rows go by in their order.
    pub(super) fn from(
        &self,
        rows: LogicalPlan,
        table: &TableReference,
        late: LogicalPlan,
    ) -> DataFusionResult<LogicalPlan> {
        let of = |relation: TableReference| {
            let key = self.key.iter();
            key.map(|name| Column::new(Some(relation.clone()), name))
                .collect::<Vec<_>>()
        };
        let key = (of(TableReference::bare(LATE)), of(table.clone()));
        LogicalPlanBuilder::from(late)
            .join(rows, JoinType::RightAnti, key, None)?
            .build()
    }
}
