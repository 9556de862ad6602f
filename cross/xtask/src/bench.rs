//! Runs the benchmarks of `tests/bench`, a workspace of its own, so that the peers it builds cost
//! nothing to anybody else; what links do to the sync, by `tests/links`; and the store's simulated crashes and
//! the simulated fleets, as many as are asked for.

use std::process::Command;
use std::time::Instant;

use crate::run::{cargo, root, run as execute};
use crate::tools;

/// Crash runs unless told otherwise.
const CRASH_RUNS: u64 = 10_000;
/// Fleets unless told otherwise.
const FLEET_RUNS: u64 = 2_000;

/// Runs the benchmark named, or all.
///
/// # Errors
/// A sentence that names the step that failed.
pub fn run(arguments: &[String]) -> Result<(), String> {
    let first = arguments.split_first();
    match first.map(|(name, rest)| (name.as_str(), rest)) {
        Some(("crash", rest)) => return crash(rest),
        Some(("fleet", rest)) => return fleet(rest),
        Some(("plugins", rest)) => return plugins(rest),
        Some(("views", rest)) => return views(rest),
        Some((name @ ("link" | "netns" | "idle" | "sync-cpu" | "peers-sync" | "storm"), rest)) => {
            return links(name, rest);
        }
        _ => {}
    }
    let bench = root().join("tests/bench");
    let mut command = cargo(&["run", "--release", "--locked", "--"]);
    command.args(arguments).current_dir(&bench);
    if std::env::var_os("CARGO_TARGET_DIR").is_none() {
        command.env("CARGO_TARGET_DIR", bench.join("target"));
    }
    execute("benchmarks (release build)", &mut command)
}

/// `[--rows N] [--written N] [--seconds N]`: what the sandbox costs, in queries, in writes and in memory.
fn plugins(arguments: &[String]) -> Result<(), String> {
    let known = |pair: &[String]| match pair {
        [name, value] => {
            ["--rows", "--written", "--seconds"].contains(&name.as_str())
                && value.parse::<usize>().is_ok()
        }
        _ => false,
    };
    if !arguments.chunks(2).all(known) {
        return Err(
            "usage: cargo xtask bench plugins [--rows N] [--written N] [--seconds N]".into(),
        );
    }
    crate::plugins::build()?;
    let mut command = cargo(&[
        "run",
        "--release",
        "--locked",
        "--package",
        "activestore-daemon",
        "--example",
        "plugin_cost",
        "--",
    ]);
    command.arg(crate::plugins::components_dir());
    command.args(arguments);
    execute("what plugins cost (release build)", &mut command)
}

/// `[--seconds N] [--turns N] [--devices N] [--rate N]`: what a materialized view costs those who write.
fn views(arguments: &[String]) -> Result<(), String> {
    let known = |pair: &[String]| match pair {
        [name, value] => {
            ["--seconds", "--turns", "--devices", "--rate"].contains(&name.as_str())
                && value.parse::<u32>().is_ok()
        }
        _ => false,
    };
    if !arguments.chunks(2).all(known) {
        return Err(
            "usage: cargo xtask bench views [--seconds N] [--turns N] [--devices N] [--rate N]"
                .into(),
        );
    }
    let mut command = cargo(&["run", "--release", "--locked"]);
    command.args(["--package", "activestore-daemon", "--example", "view_cost"]);
    command.arg("--").args(arguments);
    execute("what a view costs (release build)", &mut command)
}

/// `[--program FILE] [--OPTION VALUE]…`: an edge's backlog over a narrow link; rounds of what happens to links and nodes
/// in network namespaces; what a quiet link and a row cost; peers that do the same job; a storm of edges. Without a program it is built for release.
fn links(name: &str, arguments: &[String]) -> Result<(), String> {
    if !arguments
        .chunks(2)
        .all(|pair| matches!(pair, [name, _] if name.starts_with("--")))
    {
        return Err(format!(
            "usage: cargo xtask bench {name} [--program FILE] [--OPTION VALUE]…"
        ));
    }
    let (given, rest): (Vec<_>, Vec<_>) = arguments
        .chunks(2)
        .partition(|pair| pair.first().is_some_and(|name| name == "--program"));
    let program = match given.last().and_then(|pair| pair.get(1)) {
        Some(program) => program.into(),
        None => {
            let package = ["--release", "--locked", "--package", "activestore-daemon"];
            let mut build = cargo(&["build"]);
            build.args(package).args(["--bin", "activestore"]);
            execute("the program (release build)", &mut build)?;
            crate::run::target_dir().join("release/activestore")
        }
    };
    if name == "peers-sync" {
        tools::ensure_peers()?;
    }
    let program = std::path::absolute(program).map_err(|error| error.to_string())?;
    let mut command = cargo(&[
        "run",
        "--locked",
        "--package",
        "activestore-test-links",
        "--",
    ]);
    command.arg(name).arg(program).args(rest.concat());
    execute(&format!("links: {name}"), &mut command)
}

/// Power cuts, failing and lying disks, by seed.
fn crash(arguments: &[String]) -> Result<(), String> {
    let variables = ["ACTIVESTORE_CRASH_RUNS", "ACTIVESTORE_CRASH_FROM"];
    seeds("crash", CRASH_RUNS, arguments, variables, |test| {
        test.args(["--package", "activestore-store", "--test", "durability"]);
    })
}

/// Fleets of whole nodes in one process, by seed.
fn fleet(arguments: &[String]) -> Result<(), String> {
    let variables = ["ACTIVESTORE_FLEET_SEEDS", "ACTIVESTORE_FLEET_FROM"];
    seeds("fleet", FLEET_RUNS, arguments, variables, |test| {
        // The whole workspace, so that nothing heavy is built a second time with other features.
        test.args(["--workspace", "--test", "fleet"]);
    })
}

/// `[--runs N] [--from SEED]`: runs of a test that takes its seeds from the environment.
fn seeds(
    name: &str,
    mut runs: u64,
    arguments: &[String],
    variables: [&str; 2],
    choose: impl FnOnce(&mut Command),
) -> Result<(), String> {
    let mut from = 1;
    let mut rest = arguments.iter();
    while let Some(argument) = rest.next() {
        let number = rest.next().and_then(|text| text.parse().ok());
        let number = number.ok_or_else(|| format!("{argument} needs a number"))?;
        match argument.as_str() {
            "--runs" => runs = number,
            "--from" => from = number,
            _ => {
                return Err(format!(
                    "usage: cargo xtask bench {name} [--runs N] [--from SEED]"
                ));
            }
        }
    }
    let begun = Instant::now();
    let mut test = cargo(&["test", "--locked"]);
    choose(&mut test);
    for (variable, value) in variables.into_iter().zip([runs, from]) {
        test.env(variable, value.to_string());
    }
    execute(&format!("{runs} {name} runs from seed {from}"), &mut test)?;
    println!(
        "no {name} run failed: seeds {from} to {}, the tests that run fewer in proportion, {} s",
        from + runs.saturating_sub(1),
        begun.elapsed().as_secs()
    );
    Ok(())
}
