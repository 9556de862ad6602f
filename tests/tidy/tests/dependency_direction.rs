//! Dependencies point down only, and the heavy libraries are named in one package each.

#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

use std::process::Command;

use serde_json::Value;

/// From the top to the bottom; a package may depend on packages of lower floors only.
const FLOORS: &[&[&str]] = &[
    &["activestore-daemon"],
    &["activestore-gateway"],
    &["activestore-ingest", "activestore-sync-quic"],
    &["activestore-db"],
    &["activestore-query", "activestore-plugin-host"],
    &[
        "activestore-store",
        "activestore-catalog",
        "activestore-sync-proto",
    ],
    &["activestore-sst"],
    &["activestore-env", "activestore-formats"],
    &["activestore-types"],
];

/// A library and the only packages that may name it.
const OWNED: &[(&str, &[&str])] = &[
    ("wasmtime", &["activestore-plugin-host"]),
    ("datafusion", &["activestore-query"]),
    ("quinn", &["activestore-sync-quic"]),
    ("axum", &["activestore-gateway"]),
];

fn packages() -> Vec<(String, Vec<String>)> {
    let output = Command::new(env!("CARGO"))
        .args(["metadata", "--no-deps", "--format-version=1", "--offline"])
        .current_dir(activestore_tidy::root())
        .output()
        .expect("cargo metadata runs");
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let metadata: Value = serde_json::from_slice(&output.stdout).expect("metadata is JSON");
    metadata["packages"]
        .as_array()
        .expect("packages is a list")
        .iter()
        .map(|package| {
            let dependencies = package["dependencies"]
                .as_array()
                .expect("dependencies is a list")
                .iter()
                .filter(|dependency| dependency["kind"] != "dev")
                .map(|dependency| dependency["name"].as_str().unwrap().to_owned())
                .collect();
            (package["name"].as_str().unwrap().to_owned(), dependencies)
        })
        .collect()
}

fn floor(name: &str) -> Option<usize> {
    FLOORS.iter().position(|floor| floor.contains(&name))
}

#[test]
fn dependencies_point_down_only() {
    let mut seen = 0;
    for (package, dependencies) in packages() {
        let Some(own) = floor(&package) else {
            assert!(
                !package.starts_with("activestore-")
                    || package == "activestore-tidy"
                    || package.starts_with("activestore-test"),
                "{package} has no floor in this test"
            );
            continue;
        };
        seen += 1;
        for dependency in dependencies {
            if let Some(other) = floor(&dependency) {
                assert!(other > own, "{package} must not depend on {dependency}");
            }
        }
    }
    assert_eq!(seen, FLOORS.iter().map(|floor| floor.len()).sum::<usize>());
}

#[test]
fn heavy_libraries_have_one_owner() {
    for (package, dependencies) in packages() {
        for (library, owners) in OWNED {
            let named = dependencies.iter().any(|dependency| dependency == library);
            assert!(
                !named || owners.contains(&package.as_str()),
                "{package} names {library}, which belongs to {owners:?}"
            );
        }
    }
}
