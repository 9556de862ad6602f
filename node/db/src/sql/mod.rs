//! Statements: parsed, then handed to the part that runs them. Queries go to the engine, rows to the
//! write path, definitions to the catalog.

mod copy;
mod definitions;
mod describe;
mod partition;
mod prepare;
mod roles;
mod rows;
mod sharing;
mod together;

use std::sync::atomic::Ordering;

use activestore_query::{Existing, Param, Rows, Statement, parse};
use activestore_types::{Error, ErrorKind, Result};
use serde_json::Value;
use tracing::Instrument;

use crate::db::Db;

pub use prepare::Prepared;

/// What a statement answers.
pub enum SqlOutcome {
    /// Rows, as a stream.
    Rows(Rows),
    /// A change: what was done, in PostgreSQL's words, and how many rows it touched.
    Done {
        /// `INSERT 3`, `CREATE TABLE`.
        tag: String,
        /// Rows written or erased; 0 for definitions.
        affected: u64,
    },
}

impl SqlOutcome {
    pub(crate) fn definition(tag: impl Into<String>) -> Self {
        SqlOutcome::Done {
            tag: tag.into(),
            affected: 0,
        }
    }

    pub(crate) fn counted(verb: &str, affected: u64) -> Self {
        SqlOutcome::Done {
            tag: format!("{verb} {affected}"),
            affected,
        }
    }
}

impl Db {
    /// Runs the statements of a text in order and answers each. `$1` stands for the first parameter.
    /// Statements are durable one by one; the first that fails ends the run.
    ///
    /// # Errors
    /// `Invalid` with line and column for what does not parse; `Denied` for lack of a grant; what the statement meets
    /// otherwise.
    pub async fn sql(&self, sql: &str, params: &[Value]) -> Result<Vec<SqlOutcome>> {
        let statements = self.parse(sql)?;
        let params = Param::all(params);
        let mut outcomes = Vec::with_capacity(statements.len());
        for statement in statements {
            outcomes.push(self.execute(statement, &params).await?);
        }
        Ok(outcomes)
    }

    /// Reads the statements of a text.
    ///
    /// # Errors
    /// `Invalid` with line and column for what does not parse.
    pub fn parse(&self, sql: &str) -> Result<Vec<Statement>> {
        if let Some(known) = self.known(sql) {
            return Ok(vec![known]);
        }
        parse(sql).inspect_err(|_| {
            let failed = &self.inner.counts.statements_failed;
            failed.fetch_add(1, Ordering::Relaxed);
        })
    }

    /// What a text says, where that is one query whose plan is kept: it is not parsed for that.
    #[must_use]
    pub fn known(&self, sql: &str) -> Option<Statement> {
        let end = |end: char| end == ';' || end.is_ascii_whitespace();
        let sql = sql.trim_ascii_start().trim_end_matches(end);
        let known = self.inner.engine.knows(sql);
        known.then(|| Statement::Query {
            sql: sql.to_owned(),
        })
    }

    /// Runs one statement that [`Db::parse`] read.
    ///
    /// # Errors
    /// As [`Db::sql`].
    pub async fn execute(&self, statement: Statement, params: &[Param]) -> Result<SqlOutcome> {
        let counts = &self.inner.counts;
        counts.statements.fetch_add(1, Ordering::Relaxed);
        let watch = self.watch(&statement);
        // In a box: a future of all that a statement can be takes much of a stack.
        let run = |statement| Box::pin(self.run(statement, params)).instrument(watch.span.clone());
        let done = match self.checked(|rights| rights.check(&statement)) {
            Ok(()) => run(statement).await.inspect_err(|error| {
                // What a query may not name is found as it is planned.
                if error.kind() == ErrorKind::Denied {
                    self.inner
                        .logins
                        .counts
                        .denied
                        .fetch_add(1, Ordering::Relaxed);
                }
            }),
            Err(error) => Err(error),
        };
        let outcome = done.map_err(|error| self.rights().told(error));
        watch.ran(outcome).inspect_err(|_| {
            counts.statements_failed.fetch_add(1, Ordering::Relaxed);
        })
    }

    async fn run(&self, statement: Statement, params: &[Param]) -> Result<SqlOutcome> {
        match statement {
            Statement::Query { sql } | Statement::Explain { sql, .. } => {
                Ok(SqlOutcome::Rows(self.engine().query(&sql, params).await?))
            }
            Statement::Subscribe(_) => Err(Error::invalid(
                "SUBSCRIBE has no end, and this answers one statement",
            )
            .with_hint(
                "GET /v1/subscribe?sql=… streams it, and so does: activestore sql -c 'SUBSCRIBE …'",
            )),
            Statement::Insert(insert) if insert.existing == Existing::Merge => {
                self.insert(insert, params).await
            }
            Statement::Update(update) if update.condition.is_none() => {
                self.update(update, params).await
            }
            Statement::Delete(delete) if delete.condition.is_none() => {
                self.delete(delete, params).await
            }
            Statement::Insert(_) => self.one("INSERT", statement, params).await,
            Statement::Update(_) => self.one("UPDATE", statement, params).await,
            Statement::Delete(_) => self.one("DELETE", statement, params).await,
            Statement::Batch(statements) => {
                let affected = self.together(statements, params).await?;
                Ok(SqlOutcome::counted("BATCH", affected))
            }
            Statement::Compact { table } => self.compact(&table).await,
            Statement::Partition(statement) => self.partition(statement, params).await,
            Statement::Change { change, tag } => self.define(change, tag).await,
            Statement::Role(statement) => self.roles(statement).await,
            Statement::CreateView(view) => self.create_view(view).await,
            Statement::CreateSink(sink) => self.create_sink(sink).await,
            Statement::RefreshView { name } => self.refresh_view(&name).await,
            Statement::CreateModel(model) => self.create_model(model).await,
            Statement::Redefine(statement) => self.redefine(statement).await,
            Statement::Show(show) => self.show(&show).await,
            Statement::Copy(copy) => self.copy(copy, params).await,
            Statement::Describe { name } => self.describe(&name).await,
        }
    }
}
