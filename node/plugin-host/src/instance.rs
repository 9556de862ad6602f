//! One instance of a component in its own store: calls into it under a deadline and a memory limit,
//! and what went wrong told in words that name the limit.

use std::sync::Arc;
use std::time::{Duration, Instant};

use activestore_types::Error;
use wasmtime::component::{
    ComponentExportIndex, ComponentNamedList, Instance as WasmInstance, InstancePre, Lift, Linker,
    Lower, WasmStr,
};
use wasmtime::{Engine, Store, StoreContextMut, Trap, WasmBacktrace};

use crate::abi::{GuestError, Level};
use crate::capability::{self, Granted};
use crate::contract;
use crate::engine::ticks;
use crate::http;
use crate::log::{LogLevel, LogRing, cut};
use crate::memory::{MemoryLimit, MemoryTotal, Refusal, TABLE_ENTRIES_MAX};
use crate::native::{self, Native, NativeGraph};
use crate::state::{self, StateCall};

/// What a store carries for the host's side of a call.
pub(crate) struct HostState {
    pub(crate) limit: MemoryLimit,
    pub(crate) state: Option<StateCall>,
    pub(crate) granted: Granted,
    /// The moment of the call under way, once it was asked for.
    pub(crate) now_ns: Option<i64>,
    /// The graph that a model has the node run.
    #[cfg_attr(not(feature = "native-models"), expect(dead_code))]
    pub(crate) graph: Option<NativeGraph>,
    #[cfg_attr(not(feature = "native-models"), expect(dead_code))]
    pub(crate) native: Arc<Native>,
    /// The deadline of the call under way.
    pub(crate) until: Option<Instant>,
    log: Arc<LogRing>,
    last_error: Option<String>,
}

/// How a call went wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum FaultKind {
    /// The guest trapped or panicked.
    Trap,
    /// It ran into its deadline.
    Deadline,
    /// It was refused memory and died of it.
    Memory,
    /// It returned something that is not what it promised.
    Malformed,
}

/// A fault: the instance must not be used again.
#[derive(Clone, Debug)]
pub(crate) struct Fault {
    pub(crate) kind: FaultKind,
    pub(crate) message: String,
}

impl Fault {
    pub(crate) fn malformed(message: impl Into<String>) -> Self {
        Fault {
            kind: FaultKind::Malformed,
            message: message.into(),
        }
    }
}

/// Why a call gave no result.
#[derive(Clone, Debug)]
pub(crate) enum Failure {
    /// The guest broke a rule.
    Fault(Fault),
    /// The guest, or the host before it, refused the call; the instance is as good as before.
    Refused(Error),
}

impl From<Fault> for Failure {
    fn from(fault: Fault) -> Self {
        Failure::Fault(fault)
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Failure::Refused(error)
    }
}

impl From<GuestError> for Failure {
    fn from(error: GuestError) -> Self {
        let (GuestError::Invalid(message) | GuestError::Failed(message)) = error;
        Failure::Refused(Error::invalid(cut(&message)))
    }
}

/// The imports that plugins may have.
pub(crate) fn linker(engine: &Engine) -> wasmtime::Result<Linker<HostState>> {
    let mut linker = Linker::new(engine);
    linker.instance(contract::TYPES)?;
    linker.instance(contract::LOG)?.func_wrap(
        "log",
        |mut store: StoreContextMut<'_, HostState>, (level, message): (Level, WasmStr)| {
            let text = message.to_str(&store)?;
            let level = LogLevel::from(level);
            store.data().log.push(level, &text);
            if level == LogLevel::Error {
                let text = cut(&text).to_owned();
                store.data_mut().last_error = Some(text);
            }
            Ok(())
        },
    )?;
    state::link(&mut linker)?;
    capability::link(&mut linker)?;
    native::link(&mut linker)?;
    http::link(&mut linker)?;
    Ok(linker)
}

/// What instances of one plugin are made from.
pub(crate) struct Mould {
    pub(crate) pre: InstancePre<HostState>,
    pub(crate) log: Arc<LogRing>,
    pub(crate) granted: Granted,
    pub(crate) native: Arc<Native>,
    pub(crate) total: Arc<MemoryTotal>,
    pub(crate) memory_bytes_max: usize,
    pub(crate) deadline: Duration,
}

impl Mould {
    /// A new instance; its start code runs under the deadline as well.
    pub(crate) fn cast(&self) -> Result<Instance, Failure> {
        let state = HostState {
            limit: MemoryLimit::new(self.total.clone(), self.memory_bytes_max),
            state: None,
            granted: self.granted.clone(),
            now_ns: None,
            graph: None,
            native: self.native.clone(),
            until: Instant::now().checked_add(self.deadline),
            log: self.log.clone(),
            last_error: None,
        };
        let mut store = Store::new(self.pre.engine(), state);
        store.limiter(|state| &mut state.limit);
        store.set_epoch_deadline(ticks(self.deadline));
        // What a guest may make the host copy in one call, lists within lists counted whole.
        store.set_hostcall_fuel(self.memory_bytes_max);
        match self.pre.instantiate(&mut store) {
            Ok(instance) => Ok(Instance { store, instance }),
            // A machine that is short of memory is not the plugin's fault.
            Err(_) if store.data().limit.refused() == Some(Refusal::Total) => {
                Err(Failure::Refused(Error::overloaded(
                    "all plugins together hold as much memory as they may",
                )))
            }
            Err(error) => Err(fault(&error, store.data(), self.deadline).into()),
        }
    }
}

