//! Statements that change something: by their text, or prepared and run with each row of values.

use std::sync::Arc;

use activestore_db::{Db, SqlOutcome};
use activestore_query::{Statement, parse};
use activestore_types::{Error, Result};
use bytes::Bytes;

use super::Flight;
use super::door::Caller;
use super::fault::Fault;
use super::params;
use super::prepared::Bound;
use super::put::Batches;
use super::statement::check_length;

impl Flight {
    /// Runs the statements of a text; how many rows they touched.
    pub(super) async fn update(self: &Arc<Self>, caller: Caller, sql: &str) -> Result<u64, Fault> {
        check_length(sql)?;
        let statements = parse(sql)?;
        if let Some(query) = statements.iter().find(|statement| is_query(statement)) {
            return Err(only_rows(query).into());
        }
        self.run(async move {
            let mut affected = 0_u64;
            for statement in statements {
                affected += count(caller.db.execute(statement, &[]).await?)?;
            }
            Ok(affected)
        })
        .await
    }

    /// Runs a prepared statement with the values that come along, or those that it was given before.
    pub(super) async fn update_prepared(
        self: &Arc<Self>,
        caller: Caller,
        handle: Bytes,
        mut batches: Batches,
    ) -> Result<u64, Fault> {
        let mut affected = 0;
        let mut any = false;
        while let Some(values) = batches.next().await? {
            // Some clients send an empty batch where there are no values.
            if values.num_columns() == 0 {
                continue;
            }
            any = true;
            let Bound { planned, .. } = self.prepared.get(&caller.owner, &handle)?;
            let db = caller.db.clone();
            affected += self
                .run(async move {
                    let bound = params::bound(&db, planned, &values).await?;
                    Ok(run_bound(&db, &bound).await?)
                })
                .await?;
        }
        if any {
            return Ok(affected);
        }
        let bound = self.prepared.get(&caller.owner, &handle)?;
        self.run(async move { Ok(run_bound(&caller.db, &bound).await?) })
            .await
    }
}

/// Runs a statement that gives no rows, once for each row of its values; how many rows it touched.
pub(super) async fn run_bound(db: &Db, bound: &Bound) -> Result<u64> {
    let planned = &bound.planned;
    if is_query(&planned.statement) {
        return Err(only_rows(&planned.statement));
    }
    let Some(values) = &bound.values else {
        let outcome = db.execute_prepared(&planned.statement, &planned.prepared, &[]);
        return count(outcome.await?);
    };
    let mut affected = 0;
    for row in 0..values.num_rows() {
        let params = params::of_row(values, row);
        let outcome = db
            .execute_prepared(&planned.statement, &planned.prepared, &params)
            .await;
        let done = outcome.and_then(count).map_err(|error| match row {
            0 => error,
            row => error.context(format!("after {row} runs that are done")),
        });
        affected += done?;
    }
    Ok(affected)
}

/// Rows that a statement touched.
pub(super) fn count(outcome: SqlOutcome) -> Result<u64> {
    match outcome {
        SqlOutcome::Done { affected, .. } => Ok(affected),
        SqlOutcome::Rows(_) => Err(Error::invalid(
            "the statement is done, and gave rows that this call does not take",
        )
        .with_hint("send it as a query")),
    }
}

fn is_query(statement: &Statement) -> bool {
    matches!(
        statement,
        Statement::Query { .. }
            | Statement::Explain { .. }
            | Statement::Show(_)
            | Statement::Describe { .. }
            | Statement::Subscribe(_)
    )
}

fn only_rows(statement: &Statement) -> Error {
    match statement {
        Statement::Subscribe(_) => {
            Error::invalid("SUBSCRIBE has no end, and a call answers one statement")
                .with_hint("GET /v1/subscribe?sql=… streams it")
        }
        _ => Error::invalid("the statement changes nothing: it gives rows")
            .with_hint("send it as a query"),
    }
}
