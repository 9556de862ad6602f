//! What a developer meets before any node is involved.

use super::*;

#[test]
fn names_are_safe_in_addresses() {
    assert_eq!(encoded("units"), "units");
    assert_eq!(encoded("a b/ü"), "a%20b%2F%C3%BC");
}

#[test]
fn a_new_plugin_is_a_whole_crate() {
    use crate::cli::PluginTemplate;
    let dir = tempfile::tempdir().unwrap();
    let sdk = std::path::Path::new("/sdk");
    for (name, kind) in [
        ("heat-index", PluginTemplate::Scalar),
        ("spread", PluginTemplate::Aggregate),
        ("limit", PluginTemplate::Processor),
        ("linear", PluginTemplate::Model),
    ] {
        let made = dir.path().join(name);
        new::write(&made, name, kind, sdk).unwrap();
        let manifest = std::fs::read_to_string(made.join("Cargo.toml")).unwrap();
        let parsed: toml::Table = toml::from_str(&manifest).unwrap();
        assert_eq!(parsed["package"]["name"].as_str(), Some(name));
        let source = std::fs::read_to_string(made.join("src/lib.rs")).unwrap();
        assert!(!source.contains('@'), "{source}");
        assert!(new::write(&made, name, kind, sdk).is_err());
    }
    let source = std::fs::read_to_string(dir.path().join("heat-index/src/lib.rs")).unwrap();
    assert!(source.contains("fn heat_index(a: f64"), "{source}");
    assert!(
        new::write(
            &dir.path().join("x"),
            "Bad Name",
            PluginTemplate::Scalar,
            sdk
        )
        .is_err()
    );
}
