//! A plugin in Python: componentize-py puts it into a component together with CPython.

use std::path::{Path, PathBuf};

use activestore_types::{Error, Result};
use serde::Deserialize;

use super::{BUILD_DIR, Built, checked_name, componentized, kind, needs, read, stage, tool, world};
use crate::plugin::sdk;

/// The file that makes a folder a plugin in Python.
pub const SETTINGS: &str = "pyproject.toml";

const TOOL: &str = "componentize-py";
/// The module that the build writes around the plugin's.
const ENTRY: &str = "activestore_app";

#[derive(Deserialize)]
struct PyProject {
    project: Project,
    #[serde(default)]
    tool: Tools,
}

#[derive(Deserialize)]
struct Project {
    name: String,
}

#[derive(Default, Deserialize)]
struct Tools {
    activestore: Option<Own>,
}

#[derive(Deserialize)]
struct Own {
    kind: String,
    /// What the plugin needs by grant.
    #[serde(default)]
    needs: Vec<String>,
    #[serde(default = "plugin")]
    module: String,
}

fn plugin() -> String {
    "plugin".to_owned()
}

/// Builds the module that pyproject.toml names, and what it imports.
///
/// # Errors
/// `Invalid` where it cannot be imported, with the traceback on stderr; `NotFound` without the tool.
pub fn build(dir: &Path) -> Result<Built> {
    let project: PyProject = toml::from_str(&read(dir, SETTINGS)?)
        .map_err(|error| Error::invalid(format!("{SETTINGS}: {}", error.message())))?;
    let name = checked_name(SETTINGS, &project.project.name)?;
    let own = project.tool.activestore.ok_or_else(|| {
        Error::invalid("pyproject.toml does not say what kind of plugin it is")
            .with_hint("add [tool.activestore] with kind = \"scalar\", or \"processor\"")
    })?;
    let kind = kind(SETTINGS, &own.kind)?;
    let mut letters = own.module.chars();
    let is_name = letters.next().is_some_and(|first| !first.is_ascii_digit())
        && own
            .module
            .chars()
            .all(|letter| letter.is_ascii_alphanumeric() || "_.".contains(letter));
    if !is_name {
        return Err(Error::invalid(format!(
            "pyproject.toml says module '{}', which names no module",
            own.module
        )));
    }
    let needs = needs(SETTINGS, &own.needs)?;
    let world = world(kind, &needs)?;
    sdk::refresh(dir, sdk::PYTHON)?;
    let imports = needs.iter().map(|name| {
        format!(
            "\nfrom wit_world.imports import {name}\n\nactivestore.granted[\"{name}\"] = {name}\n"
        )
    });
    let entry = sdk::python_entry(kind).to_owned() + &imports.collect::<String>();
    let entry = entry.replace("@MAIN@", &own.module);
    stage(
        dir,
        &[
            ("plugin.wit", world.text().to_owned()),
            (&format!("{ENTRY}.py"), entry),
        ],
    )?;
    let active = std::env::var_os("VIRTUAL_ENV").map(PathBuf::from);
    let folders: Vec<PathBuf> = [Some(dir.join(".venv")), active]
        .into_iter()
        .flatten()
        .map(|venv| venv.join("bin"))
        .collect();
    let program = tool(&folders, TOOL).ok_or_else(|| {
        Error::not_found(format!(
            "{TOOL}, which compiles plugins in Python, is not there"
        ))
        .with_hint(format!(
            "run in the plugin's folder: python3 -m venv .venv && .venv/bin/pip install {TOOL}=={}",
            sdk::COMPONENTIZE_PY
        ))
    })?;
    let made = format!("{BUILD_DIR}/{name}.py.wasm");
    let component = componentized(
        &std::path::absolute(program)?,
        dir,
        [
            "--quiet",
            "--wit-path",
            &format!("{BUILD_DIR}/plugin.wit"),
            "--world",
            world.name(),
            "componentize",
            // The sandbox has no WASI: what CPython could call there traps.
            "--stub-wasi",
            "--python-path",
            ".",
            "--python-path",
            BUILD_DIR,
            "--output",
            &made,
            ENTRY,
        ],
        &dir.join(&made),
    )?;
    Ok(Built { name, component })
}
