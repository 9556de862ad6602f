//! What one query may see and call: the rights of whoever asks, put over the node's tables, functions and models
//! before anything is planned. What may not be called is not there to be called, whatever a statement looks like;
//! a look at the parsed statement before that makes a sentence of it.

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::sync::Arc;

use activestore_store::Snapshot;
use activestore_types::{Error, Result, TableName};
use arrow::record_batch::RecordBatch;
use datafusion::catalog::{CatalogProviderList, MemoryCatalogProviderList};
use datafusion::sql::parser::Statement;
use datafusion::sql::sqlparser::ast::{Expr, ObjectName, TableFactor, Visit, Visitor};

use crate::information::INFORMATION_SCHEMA;
use crate::measure::Registered;
use crate::model::{Models, Predict};
use crate::pg_catalog::PG_CATALOG;
use crate::session::CATALOG;
use crate::tables::{Keyspaces, Tables};

/// The rights that a query runs with.
pub trait Access: Send + Sync {
    /// Whether a table, one of keyspace `system` included, may be read.
    ///
    /// # Errors
    /// `Denied`, naming the grant that is missing.
    fn may_read(&self, table: &TableName) -> Result<()>;
    /// Whether a keyspace may be known of.
    fn sees_keyspace(&self, keyspace: &str) -> bool;
    /// The rows of a table of keyspace `system` that may be seen, of those that [`Access::may_read`] lets in.
    ///
    /// # Errors
    /// When the rows cannot be told apart.
    fn system_rows(&self, table: &str, rows: RecordBatch) -> Result<RecordBatch>;
    /// Whether a function, an aggregate or a table function of a plugin may be called.
    ///
    /// # Errors
    /// As [`Access::may_read`].
    fn may_call(&self, function: &str) -> Result<()>;
    /// Whether a model may be asked.
    ///
    /// # Errors
    /// As [`Access::may_read`].
    fn may_predict(&self, model: &str) -> Result<()>;
}

/// Tables and models under somebody's rights.
pub(crate) struct Guarded<T: ?Sized> {
    pub(crate) inner: Arc<T>,
    pub(crate) access: Arc<dyn Access>,
}

impl Tables for Guarded<dyn Tables> {
    fn keyspaces(&self) -> Vec<String> {
        let mut keyspaces = self.inner.keyspaces();
        keyspaces.retain(|keyspace| self.access.sees_keyspace(keyspace));
        keyspaces
    }

    fn tables(&self, keyspace: &str) -> Vec<String> {
        let mut tables = self.inner.tables(keyspace);
        // Whoever lists them goes on to look at each.
        tables.retain(|table| {
            self.access
                .may_read(&TableName::new(keyspace, table))
                .is_ok()
        });
        tables
    }

    fn snapshot(&self, name: &TableName) -> Result<Option<Snapshot>> {
        self.access.may_read(name)?;
        self.inner.snapshot(name)
    }

    fn view(&self, name: &TableName) -> Option<String> {
        self.access.may_read(name).ok()?;
        self.inner.view(name)
    }

    fn system_table(&self, name: &str) -> Result<Option<RecordBatch>> {
        let full = TableName::new(activestore_catalog::SYSTEM_KEYSPACE, name);
        self.access.may_read(&full)?;
        let rows = self.inner.system_table(name)?;
        rows.map(|rows| self.access.system_rows(name, rows))
            .transpose()
    }

    fn system_tables(&self) -> Vec<String> {
        let mut tables = self.inner.system_tables();
        let system = activestore_catalog::SYSTEM_KEYSPACE;
        tables.retain(|table| self.access.may_read(&TableName::new(system, table)).is_ok());
        tables
    }

    fn now_ns(&self) -> i64 {
        self.inner.now_ns()
    }
}

impl Models for Guarded<dyn Models> {
    fn model(&self, name: &str, output: Option<&str>) -> Result<(usize, Predict)> {
        self.access.may_predict(name)?;
        self.inner.model(name, output)
    }
}

/// The tables that may be read.
pub(crate) fn guarded(tables: &Arc<dyn Tables>, access: &Arc<dyn Access>) -> Arc<dyn Tables> {
    Arc::new(Guarded {
        inner: tables.clone(),
        access: access.clone(),
    })
}

/// The catalog of one query: what is in it may be read, or says which grant is missing.
pub(crate) fn catalog(
    tables: &Arc<dyn Tables>,
    access: &Arc<dyn Access>,
) -> Arc<dyn CatalogProviderList> {
    let catalogs = MemoryCatalogProviderList::new();
    let guarded = guarded(tables, access);
    // Nothing is under this name in a list that is new.
    let _none = catalogs.register_catalog(CATALOG.to_owned(), Arc::new(Keyspaces(guarded)));
    Arc::new(catalogs)
}

/// Refuses a statement that calls what may not be called.
///
/// # Errors
/// As [`Access::may_call`].
pub(crate) fn check_calls(
    statement: &Statement,
    functions: &BTreeMap<String, Registered>,
    access: &dyn Access,
) -> Result<()> {
    let mut calls = Calls { functions, access };
    let mut statement = statement;
    loop {
        statement = match statement {
            Statement::Statement(statement) => {
                return match statement.visit(&mut calls) {
                    ControlFlow::Break(error) => Err(error),
                    ControlFlow::Continue(()) => Ok(()),
                };
            }
            Statement::Explain(explain) => explain.statement.as_ref(),
            _ => return Ok(()),
        };
    }
}

struct Calls<'a> {
    functions: &'a BTreeMap<String, Registered>,
    access: &'a dyn Access,
}

impl Calls<'_> {
    fn call(&self, name: &ObjectName) -> ControlFlow<Error> {
        let called = name.0.last().and_then(|part| part.as_ident());
        let called = called.map(|called| called.value.to_lowercase());
        let Some(called) = called.filter(|called| self.functions.contains_key(called)) else {
            return ControlFlow::Continue(());
        };
        match self.access.may_call(&called) {
            Ok(()) => ControlFlow::Continue(()),
            Err(error) => ControlFlow::Break(error),
        }
    }
}

impl Visitor for Calls<'_> {
    type Break = Error;

    /// A keyspace that may not be known of is not there for the planner: this says why.
    fn pre_visit_relation(&mut self, relation: &ObjectName) -> ControlFlow<Error> {
        let part = |place: usize| {
            let at = relation.0.len().checked_sub(place)?;
            let ident = relation.0.get(at)?.as_ident()?;
            Some(match ident.quote_style {
                Some(_) => ident.value.clone(),
                None => ident.value.to_lowercase(),
            })
        };
        let (Some(keyspace), Some(table)) = (part(2), part(1)) else {
            return ControlFlow::Continue(());
        };
        // Both list what may be seen.
        if keyspace == INFORMATION_SCHEMA || keyspace == PG_CATALOG {
            return ControlFlow::Continue(());
        }
        match self.access.may_read(&TableName::new(keyspace, table)) {
            Ok(()) => ControlFlow::Continue(()),
            Err(error) => ControlFlow::Break(error),
        }
    }

    fn pre_visit_expr(&mut self, expression: &Expr) -> ControlFlow<Error> {
        match expression {
            Expr::Function(function) => self.call(&function.name),
            _ => ControlFlow::Continue(()),
        }
    }

    fn pre_visit_table_factor(&mut self, factor: &TableFactor) -> ControlFlow<Error> {
        match factor {
            TableFactor::Table {
                name,
                args: Some(_),
                ..
            }
            | TableFactor::Function { name, .. } => self.call(name),
            _ => ControlFlow::Continue(()),
        }
    }
}
