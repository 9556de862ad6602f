//! Deploying, listing and removing plugins.

use activestore_catalog::{Change, PluginDef};
use activestore_plugin_host::LogLine;
use activestore_types::{Error, Result};
use serde::{Deserialize, Serialize};

use crate::blobs::hex;
use crate::db::{Db, Inner};

/// A deployed plugin.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct PluginInfo {
    /// Its name.
    pub name: String,
    /// The version in force.
    pub version: String,
    /// SHA-256 of the component, in hex digits.
    pub sha256: String,
    /// `scalar`, `processor` or `model`.
    pub kind: String,
    /// Size of the component in bytes.
    pub size_bytes: u64,
    /// Whose signature on it was checked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub signed_by: Option<String>,
    /// The functions it exports.
    pub functions: Vec<String>,
    /// `ready`, `off` (trapped too often, will be tried again) or why it cannot be loaded.
    pub state: String,
    /// Calls since the start.
    pub calls: u64,
    /// Calls that were stopped or failed inside the sandbox.
    pub traps: u64,
}

impl Db {
    /// Deploys a component under a name. Without a version, the first digits of its hash are one.
    ///
    /// # Errors
    /// `Denied` when it is not signed by somebody whom this node trusts; `Invalid` when the bytes are not
    /// a component that this node can run; `Conflict` when the
    /// version exists with other bytes.
    pub async fn put_plugin(
        &self,
        name: &str,
        version: Option<&str>,
        wasm: Vec<u8>,
    ) -> Result<PluginInfo> {
        let inner = self.inner.clone();
        let (name, version) = (name.to_owned(), version.map(str::to_owned));
        self.blocking(move || inner.put_plugin(&name, version, &wasm))
            .await
    }

    /// Puts an earlier version of a plugin in force again: the one named, or the one before.
    ///
    /// # Errors
    /// `NotFound` when there is no such plugin or version.
    pub async fn roll_back_plugin(&self, name: &str, version: Option<&str>) -> Result<PluginInfo> {
        let inner = self.inner.clone();
        let (name, version) = (name.to_owned(), version.map(str::to_owned));
        self.blocking(move || {
            let state = inner.catalog.state();
            let def = state.plugin(&name)?;
            let earlier = match &version {
                Some(version) => def.find(Some(version)),
                None => def.earlier.first().cloned(),
            }
            .ok_or_else(|| {
                let known: Vec<&str> = def.earlier.iter().map(|v| v.version.as_str()).collect();
                Error::not_found(format!("plugin '{name}' has no such earlier version"))
                    .with_hint(format!("earlier versions: {}", known.join(", ")))
            })?;
            inner.change(Change::PutPlugin(PluginDef {
                name: name.clone(),
                version: earlier.version,
                sha256: earlier.sha256,
                size_bytes: earlier.size_bytes,
                kind: earlier.kind,
                deployed_ms: inner.wall_ms(),
                earlier: Vec::new(),
            }))?;
            inner.plugin_info(&name)
        })
        .await
    }

    /// Every deployed plugin.
    pub fn plugins(&self) -> Vec<PluginInfo> {
        self.inner.plugin_infos()
    }

    /// The newest log lines of a plugin, oldest first.
    ///
    /// # Errors
    /// `NotFound` for an unknown plugin; what loading says when it cannot be loaded.
    pub fn plugin_logs(&self, name: &str) -> Result<Vec<LogLine>> {
        let state = self.inner.catalog.state();
        let def = state.plugin(name)?;
        Ok(self.inner.plugins.component(name, &def.sha256)?.logs())
    }

    /// Removes a plugin with all its versions.
    ///
    /// # Errors
    /// `Conflict` while something uses it.
    pub async fn remove_plugin(&self, name: &str) -> Result<()> {
        let inner = self.inner.clone();
        let name = name.to_owned();
        self.blocking(move || {
            inner
                .change(Change::DropPlugin {
                    name,
                    if_exists: false,
                })
                .map(|_| ())
        })
        .await
    }

    /// Uploads a file that a `CREATE MODEL` may name.
    ///
    /// # Errors
    /// `Invalid` for a name that is not a plain file name, or a file that is too large.
    pub async fn put_file(&self, name: &str, bytes: Vec<u8>) -> Result<()> {
        let inner = self.inner.clone();
        let name = name.to_owned();
        self.blocking(move || inner.files.put(&name, &bytes)).await
    }
}

impl Inner {
    fn put_plugin(&self, name: &str, version: Option<String>, wasm: &[u8]) -> Result<PluginInfo> {
        let plugin = self.plugins.host().load(name, wasm)?;
        let sha256 = self.blobs.put(wasm)?;
        let digits = hex(&sha256);
        let version = version.unwrap_or_else(|| digits.get(..12).unwrap_or(&digits).to_owned());
        self.change(Change::PutPlugin(PluginDef {
            name: name.to_owned(),
            version,
            sha256,
            size_bytes: wasm.len() as u64,
            kind: plugin.kind().name().to_owned(),
            deployed_ms: self.wall_ms(),
            earlier: Vec::new(),
        }))?;
        self.plugin_info(name)
    }

    fn plugin_info(&self, name: &str) -> Result<PluginInfo> {
        self.plugin_infos()
            .into_iter()
            .find(|info| info.name == name)
            .ok_or_else(|| Error::conflict(format!("plugin '{name}' was removed meanwhile")))
    }

    pub(crate) fn plugin_infos(&self) -> Vec<PluginInfo> {
        let stats = self.plugins.host().stats();
        self.catalog
            .state()
            .plugins
            .values()
            .map(|def| {
                let mut info = PluginInfo {
                    name: def.name.clone(),
                    version: def.version.clone(),
                    sha256: hex(&def.sha256),
                    kind: def.kind.clone(),
                    size_bytes: def.size_bytes,
                    ..PluginInfo::default()
                };
                match self.plugins.component(&def.name, &def.sha256) {
                    Ok(plugin) => {
                        info.functions = plugin
                            .functions()
                            .iter()
                            .map(|function| function.name.clone())
                            .collect();
                        info.signed_by = plugin.signer().map(|signer| signer.to_string());
                        info.state = "ready".to_owned();
                    }
                    Err(error) => info.state = error.to_string(),
                }
                if let Some(stats) = stats.iter().find(|stats| stats.sha256 == def.sha256) {
                    info.calls = stats.calls;
                    info.traps = stats.faults;
                    if stats.off_for.is_some() {
                        info.state = "off".to_owned();
                    }
                }
                info
            })
            .collect()
    }
}
