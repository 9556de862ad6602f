//! `cargo xtask bench load`: files into a table, by `activestore load` and by DuckDB, in turn and in one run.

use std::path::PathBuf;
use std::process::Command;

use crate::run::{root, run, succeeds, target_dir};

/// `[--program FILE] [--rows N] [--runs N] [--json FILE]`. Without a program it is built for release.
///
/// # Errors
/// A sentence that names the step that failed.
pub fn load(arguments: &[String]) -> Result<(), String> {
    let known = |pair: &[String]| matches!(pair, [name, _] if ["--program", "--rows", "--runs", "--json"].contains(&name.as_str()));
    if !arguments.chunks(2).all(known) {
        return Err(
            "usage: cargo xtask bench load [--program FILE] [--rows N] [--runs N] [--json FILE]"
                .into(),
        );
    }
    let (program, rest) = super::program(arguments)?;
    let mut command = Command::new(python()?);
    command
        .arg(root().join("tests/bench/peers/load.py"))
        .arg("--program")
        .arg(program)
        .args(rest);
    run("loading beside DuckDB", &mut command)
}

/// A Python with DuckDB, made once.
fn python() -> Result<PathBuf, String> {
    let venv = target_dir().join("tools/bench-load");
    let python = venv.join("bin/python");
    let at = python.to_string_lossy().into_owned();
    if succeeds(&at, &["-c", "import duckdb"]) {
        return Ok(python);
    }
    run(
        "a Python environment for DuckDB",
        Command::new("python3").args(["-m", "venv"]).arg(&venv),
    )?;
    let mut install = Command::new(&python);
    install.args(["-m", "pip", "install", "--quiet", "duckdb"]);
    run("installing duckdb from PyPI", &mut install)?;
    Ok(python)
}
