//! `plugin build`: cargo for wasm32-unknown-unknown, then a component of the module.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use activestore_plugin_host::componentize;
use activestore_types::{Error, Result};
use serde_json::Value;

use crate::figures::size;

const TARGET: &str = "wasm32-unknown-unknown";

/// Builds the crate in `dir` and writes the component.
///
/// # Errors
/// `Invalid` where the crate does not compile or is no plugin; cargo has then said why on stderr.
pub fn run(dir: &Path, output: Option<&Path>) -> Result<()> {
    if !dir.join("Cargo.toml").is_file() {
        return Err(
            Error::not_found(format!("{} holds no Cargo.toml", dir.display()))
                .with_hint("make a plugin with: activestore plugin new NAME"),
        );
    }
    let (name, module) = compile(dir)?;
    let core = std::fs::read(&module)?;
    let component = componentize(&core)?;
    let output = output.map_or_else(
        || dir.join(format!("{}.wasm", name.replace('_', "-"))),
        Path::to_owned,
    );
    std::fs::write(&output, &component)
        .map_err(|error| Error::from(error).context(format!("writing {}", output.display())))?;
    println!(
        "{}: {}; deploy it with: activestore plugin deploy {}",
        output.display(),
        size(component.len() as u64),
        output.display()
    );
    Ok(())
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
