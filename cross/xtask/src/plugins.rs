//! Builds every plugin of `plugins/` for wasm and wraps each into a component.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use crate::run::{cargo, ensure_wasm_target, root, run, target_dir};

/// The folder that the components are put in.
pub fn components_dir() -> PathBuf {
    root().join("plugins/target/components")
}

/// Builds every plugin crate of `plugins/` with the program's own `plugin build`.
///
/// # Errors
/// A sentence that names the step that failed.
pub fn build() -> Result<(), String> {
    ensure_wasm_target()?;
    build_program()?;
    let program = program();
    let components = components_dir();
    fs::create_dir_all(&components).map_err(|error| error.to_string())?;
    let entries = fs::read_dir(root().join("plugins")).map_err(|error| error.to_string())?;
    let mut crates: Vec<PathBuf> = entries
        .filter_map(Result::ok)
        .map(|entry| entry.path())
        .filter(|dir| dir.join("Cargo.toml").is_file())
        .collect();
    crates.sort();
    for dir in &crates {
        let Some(name) = dir.file_name() else {
            continue;
        };
        let component = components.join(name).with_extension("wasm");
        run(
            &format!("plugin {}", name.to_string_lossy()),
            Command::new(&program)
                .args(["plugin", "build"])
                .arg(dir)
                .arg("--output")
                .arg(component)
                // The plugins' own settings apply, not those of whoever called.
                .env_remove("RUSTFLAGS")
                .env("CARGO_TARGET_DIR", plugins_target_dir()),
        )?;
    }
    Ok(())
}

/// Builds the program with the same features as the tests have, so that nothing is built twice: cargo
/// settles features over the packages and kinds of targets that are asked for, hence the whole workspace and
/// one small test beside it.
///
/// # Errors
/// A sentence when it does not compile.
pub fn build_program() -> Result<(), String> {
    run(
        "building the program",
        &mut cargo(&[
            "build",
            "--locked",
            "--workspace",
            "--bin",
            "activestore",
            "--test",
            "dependency_direction",
        ]),
    )
}

/// The program that was built.
pub fn program() -> PathBuf {
    target_dir().join("debug/activestore")
}

/// Where cargo puts what it builds of the plugins; it outlives a clone where the target directory
/// of the workspace does.
pub fn plugins_target_dir() -> PathBuf {
    match std::env::var_os("CARGO_TARGET_DIR") {
        Some(_) => target_dir().join("plugins"),
        None => root().join("plugins/target"),
    }
}
