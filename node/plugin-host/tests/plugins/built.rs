//! The components under test, built when they are not there, and hosts to run them.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, LazyLock, Mutex};
use std::time::Duration;

use activestore_plugin_host::{HostOptions, Plugin, PluginHost, StateReader, componentize};

/// Where the plugins' target directory is, when it is not `plugins/target`.
const TARGET_VARIABLE: &str = "ACTIVESTORE_PLUGINS_TARGET_DIR";

fn plugins_dir() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../plugins")
}

/// The component of a first-party plugin. Each is built once per run of the tests.
pub(crate) fn component(name: &str) -> Vec<u8> {
    static BUILT: LazyLock<Mutex<BTreeMap<String, Vec<u8>>>> = LazyLock::new(Mutex::default);
    let mut built = BUILT.lock().unwrap();
    if !built.contains_key(name) {
        built.insert(name.to_owned(), build(name));
    }
    built[name].clone()
}

fn build(name: &str) -> Vec<u8> {
    let target = std::env::var_os(TARGET_VARIABLE)
        .map_or_else(|| plugins_dir().join("target"), PathBuf::from);
    let output = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
        .current_dir(plugins_dir())
        .args([
            "build",
            "--quiet",
            "--release",
            "--target",
            "wasm32-unknown-unknown",
        ])
        .args(["--package", name, "--target-dir"])
        .arg(&target)
        .env_remove("RUSTFLAGS")
        .env_remove("CARGO_ENCODED_RUSTFLAGS")
        .env_remove("CARGO_TARGET_DIR")
        .output()
        .expect("cargo runs");
    assert!(
        output.status.success(),
        "plugin '{name}' cannot be built; is the target there (rustup target add wasm32-unknown-unknown)?\n{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let file = target.join(format!(
        "wasm32-unknown-unknown/release/{}.wasm",
        name.replace('-', "_")
    ));
    componentize(&std::fs::read(file).unwrap()).unwrap()
}

/// Limits that let tests fail fast and honest calls through.
pub(crate) fn options() -> HostOptions {
    HostOptions {
        memory_bytes_max: 32 << 20,
        call_deadline: Duration::from_secs(5),
        ..HostOptions::default()
    }
}

/// A plugin in the host that tests share, so that each component is compiled once.
pub(crate) fn plugin(name: &str) -> Arc<Plugin> {
    static HOST: LazyLock<Arc<PluginHost>> = LazyLock::new(|| PluginHost::new(options()).unwrap());
    // The host forgets components that nothing uses.
    static KEPT: LazyLock<Mutex<Vec<Arc<Plugin>>>> = LazyLock::new(Mutex::default);
    let plugin = HOST.load(name, &component(name)).unwrap();
    KEPT.lock().unwrap().push(plugin.clone());
    plugin
}

/// State that tests can look into.
#[derive(Debug, Default)]
pub(crate) struct Map(pub(crate) BTreeMap<Vec<u8>, Vec<u8>>);

impl Map {
    pub(crate) fn apply(&mut self, writes: Vec<(Vec<u8>, Option<Vec<u8>>)>) {
        for (key, value) in writes {
            match value {
                Some(value) => self.0.insert(key, value),
                None => self.0.remove(&key),
            };
        }
    }
}

impl StateReader for Map {
    fn get(&self, key: &[u8]) -> Option<Vec<u8>> {
        self.0.get(key).cloned()
    }
}
