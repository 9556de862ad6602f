//! Deploying, listing and removing plugins, and what they say.

use activestore_catalog::{Change, PluginDef, PluginReference, PluginVersion};
use activestore_plugin_host::{Grants, LogLine, LogPage};
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
    /// `scalar`, `aggregate`, `table-function`, `processor`, `model`, `merge` or `filter`.
    pub kind: String,
    /// Size of the component in bytes.
    pub size_bytes: u64,
    /// Whose signature on it was checked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub signed_by: Option<String>,
    /// What it may reach beside what it is given.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub grants: Vec<String>,
    /// The functions it exports.
    pub functions: Vec<String>,
    /// `ready`, `off` (trapped too often, will be tried again) or why it cannot be loaded.
    pub state: String,
    /// Calls since the start.
    pub calls: u64,
    /// Calls that were stopped or failed inside the sandbox.
    pub traps: u64,
    /// Rows given to it since the start.
    #[serde(default)]
    pub rows: u64,
    /// Time spent in its calls since the start, in nanoseconds.
    #[serde(default)]
    pub busy_ns: u64,
    /// Most bytes of linear memory that one of its instances held after a call.
    #[serde(default)]
    pub memory_bytes_peak: u64,
    /// What went wrong last inside the sandbox.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_fault: Option<String>,
    /// How long it stays switched off, in seconds; absent while it is not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub off_for_s: Option<u64>,
    /// The versions held, the one in force first.
    #[serde(default)]
    pub versions: Vec<PluginVersionInfo>,
}

/// One version of a plugin that the node holds.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct PluginVersionInfo {
    /// The version.
    pub version: String,
    /// SHA-256 of the component, in hex digits.
    pub sha256: String,
    /// Size of the component in bytes.
    pub size_bytes: u64,
    /// When it was deployed, in milliseconds since 1970; 0 where that is unknown.
    pub deployed_ms: u64,
    /// Whether it is in force.
    pub in_force: bool,
}

/// What a plugin has said since a reader asked last.
#[derive(Clone, Debug, Default)]
pub struct PluginLogs {
    /// The lines, oldest first, each with the version that said it.
    pub lines: Vec<(String, LogLine)>,
    /// Whether lines that the reader has not seen are gone already.
    pub gap: bool,
}

impl Db {
    /// Deploys a component under a name. Without a version, the first digits of its hash are one; without
    /// grants, it has those of the version before.
    ///
    /// # Errors
    /// `Denied` when it is not signed by somebody whom this node trusts, or asks for what it was not
    /// granted; `Invalid` when the bytes are not
    /// a component that this node can run, or a merge function of it is none; `Conflict` when the
    /// version exists with other bytes.
    pub async fn put_plugin(
        &self,
        name: &str,
        version: Option<&str>,
        wasm: Vec<u8>,
    ) -> Result<PluginInfo> {
        self.put_granted_plugin(name, version, None, wasm).await
    }

