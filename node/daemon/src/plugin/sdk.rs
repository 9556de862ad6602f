//! What plugins are written with: files that lie beside the author's, of the release that built them last, and
//! those that a build writes around the plugin.

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

/// The folder of a project in Rust that [`RUST`] lies in.
pub const RUST_DIR: &str = "activestore";

macro_rules! of_rust {
    ($($file:literal),+ $(,)?) => {
        &[$((concat!("activestore/", $file), include_str!(concat!("../../../../wasm-sdk/", $file)))),+]
    };
}

/// The SDK for Rust, a crate and the contract that it is generated from, for who has this program alone.
pub const RUST: Files = of_rust![
    "guest/Cargo.toml",
    "guest/src/aggregate.rs",
    "guest/src/aggregate/tests.rs",
    "guest/src/bindings.rs",
    "guest/src/bitmap.rs",
    "guest/src/bitmap/tests.rs",
    "guest/src/block.rs",
    "guest/src/column.rs",
    "guest/src/filter.rs",
    "guest/src/fixture.rs",
    "guest/src/http.rs",
    "guest/src/lib.rs",
    "guest/src/log.rs",
    "guest/src/merge.rs",
    "guest/src/model.rs",
    "guest/src/nn.rs",
    "guest/src/processor.rs",
    "guest/src/processor/tests.rs",
    "guest/src/reach.rs",
    "guest/src/scalar.rs",
    "guest/src/scalar/tests.rs",
    "guest/src/series.rs",
    "guest/src/series/tests.rs",
    "guest/src/state.rs",
    "guest/src/table.rs",
    "guest/src/table/tests.rs",
    "wit/filter.wit",
    "wit/http.wit",
    "wit/merge.wit",
    "wit/nn.wit",
    "wit/plugin.wit",
];

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
        std::fs::create_dir_all(path.parent().unwrap_or(dir))?;
        std::fs::write(&path, text)?;
        if before.is_some() {
            eprintln!("{file} is that of this release now");
        }
    }
    Ok(())
}
