//! The wasmtime engine and the thread that moves its epoch, by which calls are held to deadlines.
//! The thread sleeps while no call is running, so that an idle node stays idle.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use activestore_types::{Error, Result};
use ring::digest;
use wasmtime::{Config, Engine, WasmBacktraceDetails};

use crate::image::ImageTarget;

/// The line of wasmtime whose images this host runs: within one, its releases run each other's.
pub(crate) const WASMTIME: &str = "48";
/// The settings below that an image depends on, in words. They change when the settings do.
pub(crate) const SETTINGS: &str = "epoch interruption, deterministic SIMD, 32-bit memories";
/// A module's memory that is filled to less than half is not written out as an image above this size: a few
/// bytes far apart must not become megabytes of zeroes, once for each module.
const SPARSE_BYTES_MAX: u64 = 64 << 10;

/// How far apart two epochs are; deadlines are rounded up to it.
const TICK: Duration = Duration::from_millis(5);
/// Ticks without a call after which the thread goes to sleep.
const IDLE_TICKS_MAX: u32 = 200;

/// An engine that runs code for `target`, which must be what this machine runs natively or interprets.
///
/// # Errors
/// `Invalid` where the machine cannot run it; `Internal` where it runs no WebAssembly at all.
pub(crate) fn engine(target: ImageTarget, compile: bool, source_lines: bool) -> Result<Engine> {
    let native = ImageTarget::of_this_machine();
    let interprets = cfg!(feature = "compiler") || native == ImageTarget::interpreter();
    let runs = target == native || interprets && target == ImageTarget::interpreter();
    if !runs {
        return Err(Error::invalid(format!(
            "this machine does not run plugins compiled for {target}; it runs those for {native}"
        )));
    }
    let mut config = config(source_lines);
    #[cfg(feature = "compiler")]
    config.enable_compiler(compile);
    if !cfg!(feature = "compiler") && compile {
        return Err(Error::internal(
            "this program was built without the compiler",
        ));
    }
    // A target that is named is taken as the plainest of its kind; the machine's own is used as it is.
    if target == ImageTarget::interpreter() {
        config.target(target.name()).map_err(does_not_start)?;
    }
    Engine::new(&config).map_err(does_not_start)
}

/// An engine that makes code for `target`, on whatever machine.
///
/// # Errors
/// `Internal` where the compiler does not know it.
#[cfg(feature = "compiler")]
pub(crate) fn engine_for(target: ImageTarget) -> Result<Engine> {
    let mut config = config(false);
    config.target(target.name()).map_err(does_not_start)?;
    if target == ImageTarget::X86_64 {
        for feature in [
            "has_sse3",
            "has_ssse3",
            "has_sse41",
            "has_sse42",
            "has_popcnt",
        ] {
            #[expect(
                unsafe_code,
                reason = "code that uses instructions that a machine lacks must not run there; the \
                          engine that loads an image compares these flags with its processor first"
            )]
            // SAFETY: nothing is run by this engine.
            unsafe {
                config.cranelift_flag_enable(feature);
            }
        }
    }
    Engine::new(&config).map_err(does_not_start)
}

/// Whoever makes an image and whoever runs it have the same.
fn config(source_lines: bool) -> Config {
    let mut config = Config::new();
    config
        .wasm_component_model(true)
        .wasm_relaxed_simd(false)
        .wasm_memory64(false)
        .epoch_interruption(true)
        .memory_guaranteed_dense_image_size(SPARSE_BYTES_MAX);
    if source_lines {
        config.wasm_backtrace_details(WasmBacktraceDetails::Enable);
    } else {
        // A panic tells its place by itself. What a guest says about its own code is not read.
        config
            .wasm_backtrace_max_frames(None)
            .wasm_backtrace_details(WasmBacktraceDetails::Disable)
            .generate_address_map(false);
    }
    #[cfg(feature = "compiler")]
    config.cranelift_opt_level(wasmtime::OptLevel::Speed);
    config
}

/// What compiled code depends on beside the component. What it asks of the processor it says itself.
pub(crate) fn identity(target: ImageTarget, source_lines: bool) -> [u8; digest::SHA256_OUTPUT_LEN] {
    let lines = if source_lines { ", source lines" } else { "" };
    let text = format!("wasmtime {WASMTIME}, {SETTINGS}{lines}, {target}");
    let mut identity = [0; digest::SHA256_OUTPUT_LEN];
    identity.copy_from_slice(digest::digest(&digest::SHA256, text.as_bytes()).as_ref());
    identity
}

fn does_not_start(error: wasmtime::Error) -> Error {
    Error::internal(format!("the WebAssembly engine does not start: {error:#}"))
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
