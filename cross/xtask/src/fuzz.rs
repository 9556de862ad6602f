//! Runs the fuzz targets of `tests/fuzz` with libFuzzer. Its instrumentation is a pass of LLVM that a
//! stable compiler takes as well; checksums are not compared in this build alone.

use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::run::{cargo, root, run as execute, target_dir};

/// Every target.
const TARGETS: [&str; 7] = [
    "array", "sst", "wal", "manifest", "copy", "keys", "returned",
];
const SECONDS: u64 = 60;
/// More memory than this, or more time for one input, is a finding.
const MEMORY_MIB_MAX: u32 = 2_048;
const INPUT_SECONDS_MAX: u32 = 20;
/// What libFuzzer needs to know which branches an input took.
const FLAGS: &str = "--cfg fuzzing -Cpasses=sancov-module \
    -Cllvm-args=-sanitizer-coverage-level=4 \
    -Cllvm-args=-sanitizer-coverage-inline-8bit-counters \
    -Cllvm-args=-sanitizer-coverage-pc-table \
    -Cllvm-args=-sanitizer-coverage-trace-compares";

/// `TARGET|all [--seconds N] [--input FILE]`: runs targets for so long each, or one input again.
///
/// # Errors
/// A sentence that names the step that failed, or the finding.
pub fn run(arguments: &[String]) -> Result<(), String> {
    let (mut targets, mut seconds, mut input) = (Vec::new(), SECONDS, None);
    let mut rest = arguments.iter();
    while let Some(argument) = rest.next() {
        match argument.as_str() {
            "all" => targets = TARGETS.to_vec(),
            "--seconds" => {
                let number = rest.next().and_then(|text| text.parse().ok());
                seconds = number.ok_or("--seconds needs a number")?;
            }
            "--input" => input = Some(rest.next().ok_or("--input needs a file")?),
            name => match TARGETS.iter().find(|target| **target == name) {
                Some(target) => targets.push(target),
                None => {
                    return Err(format!(
                        "there is no target '{name}': {}",
                        TARGETS.join(", ")
                    ));
                }
            },
        }
    }
    if targets.is_empty() {
        return Err(format!("name a target: {}, or all", TARGETS.join(", ")));
    }
    let built = build()?;
    let corpus = target_dir().join("fuzz-corpus");
    for target in targets {
        fuzz(&built, &corpus, target, Duration::from_secs(seconds), input)?;
    }
    Ok(())
}

/// Builds all targets; where they lie.
fn build() -> Result<PathBuf, String> {
    let fuzz = root().join("tests/fuzz");
    let target_dir = match std::env::var_os("CARGO_TARGET_DIR") {
        Some(_) => target_dir(),
        None => fuzz.join("target"),
    };
    let host = host()?;
    // With a target named, the flags do not reach build scripts.
    let mut command = cargo(&["build", "--release", "--locked", "--target", &host]);
    command
        .current_dir(&fuzz)
        .env("CARGO_TARGET_DIR", &target_dir)
        .env("RUSTFLAGS", FLAGS);
    execute("fuzz targets (release build)", &mut command)?;
    Ok(target_dir.join(host).join("release"))
}

fn host() -> Result<String, String> {
    let output = std::process::Command::new("rustc")
        .arg("-vV")
        .current_dir(root())
        .output()
        .map_err(|error| format!("rustc cannot be started: {error}"))?;
    String::from_utf8_lossy(&output.stdout)
        .lines()
        .find_map(|line| line.strip_prefix("host: "))
        .map(str::to_owned)
        .ok_or_else(|| "rustc does not say what it builds for".into())
}

fn fuzz(
    built: &Path,
    corpus: &Path,
    target: &str,
    time: Duration,
    input: Option<&String>,
) -> Result<(), String> {
    let findings = corpus.join("findings").join(target);
    for dir in [&findings, &corpus.join(target)] {
        std::fs::create_dir_all(dir).map_err(|error| format!("{}: {error}", dir.display()))?;
    }
    let mut command = std::process::Command::new(built.join(target));
    match input {
        Some(input) => {
            command.arg(input);
        }
        None => {
            // The target writes the inputs to start from before it reads the folder.
            command.env("ACTIVESTORE_FUZZ_SEEDS", corpus);
            command.arg(corpus.join(target)).args([
                format!("-max_total_time={}", time.as_secs()),
                "-print_final_stats=1".into(),
                "-max_len=65536".into(),
                format!("-artifact_prefix={}/", findings.display()),
            ]);
        }
    }
    command.args([
        format!("-timeout={INPUT_SECONDS_MAX}"),
        format!("-rss_limit_mb={MEMORY_MIB_MAX}"),
    ]);
    execute(&format!("fuzzing {target}"), &mut command)
}
