//! The engine: SQL text to a running query. One state is shared by all; each query takes a copy of
//! it with the node's clock in it, so that every `now()` of a statement is one moment.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use activestore_types::{Error, Result};
use chrono::DateTime;
use datafusion::execution::SessionState;
use datafusion::logical_expr::LogicalPlan;
use datafusion::logical_expr::registry::FunctionRegistry;
use datafusion::physical_plan::execute_stream;
use futures::{FutureExt, StreamExt, future, stream};
use parking_lot::RwLock;
use tokio::sync::Semaphore;

use crate::access::{self, Access, Guarded};
use crate::aggregate::GroupFunction;
use crate::allowance::{Time, timed};
use crate::error::{from_datafusion, panicked};
use crate::function::ColumnFunction;
use crate::measure::{Meters, Registered};
use crate::model::{self, Models};
use crate::options::{Counters, EngineOptions, EngineStats};
use crate::params::Param;
use crate::parse::{Statement, parse};
use crate::rows::{Rows, StatsHandle};
use crate::session::{self, remove};
use crate::table_function::RowFunction;
use crate::tables::{Keyspaces, Tables};

/// Queries that run at once; one more is told to come back.
pub const MAX_CONCURRENT_QUERIES: usize = 64;

/// Plans and runs queries over [`Tables`]. Shared between threads; clones share everything but the rights.
#[derive(Clone)]
pub struct Engine {
    state: Arc<RwLock<SessionState>>,
    /// What plugins registered, by name.
    pub(crate) functions: Arc<RwLock<BTreeMap<String, Registered>>>,
    models: Arc<dyn Models>,
    /// Names that a plugin's function must not take.
    builtin: Arc<BTreeSet<String>>,
    pub(crate) tables: Arc<dyn Tables>,
    running: Arc<Semaphore>,
    pub(crate) counters: Arc<Counters>,
    /// What one query may take: memory, and time.
    query_memory: Option<usize>,
    query_time: Option<Duration>,
    /// The rights that queries run with; `None` is all.
    pub(crate) access: Option<Arc<dyn Access>>,
    /// The role that asks, where one logged in.
    pub(crate) asker: Option<Arc<str>>,
}

impl Engine {
    /// An engine over these tables and models.
    ///
    /// # Errors
    /// `Internal` when DataFusion refuses its settings.
    pub fn new(
        options: EngineOptions,
        tables: Arc<dyn Tables>,
        models: Arc<dyn Models>,
    ) -> Result<Engine> {
        let catalog = Arc::new(Keyspaces(tables.clone()));
        let state = session::state(&options, catalog, &models)?;
        let builtin = state
            .scalar_functions()
            .keys()
            .chain(state.aggregate_functions().keys())
            .chain(state.window_functions().keys())
            .chain(state.table_functions().keys())
            .cloned()
            .collect();
        Ok(Engine {
            state: Arc::new(RwLock::new(state)),
            functions: Arc::default(),
            models,
            builtin: Arc::new(builtin),
            tables,
            running: Arc::new(Semaphore::new(MAX_CONCURRENT_QUERIES)),
            counters: Arc::default(),
            query_memory: options.query_memory_bytes,
            query_time: options.query_time,
            access: None,
            asker: None,
        })
    }

    /// The same engine for somebody with these rights.
    #[must_use]
    pub fn with_access(&self, access: Arc<dyn Access>) -> Engine {
        Engine {
            access: Some(access),
            ..self.clone()
        }
    }

    /// The same engine for a role that logged in, as `current_user` tells it.
    #[must_use]
    pub fn with_asker(mut self, asker: Option<Arc<str>>) -> Engine {
        self.asker = asker;
        self
    }

    /// What the engine did so far.
    pub fn stats(&self) -> EngineStats {
        let held = self.state.read().runtime_env().memory_pool.reserved();
        let running = MAX_CONCURRENT_QUERIES.saturating_sub(self.running.available_permits());
        EngineStats {
            queries: self.counters.queries.load(Ordering::Relaxed),
            failed: self.counters.failed.load(Ordering::Relaxed),
            refused: self.counters.refused.load(Ordering::Relaxed),
            running: running as u64,
            memory_bytes: held as u64,
        }
    }

