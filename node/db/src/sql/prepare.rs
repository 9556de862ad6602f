//! What a statement takes and gives, told before it runs.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use activestore_catalog::CatalogState;
use activestore_query::{Described, Existing, KeptPlan, Param, ParamTypes, Statement, Subscribe};
use activestore_types::Result;
use tracing::Instrument;

use super::SqlOutcome;
use crate::db::Db;

/// A statement that is known before it runs.
#[derive(Debug)]
pub struct Prepared {
    /// What it takes and gives.
    pub described: Described,
    /// The definitions that it was planned under.
    state: Arc<CatalogState>,
}

impl Db {
    /// Plans a statement, under the rights of who asks. Nothing is run.
    ///
    /// # Errors
    /// As [`Db::describe_statement`].
    pub async fn prepare(&self, statement: &Statement, known: &ParamTypes) -> Result<Prepared> {
        let state = self.inner.catalog.state();
        let described = self.describe_statement(statement, known).await?;
        Ok(Prepared { described, state })
    }

    /// Runs a statement that was prepared by the same principal; by its plan, where definitions are what they were.
    ///
    /// # Errors
    /// As [`Db::execute`].
    pub async fn execute_prepared(
        &self,
        statement: &Statement,
        prepared: &Prepared,
        params: &[Param],
    ) -> Result<SqlOutcome> {
        let state = self.inner.catalog.state();
        if !Arc::ptr_eq(&prepared.state, &state) || self.rights().check(statement).is_err() {
            return self.execute(statement.clone(), params).await;
        }
        let watch = self.watch(statement);
        let running = self.by_plan(statement, prepared, params);
        let outcome = running.instrument(watch.span.clone()).await;
        let counts = &self.inner.counts;
        match outcome {
            Ok(Some(outcome)) => {
                counts.statements.fetch_add(1, Ordering::Relaxed);
                watch.ran(Ok(outcome))
            }
            Ok(None) => {
                drop(watch);
                self.execute(statement.clone(), params).await
            }
            Err(error) => {
                counts.statements.fetch_add(1, Ordering::Relaxed);
                counts.statements_failed.fetch_add(1, Ordering::Relaxed);
                watch.ran(Err(self.rights().told(error)))
            }
        }
    }

    /// Whether a statement that was prepared by the same principal reads one row by its key, without a plan: it takes
    /// microseconds, and is not worth a thread of its own.
    #[must_use]
    pub fn reads_one_row(
        &self,
        statement: &Statement,
        prepared: &Prepared,
        params: &[Param],
    ) -> bool {
        let kept = prepared.described.kept.as_ref();
        matches!(statement, Statement::Query { .. })
            && kept.is_some_and(KeptPlan::reads_one_row)
            && params.iter().all(|param| !param.is_null())
            && Arc::ptr_eq(&prepared.state, &self.inner.catalog.state())
    }

    /// Runs a statement without planning it anew; `None` where that cannot be.
    async fn by_plan(
        &self,
        statement: &Statement,
        prepared: &Prepared,
        params: &[Param],
    ) -> Result<Option<SqlOutcome>> {
        let described = &prepared.described;
        match (statement, &described.kept, &described.direct) {
            (Statement::Query { .. }, Some(kept), _) => {
                let rows = self.engine().query_kept(kept, params).await?;
                Ok(rows.map(SqlOutcome::Rows))
            }
            (Statement::Insert(insert), _, Some(direct)) if insert.existing == Existing::Merge => {
                let schema = prepared.state.table(&insert.table)?;
                let Some(rows) = direct.rows(schema, params)? else {
                    return Ok(None);
                };
                let written = self.store(&insert.table, rows, insert.ttl_s).await?;
                Ok(Some(SqlOutcome::counted("INSERT", written)))
            }
            _ => Ok(None),
        }
    }

    /// The parameters and the columns of a statement, under the rights of who asks. Nothing is run.
    ///
    /// # Errors
    /// As [`Db::execute`], where a statement cannot be planned.
    pub async fn describe_statement(
        &self,
        statement: &Statement,
        known: &ParamTypes,
    ) -> Result<Described> {
        let described = match self.checked(|rights| rights.check(statement)) {
            Ok(()) => self.described(statement, known).await,
            Err(error) => Err(error),
        };
        described.map_err(|error| self.rights().told(error))
    }

    async fn described(&self, statement: &Statement, known: &ParamTypes) -> Result<Described> {
        let engine = self.engine();
        let table = |name| self.inner.catalog.state().table(name).cloned();
        match statement {
            Statement::Query { sql } => engine.describe(sql, known).await,
            Statement::Explain { sql, .. } | Statement::Subscribe(Subscribe { sql, .. }) => {
                let described = engine.describe(sql, known).await?;
                Ok(Described {
                    kept: None,
                    ..described
                })
            }
            Statement::Insert(insert) => {
                let schema = table(&insert.table)?;
                engine.describe_insert(&schema, insert, known).await
            }
            Statement::Update(update) => {
                let schema = table(&update.table)?;
                engine.describe_update(&schema, update, known).await
            }
            Statement::Delete(delete) => {
                let schema = table(&delete.table)?;
                engine.describe_delete(&schema, delete, known).await
            }
            Statement::Batch(statements) => {
                let mut all = Described::nothing();
                for statement in statements {
                    let one = Box::pin(self.described(statement, known)).await?;
                    all = all.with(&one);
                }
                Ok(all)
            }
            // Their queries are planned here; their rows are only computed when somebody reads them.
            Statement::Show(_) | Statement::Describe { .. } => {
                let outcome = self.run(statement.clone(), &[]).await?;
                Ok(Described {
                    params: Vec::new(),
                    columns: match outcome {
                        SqlOutcome::Rows(rows) => Some(rows.schema),
                        SqlOutcome::Done { .. } => None,
                    },
                    kept: None,
                    direct: None,
                })
            }
            _ => Ok(Described::nothing()),
        }
    }
}
