//! What plugins in other languages than Rust are written with: files that lie beside the author's, of the
//! release that built them last, and those that a build writes around the plugin.

use std::path::Path;

use activestore_plugin_host::PluginKind;
use activestore_types::Result;

/// The version of what compiles plugins in Python, as pip knows it.
pub const COMPONENTIZE_PY: &str =
    include_str!("../../../../wasm-sdk/python/componentize-py.version").trim_ascii();
/// The version of what compiles plugins in JavaScript, as npm knows it.
pub const COMPONENTIZE_QJS: &str =
    include_str!("../../../../wasm-sdk/js/componentize-qjs.version").trim_ascii();

/// Files by their names.
pub type Files = &'static [(&'static str, &'static str)];

/// Beside the sources of a plugin in C.
pub const C: Files = &[
    (
        "activestore.h",
        include_str!("../../../../wasm-sdk/c/activestore.h"),
    ),
    (
        "activestore.c",
        include_str!("../../../../wasm-sdk/c/activestore.c"),
    ),
];
/// Beside those in JavaScript.
pub const JS: Files = &[(
    "activestore.js",
    include_str!("../../../../wasm-sdk/js/activestore.js"),
)];
/// Beside those in Python.
pub const PYTHON: Files = &[(
    "activestore.py",
    include_str!("../../../../wasm-sdk/python/activestore.py"),
)];

/// The module that a plugin in JavaScript is entered by.
pub fn js_entry(kind: PluginKind) -> &'static str {
    match kind {
        PluginKind::Processor => include_str!("../../../../wasm-sdk/js/processor.js"),
        _ => include_str!("../../../../wasm-sdk/js/scalar.js"),
    }
}

/// The module that a plugin in Python is entered by.
pub fn python_entry(kind: PluginKind) -> &'static str {
    match kind {
        PluginKind::Processor => include_str!("../../../../wasm-sdk/python/processor.py"),
        _ => include_str!("../../../../wasm-sdk/python/scalar.py"),
    }
}

/// Makes the files in `dir` those of this release, and says so where they were others.
///
/// # Errors
/// `Io` where one cannot be written.
pub fn refresh(dir: &Path, files: Files) -> Result<()> {
    for (file, text) in files {
        let path = dir.join(file);
        let before = std::fs::read(&path).ok();
        if before.as_deref() == Some(text.as_bytes()) {
            continue;
        }
        std::fs::write(&path, text)?;
        if before.is_some() {
            eprintln!("{file} is that of this release now");
        }
    }
    Ok(())
}