/// One instance.
pub(crate) struct Instance {
    pub(crate) store: Store<HostState>,
    instance: WasmInstance,
}

impl Instance {
    /// Calls an export. After a fault the instance must be dropped.
    pub(crate) fn call<P, R>(
        &mut self,
        export: ComponentExportIndex,
        params: P,
        deadline: Duration,
    ) -> Result<R, Fault>
    where
        P: ComponentNamedList + Lower,
        R: ComponentNamedList + Lift,
    {
        self.store.set_epoch_deadline(ticks(deadline));
        let state = self.store.data_mut();
        state.limit.begin();
        state.last_error = None;
        state.now_ns = None;
        state.until = Instant::now().checked_add(deadline);
        let Some(function) = self.instance.get_func(&mut self.store, export) else {
            return Err(Fault::malformed("an export of the contract is missing"));
        };
        let function = function.typed::<P, R>(&self.store).map_err(|error| {
            Fault::malformed(format!("an export differs from the contract: {error}"))
        })?;
        function
            .call(&mut self.store, params)
            .map_err(|error| fault(&error, self.store.data(), deadline))
    }

    /// Whether an export has the contract's type.
    pub(crate) fn has<P, R>(&mut self, export: ComponentExportIndex) -> wasmtime::Result<()>
    where
        P: ComponentNamedList + Lower,
        R: ComponentNamedList + Lift,
    {
        self.instance
            .get_typed_func::<P, R>(&mut self.store, export)
            .map(drop)
    }

    /// Bytes of linear memory and tables held.
    pub(crate) fn memory_bytes(&self) -> usize {
        self.store.data().limit.held()
    }

    /// Whether the instance holds so much that it had better not wait in a pool: linear memory
    /// never shrinks.
    pub(crate) fn is_bloated(&self) -> bool {
        let limit = &self.store.data().limit;
        limit.held() > limit.max() / 2
    }
}

fn fault(error: &wasmtime::Error, state: &HostState, deadline: Duration) -> Fault {
    let trap = error.downcast_ref::<Trap>();
    if trap == Some(&Trap::Interrupt) {
        return Fault {
            kind: FaultKind::Deadline,
            message: format!("it ran longer than its deadline of {deadline:?} and was stopped"),
        };
    }
    if let Some(refused) = state.limit.refused() {
        let message = match refused {
            Refusal::Instance => {
                format!(
                    "it hit its memory limit of {}",
                    mebibytes(state.limit.max())
                )
            }
            Refusal::Total => "it hit the memory limit of all plugins together".to_owned(),
            Refusal::Table => {
                format!("it hit the limit of {TABLE_ENTRIES_MAX} entries of a table")
            }
        };
        return Fault {
            kind: FaultKind::Memory,
            message,
        };
    }
    match (trap, &state.last_error) {
        // A panic logs its message and place before it becomes a bare trap.
        (Some(_), Some(message)) => Fault {
            kind: FaultKind::Trap,
            message: format!("it failed: {message}"),
        },
        (Some(trap), None) => Fault {
            kind: FaultKind::Trap,
            message: match place(error) {
                Some(place) => cut(&format!("it trapped: {trap} in {place}")).to_owned(),
                None => format!("it trapped: {trap}"),
            },
        },
        (None, _) => Fault::malformed(format!("it broke the contract: {}", error.root_cause())),
    }
}

/// Where in the guest a trap happened: the function by the name that its author gave it, and the line where
/// the engine reads them.
fn place(error: &wasmtime::Error) -> Option<String> {
    let frame = error.downcast_ref::<WasmBacktrace>()?.frames().first()?;
    // Mangled names of Rust and C++ say nothing to a reader.
    let readable = |name: &&str| !name.starts_with("_R") && !name.starts_with("_Z");
    let name = frame.func_name().filter(readable);
    let line = frame.symbols().iter().find_map(|symbol| {
        let (file, line) = (symbol.file()?, symbol.line()?);
        let file = file.strip_prefix("./").unwrap_or(file);
        // Tables of lines alone name no functions.
        let name = symbol.name().or(name)?;
        Some(format!("{name} ({file}:{line})"))
    });
    line.or_else(|| name.map(str::to_owned))
}

fn mebibytes(bytes: usize) -> String {
    if bytes.is_multiple_of(1 << 20) {
        format!("{} MiB", bytes >> 20)
    } else {
        format!("{} KiB", bytes.div_ceil(1 << 10))
    }
}
