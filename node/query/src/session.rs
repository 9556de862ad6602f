//! How DataFusion is set up: its words for names and types, its memory, and what it must not do.

use std::collections::HashMap;
use std::sync::Arc;

use activestore_types::{Error, Result};
use datafusion::catalog::{CatalogProvider, CatalogProviderList, MemoryCatalogProviderList};
use datafusion::common::config::{ConfigNonZeroUsize, Dialect};
use datafusion::execution::disk_manager::{DiskManagerBuilder, DiskManagerMode};
use datafusion::execution::memory_pool::GreedyMemoryPool;
use datafusion::execution::registry::FunctionRegistry;
use datafusion::execution::runtime_env::RuntimeEnvBuilder;
use datafusion::execution::session_state::SessionStateBuilder;
use datafusion::execution::{SessionState, TaskContext};
use datafusion::prelude::SessionConfig;

use crate::ahead::AskAhead;
use crate::allowance::Share;
use crate::error::from_datafusion;
use crate::last::LastRows;
use crate::latest::LatestGroups;
use crate::model::Models;
use crate::options::EngineOptions;
use crate::parse::MAX_RECURSION;
use crate::runs::RunAggregates;
use crate::together::Together;
use crate::yielding::Yielding;
use crate::{bucket, extremes, gapfill, growth, interval, json, model, series, tumble, windows};

/// The one catalog; keyspaces are its schemas.
pub(crate) const CATALOG: &str = "activestore";
/// Rows a batch; what the store's scans put out at most.
const BATCH_ROWS: usize = 8192;

/// The state that every query starts from.
///
/// # Errors
/// `Internal` when DataFusion refuses its own settings.
pub(crate) fn state(
    options: &EngineOptions,
    catalog: Arc<dyn CatalogProvider>,
    models: &Arc<dyn Models>,
) -> Result<SessionState> {
    let mut config = SessionConfig::new()
        .with_target_partitions(options.partitions.max(1))
        .with_batch_size(BATCH_ROWS)
        // It is a keyspace of ours.
        .with_information_schema(false)
        .with_create_default_catalog_and_schema(false)
        .with_default_catalog_and_schema(CATALOG, activestore_catalog::DEFAULT_KEYSPACE);
    let settings = config.options_mut();
    settings.sql_parser.dialect = Dialect::PostgreSQL;
    settings.sql_parser.recursion_limit =
        ConfigNonZeroUsize::try_new(MAX_RECURSION).map_err(from_datafusion)?;
    // Text is Utf8 everywhere in the program; casts in SQL must not make another kind of it.
    settings.sql_parser.map_string_types_to_utf8view = false;
    // now() has the type of our TIMESTAMP columns: nanoseconds, UTC, no zone attached.
    settings.execution.time_zone = None;
    // Scans split themselves where that pays; dealing rows out again costs more and loses their order.
    settings.optimizer.enable_round_robin_repartition = false;
    // Aggregates want no less for each column that they have no bound of yet, which DataFusion forgets: `max(a), max(b)`
    // would lose rows in which only b is the greatest. What joins want is not looked at either.
    settings.optimizer.enable_aggregate_dynamic_filter_pushdown = false;
    settings.optimizer.enable_join_dynamic_filter_pushdown = false;
    // A sort must fit a small node's budget, and there is nothing to spill to.
    settings.execution.sort_spill_reservation_bytes = (options.memory_bytes / 64).min(1 << 20);
    let runtime = RuntimeEnvBuilder::new()
        .with_memory_pool(Arc::new(GreedyMemoryPool::new(options.memory_bytes)))
        .with_disk_manager_builder(
            DiskManagerBuilder::default().with_mode(DiskManagerMode::Disabled),
        )
        .build_arc()
        .map_err(from_datafusion)?;
    let catalogs = MemoryCatalogProviderList::new();
    if catalogs
        .register_catalog(CATALOG.to_owned(), catalog)
        .is_some()
    {
        return Err(Error::internal("the catalog was registered twice"));
    }
    let mut state = SessionStateBuilder::new()
        .with_config(config)
        .with_runtime_env(runtime)
        .with_default_features()
        .with_catalog_list(Arc::new(catalogs))
        .with_optimizer_rule(Arc::new(LastRows))
        .with_physical_optimizer_rule(Arc::new(AskAhead))
        .with_physical_optimizer_rule(Arc::new(RunAggregates))
        .with_physical_optimizer_rule(Arc::new(LatestGroups))
        .with_physical_optimizer_rule(Arc::new(Together))
        .with_physical_optimizer_rule(Arc::new(Yielding))
        // Nothing is read from files or URLs by SQL.
        .with_table_factories(Default::default())
        .with_file_formats(Vec::new())
        .with_query_planner(Arc::new(gapfill::Planner))
        .build();
    register(&mut state, models).map_err(from_datafusion)?;
    Ok(state)
}

/// Makes our own functions known.
fn register(state: &mut SessionState, models: &Arc<dyn Models>) -> datafusion::common::Result<()> {
    let scalars = [
        vec![tumble::udf(), bucket::udf()],
        model::udfs(models).into_iter().collect(),
    ];
    let scalars = scalars
        .into_iter()
        .chain([windows::udfs(), gapfill::udfs(), json::udfs()]);
    for udf in scalars.flatten() {
        state.register_udf(Arc::new(udf))?;
    }
    for udaf in series::udafs() {
        state.register_udaf(Arc::new(udaf))?;
    }
    growth::bound(state)?;
    extremes::order(state)?;
    state.register_expr_planner(Arc::new(interval::Operators))?;
    state.register_expr_planner(Arc::new(json::Operators))
}

/// What a plan of this state runs with; `memory` bounds what it may take of the memory of all. Functions are in the
/// plan: a copy of their hundreds of names is not needed to run it.
pub(crate) fn task(state: &SessionState, memory: Option<usize>) -> Arc<TaskContext> {
    let task = TaskContext::new(
        None,
        state.session_id().to_owned(),
        state.config().clone(),
        HashMap::new(),
        HashMap::new(),
        HashMap::new(),
        HashMap::new(),
        state.runtime_env().clone(),
    );
    let Some(memory) = memory else {
        return Arc::new(task);
    };
    let mut runtime = task.runtime_env().as_ref().clone();
    runtime.memory_pool = Share::of(runtime.memory_pool, memory);
    Arc::new(task.with_runtime(Arc::new(runtime)))
}

/// Takes away what is registered under a name.
pub(crate) fn remove(state: &mut SessionState, name: &str) {
    // Only an unknown name makes these fail, and then there is nothing to do.
    let _unknown = state.deregister_udtf(name);
    let _unknown = state.deregister_udf(name);
    let _unknown = state.deregister_udaf(name);
}
