//! The Rust SDK of this very release, as files to put beside a new plugin project: so that it builds on
//! any machine with cargo and matches the node that it was made by. It writes nothing itself.

macro_rules! files {
    ($($path:literal),+ $(,)?) => {
        &[$(($path, include_str!(concat!("../../../wasm-sdk/", $path)))),+]
    };
}

/// Each file's path, relative to a folder of the project's choice, and its text. The crate is in
/// `guest`, the contract that it is generated from in `wit`.
pub const SDK_FILES: &[(&str, &str)] = files![
    "wit/plugin.wit",
    "wit/filter.wit",
    "wit/merge.wit",
    "wit/http.wit",
    "wit/nn.wit",
    "guest/Cargo.toml",
    "guest/src/lib.rs",
    "guest/src/aggregate.rs",
    "guest/src/bindings.rs",
    "guest/src/bitmap.rs",
    "guest/src/block.rs",
    "guest/src/column.rs",
    "guest/src/filter.rs",
    "guest/src/fixture.rs",
    "guest/src/http.rs",
    "guest/src/log.rs",
    "guest/src/merge.rs",
    "guest/src/model.rs",
    "guest/src/nn.rs",
    "guest/src/processor.rs",
    "guest/src/reach.rs",
    "guest/src/scalar.rs",
    "guest/src/series.rs",
    "guest/src/state.rs",
    "guest/src/table.rs",
];

#[cfg(test)]
mod tests;
