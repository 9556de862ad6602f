//! A loaded plugin: what it is, what it has done, and the guard through which every call goes.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use activestore_types::{Error, Result};
use arrow::datatypes::Schema;
use parking_lot::Mutex;
use wasmtime::component::{Component, ComponentExportIndex};

use crate::abi;
use crate::aggregate::{AggregateExports, AggregateFunction};
use crate::breaker::Breaker;
use crate::capability::Wants;
use crate::contract;
use crate::engine::Ticker;
use crate::filter::{FilterExports, SyncFilter};
use crate::instance::{Failure, FaultKind, Instance, Mould};
pub(crate) use crate::kind::PluginKind;
use crate::log::{LogLevel, LogLine};
use crate::merge::{MergeExports, MergeFunction};
use crate::model::Model;
use crate::pool::Pool;
use crate::processor::{Processor, ProcessorExports};
use crate::scalar::{self, ScalarFunction};
use crate::shape::{self, FunctionSignature, Volatility};
use crate::signature::SignerKey;
use crate::table::{TableExports, TableFunction};

/// Rows that one call into a guest sees at most; more are given in several calls.
pub(crate) const ROWS_PER_CALL_MAX: usize = 65_536;

/// What a plugin has done since it was loaded.
#[derive(Clone, Debug)]
pub struct PluginStats {
    /// Its name.
    pub name: String,
    /// SHA-256 of the component.
    pub sha256: [u8; 32],
    /// What it is.
    pub kind: PluginKind,
    /// Calls into it.
    pub calls: u64,
    /// Rows it was given.
    pub rows: u64,
    /// Time spent in calls, in nanoseconds.
    pub busy_ns: u64,
    /// Calls that ended in a fault, of whatever kind.
    pub faults: u64,
    /// Faults because of the deadline.
    pub deadline_faults: u64,
    /// Faults because of the memory limit.
    pub memory_faults: u64,
    /// Calls refused while it was switched off.
    pub refused_while_off: u64,
    /// How long it stays switched off, when it is.
    pub off_for: Option<Duration>,
    /// What went wrong last, however long ago.
    pub last_fault: Option<String>,
    /// Most bytes of linear memory that one instance held after a call.
    pub memory_bytes_peak: u64,
    /// Log lines dropped by the rate limit.
    pub log_lines_dropped: u64,
    /// How long loading took, in microseconds: compiling, or reading the compiled image.
    pub load_us: u64,
    /// Whether the compiled image came from the cache on disk.
    pub from_cache: bool,
}

#[derive(Default)]
struct Counters {
    calls: AtomicU64,
    rows: AtomicU64,
    busy_ns: AtomicU64,
    faults: AtomicU64,
    deadline_faults: AtomicU64,
    memory_faults: AtomicU64,
    refused_while_off: AtomicU64,
    memory_bytes_peak: AtomicU64,
}

/// The contract's exports in a component.
pub(crate) enum Exports {
    Scalar {
        describe: ComponentExportIndex,
        eval: ComponentExportIndex,
    },
    Aggregate(AggregateExports),
    Table(TableExports),
    Processor(ProcessorExports),
    Model {
        load: ComponentExportIndex,
        infer: ComponentExportIndex,
    },
    Merge(MergeExports),
    Filter(FilterExports),
}

