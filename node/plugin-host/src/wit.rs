//! The text of the contract: several files of one package, as one.

/// Every file of the contract; the first one says which package it is.
const FILES: [&str; 5] = [
    include_str!("../../../wasm-sdk/wit/plugin.wit"),
    include_str!("../../../wasm-sdk/wit/merge.wit"),
    include_str!("../../../wasm-sdk/wit/filter.wit"),
    include_str!("../../../wasm-sdk/wit/http.wit"),
    include_str!("../../../wasm-sdk/wit/nn.wit"),
];

/// All of it, as one file.
pub(crate) fn text() -> String {
    let mut text = String::new();
    for (number, file) in FILES.iter().enumerate() {
        for line in file.lines() {
            // The package is named once.
            if number == 0 || !line.starts_with("package ") {
                text.push_str(line);
                text.push('\n');
            }
        }
    }
    text
}
