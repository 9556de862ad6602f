//! The entries of a manifest.
#![no_main]

use activestore_fuzz::manifest::{open_with, with_ops};

libfuzzer_sys::fuzz_target!(init: activestore_fuzz::seeds::write("manifest"), |data: &[u8]| {
    let manifest = with_ops(data).expect("redb takes any entries");
    let _ = open_with(&manifest);
});
