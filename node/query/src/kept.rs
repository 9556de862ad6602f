//! Plans that are kept from one run of a statement to the next: the tables in them are names, which each run reads as
//! they are then. A plan that always means the same is kept as the optimizer leaves it, and a query that names whole
//! keys is not planned at all.

mod known;
mod point;
mod texts;

use std::collections::BTreeMap;
use std::fmt;
use std::sync::atomic::Ordering;
use std::sync::{Arc, OnceLock};

use activestore_store::Snapshot;
use activestore_types::{Error, Result, TableName, TableSchema};
use arrow::datatypes::SchemaRef;
use async_trait::async_trait;
use datafusion::catalog::{self, TableProvider};
use datafusion::common::tree_node::Transformed;
use datafusion::common::{Result as DataFusionResult, internal_err};
use datafusion::datasource::{DefaultTableSource, source_as_provider};
use datafusion::execution::SessionState;
use datafusion::logical_expr::{Expr, LogicalPlan, TableScan, TableType};
use datafusion::physical_plan::ExecutionPlan;

use crate::access;
use crate::engine::Engine;
use crate::error::{from_datafusion, to_datafusion};
use crate::params::{MAX_PARAMS, Param, bind};
use crate::pg_catalog;
use crate::prepare::worked_out;
use crate::provider::StoredTable;
use crate::rows::Rows;
use crate::sessions::Session;
use crate::tables::Tables;
use known::Known;
use point::Point;
pub(crate) use texts::Texts;

/// A plan without the data that it is about.
#[derive(Clone)]
pub struct KeptPlan(Arc<Kept>);

impl KeptPlan {
    /// Whether it reads one row by its whole key and computes nothing: that takes some microseconds.
    #[must_use]
    pub fn reads_one_row(&self) -> bool {
        self.0.point.as_ref().is_some_and(|point| point.one_key)
    }
}

struct Kept {
    plan: LogicalPlan,
    point: Option<Point>,
    known: Known,
    /// The functions that were there: see [`crate::sessions::Sessions::generation`].
    generation: u64,
    /// As the optimizer left it, from its first run on; only where that is the same for each run.
    optimized: OnceLock<Optimized>,
}

struct Optimized {
    plan: LogicalPlan,
    point: Option<Point>,
}

impl fmt::Debug for KeptPlan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("KeptPlan")
    }
}

/// A table by its name.
#[derive(Debug)]
struct Named {
    table: Arc<TableSchema>,
    /// Of each partition only its last row is wanted.
    last_rows: bool,
}

#[async_trait]
impl TableProvider for Named {
    fn schema(&self) -> SchemaRef {
        self.table.arrow()
    }

    fn table_type(&self) -> TableType {
        TableType::Base
    }

    async fn scan(
        &self,
        _state: &dyn catalog::Session,
        _projection: Option<&Vec<usize>>,
        _filters: &[Expr],
        _limit: Option<usize>,
    ) -> DataFusionResult<Arc<dyn ExecutionPlan>> {
        internal_err!("a kept plan is run without its tables")
    }
}

/// A plan of stored tables with their names in their place.
fn emptied(plan: LogicalPlan) -> DataFusionResult<LogicalPlan> {
    let emptied = plan.transform_up_with_subqueries(|node| {
        let LogicalPlan::TableScan(scan) = node else {
            return Ok(Transformed::no(node));
        };
        let provider = source_as_provider(&scan.source)?;
        let Some(stored) = provider.downcast_ref::<StoredTable>() else {
            return internal_err!("a plan to be kept reads what is not stored");
        };
        let named = Named {
            table: stored.table().clone(),
            last_rows: stored.is_of_last_rows(),
        };
        Ok(Transformed::yes(over(scan, Arc::new(named))))
    });
    Ok(emptied?.data)
}

fn over(scan: TableScan, provider: Arc<dyn TableProvider>) -> LogicalPlan {
    LogicalPlan::TableScan(TableScan {
        source: Arc::new(DefaultTableSource::new(provider)),
        ..scan
    })
}

/// The table of a scan in a kept plan, as `look` sees it.
fn named<T>(scan: &TableScan, look: impl FnOnce(&Named) -> T) -> Option<T> {
    let provider = source_as_provider(&scan.source).ok()?;
    provider.downcast_ref::<Named>().map(look)
}

/// The tables of one run as they are at its moment: one statement sees a table at one moment, however often it names it.
struct Moment {
    now_ms: u64,
    tables: BTreeMap<TableName, Snapshot>,
}

impl Moment {
    /// `None` where a table is not what it was, or is no more.
    fn of(kept: &Kept, tables: &dyn Tables) -> Result<Option<Moment>> {
        let mut found = BTreeMap::new();
        for table in &kept.known.tables {
            let snapshot = tables.snapshot(&table.name)?;
            let Some(snapshot) = snapshot.filter(|now| now.schema() == table) else {
                return Ok(None);
            };
            found.insert(table.name.clone(), snapshot);
        }
        Ok(Some(Moment {
            now_ms: u64::try_from(tables.now_ns() / 1_000_000).unwrap_or(0),
            tables: found,
        }))
    }

    /// The plan over its tables.
    fn filled(&self, plan: &LogicalPlan) -> Result<LogicalPlan> {
        let mut stored: BTreeMap<(&TableName, bool), Arc<StoredTable>> = BTreeMap::new();
        let filled = plan.clone().transform_up_with_subqueries(|node| {
            let LogicalPlan::TableScan(scan) = node else {
                return Ok(Transformed::no(node));
            };
            let wanted = named(&scan, |named| (named.table.name.clone(), named.last_rows));
            let found = wanted.and_then(|(name, last_rows)| {
                let (name, snapshot) = self.tables.get_key_value(&name)?;
                Some((name, snapshot, last_rows))
            });
            let Some((name, snapshot, last_rows)) = found else {
                let unknown = Error::internal("a kept plan with a table of its own");
                return Err(to_datafusion(unknown));
            };
            let table = stored.entry((name, last_rows)).or_insert_with(|| {
                let table = StoredTable::new(snapshot.clone(), self.now_ms);
                Arc::new(if last_rows {
                    table.by_last_rows()
                } else {
                    table
                })
            });
            Ok(Transformed::yes(over(scan, table.clone())))
        });
        Ok(filled.map_err(from_datafusion)?.data)
    }
}

