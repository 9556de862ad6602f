//! The engine: SQL text to a running query. One state is shared by all; each query has a session of
//! its own with the node's clock in it, so that every `now()` of a statement is one moment.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use activestore_types::{Error, Result};
use datafusion::execution::SessionState;
use datafusion::logical_expr::LogicalPlan;
use datafusion::physical_plan::{ExecutionPlan, execute_stream};
use futures::{FutureExt, StreamExt, future, stream};
use parking_lot::RwLock;
use tokio::sync::Semaphore;

use crate::access::{Access, Guarded};
use crate::aggregate::GroupFunction;
use crate::allowance::{Time, timed};
use crate::error::{from_datafusion, panicked};
use crate::function::ColumnFunction;
use crate::kept::Texts;
use crate::measure::{Meters, Registered};
use crate::model::Models;
use crate::options::{Counters, EngineOptions, EngineStats};
use crate::params::Param;
use crate::parse::{Statement, parse};
use crate::rows::{Rows, StatsHandle};
use crate::session::{self, remove};
use crate::sessions::Sessions;
use crate::table_function::RowFunction;
use crate::tables::{Keyspaces, Tables};

/// Queries that run at once; one more is told to come back.
pub const MAX_CONCURRENT_QUERIES: usize = 64;

/// Plans and runs queries over [`Tables`]. Shared between threads; clones share everything but the rights.
#[derive(Clone)]
pub struct Engine {
    pub(crate) sessions: Arc<Sessions>,
    /// The plans of statements that came more than once.
    texts: Arc<Texts>,
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
            sessions: Arc::new(Sessions::new(state, &models)),
            texts: Arc::new(Texts::new(options.memory_bytes)),
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
        let held = self
            .sessions
            .look(|state| state.runtime_env().memory_pool.reserved());
        let running = MAX_CONCURRENT_QUERIES.saturating_sub(self.running.available_permits());
        let (plans_kept, plan_bytes) = self.texts.held();
        EngineStats {
            queries: self.counters.queries.load(Ordering::Relaxed),
            failed: self.counters.failed.load(Ordering::Relaxed),
            refused: self.counters.refused.load(Ordering::Relaxed),
            running: running as u64,
            memory_bytes: held as u64,
            planned: self.counters.planned.load(Ordering::Relaxed),
            plans_reused: self.counters.plans_reused.load(Ordering::Relaxed),
            plans_kept: plans_kept as u64,
            plan_bytes: plan_bytes as u64,
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
        let replaced = self.sessions.change(|state| {
            remove(state, name);
            function.register(state).map_err(from_datafusion)?;
            self.functions.write().insert(name.to_owned(), function);
            Ok(())
        });
        self.texts.clear();
        replaced
    }

    /// Takes a function or an aggregate away from queries to come; a name that is not registered is left
    /// alone.
    pub fn deregister(&self, name: &str) {
        if !self.builtin.contains(name) {
            self.sessions.change(|state| {
                remove(state, name);
                self.functions.write().remove(name);
            });
            self.texts.clear();
        }
    }

    /// Whether a text is one query that has a plan: it need not be parsed to know that.
    #[must_use]
    pub fn knows(&self, sql: &str) -> bool {
        self.texts.holds(sql)
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

    async fn start(&self, text: &str, params: &[Param]) -> Result<Rows> {
        // Who may not run it is told why by planning it.
        if let Some(kept) = self.texts.find(text).filter(|kept| self.may_run(kept)) {
            if let Some(rows) = self.run_kept(&kept, params).await? {
                return Ok(rows);
            }
            self.texts.forget(text);
        }
        self.counters.planned.fetch_add(1, Ordering::Relaxed);
        let mut statements = parse(text)?;
        let (sql, explains, analyzes) = match (statements.pop(), statements.is_empty()) {
            (Some(Statement::Query { sql }), true) => (sql, false, false),
            (Some(Statement::Explain { sql, analyze }), true) => (sql, true, analyze),
            (_, false) => {
                return Err(Error::invalid("a query is one statement")
                    .with_hint("send the statements one by one"));
            }
            _ => return Err(Error::invalid("the statement is not a query")),
        };
        let mut state = self.session()?;
        if !explains {
            // What is kept is what the whole text means.
            let keeps = sql == text && self.texts.comes_again(text);
            let planning = async {
                let plan = if keeps {
                    let (plan, kept) = self.plan_to_keep(&state, text, params).await?;
                    if let Some(kept) = kept {
                        self.texts.keep(text, kept);
                    }
                    plan
                } else {
                    self.plan(&state, text, params).await?
                };
                physical(&state, &plan).await
            };
            return self.launch(&state, planning, None).await;
        }
        let meters = if analyzes {
            let mut functions = self.functions.read().clone();
            if let Some(access) = &self.access {
                functions.retain(|name, _| access.may_call(name).is_ok());
            }
            let meters = Meters::on(state.own(), &functions, &self.models());
            Some(meters.map_err(from_datafusion)?)
        } else {
            None
        };
        let planning = async { physical(&state, &self.plan(&state, &sql, params).await?).await };
        self.launch(&state, planning, meters).await
    }

    /// Runs what is being planned.
    pub(crate) async fn launch(
        &self,
        state: &SessionState,
        planning: impl Future<Output = Result<Arc<dyn ExecutionPlan>>>,
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
        let planning = AssertUnwindSafe(planning).catch_unwind();
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
            stats: StatsHandle {
                plan: Some(plan),
                points: 0,
            },
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
    pub(crate) fn models(&self) -> Arc<dyn Models> {
        match &self.access {
            None => self.models.clone(),
            Some(access) => Arc::new(Guarded {
                inner: self.models.clone(),
                access: access.clone(),
            }),
        }
    }
}

/// The plan that runs.
pub(crate) async fn physical(
    state: &SessionState,
    plan: &LogicalPlan,
) -> Result<Arc<dyn ExecutionPlan>> {
    let planned = state.create_physical_plan(plan).await;
    planned.map_err(from_datafusion)
}

impl fmt::Debug for Engine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Engine")
    }
}
