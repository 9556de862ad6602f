//! A plugin in JavaScript: componentize-qjs puts it into a component together with QuickJS.

use std::path::Path;

use activestore_types::{Error, Result};
use serde::Deserialize;

use super::{BUILD_DIR, Built, checked_name, componentized, kind, needs, read, stage, tool, world};
use crate::plugin::sdk;

/// The file that makes a folder a plugin in JavaScript.
pub const SETTINGS: &str = "package.json";

const TOOL: &str = "componentize-qjs";

#[derive(Deserialize)]
struct Package {
    name: String,
    #[serde(default = "plugin_js")]
    main: String,
    activestore: Option<Own>,
}

#[derive(Deserialize)]
struct Own {
    kind: String,
    /// What the plugin needs by grant.
    #[serde(default)]
    needs: Vec<String>,
}

fn plugin_js() -> String {
    "plugin.js".to_owned()
}

/// Builds the module that package.json names, and what it imports.
///
/// # Errors
/// `Invalid` where it does not compile or throws, with the place on stderr; `NotFound` without the tool.
pub fn build(dir: &Path) -> Result<Built> {
    let package: Package = serde_json::from_str(&read(dir, SETTINGS)?)
        .map_err(|error| Error::invalid(format!("{SETTINGS}: {error}")))?;
    let name = checked_name(SETTINGS, &package.name)?;
    let own = package.activestore.ok_or_else(|| {
        Error::invalid("package.json does not say what kind of plugin it is")
            .with_hint(r#"add "activestore": { "kind": "scalar" }, or "processor""#)
    })?;
    let kind = kind(SETTINGS, &own.kind)?;
    let main = package.main.trim_start_matches("./");
    if !dir.join(main).is_file() {
        return Err(Error::not_found(format!(
            "{main}, which package.json names as main, is not there"
        )));
    }
    let needs = needs(SETTINGS, &own.needs)?;
    let world = world(kind, &needs)?;
    sdk::refresh(dir, sdk::JS)?;
    let imports = needs
        .iter()
        .map(|name| format!("import * as {name} from \"activestore:plugin/{name}@@VERSION@\";\n"));
    let entry = imports.collect::<String>() + sdk::js_entry(kind);
    let entry = entry
        .replace("@NEEDS@", &needs.join(", "))
        .replace("@VERSION@", &world.version())
        .replace("@MAIN@", main);
    stage(
        dir,
        &[("plugin.wit", world.text().to_owned()), ("entry.js", entry)],
    )?;
    let program = tool(&[dir.join("node_modules/.bin")], TOOL).ok_or_else(|| {
        Error::not_found(format!("{TOOL}, which compiles plugins in JavaScript, is not there"))
            .with_hint("run `npm install` in the plugin's folder; it is among the devDependencies of package.json")
    })?;
    let made = format!("{BUILD_DIR}/{name}.qjs.wasm");
    let component = componentized(
        &std::path::absolute(program)?,
        dir,
        [
            "--wit",
            &format!("{BUILD_DIR}/plugin.wit"),
            "--world",
            world.name(),
            // The sandbox has no WASI: what QuickJS could call there traps.
            "--stub-wasi",
            "--sync",
            "--module-root",
            ".",
            "--js",
            &format!("{BUILD_DIR}/entry.js"),
            "--output",
            &made,
        ],
        &dir.join(&made),
    )?;
    Ok(Built { name, component })
}
