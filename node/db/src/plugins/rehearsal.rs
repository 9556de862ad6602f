//! Trying definitions before they are taken over: what works now has to work with the plugins that they bring.

use std::sync::Arc;

use activestore_catalog::{CatalogState, PluginReference, ProcessorSource};
use activestore_plugin_host::{Model, PluginKind};
use activestore_types::{Error, Result};

use super::Plugins;
use crate::write::processor::{Runtime, Source};

/// What was loaded for a trial; kept until the definitions are in force, so that nothing is loaded twice.
pub(crate) struct Rehearsed {
    _models: Vec<Arc<Model>>,
}

impl Plugins {
    /// Loads everything that works under the definitions `now` and would get another component under `next`,
    /// and begins each as it would be begun. What does not work now is not tried: it cannot get worse.
    ///
    /// # Errors
    /// `Conflict` for the first thing that would stop working, with the reason.
    pub(crate) fn rehearse(&self, now: &CatalogState, next: &CatalogState) -> Result<Rehearsed> {
        let loaded = self.current();
        let component = |state: &CatalogState, reference: &PluginReference| {
            let plugin = state.plugin(&reference.name).ok()?;
            let version = state.plugin_version(reference).ok()?;
            Some((version.sha256, plugin.grants.clone()))
        };
        let changes = |before: &PluginReference, after: &PluginReference| {
            component(now, before) != component(next, after)
        };
        let works = |what: &str, name: &str| !loaded.failed.contains_key(&format!("{what} {name}"));
        let stops = |what: &str, name: &str, error: &Error| {
            Error::conflict(format!("{what} '{name}' would stop working: {error}"))
                .with_hint("what is in force stays in force; deploy a version that it works with")
        };
        for (name, def) in &next.functions {
            let before = now.functions.get(name).filter(|_| works("function", name));
            if before.is_some_and(|before| changes(&before.plugin, &def.plugin)) {
                self.try_loading_function(next, &def.plugin, &def.function)
                    .map_err(|error| stops("function", name, &error))?;
            }
        }
        let mut models = Vec::new();
        for (name, def) in &next.models {
            let before = now.models.get(name).filter(|_| works("model", name));
            if before.is_some_and(|before| changes(&before.plugin, &def.plugin)) {
                let model = self.model_of(next, def);
                models.push(model.map_err(|error| stops("model", name, &error))?);
            }
        }
        for (name, def) in &next.processors {
            let before = now.processors.get(name);
            let before = before.filter(|_| works("processor", name));
            if let Some(before) = before
                && let ProcessorSource::Plugin(before) = &before.source
                && let ProcessorSource::Plugin(after) = &def.source
                && changes(before, after)
            {
                let begun = self.referenced(next, after).and_then(|plugin| {
                    let runtime = Runtime::new(def.clone(), Source::Plugin(plugin), true)?;
                    runtime.outputs(next.table(&def.table)?)
                });
                begun.map_err(|error| stops("processor", name, &error))?;
            }
        }
        for (name, def) in &next.merges {
            let before = now
                .merges
                .get(name)
                .filter(|_| works("merge function", name));
            if before.is_some_and(|before| changes(&before.plugin, &def.plugin)) {
                self.merge_of(next, def)
                    .map_err(|error| stops("merge function", name, &error))?;
            }
        }
        for (name, def) in &next.filters {
            let before = now.filters.get(name).filter(|_| works("filter", name));
            if before.is_some_and(|before| changes(&before.plugin, &def.plugin)) {
                let filter = self.filter_of(next, def);
                let filter = filter.map_err(|error| stops("filter", name, &error))?;
                for (table, sharing) in &next.sharing {
                    if sharing.filter.as_ref() == Some(name) {
                        let schema = next.table(table)?.arrow();
                        filter
                            .plugin
                            .filter(&def.options, &schema)
                            .map_err(|error| stops("filter", name, &error))?;
                    }
                }
            }
        }
        Ok(Rehearsed { _models: models })
    }

    fn try_loading_function(
        &self,
        state: &CatalogState,
        reference: &PluginReference,
        function: &str,
    ) -> Result<()> {
        let plugin = self.referenced(state, reference)?;
        match plugin.kind() {
            PluginKind::Aggregate => plugin.aggregate(function).map(drop),
            PluginKind::Table => plugin.table_function(function).map(drop),
            _ => plugin.overloads(function).map(drop),
        }
    }
}
