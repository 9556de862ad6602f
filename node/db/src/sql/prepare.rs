//! What a statement takes and gives, told before it runs.

use activestore_query::{Described, ParamTypes, Statement};
use activestore_types::Result;

use super::SqlOutcome;
use crate::db::Db;

impl Db {
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
            Statement::Query { sql } | Statement::Explain { sql, .. } => {
                engine.describe(sql, known).await
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
                })
            }
            _ => Ok(Described::nothing()),
        }
    }
}
