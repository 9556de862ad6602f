//! Plugins in force: the catalog's functions, models and processors, loaded and ready. Rebuilt as a
//! whole after each change of the definitions; what did not change is kept as it is.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Weak};

use activestore_catalog::{CatalogState, ModelDef, PluginReference, ProcessorDef, ProcessorSource};
use activestore_env::Clock;
use activestore_plugin_host::{Grants, MergeFunction, Model, Plugin, PluginHost, PluginKind};
use activestore_query::Engine;
use activestore_store::Store;
use activestore_types::{Error, Result, TableName};
use parking_lot::{Mutex, RwLock};

use crate::blobs::Blobs;
use crate::write::processor::{Runtime, Source};
use crate::write::replay::progress_key;

mod deployed;
mod functions;
mod reach;
mod rehearsal;
mod sharing;

pub(crate) use deployed::{Compared, Deployed, training_metrics};
pub(crate) use reach::{ms_to_ns, services};
pub(crate) use sharing::LoadedFilter;

/// What is loaded at one version of the catalog.
#[derive(Default)]
pub(crate) struct Loaded {
    processors: BTreeMap<TableName, Vec<Arc<Runtime>>>,
    models: HashMap<String, Arc<Deployed>>,
    functions: BTreeMap<String, LoadedFunction>,
    merges: BTreeMap<String, Vec<Arc<MergeFunction>>>,
    filters: BTreeMap<String, Arc<LoadedFilter>>,
    /// Definitions that could not be loaded, with the reason: shown, never silent.
    pub(crate) failed: BTreeMap<String, String>,
}

impl Loaded {
    pub(crate) fn processors_on(&self, table: &TableName) -> impl Iterator<Item = &Arc<Runtime>> {
        self.processors.get(table).into_iter().flatten()
    }

    /// Whether a processor is one of those that may run.
    pub(crate) fn is_in_force(&self, runtime: &Arc<Runtime>) -> bool {
        self.all_processors().any(|one| Arc::ptr_eq(one, runtime))
    }

    pub(crate) fn all_processors(&self) -> impl Iterator<Item = &Arc<Runtime>> {
        self.processors.values().flatten()
    }

    /// A function that is in force; `None` of one that could not be loaded.
    pub(crate) fn function(&self, name: &str) -> Option<&LoadedFunction> {
        self.functions.get(name)
    }

    pub(crate) fn model(&self, name: &str) -> Result<Arc<Deployed>> {
        self.models.get(name).cloned().ok_or_else(|| {
            match self.failed.get(&format!("model {name}")) {
                Some(reason) => {
                    Error::conflict(format!("model '{name}' could not be loaded: {reason}"))
                }
                None => Error::not_found(format!("there is no model '{name}'"))
                    .with_hint("CREATE MODEL … USING PLUGIN 'onnx' WITH (file = '…')"),
            }
        })
    }
}

/// A function of SQL that is in force.
pub(crate) struct LoadedFunction {
    pub(crate) kind: PluginKind,
    /// How it is called, one line for each overload: `f(x DOUBLE) → DOUBLE`.
    pub(crate) usage: Vec<String>,
}

/// The plugin host with what it has loaded.
pub(crate) struct Plugins {
    host: Arc<PluginHost>,
    blobs: Arc<Blobs>,
    store: Arc<Store>,
    clock: Arc<dyn Clock>,
    /// By the hash of the component and what it was granted.
    components: Mutex<Components>,
    /// By artifact, options and component: one that did not change is not loaded again.
    models: Mutex<LoadedModels>,
    current: RwLock<Arc<Loaded>>,
}

type Components = HashMap<([u8; 32], Grants), Arc<Plugin>>;
type LoadedModels = HashMap<([u8; 32], BTreeMap<String, String>, [u8; 32]), Weak<Model>>;

/// What a model's plugin is told of its options.
pub(crate) fn plugin_options(options: &BTreeMap<String, String>) -> BTreeMap<String, String> {
    let mut options = options.clone();
    options.retain(|name, _| !deployed::is_own(name));
    options
}