impl Kept {
    /// The plan that the physical planner takes, over tables of this moment.
    fn optimized(
        &self,
        moment: &Moment,
        params: &[Param],
        state: &SessionState,
    ) -> Result<LogicalPlan> {
        if let Some(optimized) = self.optimized.get() {
            return moment.filled(&optimized.plan);
        }
        let plan = worked_out(bind(moment.filled(&self.plan)?, params)?, state)?;
        let plan = state.optimize(&plan).map_err(from_datafusion)?;
        if self.known.is_fixed
            && let Ok(emptied) = emptied(plan.clone())
        {
            // A table that the optimizer found not to be needed has to be there still.
            let is_alone = self.known.tables.len() == 1;
            let point = is_alone.then(|| Point::of(&emptied)).flatten();
            // Another run may have been faster, with the same.
            let _kept = self.optimized.set(Optimized {
                plan: emptied,
                point,
            });
        }
        Ok(plan)
    }
}

impl Engine {
    /// Keeps a plan with its placeholders, which was made in this session; `None` where it reads what is not a stored
    /// table.
    pub(crate) fn kept(&self, plan: &LogicalPlan, session: &Session) -> Option<KeptPlan> {
        let mut known = Known::of(plan)?;
        let plan = emptied(plan.clone()).ok()?;
        let plugins = self.functions.read();
        known.calls.retain(|name| plugins.contains_key(name));
        Some(KeptPlan(Arc::new(Kept {
            point: Point::of(&plan),
            plan,
            known,
            generation: session.generation(),
            optimized: OnceLock::new(),
        })))
    }

    /// The plan of a query, its parameters bound, and what can be kept of it for the next run.
    pub(crate) async fn plan_to_keep(
        &self,
        state: &Session,
        sql: &str,
        params: &[Param],
    ) -> Result<(LogicalPlan, Option<KeptPlan>)> {
        let parsed = self.parsed(state, sql)?;
        let plan = self.unbound(state, sql, parsed, params).await?;
        // What PostgreSQL's catalog shows, and the functions about it, are of who asks.
        let kept = if pg_catalog::mentions(sql) {
            None
        } else {
            self.kept(&plan, state)
        };
        Ok((worked_out(bind(plan, params)?, state)?, kept))
    }

    /// Runs a plan that was kept; `None` where a table or a function of it is not what it was, so that it has to be
    /// planned anew.
    ///
    /// # Errors
    /// As [`Engine::query`].
    pub async fn query_kept(&self, kept: &KeptPlan, params: &[Param]) -> Result<Option<Rows>> {
        if !self.may_run(kept) {
            return Ok(None);
        }
        if let Some(point) = &kept.0.point
            && let Some(rows) = point.read(self.readable().as_ref(), params)?
        {
            self.counters.queries.fetch_add(1, Ordering::Relaxed);
            self.counters.plans_reused.fetch_add(1, Ordering::Relaxed);
            return Ok(Some(rows));
        }
        let ran = self.run_kept(kept, params).await;
        if !matches!(ran, Ok(None)) {
            self.counters.queries.fetch_add(1, Ordering::Relaxed);
        }
        ran.inspect_err(|_| {
            self.counters.failed.fetch_add(1, Ordering::Relaxed);
        })
    }

    /// Whether functions are those that a plan was made with, and who asks may read its tables and call what it calls.
    pub(crate) fn may_run(&self, KeptPlan(kept): &KeptPlan) -> bool {
        let may = |access: &Arc<dyn access::Access>| {
            let Known { tables, calls, .. } = &kept.known;
            tables
                .iter()
                .all(|table| access.may_read(&table.name).is_ok())
                && calls.iter().all(|name| access.may_call(name).is_ok())
        };
        kept.generation == self.sessions.generation() && self.access.as_ref().is_none_or(may)
    }

    /// Runs a kept plan that may be run; `None` where a table of it is not what it was.
    pub(crate) async fn run_kept(
        &self,
        KeptPlan(kept): &KeptPlan,
        params: &[Param],
    ) -> Result<Option<Rows>> {
        if params.len() > MAX_PARAMS {
            return Ok(None);
        }
        let tables = self.readable();
        let point = kept.optimized.get().and_then(|ready| ready.point.as_ref());
        if let Some(point) = point
            && let Some(rows) = point.read(tables.as_ref(), params)?
        {
            self.counters.plans_reused.fetch_add(1, Ordering::Relaxed);
            return Ok(Some(rows));
        }
        let Some(moment) = Moment::of(kept, tables.as_ref())? else {
            return Ok(None);
        };
        self.counters.plans_reused.fetch_add(1, Ordering::Relaxed);
        let state = self.session()?;
        let planning = async {
            let plan = kept.optimized(&moment, params, &state)?;
            let planner = state.query_planner();
            let planned = planner.create_physical_plan(&plan, &*state).await;
            planned.map_err(from_datafusion)
        };
        self.launch(&state, planning, None).await.map(Some)
    }

    /// The tables that who asks may read.
    fn readable(&self) -> Arc<dyn Tables> {
        match &self.access {
            Some(access) => access::guarded(&self.tables, access),
            None => self.tables.clone(),
        }
    }
}
