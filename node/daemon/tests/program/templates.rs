//! Every kind of plugin from nothing to its first result, as a developer types it: `plugin new`, the
//! crate's own test, `plugin build`, `plugin test`.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use crate::process::{program, run, said, wrote};

/// The source tree.
pub fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// Where the plugins of the repository are built too, so that what they share is built once.
fn target_dir() -> PathBuf {
    let set = std::env::var_os("ACTIVESTORE_PLUGINS_TARGET_DIR");
    set.map_or_else(|| repository().join("plugins/target"), PathBuf::from)
}

/// Runs a command in a crate, building where the repository's plugins are built.
pub fn in_crate(dir: &Path, mut command: Command, args: &[&str]) -> Output {
    command
        .args(args)
        .current_dir(dir)
        .env("CARGO_TARGET_DIR", target_dir())
        .env_remove("RUSTFLAGS")
        .env_remove("CARGO_ENCODED_RUSTFLAGS")
        .output()
        .unwrap()
}

/// The program outside of the source tree.
fn elsewhere(dir: &Path) -> PathBuf {
    let (here, there) = (
        program().get_program().to_owned(),
        dir.join("activestore-alone"),
    );
    if std::fs::hard_link(&here, &there).is_err() {
        std::fs::copy(&here, &there).unwrap();
    }
    there
}

#[test]
fn each_template_is_built_and_gives_its_first_result() {
    let dir = tempfile::tempdir().unwrap();
    let sdk = repository().join("wasm-sdk/guest");
    let cargo = std::env::var("CARGO").unwrap_or_else(|_| "cargo".to_owned());
    for (kind, name, more, shows) in [
        ("scalar", "mean-of-two", &[][..], "│ 21.0 "),
        ("aggregate", "spread", &[], "│    2.0 │"),
        ("table", "one-apart", &[], "│ 1 ┆ 21.5 │"),
        (
            "processor",
            "limit",
            &["--set", "column=temp", "--set", "max=80"],
            "row 2 refused: 80.5 is above 80",
        ),
        (
            "model",
            "linear",
            &["--artifact", "weights.csv"],
            "┆  15.625 │",
        ),
        ("merge", "later", &[], "associative and idempotent"),
        (
            "filter",
            "whole",
            &["--set", "column=temp", "--set", "min=79"],
            "81.0",
        ),
    ] {
        // One is made as by somebody who has the program and no source tree: the SDK comes along.
        let alone = kind == "merge";
        let mut new = match alone {
            true => Command::new(elsewhere(dir.path())),
            false => program(),
        };
        new.args(["plugin", "new", name, "--kind", kind]);
        if !alone {
            new.arg("--sdk").arg(&sdk);
        }
        let made = new.current_dir(dir.path()).output().unwrap();
        assert!(made.status.success(), "{}", said(&made));
        let project = dir.path().join(name);
        assert_eq!(
            project.join("activestore/guest/src/lib.rs").is_file(),
            alone
        );
        // The versions that the repository's plugins are built with.
        std::fs::copy(
            repository().join("plugins/Cargo.lock"),
            project.join("Cargo.lock"),
        )
        .unwrap();
        let tested = in_crate(&project, Command::new(&cargo), &["test", "--quiet"]);
        assert!(tested.status.success(), "{kind}: {}", said(&tested));
        let built = in_crate(&project, program(), &["plugin", "build"]);
        assert!(built.status.success(), "{kind}: {}", said(&built));
        let wasm = format!("{name}.wasm");
        let mut args = vec!["plugin", "test", &wasm, "--rows", "rows.csv"];
        args.extend(more);
        let tried = in_crate(&project, program(), &args);
        assert!(tried.status.success(), "{kind}: {}", said(&tried));
        assert!(wrote(&tried).contains(shows), "{kind}:\n{}", wrote(&tried));
    }
    let wrong = run(&["plugin", "new", "x", "--kind", "daemon"]);
    assert_eq!(wrong.status.code(), Some(2));
    assert!(said(&wrong).contains("aggregate"), "{}", said(&wrong));
}