/// A model with what its definition puts beside it.
fn beside(
    def: &ModelDef,
    model: &Arc<Model>,
    all: &HashMap<&str, Arc<Model>>,
    clock: &Arc<dyn Clock>,
) -> Result<Deployed> {
    let find = |name: &str| {
        all.get(name).ok_or_else(|| {
            Error::not_found(format!(
                "there is no model '{name}' to run beside '{}'",
                def.name
            ))
        })
    };
    training_metrics(&def.options)?;
    let mut deployed = Deployed::alone(model.clone(), clock);
    if let Some(name) = def.options.get("shadow") {
        deployed = deployed.with_shadow(name, find(name)?)?;
    }
    if let Some(split) = def.options.get("split") {
        let (name, percent) = deployed::parse_split(split)?;
        deployed = deployed.with_candidate(name, find(name)?, percent)?;
    }
    Ok(deployed)
}

impl Plugins {
    /// Tries what a definition puts beside a model.
    ///
    /// # Errors
    /// What loading says, and `Invalid` for a model that takes other inputs.
    pub(crate) fn try_model(&self, state: &CatalogState, def: &ModelDef) -> Result<()> {
        let model = self.model_of(state, def)?;
        let mut all = HashMap::new();
        for (name, other) in &state.models {
            if let Ok(other) = self.model_of(state, other) {
                all.insert(name.as_str(), other);
            }
        }
        beside(def, &model, &all, &self.clock).map(drop)
    }

    pub(crate) fn new(
        host: Arc<PluginHost>,
        blobs: Arc<Blobs>,
        store: Arc<Store>,
        clock: Arc<dyn Clock>,
    ) -> Self {
        Plugins {
            host,
            blobs,
            store,
            clock,
            components: Mutex::new(HashMap::new()),
            models: Mutex::new(HashMap::new()),
            current: RwLock::new(Arc::new(Loaded::default())),
        }
    }

    pub(crate) fn host(&self) -> &PluginHost {
        &self.host
    }

    /// What is loaded now.
    pub(crate) fn current(&self) -> Arc<Loaded> {
        self.current.read().clone()
    }

    /// The component with this hash, where it is loaded.
    pub(crate) fn loaded(&self, sha256: &[u8; 32]) -> Option<Arc<Plugin>> {
        let components = self.components.lock();
        let mut all = components.iter();
        all.find(|((hash, _), _)| hash == sha256)
            .map(|(_, plugin)| plugin.clone())
    }

    /// The component with this hash and these grants, loaded once.
    pub(crate) fn component(
        &self,
        name: &str,
        sha256: &[u8; 32],
        grants: &[String],
    ) -> Result<Arc<Plugin>> {
        let key = (*sha256, Grants::parse(grants)?);
        if let Some(plugin) = self.components.lock().get(&key) {
            return Ok(plugin.clone());
        }
        let bytes = self.blobs.get(sha256)?.ok_or_else(|| {
            Error::not_found(format!(
                "the component of plugin '{name}' is not on this node"
            ))
            .with_hint("deploy the plugin again")
        })?;
        let plugin = self.host.load_granted(name, &bytes, &key.1)?;
        self.components.lock().insert(key, plugin.clone());
        Ok(plugin)
    }

    /// The component that a reference names.
    pub(crate) fn referenced(
        &self,
        state: &CatalogState,
        reference: &PluginReference,
    ) -> Result<Arc<Plugin>> {
        let version = state.plugin_version(reference)?;
        let grants = &state.plugin(&reference.name)?.grants;
        self.component(&reference.name, &version.sha256, grants)
    }

    /// Brings what is loaded in line with the definitions. A definition that cannot be loaded is
    /// recorded and left out; the rest works.
    pub(crate) fn refresh(&self, state: &CatalogState, engine: &Engine) {
        let before = self.current();
        let mut next = Loaded::default();
        self.load_models(state, &before, &mut next);
        self.load_sharing(state, &before, &mut next);
        for def in state.processors.values() {
            match self.processor(state, def, &next, &before) {
                Ok(runtime) => next
                    .processors
                    .entry(def.table.clone())
                    .or_default()
                    .push(runtime),
                Err(error) => next.fail(format!("processor {}", def.name), &error),
            }
        }
        for gone in before.functions.keys() {
            if !state.functions.contains_key(gone) {
                engine.deregister(gone);
            }
        }
        for (name, def) in &state.functions {
            let registered = self
                .referenced(state, &def.plugin)
                .and_then(|plugin| functions::register(engine, name, &plugin, &def.function));
            match registered {
                Ok(function) => {
                    next.functions.insert(name.clone(), function);
                }
                Err(error) => {
                    engine.deregister(name);
                    next.fail(format!("function {name}"), &error);
                }
            }
        }
        self.components.lock().retain(|(hash, grants), _| {
            state.plugins.values().any(|plugin| {
                let versions = plugin.earlier.iter().map(|earlier| earlier.sha256);
                let mut versions = std::iter::once(plugin.sha256).chain(versions);
                versions.any(|version| version == *hash)
                    && Grants::parse(&plugin.grants).is_ok_and(|held| held == *grants)
            })
        });
        *self.current.write() = Arc::new(next);
    }

