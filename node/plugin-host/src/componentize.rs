//! What form of WebAssembly a file is, and how a core module that was built with the plugin SDK
//! becomes a component.

use activestore_types::{Error, Result};

/// What the first eight bytes of a file say it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WasmForm {
    /// A component, which the host runs.
    Component,
    /// A core module, which has to be componentized first.
    CoreModule,
    /// Something else.
    NotWasm,
}

/// Looks at the file's head; says nothing about whether the rest is valid.
pub fn wasm_form(bytes: &[u8]) -> WasmForm {
    match bytes.split_at_checked(8) {
        Some((b"\0asm\x0d\0\x01\0", _)) => WasmForm::Component,
        Some((b"\0asm\x01\0\0\0", _)) => WasmForm::CoreModule,
        _ => WasmForm::NotWasm,
    }
}

/// Makes a component of a core module that was built with the plugin SDK for
/// `wasm32-unknown-unknown`. A component is returned as it is.
///
/// # Errors
/// `Invalid` when the bytes are not WebAssembly, or the module does not carry the contract that the
/// SDK's macros put into it, and in a program that was built without the feature `componentize`.
pub fn componentize(core_wasm: &[u8]) -> Result<Vec<u8>> {
    match wasm_form(core_wasm) {
        WasmForm::Component => Ok(core_wasm.to_vec()),
        WasmForm::NotWasm => Err(Error::invalid("the file is not WebAssembly")),
        WasmForm::CoreModule => encode(core_wasm),
    }
}

#[cfg(not(feature = "componentize"))]
fn encode(_core_wasm: &[u8]) -> Result<Vec<u8>> {
    Err(missing())
}

#[cfg(not(feature = "componentize"))]
pub(crate) fn missing() -> Error {
    Error::invalid("this program was built without what makes components")
        .with_hint("build plugins with the program as it is released for developers")
}

#[cfg(feature = "componentize")]
fn encode(core_wasm: &[u8]) -> Result<Vec<u8>> {
    wit_component::ComponentEncoder::default()
        .validate(true)
        .module(core_wasm)
        .and_then(|mut encoder| encoder.encode())
        .map_err(|error| {
            Error::invalid(format!(
                "the module cannot be made a component: {}",
                one_line(&format!("{error:#}"))
            ))
            .with_hint(
                "build it as a cdylib for wasm32-unknown-unknown with one of the SDK's macros",
            )
        })
}

#[cfg(feature = "componentize")]
pub(crate) fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests;