    /// Adds a function, or replaces the registered function or aggregate of the same name, for queries
    /// to come.
    ///
    /// # Errors
    /// `Conflict` when SQL has a function of this name itself.
    pub fn register(&self, function: Arc<dyn ColumnFunction>) -> Result<()> {
        self.register_overloads(&[function])
    }

    /// As [`Engine::register`], functions of one name that differ in the types of their arguments, one
    /// at least: a query takes the one that its arguments come closest to.
    ///
    /// # Errors
    /// As [`Engine::register`].
    pub fn register_overloads(&self, functions: &[Arc<dyn ColumnFunction>]) -> Result<()> {
        let name = functions.first().map_or("", |function| function.name());
        self.replace(name, Registered::Scalar(functions.to_vec()))
    }

    /// Adds a table function, or replaces what is registered under its name, for queries to come.
    ///
    /// # Errors
    /// `Conflict` when SQL has a function of this name itself.
    pub fn register_table_function(&self, function: Arc<dyn RowFunction>) -> Result<()> {
        self.replace(function.name(), Registered::Table(function.clone()))
    }

    /// Adds an aggregate, or replaces the registered function or aggregate of the same name, for
    /// queries to come.
    ///
    /// # Errors
    /// `Conflict` when SQL has a function of this name itself.
    pub fn register_aggregate(&self, function: Arc<dyn GroupFunction>) -> Result<()> {
        self.replace(function.name(), Registered::Aggregate(function.clone()))
    }

    /// Whether a function of a plugin may have this name.
    ///
    /// # Errors
    /// `Conflict` when SQL has a function of this name itself.
    pub fn check_name(&self, name: &str) -> Result<()> {
        if self.builtin.contains(name) {
            return Err(
                Error::conflict(format!("SQL has a function '{name}' already")).with_hint(
                    "give the plugin's function another name and say WITH (function = '…')",
                ),
            );
        }
        Ok(())
    }

    fn replace(&self, name: &str, function: Registered) -> Result<()> {
        self.check_name(name)?;
        let mut state = self.state.write();
        remove(&mut state, name);
        function.register(&mut state).map_err(from_datafusion)?;
        self.functions.write().insert(name.to_owned(), function);
        Ok(())
    }

    /// Takes a function or an aggregate away from queries to come; a name that is not registered is left
    /// alone.
    pub fn deregister(&self, name: &str) {
        if !self.builtin.contains(name) {
            remove(&mut self.state.write(), name);
            self.functions.write().remove(name);
        }
    }

    /// Runs one `SELECT`, `WITH`, `VALUES`, `TABLE` or `EXPLAIN`; `params` fill `$1`, `$2`, ….
    /// The rows are computed while the stream is read.
    ///
    /// # Errors
    /// `Invalid` and `NotFound` for the statement, `Overloaded` when too many queries run or one
    /// needs more memory than there is; the stream ends with an error of the same kinds.
    pub async fn query(&self, sql: &str, params: &[Param]) -> Result<Rows> {
        self.counters.queries.fetch_add(1, Ordering::Relaxed);
        self.start(sql, params).await.inspect_err(|_| {
            self.counters.failed.fetch_add(1, Ordering::Relaxed);
        })
    }

    async fn start(&self, sql: &str, params: &[Param]) -> Result<Rows> {
        let mut statements = parse(sql)?;
        let (sql, analyzes) = match (statements.pop(), statements.is_empty()) {
            (Some(Statement::Query { sql }), true) => (sql, false),
            (Some(Statement::Explain { sql, analyze }), true) => (sql, analyze),
            (_, false) => {
                return Err(Error::invalid("a query is one statement")
                    .with_hint("send the statements one by one"));
            }
            _ => return Err(Error::invalid("the statement is not a query")),
        };
        let mut state = self.session()?;
        let meters = if analyzes {
            let mut functions = self.functions.read().clone();
            if let Some(access) = &self.access {
                functions.retain(|name, _| access.may_call(name).is_ok());
            }
            let meters = Meters::on(&mut state, &functions, &self.models());
            Some(meters.map_err(from_datafusion)?)
        } else {
            None
        };
        self.launch(&state, self.plan(&state, &sql, params), meters)
            .await
    }

