//! Everything that has to hold before a change lands: format, lints, tests, doctests, plugins, and
//! the demo as the end-to-end test. Ends in one summary line.

use std::time::Instant;

use crate::run::{cargo, ensure_wasm_target, root, run as execute, succeeds};
use crate::{demo, plugins, tools};

type Step = (&'static str, fn() -> Result<(), String>);

/// Runs every step, also after one failed, and sums up. An argument names the steps to run.
///
/// # Errors
/// A sentence that names the steps that failed.
pub fn run(only: &[String]) -> Result<(), String> {
    let steps: &[Step] = &[
        ("format", format),
        ("plugins", plugins::build),
        ("lints", lints),
        ("without the compiler", without_compiler),
        ("without wires", without_wires),
        ("tests", tests),
        ("native models", native_models),
        ("doctests", doctests),
        ("plugin tests", plugin_tests),
        ("demo", || demo::run(&["--exit".to_owned()])),
    ];
    if let Some(unknown) = only
        .iter()
        .find(|name| !steps.iter().any(|(step, _)| step == name))
    {
        return Err(format!("there is no step '{unknown}'"));
    }
    ensure_wasm_target()?;
    let started = Instant::now();
    let (mut passed, mut failed) = (0, Vec::new());
    for (name, step) in steps {
        if !only.is_empty() && !only.iter().any(|wanted| wanted == name) {
            continue;
        }
        let begun = Instant::now();
        match step() {
            Ok(()) => {
                passed += 1;
                eprintln!("── {name}: passed in {} s", begun.elapsed().as_secs());
            }
            Err(message) => {
                eprintln!("── {name}: FAILED: {message}");
                failed.push(*name);
            }
        }
    }
    println!("steps took {} s", started.elapsed().as_secs());
    println!("{passed} passed, {} failed", failed.len());
    if failed.is_empty() {
        Ok(())
    } else {
        Err(format!("failed: {}", failed.join(", ")))
    }
}

fn format() -> Result<(), String> {
    run_cargo("formatting", &["fmt", "--all", "--check"])?;
    execute(
        "formatting of the plugins",
        cargo(&["fmt", "--all", "--check"]).current_dir(root().join("plugins")),
    )?;
    // Nothing else here builds two of them, and a lock file that has fallen behind fails who needs them.
    for workspace in ["plugins", "tests/bench", "tests/fuzz"] {
        execute(
            &format!("lock file of {workspace}"),
            cargo(&["update", "--workspace", "--locked", "--quiet"])
                .current_dir(root().join(workspace)),
        )?;
    }
    Ok(())
}

fn lints() -> Result<(), String> {
    run_cargo(
        "clippy",
        &[
            "clippy",
            "--workspace",
            "--all-targets",
            "--locked",
            "--",
            "-D",
            "warnings",
        ],
    )
}

/// The crate that has the compiler, without it; the others do not know of it.
fn without_compiler() -> Result<(), String> {
    run_cargo(
        "clippy of the plugin host without its compiler",
        &[
            "clippy",
            "--package",
            "activestore-plugin-host",
            "--no-default-features",
            "--locked",
            "--",
            "-D",
            "warnings",
        ],
    )
}

/// The program with nothing that can be left out of it: what one feature alone uses is gone with it.
fn without_wires() -> Result<(), String> {
    run_cargo(
        "clippy of the program without its features",
        &[
            "clippy",
            "--package",
            "activestore-daemon",
            "--no-default-features",
            "--locked",
            "--",
            "-D",
            "warnings",
        ],
    )
}

fn tests() -> Result<(), String> {
    tools::ensure();
    let arguments: &[&str] = if succeeds("cargo", &["nextest", "--version"]) {
        &[
            "nextest",
            "run",
            "--workspace",
            "--locked",
            "--no-fail-fast",
        ]
    } else {
        &[
            "test",
            "--workspace",
            "--locked",
            "--lib",
            "--bins",
            "--tests",
            "--no-fail-fast",
        ]
    };
    execute(
        "tests",
        // Tests that need a component find it built.
        cargo(arguments)
            .env(
                "ACTIVESTORE_PLUGINS_TARGET_DIR",
                plugins::plugins_target_dir(),
            )
            .env("ACTIVESTORE_TOOLS_DIR", tools::dir()),
    )
}

/// What a node is built with only where somebody asks for it: its lints, and what the host's tests say of
/// models. The host alone: what runs the models settles other features of what DataFusion is built on, which
/// would be built once more.
fn native_models() -> Result<(), String> {
    const HOST: [&str; 5] = [
        "--package",
        "activestore-plugin-host",
        "--features",
        "native-models",
        "--locked",
    ];
    let lints: [&[&str]; 3] = [
        &["clippy"],
        HOST.as_slice(),
        &["--all-targets", "--", "-D", "warnings"],
    ];
    run_cargo("clippy of native models", &lints.concat())?;
    let tests: [&[&str]; 3] = [&["test"], HOST.as_slice(), &["--lib", "--tests", "native"]];
    execute(
        "tests of native models",
        cargo(&tests.concat()).env(
            "ACTIVESTORE_PLUGINS_TARGET_DIR",
            plugins::plugins_target_dir(),
        ),
    )
}

fn doctests() -> Result<(), String> {
    run_cargo("doctests", &["test", "--workspace", "--locked", "--doc"])
}

fn plugin_tests() -> Result<(), String> {
    let plugins = root().join("plugins");
    execute(
        "the plugins' own tests",
        cargo(&["test", "--locked"])
            .current_dir(&plugins)
            .env("CARGO_TARGET_DIR", plugins::plugins_target_dir()),
    )
}

fn run_cargo(what: &str, arguments: &[&str]) -> Result<(), String> {
    execute(what, &mut cargo(arguments))
}