impl Exports {
    pub(crate) fn find(component: &Component, kind: PluginKind) -> Result<Self> {
        let find = |interface: &str, name: &str| {
            component
                .get_export_index(None, interface)
                .and_then(|interface| component.get_export_index(Some(&interface), name))
                .ok_or_else(|| Error::invalid(format!("its interface {interface} lacks '{name}'")))
        };
        Ok(match kind {
            PluginKind::Scalar => Exports::Scalar {
                describe: find(contract::SCALAR, "describe")?,
                eval: find(contract::SCALAR, "eval")?,
            },
            PluginKind::Aggregate => Exports::Aggregate(AggregateExports {
                describe: find(contract::AGGREGATE, "describe")?,
                init: find(contract::AGGREGATE, "init")?,
                update: find(contract::AGGREGATE, "update")?,
                retract: find(contract::AGGREGATE, "retract")?,
                merge: find(contract::AGGREGATE, "merge")?,
                state: find(contract::AGGREGATE, "state")?,
                finish: find(contract::AGGREGATE, "finish")?,
                forget: find(contract::AGGREGATE, "forget")?,
            }),
            PluginKind::Table => Exports::Table(TableExports {
                describe: find(contract::TABLE_FUNCTION, "describe")?,
                open: find(contract::TABLE_FUNCTION, "open")?,
                next: find(contract::TABLE_FUNCTION, "next")?,
            }),
            PluginKind::Processor => Exports::Processor(ProcessorExports {
                init: find(contract::PROCESSOR, "init")?,
                process: find(contract::PROCESSOR, "process")?,
                on_timer: find(contract::PROCESSOR, "on-timer")?,
            }),
            PluginKind::Model => Exports::Model {
                load: find(contract::MODEL, "load")?,
                infer: find(contract::MODEL, "infer")?,
            },
            PluginKind::Merge => Exports::Merge(MergeExports {
                describe: find(contract::MERGE, "describe")?,
                merge: find(contract::MERGE, "merge")?,
            }),
            PluginKind::Filter => Exports::Filter(FilterExports {
                init: find(contract::FILTER, "init")?,
                filter: find(contract::FILTER, "filter")?,
            }),
        })
    }

    fn kind(&self) -> PluginKind {
        match self {
            Exports::Scalar { .. } => PluginKind::Scalar,
            Exports::Aggregate(_) => PluginKind::Aggregate,
            Exports::Table(_) => PluginKind::Table,
            Exports::Processor(_) => PluginKind::Processor,
            Exports::Model { .. } => PluginKind::Model,
            Exports::Merge(_) => PluginKind::Merge,
            Exports::Filter(_) => PluginKind::Filter,
        }
    }
}

/// How a plugin came to be loaded.
pub(crate) struct Origin {
    pub(crate) name: String,
    pub(crate) sha256: [u8; 32],
    /// Hash of what its code was made of: the component without signatures, or the image it carries.
    pub(crate) source: [u8; 32],
    pub(crate) load_us: u64,
    pub(crate) from_cache: bool,
    pub(crate) signer: Option<SignerKey>,
    pub(crate) wants: Wants,
}

/// A plugin that was checked and compiled. Cheap to share; calls may come from any thread.
pub struct Plugin {
    pub(crate) exports: Exports,
    pub(crate) mould: Mould,
    pub(crate) pool: Pool<Instance>,
    origin: Origin,
    functions: Vec<FunctionSignature>,
    ticker: Arc<Ticker>,
    breaker: Mutex<Breaker>,
    started: Instant,
    counters: Counters,
}

impl std::fmt::Debug for Plugin {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Plugin")
            .field("name", &self.origin.name)
            .field("kind", &self.kind())
            .finish_non_exhaustive()
    }
}

impl Plugin {
    /// Makes an instance, checks its exports' types and asks for its functions.
    pub(crate) fn new(
        origin: Origin,
        exports: Exports,
        mould: Mould,
        ticker: Arc<Ticker>,
    ) -> Result<Arc<Self>> {
        let mut plugin = Plugin {
            exports,
            mould,
            pool: Pool::new(),
            origin,
            functions: Vec::new(),
            ticker,
            breaker: Mutex::new(Breaker::default()),
            started: Instant::now(),
            counters: Counters::default(),
        };
        plugin.functions = plugin.guarded(0, || plugin.inspect())?;
        Ok(Arc::new(plugin))
    }

