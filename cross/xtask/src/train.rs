//! Runs the training program of `plugins/onnx/train`, which belongs to the plugins' workspace.

use std::path::Path;

use crate::plugins::plugins_target_dir;
use crate::run::{cargo, root, run as execute};

/// Trains on a folder of series and prints how the detectors did.
///
/// # Errors
/// A sentence for a folder that is not there, and what the program says.
pub fn run(arguments: &[String]) -> Result<(), String> {
    // The program runs in another folder than the one that its paths are meant from.
    let absolute = |argument: &String| {
        let path = Path::new(argument);
        std::path::absolute(path).map_or(argument.clone(), |path| path.display().to_string())
    };
    let mut given = Vec::new();
    let mut is_path = true;
    for argument in arguments {
        match argument.as_str() {
            "--seed" => is_path = false,
            "--output" | "--help" => {}
            _ if is_path => {
                given.push(absolute(argument));
                continue;
            }
            _ => is_path = true,
        }
        given.push(argument.clone());
    }
    execute(
        "training",
        cargo(&[
            "run",
            "--quiet",
            "--locked",
            "--package",
            "onnx-train",
            "--",
        ])
        .args(given)
        .current_dir(root().join("plugins"))
        .env("CARGO_TARGET_DIR", plugins_target_dir()),
    )
}
