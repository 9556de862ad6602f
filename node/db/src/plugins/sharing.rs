//! Merge functions and sync filters in force.

use std::sync::Arc;

use activestore_catalog::{CatalogState, FilterDef, FunctionDef};
use activestore_plugin_host::{MergeFunction, Plugin, PluginKind};
use activestore_types::{Error, Result};

use super::{Loaded, Plugins};

/// A filter that is in force: its plugin and its settings. What it makes of a table's columns is found out when
/// the first rows of that table are sealed.
pub(crate) struct LoadedFilter {
    pub(crate) def: FilterDef,
    pub(crate) plugin: Arc<Plugin>,
}

impl Loaded {
    /// The merge functions of a name, one for each type.
    ///
    /// # Errors
    /// `Conflict` when they could not be loaded, `NotFound` when there are none of this name.
    pub(crate) fn merge(&self, name: &str) -> Result<&[Arc<MergeFunction>]> {
        self.merges.get(name).map(Vec::as_slice).ok_or_else(|| {
            match self.failed.get(&format!("merge function {name}")) {
                Some(reason) => Error::conflict(format!(
                    "merge function '{name}' could not be loaded: {reason}"
                )),
                None => Error::not_found(format!("there is no merge function '{name}'"))
                    .with_hint("CREATE MERGE FUNCTION … USING PLUGIN '…'"),
            }
        })
    }

    /// The filter of a name.
    ///
    /// # Errors
    /// As [`Loaded::merge`].
    pub(crate) fn filter(&self, name: &str) -> Result<&Arc<LoadedFilter>> {
        self.filters
            .get(name)
            .ok_or_else(|| match self.failed.get(&format!("filter {name}")) {
                Some(reason) => {
                    Error::conflict(format!("filter '{name}' could not be loaded: {reason}"))
                }
                None => Error::not_found(format!("there is no filter '{name}'"))
                    .with_hint("CREATE FILTER … USING PLUGIN '…'"),
            })
    }
}

impl Plugins {
    /// Loads the merge functions and the filters of the definitions.
    pub(super) fn load_sharing(&self, state: &CatalogState, before: &Loaded, next: &mut Loaded) {
        for (name, def) in &state.merges {
            match self.merge_of(state, def) {
                Ok(functions) => {
                    next.merges.insert(name.clone(), functions);
                }
                Err(error) => next.fail(format!("merge function {name}"), &error),
            }
        }
        for (name, def) in &state.filters {
            match self.filter_of(state, def) {
                Ok(filter) => {
                    // One that did not change stays the same, with what it was made of.
                    let known = before.filters.get(name).filter(|known| {
                        known.def == filter.def && Arc::ptr_eq(&known.plugin, &filter.plugin)
                    });
                    let filter = known.cloned().unwrap_or_else(|| Arc::new(filter));
                    next.filters.insert(name.clone(), filter);
                }
                Err(error) => next.fail(format!("filter {name}"), &error),
            }
        }
    }

    /// The merge functions of a definition.
    pub(crate) fn merge_of(
        &self,
        state: &CatalogState,
        def: &FunctionDef,
    ) -> Result<Vec<Arc<MergeFunction>>> {
        self.referenced(state, &def.plugin)?.merges(&def.function)
    }

    /// The filter of a definition.
    pub(crate) fn filter_of(&self, state: &CatalogState, def: &FilterDef) -> Result<LoadedFilter> {
        let plugin = self.referenced(state, &def.plugin)?;
        if plugin.kind() != PluginKind::Filter {
            return Err(Error::invalid(format!(
                "plugin '{}' is of kind {}, not filter",
                def.plugin,
                plugin.kind().name()
            )));
        }
        Ok(LoadedFilter {
            def: def.clone(),
            plugin,
        })
    }
}
