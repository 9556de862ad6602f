//! What is not a plugin is refused with the reason, and compiled images are kept, checked and never
//! trusted.

use std::fs;
use std::path::PathBuf;
use std::sync::Arc;

use activestore_plugin_host::{HostOptions, PluginHost, WasmForm, componentize, wasm_form};
use activestore_types::ErrorKind;

use crate::built::{component, options};

fn refused(wasm: &[u8]) -> String {
    let host = PluginHost::new(options()).unwrap();
    let error = host.load("it", wasm).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Invalid, "{error}");
    error.to_string()
}

/// The smallest component: its head, and nothing else.
const EMPTY: &[u8] = b"\0asm\x0d\0\x01\0";

#[test]
fn what_is_not_a_component_is_refused() {
    assert!(refused(b"GIF89a, really").contains("is not WebAssembly"));
    assert!(refused(b"").contains("is not WebAssembly"));
    let core = refused(b"\0asm\x01\0\0\0");
    assert!(
        core.contains("a core WebAssembly module") && core.contains("plugin build"),
        "{core}"
    );
    let torn = component("units");
    let torn = refused(&torn[..torn.len() / 2]);
    assert!(torn.contains("not a valid component"), "{torn}");
    assert!(refused(EMPTY).contains("exports nothing"));
}

#[test]
fn an_import_beyond_the_contract_is_refused_by_name() {
    let mut renamed = component("units");
    replace(
        &mut renamed,
        b"activestore:plugin/log@1.0.0",
        b"activestore:plugin/fog@1.0.0",
    );
    let message = refused(&renamed);
    assert!(
        message.contains("imports 'activestore:plugin/fog@1.0.0', which is not in the contract"),
        "{message}"
    );
}

#[test]
fn another_version_of_the_contract_is_named() {
    let mut newer = component("units");
    replace(
        &mut newer,
        b"activestore:plugin/scalar@1.0.0",
        b"activestore:plugin/scalar@1.9.0",
    );
    let message = refused(&newer);
    assert!(
        message.contains("scalar@1.9.0") && message.contains("version 1.0.0"),
        "{message}"
    );
}

#[test]
fn a_large_file_is_refused_unread() {
    let host = PluginHost::new(HostOptions {
        wasm_bytes_max: 1000,
        ..options()
    })
    .unwrap();
    let error = host.load("big", &component("units")).unwrap_err();
    assert!(
        error.message().contains("where 1000 are allowed"),
        "{error}"
    );
}

#[test]
fn random_damage_never_panics() {
    let good = component("units");
    let host = PluginHost::new(options()).unwrap();
    let mut seed = 7u64;
    for _ in 0..60 {
        let mut bad = good[..good.len().min(4000)].to_vec();
        for _ in 0..3 {
            seed = seed
                .wrapping_mul(6364136223846793005)
                .wrapping_add(1442695040888963407);
            let at = usize::try_from(seed >> 33).unwrap() % bad.len();
            bad[at] ^= (seed >> 20) as u8 | 1;
        }
        let _either = host.load("damaged", &bad);
    }
}

#[test]
fn componentize_makes_what_the_host_loads() {
    let component = component("units");
    assert_eq!(wasm_form(&component), WasmForm::Component);
    assert_eq!(componentize(&component).unwrap(), component);
}

#[test]
fn a_compiled_image_is_used_again_and_a_damaged_one_is_not() {
    let dir = tempfile::tempdir().unwrap();
    let start = || -> Arc<PluginHost> {
        PluginHost::new(HostOptions {
            cache_dir: Some(dir.path().to_owned()),
            ..options()
        })
        .unwrap()
    };
    let image = || -> PathBuf {
        fs::read_dir(dir.path())
            .unwrap()
            .map(|entry| entry.unwrap().path())
            .find(|path| path.extension().is_some_and(|end| end == "image"))
            .unwrap()
    };
    let units = component("units");
    let load = || {
        let host = start();
        let plugin = host.load("units", &units).unwrap();
        assert!(plugin.scalar("f_to_c").is_ok());
        (plugin.stats().from_cache, host.host_stats())
    };
    assert!(!load().0);
    assert!(load().0);
    // One bit of native code differs.
    let mut bytes = fs::read(image()).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(image(), &bytes).unwrap();
    let (from_cache, stats) = load();
    assert!(!from_cache);
    assert_eq!((stats.cache_refused, stats.compiled), (1, 1));
    assert!(load().0);
    // A key that is not ours.
    fs::write(dir.path().join("key"), [7; 32]).unwrap();
    assert!(!load().0);
    // No code in the place of the image.
    fs::write(image().with_extension("mac"), b"").unwrap();
    assert!(!load().0);
}

#[test]
fn a_cache_that_cannot_be_written_is_only_slow() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("file");
    fs::write(&file, b"").unwrap();
    let host = PluginHost::new(HostOptions {
        cache_dir: Some(file),
        ..options()
    })
    .unwrap();
    assert!(host.load("units", &component("units")).is_ok());
}

fn replace(bytes: &mut [u8], from: &[u8], to: &[u8]) {
    assert_eq!(from.len(), to.len());
    let mut at = 0;
    while at + from.len() <= bytes.len() {
        if bytes[at..].starts_with(from) {
            bytes[at..at + to.len()].copy_from_slice(to);
        }
        at += 1;
    }
}
