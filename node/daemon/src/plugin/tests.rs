//! What a developer meets before any node is involved.

use std::path::Path;

use super::*;

#[test]
fn names_are_safe_in_addresses() {
    assert_eq!(encoded("units"), "units");
    assert_eq!(encoded("a b/ü"), "a%20b%2F%C3%BC");
}

/// A folder that looks like the Rust SDK.
fn sdk_in(dir: &Path) -> std::path::PathBuf {
    let sdk = dir.join("sdk");
    std::fs::create_dir(&sdk).unwrap();
    std::fs::write(sdk.join("Cargo.toml"), "").unwrap();
    sdk
}

#[test]
fn a_new_plugin_is_a_whole_crate() {
    use crate::cli::{PluginLanguage, PluginTemplate};
    let dir = tempfile::tempdir().unwrap();
    let sdk = sdk_in(dir.path());
    let write = |name: &str, kind| {
        let made = dir.path().join(name);
        new::write(&made, name, PluginLanguage::Rust, kind, Some(&sdk))
    };
    for (name, kind) in [
        ("heat-index", PluginTemplate::Scalar),
        ("spread", PluginTemplate::Aggregate),
        ("limit", PluginTemplate::Processor),
        ("linear", PluginTemplate::Model),
        ("later", PluginTemplate::Merge),
        ("whole", PluginTemplate::Filter),
    ] {
        write(name, kind).unwrap();
        let made = dir.path().join(name);
        let manifest = std::fs::read_to_string(made.join("Cargo.toml")).unwrap();
        let parsed: toml::Table = toml::from_str(&manifest).unwrap();
        assert_eq!(parsed["package"]["name"].as_str(), Some(name));
        let source = std::fs::read_to_string(made.join("src/lib.rs")).unwrap();
        assert!(!source.contains('@'), "{source}");
        assert!(write(name, kind).is_err());
    }
    let source = std::fs::read_to_string(dir.path().join("heat-index/src/lib.rs")).unwrap();
    assert!(source.contains("fn heat_index(a: f64"), "{source}");
    assert!(write("Bad Name", PluginTemplate::Scalar).is_err());
}

#[test]
fn the_sdk_that_comes_along_is_whole() {
    let tree = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../wasm-sdk");
    let mut folders = vec![tree.join("guest"), tree.join("wit")];
    let mut found = Vec::new();
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            match path.is_dir() {
                true => folders.push(path),
                false => found.push(path.strip_prefix(&tree).unwrap().to_owned()),
            }
        }
    }
    let mut carried: Vec<_> = sdk::RUST
        .iter()
        .map(|(file, _)| Path::new(file).strip_prefix(sdk::RUST_DIR).unwrap())
        .collect();
    carried.sort();
    found.sort();
    assert_eq!(carried, found);
}

#[test]
fn a_new_plugin_in_another_language_has_all_its_files() {
    use crate::cli::{PluginLanguage, PluginTemplate};
    let dir = tempfile::tempdir().unwrap();
    for (language, expected) in [
        (
            PluginLanguage::C,
            &["plugin.c", "plugin.toml", "activestore.h", "activestore.c"][..],
        ),
        (
            PluginLanguage::Js,
            &[
                "plugin.js",
                "plugin.test.js",
                "package.json",
                "activestore.js",
            ],
        ),
        (
            PluginLanguage::Python,
            &[
                "plugin.py",
                "test_plugin.py",
                "pyproject.toml",
                "activestore.py",
            ],
        ),
    ] {
        for kind in [PluginTemplate::Scalar, PluginTemplate::Processor] {
            let name = format!("{language:?}-{}", kind.name()).to_lowercase();
            let made = dir.path().join(&name);
            new::write(&made, &name, language, kind, None).unwrap();
            for file in expected {
                let text = std::fs::read_to_string(made.join(file)).unwrap();
                let open = ["@FUNCTION@", "@NAME@", "@KIND@", "@COMPONENTIZE"];
                assert!(
                    !open.iter().any(|word| text.contains(word)),
                    "{file}: {text}"
                );
            }
            assert!(made.join("rows.csv").is_file());
        }
        let refused = new::write(
            &dir.path().join("m"),
            "m",
            language,
            PluginTemplate::Model,
            None,
        );
        assert!(refused.unwrap_err().message().contains("model"));
        assert!(!dir.path().join("m").exists());
    }
}
