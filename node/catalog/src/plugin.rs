//! Plugins as the catalog knows them: names, versions and hashes of components, never the bytes.

use std::fmt;
use std::str::FromStr;

use activestore_types::{Error, Result};
use serde::{Deserialize, Serialize};

use crate::apply::{remove, unused};
use crate::definition::ProcessorSource;
use crate::names::check_plugin_name;
use crate::state::CatalogState;
use crate::{rollout, sharing};

/// How many versions of a plugin the catalog remembers, the current one included.
pub const MAX_PLUGIN_VERSIONS: usize = 8;

/// One version of a plugin.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PluginVersion {
    /// The version, as deployed.
    pub version: String,
    /// SHA-256 of the component.
    pub sha256: [u8; 32],
    /// Size of the component in bytes.
    pub size_bytes: u64,
    /// What it is: `scalar`, `aggregate`, `table-function`, `processor`, `model`, `merge` or `filter`.
    pub kind: String,
    /// When it was deployed, in milliseconds since 1970; 0 where that is unknown.
    pub deployed_ms: u64,
}

/// A plugin: the version in force, and the earlier ones that a rollback or a pin may name.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PluginDef {
    /// Its name.
    pub name: String,
    /// The version in force.
    pub version: String,
    /// SHA-256 of the component in force.
    pub sha256: [u8; 32],
    /// Size of that component in bytes.
    pub size_bytes: u64,
    /// What it is: `scalar`, `aggregate`, `table-function`, `processor`, `model`, `merge` or `filter`.
    pub kind: String,
    /// When it was deployed, in milliseconds since 1970; 0 where that is unknown.
    pub deployed_ms: u64,
    /// Versions that were in force before, the latest first; the catalog fills this.
    pub earlier: Vec<PluginVersion>,
    /// What it may reach beside what it is given, in every version: `clock`, `read:plant.limits`.
    pub grants: Vec<String>,
}

impl PluginDef {
    /// The version in force as an entry of its own.
    pub fn current(&self) -> PluginVersion {
        PluginVersion {
            version: self.version.clone(),
            sha256: self.sha256,
            size_bytes: self.size_bytes,
            kind: self.kind.clone(),
            deployed_ms: self.deployed_ms,
        }
    }

    /// The version with this name, or the one in force for `None`.
    pub fn find(&self, version: Option<&str>) -> Option<PluginVersion> {
        match version {
            None => Some(self.current()),
            Some(version) if version == self.version => Some(self.current()),
            Some(version) => self
                .earlier
                .iter()
                .find(|earlier| earlier.version == version)
                .cloned(),
        }
    }

    /// This plugin put in force after `before`: the versions of both are kept, newest first.
    ///
    /// # Errors
    /// `Conflict` when a version is deployed again with other bytes.
    pub(crate) fn after(mut self, before: Option<&PluginDef>) -> Result<Self> {
        let Some(before) = before else {
            self.earlier.truncate(MAX_PLUGIN_VERSIONS - 1);
            return Ok(self);
        };
        if let Some(known) = before.find(Some(&self.version)) {
            if known.sha256 != self.sha256 {
                return Err(Error::conflict(format!(
                    "plugin '{}' has a version {} with other contents",
                    self.name, self.version
                ))
                .with_hint("deploy it under a new version"));
            }
            if self.version == before.version {
                return Ok(PluginDef {
                    grants: self.grants,
                    ..before.clone()
                });
            }
        }
        self.earlier = std::iter::once(before.current())
            .chain(before.earlier.iter().cloned())
            .filter(|earlier| earlier.version != self.version)
            .take(MAX_PLUGIN_VERSIONS - 1)
            .collect();
        Ok(self)
    }
}

/// Puts a version of a plugin in force.
pub(crate) fn put(state: &mut CatalogState, plugin: PluginDef) -> Result<()> {
    check_plugin_name(&plugin.name)?;
    rollout::refuse_while_open(state, &plugin.name)?;
    let before = state.plugins.get(&plugin.name).cloned();
    let plugin = plugin.after(before.as_ref())?;
    state.plugins.insert(plugin.name.clone(), plugin);
    Ok(())
}

/// Removes a plugin that nothing uses.
pub(crate) fn drop_plugin(state: &mut CatalogState, name: &str, if_exists: bool) -> Result<()> {
    let functions = state
        .functions
        .values()
        .filter(|function| function.plugin.name == name)
        .map(|function| ("function", function.name.as_str()));
    let models = state
        .models
        .values()
        .filter(|model| model.plugin.name == name)
        .map(|model| ("model", model.name.as_str()));
    let processors = state
        .processors
        .values()
        .filter(|processor| {
            matches!(&processor.source, ProcessorSource::Plugin(plugin) if plugin.name == name)
        })
        .map(|processor| ("processor", processor.name.as_str()));
    let others = sharing::users_of_plugin(state, name);
    unused(
        "plugin",
        name,
        functions.chain(models).chain(processors).chain(others),
    )?;
    rollout::refuse_while_open(state, name)?;
    remove("plugin", &mut state.plugins, name, if_exists)?;
    state.rollouts.remove(name);
    Ok(())
}

/// A plugin as a statement names it: `units` or `units@1.2.0`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PluginReference {
    /// The plugin.
    pub name: String,
    /// The pinned version; `None` follows the version in force.
    pub version: Option<String>,
}

impl FromStr for PluginReference {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let (name, version) = match text.split_once('@') {
            Some((name, version)) => (name, Some(version)),
            None => (text, None),
        };
        check_plugin_name(name)?;
        if version.is_some_and(str::is_empty) {
            return Err(Error::invalid(format!(
                "'{text}' names no version after the '@'"
            )));
        }
        Ok(PluginReference {
            name: name.to_owned(),
            version: version.map(str::to_owned),
        })
    }
}

impl fmt::Display for PluginReference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.version {
            Some(version) => write!(f, "{}@{version}", self.name),
            None => f.write_str(&self.name),
        }
    }
}
