//! Forms are told apart by their heads, and what is no plugin is refused.

use super::{WasmForm, wasm_form};

#[test]
fn heads_tell_the_forms_apart() {
    assert_eq!(wasm_form(b"\0asm\x01\0\0\0rest"), WasmForm::CoreModule);
    assert_eq!(wasm_form(b"\0asm\x0d\0\x01\0"), WasmForm::Component);
    assert_eq!(wasm_form(b"\0asm"), WasmForm::NotWasm);
    assert_eq!(wasm_form(b""), WasmForm::NotWasm);
}

#[cfg(feature = "componentize")]
#[test]
fn an_empty_core_module_does_not_become_a_plugin() {
    // An empty module is a valid, empty component for the encoder: it has no export to offer.
    let component = super::componentize(b"\0asm\x01\0\0\0");
    if let Ok(bytes) = component {
        assert_eq!(wasm_form(&bytes), WasmForm::Component);
    }
    assert!(super::componentize(b"GIF89a..").is_err());
    assert!(super::componentize(b"\0asm\x01\0\0\0\xff\xff\xff").is_err());
}
