//! A loaded plugin: what it is, what it has done, and the guard through which every call goes.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use activestore_types::{DataType, Error, Result};
use arrow::datatypes::Schema;
use parking_lot::Mutex;
use wasmtime::component::{Component, ComponentExportIndex};

use crate::abi;
use crate::aggregate::{AggregateExports, AggregateFunction};
use crate::breaker::Breaker;
use crate::contract;
use crate::engine::Ticker;
use crate::instance::{Failure, FaultKind, Instance, Mould};
use crate::log::{LogLevel, LogLine};
use crate::model::Model;
use crate::pool::Pool;
use crate::processor::Processor;
use crate::scalar::{self, ScalarFunction};
use crate::signature::SignerKey;

/// Rows that one call into a guest sees at most; more are given in several calls.
pub(crate) const ROWS_PER_CALL_MAX: usize = 65_536;

/// What a plugin is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PluginKind {
    /// Scalar functions.
    Scalar,
    /// Aggregates.
    Aggregate,
    /// A stream processor.
    Processor,
    /// A model.
    Model,
}

impl PluginKind {
    /// The kind in lower case.
    pub fn name(self) -> &'static str {
        match self {
            PluginKind::Scalar => "scalar",
            PluginKind::Aggregate => "aggregate",
            PluginKind::Processor => "processor",
            PluginKind::Model => "model",
        }
    }
}

/// Whether a function gives the same for the same arguments.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Volatility {
    /// Always.
    Immutable,
    /// Within one statement.
    Stable,
    /// Not even there.
    Volatile,
}

/// The shape of a scalar function or an aggregate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FunctionSignature {
    /// Its name inside the plugin.
    pub name: String,
    /// Its arguments' types.
    pub args: Vec<DataType>,
    /// Its result's type.
    pub returns: DataType,
    /// Whether it gives the same for the same arguments.
    pub volatility: Volatility,
    /// Whether a null argument makes the row null, or leaves it out of the aggregate.
    pub strict: bool,
}

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
    /// What went wrong last, when the last call faulted.
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
    Processor {
        init: ComponentExportIndex,
        process: ComponentExportIndex,
    },
    Model {
        load: ComponentExportIndex,
        infer: ComponentExportIndex,
    },
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
                merge: find(contract::AGGREGATE, "merge")?,
                state: find(contract::AGGREGATE, "state")?,
                finish: find(contract::AGGREGATE, "finish")?,
                forget: find(contract::AGGREGATE, "forget")?,
            }),
            PluginKind::Processor => Exports::Processor {
                init: find(contract::PROCESSOR, "init")?,
                process: find(contract::PROCESSOR, "process")?,
            },
            PluginKind::Model => Exports::Model {
                load: find(contract::MODEL, "load")?,
                infer: find(contract::MODEL, "infer")?,
            },
        })
    }

    fn kind(&self) -> PluginKind {
        match self {
            Exports::Scalar { .. } => PluginKind::Scalar,
            Exports::Aggregate(_) => PluginKind::Aggregate,
            Exports::Processor { .. } => PluginKind::Processor,
            Exports::Model { .. } => PluginKind::Model,
        }
    }
}

/// How a plugin came to be loaded.
pub(crate) struct Origin {
    pub(crate) name: String,
    pub(crate) sha256: [u8; 32],
    pub(crate) load_us: u64,
    pub(crate) from_cache: bool,
    pub(crate) signer: Option<SignerKey>,
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
        let functions = match &self.exports {
            Exports::Scalar { describe, eval } => {
                check::<(), (Vec<abi::Function>,)>(&mut instance, *describe, "describe")?;
                check::<scalar::EvalParams<'_>, scalar::EvalResult>(&mut instance, *eval, "eval")?;
                let (functions,) = instance.call(*describe, (), self.mould.deadline)?;
                scalar::signatures(functions)?
            }
            Exports::Aggregate(exports) => {
                exports.check(&mut instance)?;
                let (aggregates,): (Vec<abi::Aggregate>,) =
                    instance.call(exports.describe, (), self.mould.deadline)?;
                let mut names = aggregates
                    .iter()
                    .filter(|aggregate| aggregate.args.is_empty());
                if let Some(aggregate) = names.next() {
                    return Err(Error::invalid(format!(
                        "aggregate '{}' has no arguments; it needs one at least",
                        aggregate.name
                    ))
                    .into());
                }
                scalar::signatures(aggregates.into_iter().map(Into::into).collect())?
            }
            Exports::Processor { init, process } => {
                use crate::processor::{InitParams, InitResult, ProcessParams, ProcessResult};
                check::<InitParams<'_>, InitResult>(&mut instance, *init, "init")?;
                check::<ProcessParams<'_>, ProcessResult>(&mut instance, *process, "process")?;
                Vec::new()
            }
            Exports::Model { load, infer } => {
                use crate::model::{InferParams, InferResult, LoadParams, LoadResult};
                check::<LoadParams<'_>, LoadResult>(&mut instance, *load, "load")?;
                check::<InferParams<'_>, InferResult>(&mut instance, *infer, "infer")?;
                Vec::new()
            }
        };
        self.give_back(instance);
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

    /// Who vouches for it, by a signature that was checked.
    pub fn signer(&self) -> Option<SignerKey> {
        self.origin.signer
    }

    /// What it is.
    pub fn kind(&self) -> PluginKind {
        self.exports.kind()
    }

    /// Its scalar functions or aggregates; none for other kinds.
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

    /// One of its scalar functions, ready to be called.
    ///
    /// # Errors
    /// `Invalid` when it is not a plugin of scalar functions, `NotFound` when it has no function of
    /// this name.
    pub fn scalar(self: &Arc<Self>, function: &str) -> Result<Arc<ScalarFunction>> {
        ScalarFunction::new(self, function).map(Arc::new)
    }

    /// One of its aggregates, ready to be used.
    ///
    /// # Errors
    /// `Invalid` when it is not a plugin of aggregates, `NotFound` when it has none of this name.
    pub fn aggregate(self: &Arc<Self>, function: &str) -> Result<Arc<AggregateFunction>> {
        AggregateFunction::new(self, function).map(Arc::new)
    }

    /// A function of a plugin of this kind by its name, and its number.
    pub(crate) fn function(
        &self,
        kind: PluginKind,
        name: &str,
    ) -> Result<(u32, &FunctionSignature)> {
        if self.kind() != kind {
            return Err(self.is_not(kind));
        }
        let mut numbered = (0..).zip(&self.functions);
        numbered
            .find(|(_, signature)| signature.name == name)
            .ok_or_else(|| {
                let names = self.functions.iter().map(|signature| &*signature.name);
                let names: Vec<&str> = names.collect();
                Error::not_found(format!(
                    "plugin '{}' has no function '{name}'",
                    self.origin.name
                ))
                .with_hint(format!("it has {}", names.join(", ")))
            })
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

    /// A model with this artifact loaded.
    ///
    /// # Errors
    /// `Invalid` when it is not a model, or refuses the artifact.
    pub fn model(self: &Arc<Self>, artifact: &[u8]) -> Result<Arc<Model>> {
        Model::new(self, artifact).map(Arc::new)
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
