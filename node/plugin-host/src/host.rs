//! The host: one engine, one linker, one memory budget, one cache, for all plugins of a node.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::atomic::Ordering;
use std::sync::{Arc, OnceLock, Weak};
use std::time::{Duration, Instant};

use activestore_types::{Error, Result};
use parking_lot::Mutex;
use ring::digest;
use wasmtime::Engine;
use wasmtime::component::{Component, Linker};

use crate::cache::Cache;
use crate::capability::{Granted, Grants, Services};
use crate::componentize::{WasmForm, wasm_form};
use crate::contract;
use crate::engine::{Ticker, engine};
use crate::instance::{HostState, Mould, linker};
use crate::log::LogRing;
use crate::memory::MemoryTotal;
use crate::plugin::{Exports, Origin, Plugin, PluginStats};
use crate::signature::Trust;

/// What plugins are allowed.
#[derive(Clone, Debug)]
pub struct HostOptions {
    /// Where compiled images are kept; `None` compiles at every start.
    pub cache_dir: Option<PathBuf>,
    /// Bytes of linear memory that one instance may hold.
    pub memory_bytes_max: usize,
    /// Bytes of linear memory that all instances may hold together.
    pub total_memory_bytes_max: usize,
    /// How long one call may take.
    pub call_deadline: Duration,
    /// Bytes that a component may have.
    pub wasm_bytes_max: usize,
    /// Whose components are run.
    pub trust: Trust,
    /// Whether a trap is told with its line of the source. It makes the host read the component's debugging
    /// information, which only its author should want.
    pub source_lines: bool,
}

impl Default for HostOptions {
    fn default() -> Self {
        HostOptions {
            cache_dir: None,
            memory_bytes_max: 64 << 20,
            total_memory_bytes_max: 512 << 20,
            call_deadline: Duration::from_secs(1),
            wasm_bytes_max: 32 << 20,
            trust: Trust::Anybody,
            source_lines: false,
        }
    }
}

/// What the host as a whole has done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HostStats {
    /// Bytes of linear memory held by instances now.
    pub memory_bytes: u64,
    /// Components compiled since the start.
    pub compiled: u64,
    /// Compiled images taken from the cache.
    pub cache_hits: u64,
    /// Images in the cache that were not ours, or not usable, and were removed.
    pub cache_refused: u64,
    /// Images that could not be written.
    pub cache_failures: u64,
}

/// Loads plugins and keeps them within their limits.
pub struct PluginHost {
    options: HostOptions,
    engine: Engine,
    linker: Linker<HostState>,
    ticker: Arc<Ticker>,
    services: Arc<OnceLock<Services>>,
    total: Arc<MemoryTotal>,
    cache: Option<Cache>,
    /// Held while compiling: one component at a time, however many are loaded.
    compiled: Mutex<Compiled>,
    plugins: Mutex<Vec<Weak<Plugin>>>,
}

#[derive(Default)]
struct Compiled {
    components: HashMap<[u8; 32], Component>,
    count: u64,
}

impl std::fmt::Debug for PluginHost {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("PluginHost")
            .field("options", &self.options)
            .finish_non_exhaustive()
    }
}

impl PluginHost {
    /// Starts the engine. A cache directory that cannot be used is only reported.
    ///
    /// # Errors
    /// `Internal` when the machine cannot run WebAssembly at all.
    pub fn new(options: HostOptions) -> Result<Arc<Self>> {
        let engine = engine(options.source_lines)?;
        let linker = linker(&engine).map_err(|error| Error::internal(error.to_string()))?;
        let cache = options.cache_dir.as_deref().and_then(|dir| {
            Cache::open(dir, &engine)
                .inspect_err(|error| {
                    tracing::warn!(dir = %dir.display(), %error, "compiled plugins cannot be kept here");
                })
                .ok()
        });
        Ok(Arc::new(PluginHost {
            ticker: Arc::new(Ticker::start(engine.clone())?),
            services: Arc::default(),
            total: MemoryTotal::new(options.total_memory_bytes_max),
            cache,
            compiled: Mutex::new(Compiled::default()),
            plugins: Mutex::new(Vec::new()),
            options,
            engine,
            linker,
        }))
    }

    /// Says who serves what plugins are granted: once, before the first of them runs.
    pub fn serve(&self, services: Services) {
        if self.services.set(services).is_err() {
            tracing::warn!("what plugins are granted is served by another already");
        }
    }

    /// Checks, compiles and inspects a component. The same bytes are compiled once, whatever the
    /// names they are loaded under. Takes as long as compiling takes: seconds for large components.
    ///
    /// # Errors
    /// `Denied` when nobody whom [`HostOptions::trust`] names has signed it, or its signature is not right;
    /// `Invalid` when the bytes are no component, too many, ask for an import or offer an export that
    /// is not in the contract, or describe functions that cannot be; `Overloaded` when no memory is left.
    pub fn load(&self, name: &str, wasm: &[u8]) -> Result<Arc<Plugin>> {
        self.load_granted(name, wasm, &Grants::default())
    }

