//! The host: one engine, one linker, one memory budget, one cache, for all plugins of a node.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock, Weak};
use std::time::{Duration, Instant};

use activestore_types::{Error, Result};
use parking_lot::Mutex;
use ring::digest;
use wasmtime::Engine;
use wasmtime::component::{Component, Linker};

use crate::cache::Cache;
use crate::capability::{Granted, Grants, Services};
use crate::compiler;
use crate::componentize::{WasmForm, wasm_form};
use crate::contract;
use crate::engine::{Ticker, engine, identity};
use crate::image::{Image, ImageTarget};
use crate::instance::{HostState, Mould, linker};
use crate::log::LogRing;
use crate::memory::MemoryTotal;
use crate::native::Native;
use crate::plugin::{Exports, Origin, Plugin, PluginStats};
use crate::signature::{Signed, SignerKey, Trust};

/// Bytes that a component and the images that it carries may have beyond
/// [`HostOptions::wasm_bytes_max`].
const IMAGES_BYTES_MAX: usize = 64 << 20;

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
    /// Bytes that a component may have, the images that it carries left out.
    pub wasm_bytes_max: usize,
    /// Whose components are run.
    pub trust: Trust,
    /// Whether a trap is told with its line of the source. It makes the host read the component's debugging
    /// information, which only its author should want, and is for components that are compiled here.
    pub source_lines: bool,
    /// Whether components are compiled; if not, only images that they carry are run. Always false
    /// where the program has no compiler.
    pub compile: bool,
    /// Whose images are run where nothing is compiled. An image is native code: whoever is named here is
    /// trusted with the machine.
    pub image_signers: Vec<SignerKey>,
    /// What code is run: the machine's own, or the interpreter's.
    pub target: ImageTarget,
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
            compile: compiler::IS_THERE,
            image_signers: Vec::new(),
            target: ImageTarget::of_this_machine(),
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
    native: Arc<Native>,
    cache: Option<Cache>,
    /// Held while compiling: one component at a time, however many are loaded.
    compiling: Mutex<()>,
    compiled: Mutex<HashMap<[u8; 32], Component>>,
    compiled_count: AtomicU64,
    plugins: Mutex<Vec<Weak<Plugin>>>,
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
    /// `Invalid` when the machine does not run [`HostOptions::target`]; `Internal` when it cannot run
    /// WebAssembly at all.
    pub fn new(mut options: HostOptions) -> Result<Arc<Self>> {
        options.compile &= compiler::IS_THERE;
        let engine = engine(options.target, options.compile, options.source_lines)?;
        let linker = linker(&engine).map_err(|error| Error::internal(error.to_string()))?;
        let cache = options.cache_dir.as_deref().and_then(|dir| {
            Cache::open(dir, identity(options.target, options.source_lines))
                .inspect_err(|error| {
                    tracing::warn!(dir = %dir.display(), %error, "compiled plugins cannot be kept here");
                })
                .ok()
        });
        let total = MemoryTotal::new(options.total_memory_bytes_max);
        Ok(Arc::new(PluginHost {
            native: Native::new(&total),
            total,
            ticker: Arc::new(Ticker::start(engine.clone())?),
            services: Arc::default(),
            cache,
            compiling: Mutex::new(()),
            compiled: Mutex::new(HashMap::new()),
            compiled_count: AtomicU64::new(0),
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

    /// Checks, compiles and inspects a component. The same component is compiled once, whatever the
    /// names it is loaded under. Takes as long as compiling takes: seconds for large components.
    ///
    /// # Errors
    /// `Denied` when nobody whom [`HostOptions::trust`] names has signed it, or its signature is not right;
    /// `Invalid` when the bytes are no component, too many, more than the compiler should be given, ask for
    /// an import or offer an export that is not in the contract, or describe functions that cannot be, and,
    /// where nothing is compiled, when they carry no image for this machine; `Overloaded` when no memory is
    /// left.
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
        let signed = Signed::read(wasm).map_err(in_plugin)?;
        if signed.body.len() > self.options.wasm_bytes_max {
            return Err(too_large(
                name,
                signed.body.len(),
                self.options.wasm_bytes_max,
            ));
        }
        let signer = self
            .options
            .trust
            .check_signed(&signed)
            .map_err(in_plugin)?;
        let (source, component, from_cache) = self.component(&signed).map_err(in_plugin)?;
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
            native: self.native.clone(),
            total: self.total.clone(),
            memory_bytes_max: self.options.memory_bytes_max,
            deadline: self.options.call_deadline,
        };
        let origin = Origin {
            name: name.to_owned(),
            sha256,
            source,
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
            compiled: self.compiled_count.load(Ordering::Relaxed),
            cache_hits: count(|cache| &cache.hits),
            cache_refused: count(|cache| &cache.refused),
            cache_failures: count(|cache| &cache.failures),
        }
    }

    fn check_form(&self, name: &str, wasm: &[u8]) -> Result<()> {
        let bytes_max = self.options.wasm_bytes_max;
        if wasm.len() > bytes_max.saturating_add(IMAGES_BYTES_MAX) {
            return Err(too_large(name, wasm.len(), bytes_max));
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

    /// The hash of what code was made of, the component with the code, and whether that came from the
    /// cache on disk.
    fn component(&self, signed: &Signed<'_>) -> Result<([u8; 32], Component, bool)> {
        let image = if self.options.compile {
            None
        } else {
            let signers = &self.options.image_signers;
            Some(Image::find(signed, self.options.target, signers)?)
        };
        let source = match &image {
            Some(image) => image.sha256,
            None => signed.body_sha256(),
        };
        if let Some(component) = self.compiled.lock().get(&source) {
            return Ok((source, component.clone(), false));
        }
        let _turn = self.compiling.lock();
        // Somebody else may have had the turn before, with the same component.
        if let Some(component) = self.compiled.lock().get(&source) {
            return Ok((source, component.clone(), false));
        }
        let cached = self
            .cache
            .as_ref()
            .and_then(|cache| cache.load(&self.engine, &source));
        let from_cache = cached.is_some();
        let component = match (cached, image) {
            (Some(component), _) => component,
            (None, Some(image)) => self.unpack(&source, &image)?,
            (None, None) => {
                let component = compiler::compile(&self.engine, signed.body)?;
                self.compiled_count.fetch_add(1, Ordering::Relaxed);
                let component = self.keep(&source, component);
                give_memory_back();
                component
            }
        };
        let mut compiled = self.compiled.lock();
        self.forget_unused(&mut compiled);
        compiled.insert(source, component.clone());
        Ok((source, component, from_cache))
    }

    /// The component of an image that it carries.
    fn unpack(&self, source: &[u8; 32], image: &Image<'_>) -> Result<Component> {
        let native = image.decompress()?;
        #[expect(
            unsafe_code,
            reason = "an image is native code; this one is as somebody signed it whom this host was told \
                      to trust with native code, for this component, target, wasmtime and settings"
        )]
        // SAFETY: its signer vouches that it holds what `Engine::precompile_component` gave.
        let component = unsafe { Component::deserialize(&self.engine, &native) };
        let component = component.map_err(|error| {
            Error::invalid(format!(
                "its image for {} does not run on this node: {}",
                self.options.target,
                error.root_cause()
            ))
            .with_hint("precompile it with the program of this node's release")
        })?;
        Ok(self.keep_image(source, &native).unwrap_or(component))
    }

    /// Writes the image to the cache and maps it from there: pages of a file that are not used need
    /// no memory, those of a fresh compilation do.
    fn keep(&self, source: &[u8; 32], component: Component) -> Component {
        if self.cache.is_none() {
            return component;
        }
        let image = component.serialize().ok();
        let mapped = image.and_then(|image| self.keep_image(source, &image));
        mapped.unwrap_or(component)
    }

    fn keep_image(&self, source: &[u8; 32], image: &[u8]) -> Option<Component> {
        let cache = self.cache.as_ref()?;
        cache.store(source, image);
        let mapped = cache.load(&self.engine, source)?;
        cache.hits.fetch_sub(1, Ordering::Relaxed);
        Some(mapped)
    }

    /// Drops compiled components that no loaded plugin uses any more.
    fn forget_unused(&self, compiled: &mut HashMap<[u8; 32], Component>) {
        let used: Vec<_> = self
            .plugins
            .lock()
            .iter()
            .filter_map(Weak::upgrade)
            .map(|plugin| plugin.source())
            .collect();
        compiled.retain(|source, _| used.contains(source));
    }
}

fn too_large(name: &str, bytes: usize, allowed: usize) -> Error {
    Error::invalid(format!(
        "plugin '{name}' holds {bytes} bytes where {allowed} are allowed"
    ))
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