    fn inspect(&self) -> std::result::Result<Vec<FunctionSignature>, Failure> {
        let mut instance = self.mould.cast()?;
        let deadline = self.mould.deadline;
        let functions: Result<Vec<FunctionSignature>> = match &self.exports {
            Exports::Scalar { describe, eval } => {
                check::<(), (Vec<abi::Function>,)>(&mut instance, *describe, "describe")?;
                check::<scalar::EvalParams<'_>, scalar::EvalResult>(&mut instance, *eval, "eval")?;
                let (functions,): (Vec<abi::Function>,) = instance.call(*describe, (), deadline)?;
                functions.into_iter().map(TryFrom::try_from).collect()
            }
            Exports::Aggregate(exports) => {
                exports.check(&mut instance)?;
                let (aggregates,): (Vec<abi::Aggregate>,) =
                    instance.call(exports.describe, (), deadline)?;
                aggregates.into_iter().map(TryFrom::try_from).collect()
            }
            Exports::Table(exports) => {
                exports.check(&mut instance)?;
                let (functions,): (Vec<abi::TableFunction>,) =
                    instance.call(exports.describe, (), deadline)?;
                functions.into_iter().map(TryFrom::try_from).collect()
            }
            Exports::Merge(exports) => {
                exports.check(&mut instance)?;
                let (functions,): (Vec<abi::MergeOf>,) =
                    instance.call(exports.describe, (), deadline)?;
                functions.into_iter().map(TryFrom::try_from).collect()
            }
            Exports::Processor(exports) => {
                exports.check(&mut instance)?;
                self.give_back(instance);
                return Ok(Vec::new());
            }
            Exports::Filter(exports) => {
                exports.check(&mut instance)?;
                self.give_back(instance);
                return Ok(Vec::new());
            }
            Exports::Model { load, infer } => {
                use crate::model::{InferParams, InferResult, LoadParams, LoadResult};
                check::<LoadParams<'_>, LoadResult>(&mut instance, *load, "load")?;
                check::<InferParams<'_>, InferResult>(&mut instance, *infer, "infer")?;
                self.give_back(instance);
                return Ok(Vec::new());
            }
        };
        let mut functions = functions?;
        self.give_back(instance);
        shape::check_all(&functions)?;
        if self.origin.wants.any() {
            // What it reaches out for may be another at the next statement.
            for function in &mut functions {
                if function.volatility == Volatility::Immutable {
                    function.volatility = Volatility::Stable;
                }
            }
        }
        Ok(functions)
    }

    /// The name it was loaded under.
    pub fn name(&self) -> &str {
        &self.origin.name
    }

    /// SHA-256 of the component.
    pub fn sha256(&self) -> [u8; 32] {
        self.origin.sha256
    }

    pub(crate) fn source(&self) -> [u8; 32] {
        self.origin.source
    }

    /// Who vouches for it, by a signature that was checked.
    pub fn signer(&self) -> Option<SignerKey> {
        self.origin.signer
    }

    /// What it is.
    pub fn kind(&self) -> PluginKind {
        self.exports.kind()
    }

    /// Its scalar functions, aggregates, table functions or merge functions; none for other kinds.
    pub fn functions(&self) -> &[FunctionSignature] {
        &self.functions
    }

    /// The last lines it logged, oldest first.
    pub fn logs(&self) -> Vec<LogLine> {
        self.mould.log.lines()
    }

    /// What it has done since it was loaded.
    pub fn stats(&self) -> PluginStats {
        let count = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let (off, last_fault) = {
            let breaker = self.breaker.lock();
            (
                breaker.check(self.started.elapsed()).err(),
                breaker.last_fault(),
            )
        };
        PluginStats {
            name: self.origin.name.clone(),
            sha256: self.origin.sha256,
            kind: self.kind(),
            calls: count(&self.counters.calls),
            rows: count(&self.counters.rows),
            busy_ns: count(&self.counters.busy_ns),
            faults: count(&self.counters.faults),
            deadline_faults: count(&self.counters.deadline_faults),
            memory_faults: count(&self.counters.memory_faults),
            refused_while_off: count(&self.counters.refused_while_off),
            off_for: off.map(|off| off.remaining),
            last_fault,
            memory_bytes_peak: count(&self.counters.memory_bytes_peak),
            log_lines_dropped: self.mould.log.dropped(),
            load_us: self.origin.load_us,
            from_cache: self.origin.from_cache,
        }
    }

    /// One of its scalar functions, ready to be called: the first of those with this name.
    ///
    /// # Errors
    /// `Invalid` when it is not a plugin of scalar functions, `NotFound` when it has no function of
    /// this name.
    pub fn scalar(self: &Arc<Self>, function: &str) -> Result<Arc<ScalarFunction>> {
        ScalarFunction::first(self, function).map(Arc::new)
    }

