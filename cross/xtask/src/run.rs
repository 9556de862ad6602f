//! Running other programs, from the workspace's root, with what is run shown first.

use std::path::PathBuf;
use std::process::{Command, Stdio};

/// The workspace's root.
pub fn root() -> PathBuf {
    let here = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    here.ancestors().nth(2).map_or(here.clone(), PathBuf::from)
}

/// Where cargo puts what it builds for the workspace.
pub fn target_dir() -> PathBuf {
    match std::env::var_os("CARGO_TARGET_DIR") {
        Some(dir) => root().join(dir),
        None => root().join("target"),
    }
}

/// A cargo of the same toolchain, in the root. The variables that cargo sets for this process are
/// taken away, since they would make the inner cargo build anew.
pub fn cargo(arguments: &[&str]) -> Command {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.args(arguments).current_dir(root());
    for (name, _) in std::env::vars() {
        let inherited = name.starts_with("CARGO_PKG_") || name.starts_with("CARGO_MANIFEST_");
        if inherited {
            command.env_remove(name);
        }
    }
    command
}

/// Runs a command to its end.
///
/// # Errors
/// A sentence when it cannot be started or fails.
pub fn run(what: &str, command: &mut Command) -> Result<(), String> {
    eprintln!("── {what}");
    let status = command
        .status()
        .map_err(|error| format!("{what}: cannot be started: {error}"))?;
    if status.success() {
        Ok(())
    } else {
        Err(format!("{what}: {status}"))
    }
}

/// Whether a command runs and succeeds, without showing what it prints.
pub fn succeeds(program: &str, arguments: &[&str]) -> bool {
    Command::new(program)
        .args(arguments)
        .current_dir(root())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .is_ok_and(|status| status.success())
}

/// Installs the compilation target that plugins need, where it is missing.
///
/// # Errors
/// A sentence when rustup cannot install it.
pub fn ensure_wasm_target() -> Result<(), String> {
    const TARGET: &str = "wasm32-unknown-unknown";
    let installed = Command::new("rustup")
        .args(["target", "list", "--installed"])
        .current_dir(root())
        .output()
        .map_err(|error| {
            format!("rustup is needed to build plugins and cannot be started: {error}")
        })?;
    let listed = String::from_utf8_lossy(&installed.stdout);
    if listed.lines().any(|line| line.trim() == TARGET) {
        return Ok(());
    }
    run(
        &format!("installing the compilation target {TARGET} through rustup"),
        Command::new("rustup")
            .args(["target", "add", TARGET])
            .current_dir(root()),
    )
}
