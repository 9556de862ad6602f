//! A plugin in Rust: cargo for wasm32-unknown-unknown, then a component of the module.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use activestore_plugin_host::componentize;
use activestore_types::{Error, Result};
use serde_json::Value;

use super::Built;
use crate::plugin::sdk;

const TARGET: &str = "wasm32-unknown-unknown";

/// Builds the crate in `dir`.
///
/// # Errors
/// `Invalid` where the crate does not compile or is no plugin; cargo has then said why on stderr.
pub fn build(dir: &Path) -> Result<Built> {
    if dir.join(sdk::RUST_DIR).join("guest").is_dir() {
        sdk::refresh(dir, sdk::RUST)?;
    }
    let (name, module) = compile(dir)?;
    Ok(Built {
        name: name.replace('_', "-"),
        component: componentize(&std::fs::read(module)?)?,
    })
}

/// The crate's name and the module that cargo made of it.
fn compile(dir: &Path) -> Result<(String, PathBuf)> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let output = Command::new(cargo)
        .args([
            "build",
            "--release",
            "--target",
            TARGET,
            "--message-format=json-render-diagnostics",
        ])
        .current_dir(dir)
        .stderr(Stdio::inherit())
        .output()
        .map_err(|error| {
            Error::invalid(format!("cargo cannot be run: {error}"))
                .with_hint("install Rust from https://rustup.rs")
        })?;
    if !output.status.success() {
        return Err(
            Error::invalid("the plugin does not compile").with_hint(format!(
                "if the target is missing: rustup target add {TARGET}"
            )),
        );
    }
    String::from_utf8_lossy(&output.stdout)
        .lines()
        .filter_map(|line| serde_json::from_str::<Value>(line).ok())
        .filter(|message| {
            message.get("reason").and_then(Value::as_str) == Some("compiler-artifact")
        })
        .filter_map(|message| {
            let name = message.pointer("/target/name")?.as_str()?.to_owned();
            let file = message
                .get("filenames")?
                .as_array()?
                .iter()
                .filter_map(Value::as_str)
                .find(|file| file.ends_with(".wasm"))?;
            Some((name, PathBuf::from(file)))
        })
        .next_back()
        .ok_or_else(|| {
            Error::invalid("the crate gives no WebAssembly module")
                .with_hint("its Cargo.toml needs [lib] crate-type = [\"cdylib\"]")
        })
}