    /// All of its scalar functions with this name, which differ in the types of their arguments.
    ///
    /// # Errors
    /// As [`Plugin::scalar`].
    pub fn overloads(self: &Arc<Self>, function: &str) -> Result<Vec<Arc<ScalarFunction>>> {
        let all = ScalarFunction::all(self, function)?;
        Ok(all.into_iter().map(Arc::new).collect())
    }

    /// One of its aggregates, ready to be used.
    ///
    /// # Errors
    /// `Invalid` when it is not a plugin of aggregates or has several of this name, `NotFound` when it
    /// has none of this name.
    pub fn aggregate(self: &Arc<Self>, function: &str) -> Result<Arc<AggregateFunction>> {
        AggregateFunction::new(self, function).map(Arc::new)
    }

    /// One of its table functions, ready to be used.
    ///
    /// # Errors
    /// `Invalid` when it is not a plugin of table functions or has several of this name, `NotFound` when
    /// it has none of this name.
    pub fn table_function(self: &Arc<Self>, function: &str) -> Result<Arc<TableFunction>> {
        TableFunction::new(self, function).map(Arc::new)
    }

    /// Its merge functions with this name, one for each type of values.
    ///
    /// # Errors
    /// `Invalid` when it is not a plugin of merge functions, `NotFound` when it has none of this name.
    pub fn merges(self: &Arc<Self>, function: &str) -> Result<Vec<Arc<MergeFunction>>> {
        let all = MergeFunction::all(self, function)?;
        Ok(all.into_iter().map(Arc::new).collect())
    }

    /// A sync filter of rows with these columns; key columns are those that are not nullable.
    ///
    /// # Errors
    /// `Invalid` when it is not a filter, or refuses the configuration or the columns.
    pub fn filter(
        self: &Arc<Self>,
        config: &BTreeMap<String, String>,
        input: &Schema,
    ) -> Result<SyncFilter> {
        SyncFilter::new(self, config, input)
    }

    /// The functions of a plugin of this kind with this name, and their numbers: one at least.
    pub(crate) fn functions_named(
        &self,
        kind: PluginKind,
        name: &str,
    ) -> Result<Vec<(u32, &FunctionSignature)>> {
        if self.kind() != kind {
            return Err(self.is_not(kind));
        }
        let numbered = (0..).zip(&self.functions);
        let found: Vec<_> = numbered
            .filter(|(_, signature)| signature.name == name)
            .collect();
        if found.is_empty() {
            let mut names: Vec<&str> = self.functions.iter().map(|one| &*one.name).collect();
            names.dedup();
            return Err(Error::not_found(format!(
                "plugin '{}' has no function '{name}'",
                self.origin.name
            ))
            .with_hint(format!("it has {}", names.join(", "))));
        }
        Ok(found)
    }

    /// A processor of rows with these columns; key columns are those that are not nullable.
    ///
    /// # Errors
    /// `Invalid` when it is not a processor, or refuses the configuration or the columns.
    pub fn processor(
        self: &Arc<Self>,
        config: &BTreeMap<String, String>,
        input: &Schema,
    ) -> Result<Processor> {
        Processor::new(self, config, input)
    }

    /// A model with this artifact loaded under these settings.
    ///
    /// # Errors
    /// `Invalid` when it is not a model, or refuses the settings or the artifact.
    pub fn model(
        self: &Arc<Self>,
        config: &BTreeMap<String, String>,
        artifact: &[u8],
    ) -> Result<Arc<Model>> {
        Model::new(self, config, artifact).map(Arc::new)
    }

    /// The error for using the plugin as what it is not.
    pub(crate) fn is_not(&self, wanted: PluginKind) -> Error {
        Error::invalid(format!(
            "plugin '{}' is of kind {}, not {}",
            self.origin.name,
            self.kind().name(),
            wanted.name()
        ))
    }

