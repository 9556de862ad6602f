//! The wasmtime engine and the thread that moves its epoch, by which calls are held to deadlines.
//! The thread sleeps while no call is running, so that an idle node stays idle.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use activestore_types::{Error, Result};
use wasmtime::{Config, Engine, OptLevel, WasmBacktraceDetails};

/// How far apart two epochs are; deadlines are rounded up to it.
const TICK: Duration = Duration::from_millis(5);
/// Ticks without a call after which the thread goes to sleep.
const IDLE_TICKS_MAX: u32 = 200;

/// The engine's settings are part of what a compiled image depends on.
pub(crate) fn engine(source_lines: bool) -> Result<Engine> {
    let mut config = Config::new();
    config
        .wasm_component_model(true)
        .wasm_relaxed_simd(false)
        .epoch_interruption(true)
        .wasm_backtrace_details(if source_lines {
            WasmBacktraceDetails::Enable
        } else {
            WasmBacktraceDetails::Disable
        })
        .cranelift_opt_level(OptLevel::Speed);
    Engine::new(&config)
        .map_err(|error| Error::internal(format!("the WebAssembly engine does not start: {error}")))
}

/// How many epochs a deadline lasts: never fewer than asked for.
pub(crate) fn ticks(deadline: Duration) -> u64 {
    let ticks = deadline.as_nanos().div_ceil(TICK.as_nanos());
    u64::try_from(ticks)
        .unwrap_or(u64::MAX / 2)
        .saturating_add(1)
}

/// Moves the epoch on while calls are running.
pub(crate) struct Ticker {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Default)]
struct Shared {
    running: AtomicUsize,
    asleep: AtomicBool,
    closed: AtomicBool,
}

impl Ticker {
    pub(crate) fn start(engine: Engine) -> Result<Self> {
        let shared = Arc::new(Shared::default());
        let thread = std::thread::Builder::new()
            .name("plugin-epochs".to_owned())
            .spawn({
                let shared = shared.clone();
                move || shared.run(&engine)
            })?;
        Ok(Ticker {
            shared,
            thread: Some(thread),
        })
    }

    /// Epochs move until the guard is dropped.
    pub(crate) fn running(self: &Arc<Self>) -> Running {
        self.shared.running.fetch_add(1, Ordering::SeqCst);
        if self.shared.asleep.swap(false, Ordering::SeqCst)
            && let Some(thread) = &self.thread
        {
            thread.thread().unpark();
        }
        Running(self.clone())
    }
}

impl Drop for Ticker {
    fn drop(&mut self) {
        self.shared.closed.store(true, Ordering::SeqCst);
        if let Some(thread) = self.thread.take() {
            thread.thread().unpark();
            // The thread never panics and holds nothing; there is nothing to learn from its end.
            let _ended = thread.join();
        }
    }
}

/// A call is running.
pub(crate) struct Running(Arc<Ticker>);

impl Drop for Running {
    fn drop(&mut self) {
        self.0.shared.running.fetch_sub(1, Ordering::SeqCst);
    }
}

impl Shared {
    fn run(&self, engine: &Engine) {
        let mut idle = 0;
        while !self.closed.load(Ordering::SeqCst) {
            if self.running.load(Ordering::SeqCst) > 0 {
                idle = 0;
            } else {
                idle += 1;
            }
            if idle > IDLE_TICKS_MAX {
                self.asleep.store(true, Ordering::SeqCst);
                // A call that began in between saw `asleep` and has unparked us already.
                if self.running.load(Ordering::SeqCst) == 0 && !self.closed.load(Ordering::SeqCst) {
                    std::thread::park();
                }
                self.asleep.store(false, Ordering::SeqCst);
                idle = 0;
                continue;
            }
            std::thread::park_timeout(TICK);
            engine.increment_epoch();
        }
    }
}
