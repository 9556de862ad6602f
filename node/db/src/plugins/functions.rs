//! Functions and aggregates of plugins as SQL sees them.

use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use activestore_plugin_host::{
    AggregateFunction, Aggregation, Plugin, PluginKind, ScalarFunction, Volatility,
};
use activestore_query::{ColumnFunction, Engine, GroupFunction, Grouping};
use activestore_types::{DataType, Result};
use arrow::array::{ArrayRef, BooleanArray};

/// Makes a plugin's function one of SQL, as what the plugin is, and returns that.
pub(super) fn register(
    engine: &Engine,
    name: &str,
    plugin: &Arc<Plugin>,
    function: &str,
) -> Result<PluginKind> {
    let (name, kind) = (name.to_owned(), plugin.kind());
    if kind == PluginKind::Aggregate {
        let function = plugin.aggregate(function)?;
        engine.register_aggregate(Arc::new(PluginAggregate { name, function }))?;
        return Ok(kind);
    }
    let function = plugin.scalar(function)?;
    engine.register(Arc::new(PluginFunction { name, function }))?;
    Ok(kind)
}

/// A plugin's function as SQL sees it.
struct PluginFunction {
    name: String,
    function: Arc<ScalarFunction>,
}

impl fmt::Debug for PluginFunction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PluginFunction")
            .field("name", &self.name)
            .finish_non_exhaustive()
    }
}

impl ColumnFunction for PluginFunction {
    fn name(&self) -> &str {
        &self.name
    }

    fn args(&self) -> &[DataType] {
        &self.function.signature().args
    }

    fn returns(&self) -> DataType {
        self.function.signature().returns
    }

    fn volatile(&self) -> bool {
        self.function.signature().volatility == Volatility::Volatile
    }

    fn call(&self, rows: usize, args: &[ArrayRef]) -> Result<ArrayRef> {
        self.function.call(rows, args)
    }
}

/// A plugin's aggregate as SQL sees it.
struct PluginAggregate {
    name: String,
    function: Arc<AggregateFunction>,
}

impl fmt::Debug for PluginAggregate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PluginAggregate")
            .field("name", &self.name)
            .finish_non_exhaustive()
    }
}

impl GroupFunction for PluginAggregate {
    fn name(&self) -> &str {
        &self.name
    }

    fn args(&self) -> &[DataType] {
        &self.function.signature().args
    }

    fn returns(&self) -> DataType {
        self.function.signature().returns
    }

    fn begin(&self) -> Result<Box<dyn Grouping>> {
        Ok(Box::new(Groups(self.function.begin())))
    }
}

struct Groups(Aggregation);

impl Grouping for Groups {
    fn update(
        &mut self,
        groups: &[usize],
        wanted: Option<&BooleanArray>,
        total: usize,
        args: &[ArrayRef],
    ) -> Result<()> {
        self.0.update(groups, wanted, total, args)
    }

    fn merge(&mut self, groups: &[usize], total: usize, states: &ArrayRef) -> Result<()> {
        self.0.merge(groups, total, states)
    }

    fn groups(&self) -> usize {
        self.0.groups()
    }

    fn states(&mut self, groups: Range<usize>) -> Result<ArrayRef> {
        self.0.states(groups)
    }

    fn finish(&mut self, groups: Range<usize>) -> Result<ArrayRef> {
        self.0.finish(groups)
    }

    fn forget(&mut self, count: usize) -> Result<()> {
        self.0.forget(count)
    }

    fn memory_bytes(&self) -> usize {
        self.0.memory_bytes()
    }
}
