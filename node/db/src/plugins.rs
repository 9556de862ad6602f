//! Plugins in force: the catalog's functions, models and processors, loaded and ready. Rebuilt as a
//! whole after each change of the definitions; what did not change is kept as it is.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use activestore_catalog::{CatalogState, PluginReference, ProcessorDef, ProcessorSource};
use activestore_plugin_host::{Model, Plugin, PluginHost, PluginKind};
use activestore_query::Engine;
use activestore_types::{Error, Result, TableName};
use parking_lot::{Mutex, RwLock};

use crate::blobs::Blobs;
use crate::write::processor::{Runtime, Source};

mod functions;

/// What is loaded at one version of the catalog.
#[derive(Default)]
pub(crate) struct Loaded {
    processors: BTreeMap<TableName, Vec<Arc<Runtime>>>,
    models: HashMap<String, Arc<Model>>,
    /// By name, with what they are.
    functions: BTreeMap<String, PluginKind>,
    /// Definitions that could not be loaded, with the reason: shown, never silent.
    pub(crate) failed: BTreeMap<String, String>,
}

impl Loaded {
    pub(crate) fn processors_on(&self, table: &TableName) -> impl Iterator<Item = &Arc<Runtime>> {
        self.processors.get(table).into_iter().flatten()
    }

    pub(crate) fn all_processors(&self) -> impl Iterator<Item = &Arc<Runtime>> {
        self.processors.values().flatten()
    }

    /// What a function is; `None` of one that could not be loaded.
    pub(crate) fn function_kind(&self, name: &str) -> Option<&'static str> {
        self.functions.get(name).map(|kind| kind.name())
    }

    pub(crate) fn model(&self, name: &str) -> Result<Arc<Model>> {
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

/// The plugin host with what it has loaded.
pub(crate) struct Plugins {
    host: Arc<PluginHost>,
    blobs: Arc<Blobs>,
    components: Mutex<HashMap<[u8; 32], Arc<Plugin>>>,
    current: RwLock<Arc<Loaded>>,
}

impl Plugins {
    pub(crate) fn new(host: Arc<PluginHost>, blobs: Arc<Blobs>) -> Self {
        Plugins {
            host,
            blobs,
            components: Mutex::new(HashMap::new()),
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

    /// The component with this hash, loaded once.
    pub(crate) fn component(&self, name: &str, sha256: &[u8; 32]) -> Result<Arc<Plugin>> {
        if let Some(plugin) = self.components.lock().get(sha256) {
            return Ok(plugin.clone());
        }
        let bytes = self.blobs.get(sha256)?.ok_or_else(|| {
            Error::not_found(format!(
                "the component of plugin '{name}' is not on this node"
            ))
            .with_hint("deploy the plugin again")
        })?;
        let plugin = self.host.load(name, &bytes)?;
        self.components.lock().insert(*sha256, plugin.clone());
        Ok(plugin)
    }

    /// The component that a reference names.
    pub(crate) fn referenced(
        &self,
        state: &CatalogState,
        reference: &PluginReference,
    ) -> Result<Arc<Plugin>> {
        let version = state.plugin_version(reference)?;
        self.component(&reference.name, &version.sha256)
    }

    /// Brings what is loaded in line with the definitions. A definition that cannot be loaded is
    /// recorded and left out; the rest works.
    pub(crate) fn refresh(&self, state: &CatalogState, engine: &Engine) {
        let before = self.current();
        let mut next = Loaded::default();
        for (name, def) in &state.models {
            let loaded = self.referenced(state, &def.plugin).and_then(|plugin| {
                let artifact = self.blobs.get(&def.artifact_sha256)?.ok_or_else(|| {
                    Error::not_found(format!("the file of model '{name}' is not on this node"))
                })?;
                plugin.model(&artifact)
            });
            match loaded {
                Ok(model) => {
                    next.models.insert(name.clone(), model);
                }
                Err(error) => next.fail(format!("model {name}"), &error),
            }
        }
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
                Ok(kind) => {
                    next.functions.insert(name.clone(), kind);
                }
                Err(error) => {
                    engine.deregister(name);
                    next.fail(format!("function {name}"), &error);
                }
            }
        }
        self.components.lock().retain(|hash, _| {
            state.plugins.values().any(|plugin| {
                plugin.sha256 == *hash
                    || plugin.earlier.iter().any(|earlier| earlier.sha256 == *hash)
            })
        });
        *self.current.write() = Arc::new(next);
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
                    (Source::Plugin(old), Source::Plugin(new)) => old.sha256() == new.sha256(),
                    _ => false,
                }
        });
        match same {
            Some(runtime) => Ok(runtime.clone()),
            None => Ok(Arc::new(Runtime::new(def.clone(), source)?)),
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
pub(crate) fn model_inputs(def: &ProcessorDef, model: &Model) -> Vec<String> {
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