    /// As [`Db::put_plugin`], with what the plugin may reach: `clock`, `random`, `read:KEYSPACE.TABLE`,
    /// `http:HOST`, `http:HOST:PORT`.
    ///
    /// # Errors
    /// As [`Db::put_plugin`].
    pub async fn put_granted_plugin(
        &self,
        name: &str,
        version: Option<&str>,
        grants: Option<Vec<String>>,
        wasm: Vec<u8>,
    ) -> Result<PluginInfo> {
        let inner = self.inner.clone();
        let (name, version) = (name.to_owned(), version.map(str::to_owned));
        self.blocking(move || inner.put_plugin(&name, version, grants.as_deref(), &wasm))
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
                grants: def.grants.clone(),
            }))?;
            inner.plugin_info(&name)
        })
        .await
    }

    /// Every deployed plugin.
    pub fn plugins(&self) -> Vec<PluginInfo> {
        self.inner.plugin_infos()
    }

    /// What a plugin has said with numbers above `after`; 0 asks for all that is kept. Versions that are not
    /// in force are among those that speak, where something still runs them.
    ///
    /// # Errors
    /// `NotFound` for an unknown plugin; what loading says when it cannot be loaded.
    pub fn plugin_logs(&self, name: &str, after: u64) -> Result<PluginLogs> {
        let state = self.inner.catalog.state();
        let def = state.plugin(name)?;
        let mut names = vec![def.version.clone()];
        let mut plugins = vec![
            self.inner
                .plugins
                .component(name, &def.sha256, &def.grants)?,
        ];
        for earlier in &def.earlier {
            if let Some(plugin) = self.inner.plugins.loaded(&earlier.sha256)
                && plugins
                    .iter()
                    .all(|other| other.sha256() != plugin.sha256())
            {
                names.push(earlier.version.clone());
                plugins.push(plugin);
            }
        }
        let page = LogPage::of(&plugins, after);
        let lines = page.lines.into_iter().map(|(place, line)| {
            let version = names.get(place).cloned().unwrap_or_default();
            (version, line)
        });
        Ok(PluginLogs {
            lines: lines.collect(),
            gap: page.gap,
        })
    }

    /// A version of a plugin: the one named, or the one in force.
    ///
    /// # Errors
    /// `NotFound` when there is no such plugin or version.
    pub fn plugin_version(&self, name: &str, version: Option<&str>) -> Result<PluginVersion> {
        let state = self.inner.catalog.state();
        state.plugin_version(&PluginReference {
            name: name.to_owned(),
            version: version.map(str::to_owned),
        })
    }

    /// The component of a version that [`Db::plugin_version`] gave, as it was deployed.
    ///
    /// # Errors
    /// `NotFound` when its bytes are not on this node; `Corrupt` when they are not what was deployed.
    pub async fn plugin_component(&self, version: &PluginVersion) -> Result<Vec<u8>> {
        let inner = self.inner.clone();
        let version = version.clone();
        self.blocking(move || {
            inner.blobs.get(&version.sha256)?.ok_or_else(|| {
                Error::not_found(format!(
                    "the component of version {} is not on this node",
                    version.version
                ))
                .with_hint("deploy the plugin again")
            })
        })
        .await
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

/// The versions of a plugin, the one in force first.
fn versions(def: &PluginDef) -> Vec<PluginVersionInfo> {
    let current = def.current();
    std::iter::once((true, &current))
        .chain(def.earlier.iter().map(|earlier| (false, earlier)))
        .map(|(in_force, version)| PluginVersionInfo {
            version: version.version.clone(),
            sha256: hex(&version.sha256),
            size_bytes: version.size_bytes,
            deployed_ms: version.deployed_ms,
            in_force,
        })
        .collect()
}

impl Inner {
    fn put_plugin(
        &self,
        name: &str,
        version: Option<String>,
        grants: Option<&[String]>,
        wasm: &[u8],
    ) -> Result<PluginInfo> {
        let def = self.prepared_plugin(name, version, grants, wasm)?;
        self.change(Change::PutPlugin(def))?;
        self.plugin_info(name)
    }

    /// A component that was found fit to run and is kept, as a version that may come into force.
    pub(crate) fn prepared_plugin(
        &self,
        name: &str,
        version: Option<String>,
        grants: Option<&[String]>,
        wasm: &[u8],
    ) -> Result<PluginDef> {
        let state = self.catalog.state();
        let before = state.plugins.get(name).map(|def| def.grants.as_slice());
        let grants = Grants::parse(grants.or(before).unwrap_or_default())?;
        let plugin = self.plugins.host().load_granted(name, wasm, &grants)?;
        plugin.check_laws()?;
        let sha256 = self.blobs.put(wasm)?;
        let digits = hex(&sha256);
        let version = version.unwrap_or_else(|| digits.get(..12).unwrap_or(&digits).to_owned());
        Ok(PluginDef {
            name: name.to_owned(),
            version,
            sha256,
            size_bytes: wasm.len() as u64,
            kind: plugin.kind().name().to_owned(),
            deployed_ms: self.wall_ms(),
            earlier: Vec::new(),
            grants: grants.items(),
        })
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
                    grants: def.grants.clone(),
                    versions: versions(def),
                    ..PluginInfo::default()
                };
                match self.plugins.component(&def.name, &def.sha256, &def.grants) {
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
                    info.rows = stats.rows;
                    info.busy_ns = stats.busy_ns;
                    info.memory_bytes_peak = stats.memory_bytes_peak;
                    info.last_fault = stats.last_fault.clone();
                    if let Some(off_for) = stats.off_for {
                        info.state = "off".to_owned();
                        info.off_for_s = Some(off_for.as_secs() + 1);
                    }
                }
                info
            })
            .collect()
    }
}