    /// Runs calls into a guest: not while the plugin is switched off, with epochs moving, counted,
    /// and with a fault turned into an error that names the plugin. Faults before are forgiven where
    /// it goes well.
    pub(crate) fn guarded<T>(
        &self,
        rows: usize,
        calls: impl FnOnce() -> std::result::Result<T, Failure>,
    ) -> Result<T> {
        self.counted(rows, true, calls)
    }

    /// As [`Plugin::guarded`], for calls that are steps on the way to a result: that they go well says
    /// little, and forgives nothing.
    pub(crate) fn step<T>(
        &self,
        rows: usize,
        calls: impl FnOnce() -> std::result::Result<T, Failure>,
    ) -> Result<T> {
        self.counted(rows, false, calls)
    }

    fn counted<T>(
        &self,
        rows: usize,
        forgives: bool,
        calls: impl FnOnce() -> std::result::Result<T, Failure>,
    ) -> Result<T> {
        let forgive = || {
            if forgives {
                self.breaker.lock().success();
            }
        };
        let name = &self.origin.name;
        if let Err(off) = self.breaker.lock().check(self.started.elapsed()) {
            self.counters
                .refused_while_off
                .fetch_add(1, Ordering::Relaxed);
            return Err(Error::overloaded(format!(
                "plugin '{name}' is switched off for another {} s after {} faults in a row, the last: {}",
                off.remaining.as_secs() + 1,
                off.faults,
                off.last_fault
            ))
            .with_hint("it is tried again by itself; mend it and deploy it anew"));
        }
        let began = Instant::now();
        let result = {
            let _running = self.ticker.running();
            calls()
        };
        let add = |counter: &AtomicU64, by: u64| counter.fetch_add(by, Ordering::Relaxed);
        add(&self.counters.calls, 1);
        add(&self.counters.rows, rows as u64);
        let busy = u64::try_from(began.elapsed().as_nanos()).unwrap_or(u64::MAX);
        add(&self.counters.busy_ns, busy);
        match result {
            Ok(value) => {
                forgive();
                Ok(value)
            }
            Err(Failure::Refused(error)) => {
                forgive();
                Err(error.context(format_args!("plugin '{name}'")))
            }
            Err(Failure::Fault(fault)) => {
                add(&self.counters.faults, 1);
                match fault.kind {
                    FaultKind::Deadline => add(&self.counters.deadline_faults, 1),
                    FaultKind::Memory => add(&self.counters.memory_faults, 1),
                    FaultKind::Trap | FaultKind::Malformed => 0,
                };
                self.breaker
                    .lock()
                    .fault(self.started.elapsed(), &fault.message);
                if fault.kind != FaultKind::Trap {
                    // A trap has spoken for itself; the host speaks for the others.
                    self.mould.log.push(LogLevel::Error, &fault.message);
                }
                Err(Error::invalid(format!(
                    "plugin '{name}': {}",
                    fault.message
                )))
            }
        }
    }

    /// Most bytes of linear memory that one instance held after a call.
    pub(crate) fn memory_bytes_peak(&self) -> u64 {
        self.counters.memory_bytes_peak.load(Ordering::Relaxed)
    }

    /// Notes how much memory the instance holds after a call.
    pub(crate) fn note_memory(&self, instance: &Instance) {
        let held = instance.memory_bytes() as u64;
        self.counters
            .memory_bytes_peak
            .fetch_max(held, Ordering::Relaxed);
    }

    /// Puts an instance without state of its own back into the pool.
    pub(crate) fn give_back(&self, instance: Instance) {
        self.note_memory(&instance);
        if !instance.is_bloated() {
            self.pool.put(instance);
        }
    }
}

pub(crate) fn check<P, R>(
    instance: &mut Instance,
    export: ComponentExportIndex,
    name: &str,
) -> std::result::Result<(), Failure>
where
    P: wasmtime::component::ComponentNamedList + wasmtime::component::Lower,
    R: wasmtime::component::ComponentNamedList + wasmtime::component::Lift,
{
    instance.has::<P, R>(export).map_err(|error| {
        Failure::Refused(
            Error::invalid(format!("its '{name}' differs from the contract: {error}"))
                .with_hint("build the plugin with the SDK of this release"),
        )
    })
}