    /// Loads the models, each first by itself, then with what runs beside it.
    fn load_models(&self, state: &CatalogState, before: &Loaded, next: &mut Loaded) {
        let mut alone: HashMap<&str, Arc<Model>> = HashMap::new();
        for (name, def) in &state.models {
            match self.model_of(state, def) {
                Ok(model) => {
                    alone.insert(name, model);
                }
                Err(error) => next.fail(format!("model {name}"), &error),
            }
        }
        for (name, def) in &state.models {
            let Some(model) = alone.get(name.as_str()) else {
                continue;
            };
            let deployed = beside(def, model, &alone, &self.clock).unwrap_or_else(|error| {
                // It scores without the other.
                next.fail(format!("model {name}"), &error);
                Deployed::alone(model.clone(), &self.clock)
            });
            let known = before.models.get(name);
            let known = known.filter(|known| known.is_like(&deployed)).cloned();
            let deployed = known.unwrap_or_else(|| Arc::new(deployed));
            next.models.insert(name.clone(), deployed);
        }
    }

    /// A model of a definition, as it is by itself.
    pub(crate) fn model_of(&self, state: &CatalogState, def: &ModelDef) -> Result<Arc<Model>> {
        let plugin = self.referenced(state, &def.plugin)?;
        // What the plugin is not told does not make it another model.
        let options = plugin_options(&def.options);
        let key = (def.artifact_sha256, options, plugin.sha256());
        if let Some(model) = self.models.lock().get(&key).and_then(Weak::upgrade) {
            return Ok(model);
        }
        let artifact = self.blobs.get(&def.artifact_sha256)?.ok_or_else(|| {
            Error::not_found(format!(
                "the file of model '{}' is not on this node",
                def.name
            ))
        })?;
        let model = plugin.model(&key.1, &artifact)?;
        let mut models = self.models.lock();
        models.retain(|_, model| model.strong_count() > 0);
        models.insert(key, Arc::downgrade(&model));
        Ok(model)
    }

    fn processor(
        &self,
        state: &CatalogState,
        def: &ProcessorDef,
        next: &Loaded,
        before: &Loaded,
    ) -> Result<Arc<Runtime>> {
        let source = match &def.source {
            ProcessorSource::Plugin(reference) => {
                Source::Plugin(self.referenced(state, reference)?)
            }
            ProcessorSource::Model(name) => {
                let model = next.model(name)?;
                Source::Model {
                    inputs: model_inputs(def, &model),
                    column: score_column(def),
                    model,
                }
            }
        };
        // A processor that did not change keeps its instance and its counters.
        let same = before.all_processors().find(|runtime| {
            runtime.def == *def
                && match (&runtime.source, &source) {
                    (Source::Plugin(old), Source::Plugin(new)) => Arc::ptr_eq(old, new),
                    _ => false,
                }
        });
        match same {
            Some(runtime) => Ok(runtime.clone()),
            None => {
                let started = self.store.note(&progress_key(&def.name)).is_some();
                Ok(Arc::new(Runtime::new(def.clone(), source, started)?))
            }
        }
    }
}

impl Loaded {
    fn fail(&mut self, what: String, error: &Error) {
        tracing::warn!(what, %error, "a definition could not be loaded");
        self.failed.insert(what, error.to_string());
    }
}

/// The columns a model processor reads: `columns = 'a, b'`, or the model's own input names.
pub(crate) fn model_inputs(def: &ProcessorDef, model: &Deployed) -> Vec<String> {
    match def.options.get("columns") {
        Some(columns) => columns
            .split(',')
            .map(|name| name.trim().to_owned())
            .collect(),
        None => model
            .inputs()
            .iter()
            .map(|(name, _)| name.clone())
            .collect(),
    }
}

/// The column a model processor fills: `column = 'score'`, or the processor's name.
pub(crate) fn score_column(def: &ProcessorDef) -> String {
    def.options
        .get("column")
        .cloned()
        .unwrap_or_else(|| def.name.clone())
}
