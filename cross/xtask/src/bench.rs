//! Runs the benchmarks of `tests/bench`, a workspace of its own, so that the peers it builds cost
//! nothing to anybody else.

use crate::run::{cargo, root, run as execute};

/// Runs the benchmark named, or all.
///
/// # Errors
/// A sentence that names the step that failed.
pub fn run(arguments: &[String]) -> Result<(), String> {
    let bench = root().join("tests/bench");
    let mut command = cargo(&["run", "--release", "--locked", "--"]);
    command
        .args(arguments)
        .current_dir(&bench)
        .env("CARGO_TARGET_DIR", bench.join("target"));
    execute("benchmarks (release build)", &mut command)
}
