//! What an image was made with is compared with what this host runs, twice: by what its section says, and
//! by what wasmtime wrote into it.

use activestore_types::ErrorKind;
use proptest::prelude::*;

use super::*;
use crate::host::{HostOptions, PluginHost};

const EMPTY: &[u8] = b"\0asm\x0d\0\x01\0";

fn key() -> SigningKey {
    SigningKey::generate().unwrap().0
}

fn host(key: &SigningKey) -> std::sync::Arc<PluginHost> {
    PluginHost::new(HostOptions {
        compile: false,
        image_signers: vec![key.public()],
        ..HostOptions::default()
    })
    .unwrap()
}

#[test]
fn another_wasmtime_and_other_settings_are_named_beside_this_nodes() {
    let key = key();
    let target = ImageTarget::of_this_machine();
    for (wasmtime, settings) in [("47", SETTINGS), (WASMTIME, "fuel")] {
        let texts = [target.name(), wasmtime, settings];
        let made = attach_as(EMPTY, texts, b"image", &key).unwrap();
        let error = host(&key).load("old", &made).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Invalid);
        for words in [
            &format!("made by wasmtime {wasmtime} with {settings}"),
            &format!("runs wasmtime {WASMTIME} with {SETTINGS}"),
        ] {
            assert!(error.message().contains(words.as_str()), "{error}");
        }
    }
}

#[test]
fn settings_that_the_section_does_not_tell_are_found_by_the_engine() {
    let key = key();
    let target = ImageTarget::of_this_machine();
    let mut config = wasmtime::Config::new();
    config.wasm_component_model(true).wasm_relaxed_simd(false);
    let image = wasmtime::Engine::new(&config)
        .unwrap()
        .precompile_component(EMPTY)
        .unwrap();
    let made = attach(EMPTY, target, &image, &key).unwrap();
    let error = host(&key).load("other", &made).unwrap_err();
    assert!(
        error
            .message()
            .contains("without epoch interruption but it is enabled"),
        "{error}"
    );
    // What is no image at all is refused as well.
    let made = attach(EMPTY, target, b"not native code", &key).unwrap();
    let error = host(&key).load("other", &made).unwrap_err();
    assert!(
        error.message().contains("does not run on this node"),
        "{error}"
    );
}

#[test]
fn an_image_is_no_larger_than_it_said() {
    let key = key();
    let target = ImageTarget::of_this_machine();
    let made = attach(EMPTY, target, &vec![0; 1 << 20], &key).unwrap();
    assert!(made.len() < 1000);
    let signed = Signed::read(&made).unwrap();
    let image = Image::find(&signed, target, &[key.public()]).unwrap();
    assert_eq!(image.decompress().unwrap().len(), 1 << 20);
    for bytes in [(1 << 20) - 1, (1 << 20) + 1] {
        let image = Image {
            compressed: image.compressed,
            bytes,
            sha256: [0; 32],
        };
        assert!(image.decompress().is_err());
    }
}

/// The line of wasmtime in the words above is the one that is built.
#[test]
fn the_version_is_that_of_the_lock_file() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../Cargo.lock");
    let lock = std::fs::read_to_string(path).unwrap();
    let (_, after) = lock
        .split_once("name = \"wasmtime\"\nversion = \"")
        .unwrap();
    assert_eq!(after.split('.').next(), Some(WASMTIME));
}

proptest! {
    #[test]
    fn hostile_sections_are_an_error(content in proptest::collection::vec(any::<u8>(), 0..300)) {
        let mut content = content;
        if let Some(first) = content.first_mut() {
            *first = VERSION;
        }
        let mut made = EMPTY.to_vec();
        made.extend(custom(SECTION, &[&content]).unwrap());
        let signed = Signed::read(&made).unwrap();
        prop_assert!(Image::find(&signed, ImageTarget::of_this_machine(), &[key().public()]).is_err());
    }
}
