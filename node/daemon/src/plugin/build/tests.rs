//! What a build says of folders that it cannot build, before any compiler is asked.

use super::*;

fn said(files: &[(&str, &str)]) -> String {
    let dir = tempfile::tempdir().unwrap();
    for (file, text) in files {
        std::fs::write(dir.path().join(file), text).unwrap();
    }
    let error = run(dir.path(), None).unwrap_err();
    error.to_string()
}

#[test]
fn a_folder_is_a_plugin_in_one_language() {
    assert!(said(&[]).contains("holds none of Cargo.toml, plugin.toml, package.json"));
    let two = said(&[("plugin.toml", ""), ("package.json", "")]);
    assert!(two.contains("both plugin.toml and package.json"), "{two}");
}

#[test]
fn settings_that_do_not_serve_are_named() {
    for (file, text, expected) in [
        ("plugin.toml", "name = 'x'", "missing field `kind`"),
        (
            "plugin.toml",
            "name = 'x'\nkind = 'model'",
            "plugin.toml says kind 'model'; there are scalar and processor",
        ),
        (
            "plugin.toml",
            "name = '../x'\nkind = 'scalar'",
            "the name '../x'",
        ),
        ("package.json", r#"{"name": "x"}"#, "what kind of plugin"),
        (
            "package.json",
            r#"{"name": "x", "main": "a.js", "activestore": {"kind": "scalar"}}"#,
            "a.js, which package.json names as main, is not there",
        ),
        ("package.json", "{", "package.json: "),
        (
            "pyproject.toml",
            "[project]\nname = 'x'",
            "what kind of plugin",
        ),
        (
            "pyproject.toml",
            "[project]\nname = 'x'\n[tool.activestore]\nkind = 'scalar'\nmodule = 'a; b'",
            "module 'a; b', which names no module",
        ),
    ] {
        let text = said(&[(file, text)]);
        assert!(text.contains(expected), "{text}");
    }
}
