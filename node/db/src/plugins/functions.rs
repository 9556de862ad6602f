//! Functions and aggregates of plugins as SQL sees them.

use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use activestore_plugin_host::{
    self as plugin_host, AggregateFunction, Aggregation, FunctionSignature, Plugin, PluginKind,
    Returns, ScalarFunction, TableFunction, TableRun,
};
use activestore_query::{
    ColumnFunction, Engine, GroupFunction, Grouping, RowFunction, RowRun, Volatility,
};
use activestore_types::{DataType, Result};
use arrow::array::{ArrayRef, BooleanArray};
use arrow::datatypes::SchemaRef;
use arrow::record_batch::RecordBatch;

use super::LoadedFunction;

/// Makes a plugin's function one of SQL, as what the plugin is.
pub(super) fn register(
    engine: &Engine,
    name: &str,
    plugin: &Arc<Plugin>,
    function: &str,
) -> Result<LoadedFunction> {
    let (name, kind) = (name.to_owned(), plugin.kind());
    let overloads = plugin.functions().iter();
    let overloads = overloads.filter(|signature| signature.name == function);
    let usage = overloads.map(|signature| usage(&name, signature)).collect();
    match kind {
        PluginKind::Aggregate => {
            let function = plugin.aggregate(function)?;
            let returns = function.returns();
            engine.register_aggregate(Arc::new(PluginAggregate {
                name,
                function,
                returns,
            }))?;
        }
        PluginKind::Table => {
            let function = plugin.table_function(function)?;
            engine.register_table_function(Arc::new(PluginTable { name, function }))?;
        }
        _ => {
            let overloads = plugin.overloads(function)?.into_iter();
            let overloads = overloads.map(|function| {
                let returns = function.returns();
                let function = PluginFunction {
                    name: name.clone(),
                    function,
                    returns,
                };
                Ok(Arc::new(function) as Arc<dyn ColumnFunction>)
            });
            engine.register_overloads(&overloads.collect::<Result<Vec<_>>>()?)?;
        }
    }
    Ok(LoadedFunction { kind, usage })
}

/// A function as people write it: `f(x DOUBLE) → DOUBLE`.
fn usage(name: &str, signature: &FunctionSignature) -> String {
    let args = signature.names.iter().zip(&signature.args);
    let args: Vec<String> = args.map(|(name, kind)| format!("{name} {kind}")).collect();
    let returns = match &signature.returns {
        Returns::Value(kind) => kind.to_string(),
        Returns::Rows(columns) => {
            let columns = columns
                .iter()
                .map(|column| format!("{} {}", column.name, column.data_type));
            format!("TABLE ({})", columns.collect::<Vec<_>>().join(", "))
        }
    };
    format!("{name}({}) → {returns}", args.join(", "))
}

/// A plugin's function as SQL sees it.
struct PluginFunction {
    name: String,
    function: Arc<ScalarFunction>,
    returns: DataType,
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

    fn arg_names(&self) -> &[String] {
        &self.function.signature().names
    }

    fn returns(&self) -> DataType {
        self.returns
    }

    fn volatility(&self) -> Volatility {
        match self.function.signature().volatility {
            plugin_host::Volatility::Immutable => Volatility::Immutable,
            plugin_host::Volatility::Stable => Volatility::Stable,
            plugin_host::Volatility::Volatile => Volatility::Volatile,
        }
    }

    fn memory_bytes(&self) -> u64 {
        self.function.memory_bytes()
    }

    fn call(&self, rows: usize, args: &[ArrayRef]) -> Result<ArrayRef> {
        self.function.call(rows, args)
    }
}

/// A plugin's aggregate as SQL sees it.
struct PluginAggregate {
    name: String,
    function: Arc<AggregateFunction>,
    returns: DataType,
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

    fn arg_names(&self) -> &[String] {
        &self.function.signature().names
    }

    fn returns(&self) -> DataType {
        self.returns
    }

    fn retracts(&self) -> bool {
        self.function.signature().retracts
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

    fn retract(&mut self, groups: &[usize], args: &[ArrayRef]) -> Result<()> {
        self.0.retract(groups, args)
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

/// A plugin's table function as SQL sees it.
struct PluginTable {
    name: String,
    function: Arc<TableFunction>,
}

impl fmt::Debug for PluginTable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PluginTable")
            .field("name", &self.name)
            .finish_non_exhaustive()
    }
}

impl RowFunction for PluginTable {
    fn name(&self) -> &str {
        &self.name
    }

    fn args(&self) -> &[DataType] {
        &self.function.signature().args
    }

    fn arg_names(&self) -> &[String] {
        &self.function.signature().names
    }

    fn schema(&self) -> &SchemaRef {
        self.function.schema()
    }

    fn open(&self, args: &[ArrayRef]) -> Result<Box<dyn RowRun>> {
        Ok(Box::new(Run(self.function.open(args)?)))
    }
}

struct Run(TableRun);

impl RowRun for Run {
    fn next_rows(&mut self) -> Result<Option<RecordBatch>> {
        self.0.next_rows()
    }

    fn memory_bytes(&self) -> u64 {
        self.0.memory_bytes()
    }
}