    /// Runs what is being planned.
    pub(crate) async fn launch(
        &self,
        state: &SessionState,
        planning: impl Future<Output = Result<LogicalPlan>>,
        meters: Option<Meters>,
    ) -> Result<Rows> {
        let permit = self.running.clone().try_acquire_owned().map_err(|_| {
            self.counters.refused.fetch_add(1, Ordering::Relaxed);
            Error::new(
                activestore_types::ErrorKind::Overloaded,
                format!("{MAX_CONCURRENT_QUERIES} queries are running"),
            )
            .with_hint("try again when one of them has ended")
        })?;
        let planning = AssertUnwindSafe(async {
            let plan = planning.await?;
            state
                .create_physical_plan(&plan)
                .await
                .map_err(from_datafusion)
        })
        .catch_unwind();
        let mut time = self.query_time.map(Time::new);
        let planned = match &mut time {
            Some(time) => time.spend(planning).await?,
            None => planning.await,
        };
        let plan = planned.unwrap_or_else(|payload| Err(panicked(payload.as_ref())))?;
        let stream = execute_stream(plan.clone(), session::task(state, self.query_memory))
            .map_err(from_datafusion)?;
        let schema = stream.schema();
        let meters = meters.map(|meters| (meters, schema.clone()));
        let counters = self.counters.clone();
        let stream = AssertUnwindSafe(stream)
            .catch_unwind()
            .map(|item| match item {
                Ok(batch) => batch.map_err(from_datafusion),
                Err(payload) => Err(panicked(payload.as_ref())),
            });
        let stream = match time {
            Some(time) => timed(stream, time).boxed(),
            None => stream.boxed(),
        };
        let stream = stream.map(move |batch| {
            // The permit lives as long as the stream.
            let _held = &permit;
            batch.inspect_err(|_| {
                counters.failed.fetch_add(1, Ordering::Relaxed);
            })
        });
        // What plugins took is known once everything else was given.
        let plugins = stream::once(async move {
            let (meters, schema) = meters?;
            meters.row(&schema).map(Ok)
        });
        let stream = stream.chain(plugins.filter_map(future::ready));
        Ok(Rows {
            schema,
            stream: Box::pin(stream),
            stats: StatsHandle { plan: Some(plan) },
        })
    }

    /// The optimised logical plan of a query, its parameters bound.
    pub(crate) async fn optimized(&self, sql: &str, params: &[Param]) -> Result<LogicalPlan> {
        let state = self.session()?;
        let planned = AssertUnwindSafe(async {
            let plan = self.plan(&state, sql, params).await?;
            state.optimize(&plan).map_err(from_datafusion)
        })
        .catch_unwind()
        .await;
        planned.unwrap_or_else(|payload| Err(panicked(payload.as_ref())))
    }

    /// The models that a query may name.
    fn models(&self) -> Arc<dyn Models> {
        match &self.access {
            None => self.models.clone(),
            Some(access) => Arc::new(Guarded {
                inner: self.models.clone(),
                access: access.clone(),
            }),
        }
    }

    /// The shared state with the node's clock in it, and nothing in it that may not be used.
    pub(crate) fn session(&self) -> Result<SessionState> {
        let (mut state, denied) = {
            let state = self.state.read();
            let denied: Vec<String> = match &self.access {
                None => Vec::new(),
                Some(access) => {
                    let functions = self.functions.read();
                    let names = functions.keys();
                    names
                        .filter(|name| access.may_call(name).is_err())
                        .cloned()
                        .collect()
                }
            };
            // Both are of one moment, so that no function slips in between.
            (state.clone(), denied)
        };
        state.mark_start_execution();
        let now = DateTime::from_timestamp_nanos(self.tables.now_ns());
        state.execution_props_mut().query_execution_start_time = Some(now);
        if let Some(access) = &self.access {
            state.register_catalog_list(access::catalog(&self.tables, access));
            for udf in model::udfs(&self.models()) {
                state.register_udf(Arc::new(udf)).map_err(from_datafusion)?;
            }
            for name in &denied {
                remove(&mut state, name);
            }
        }
        Ok(state)
    }
}

impl fmt::Debug for Engine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Engine")
    }
}