    /// As [`PluginHost::load`], for a plugin that was granted something.
    ///
    /// # Errors
    /// As [`PluginHost::load`], and `Denied` for what it asks for and was not granted.
    pub fn load_granted(&self, name: &str, wasm: &[u8], grants: &Grants) -> Result<Arc<Plugin>> {
        self.check_form(name, wasm)?;
        let began = Instant::now();
        let mut sha256 = [0; 32];
        sha256.copy_from_slice(digest::digest(&digest::SHA256, wasm).as_ref());
        let in_plugin = |error: Error| error.context(format_args!("plugin '{name}' is refused"));
        let signer = self.options.trust.check(wasm).map_err(in_plugin)?;
        let (component, from_cache) = self.component(&sha256, wasm).map_err(in_plugin)?;
        let (kind, wants) = contract::inspect(&self.engine, &component).map_err(in_plugin)?;
        grants.admit(wants).map_err(in_plugin)?;
        let exports = Exports::find(&component, kind).map_err(in_plugin)?;
        let pre = self
            .linker
            .instantiate_pre(&component)
            .map_err(|error| in_plugin(Error::invalid(format!("{error:#}"))))?;
        let mould = Mould {
            pre,
            log: Arc::new(LogRing::new()),
            granted: Granted {
                grants: Arc::new(grants.clone()),
                services: self.services.clone(),
            },
            total: self.total.clone(),
            memory_bytes_max: self.options.memory_bytes_max,
            deadline: self.options.call_deadline,
        };
        let origin = Origin {
            name: name.to_owned(),
            sha256,
            load_us: u64::try_from(began.elapsed().as_micros()).unwrap_or(u64::MAX),
            from_cache,
            signer,
            wants,
        };
        let plugin = Plugin::new(origin, exports, mould, self.ticker.clone())?;
        let mut plugins = self.plugins.lock();
        plugins.retain(|plugin| plugin.strong_count() > 0);
        plugins.push(Arc::downgrade(&plugin));
        Ok(plugin)
    }

    /// What each loaded plugin has done, in the order of loading.
    pub fn stats(&self) -> Vec<PluginStats> {
        let plugins = self.plugins.lock();
        plugins
            .iter()
            .filter_map(Weak::upgrade)
            .map(|plugin| plugin.stats())
            .collect()
    }

    /// What the host as a whole has done.
    pub fn host_stats(&self) -> HostStats {
        let count = |pick: fn(&Cache) -> &std::sync::atomic::AtomicU64| {
            self.cache
                .as_ref()
                .map_or(0, |cache| pick(cache).load(Ordering::Relaxed))
        };
        HostStats {
            memory_bytes: self.total.held() as u64,
            compiled: self.compiled.lock().count,
            cache_hits: count(|cache| &cache.hits),
            cache_refused: count(|cache| &cache.refused),
            cache_failures: count(|cache| &cache.failures),
        }
    }

    fn check_form(&self, name: &str, wasm: &[u8]) -> Result<()> {
        if wasm.len() > self.options.wasm_bytes_max {
            return Err(Error::invalid(format!(
                "plugin '{name}' holds {} bytes where {} are allowed",
                wasm.len(),
                self.options.wasm_bytes_max
            )));
        }
        match wasm_form(wasm) {
            WasmForm::Component => Ok(()),
            WasmForm::CoreModule => Err(Error::invalid(format!(
                "plugin '{name}' is a core WebAssembly module, not a component"
            ))
            .with_hint("build it with `activestore plugin build`, which makes a component of it")),
            WasmForm::NotWasm => Err(
                Error::invalid(format!("plugin '{name}' is not WebAssembly"))
                    .with_hint("give the .wasm file that `activestore plugin build` wrote"),
            ),
        }
    }

    /// The compiled component, and whether it came from the cache on disk.
    fn component(&self, sha256: &[u8; 32], wasm: &[u8]) -> Result<(Component, bool)> {
        let mut compiled = self.compiled.lock();
        if let Some(component) = compiled.components.get(sha256) {
            return Ok((component.clone(), false));
        }
        let cached = self
            .cache
            .as_ref()
            .and_then(|cache| cache.load(&self.engine, sha256));
        let (component, from_cache) = match cached {
            Some(component) => (component, true),
            None => {
                let component = Component::from_binary(&self.engine, wasm).map_err(|error| {
                    Error::invalid(format!(
                        "it is not a valid component: {}",
                        error.root_cause()
                    ))
                })?;
                compiled.count += 1;
                let component = self.keep(sha256, component);
                give_memory_back();
                (component, false)
            }
        };
        self.forget_unused(&mut compiled);
        compiled.components.insert(*sha256, component.clone());
        Ok((component, from_cache))
    }

    /// Writes the image to the cache and maps it from there: pages of a file that are not used need
    /// no memory, those of a fresh compilation do.
    fn keep(&self, sha256: &[u8; 32], component: Component) -> Component {
        let Some(cache) = &self.cache else {
            return component;
        };
        cache.store(sha256, &component);
        let mapped = cache.load(&self.engine, sha256);
        if mapped.is_some() {
            cache.hits.fetch_sub(1, Ordering::Relaxed);
        }
        mapped.unwrap_or(component)
    }

    /// Drops compiled components that no loaded plugin uses any more.
    fn forget_unused(&self, compiled: &mut Compiled) {
        let used: Vec<_> = self
            .plugins
            .lock()
            .iter()
            .filter_map(Weak::upgrade)
            .map(|plugin| plugin.sha256())
            .collect();
        compiled
            .components
            .retain(|sha256, _| used.contains(sha256));
    }
}

/// Hands what the compiler freed back to the system: compiling a large component takes hundreds of
/// megabytes for a moment, and the C library would keep them.
fn give_memory_back() {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    #[expect(unsafe_code, reason = "a call into the C library")]
    // SAFETY: `malloc_trim` may be called at any time, from any thread.
    unsafe {
        libc::malloc_trim(0);
    }
}
