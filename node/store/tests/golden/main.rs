//! Stores that earlier versions wrote are read as they were: every file `fixtures/NAME.store` is a
//! whole data directory and the text of what it holds. A version of the format that is released
//! keeps its file for ever; `cargo run -p activestore-store --example fixture -- NAME` makes one of
//! the format as it is.
#![allow(missing_docs, clippy::unwrap_used, clippy::indexing_slicing)]

mod content;

use std::path::PathBuf;

use activestore_env::SimEnv;
use activestore_store::Store;
use activestore_store::repair::{Known, examine};

use content::{Golden, NODE, dump, options, place};

fn fixtures() -> Vec<PathBuf> {
    let dir = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures");
    let entries = std::fs::read_dir(dir).unwrap();
    let mut all: Vec<PathBuf> = entries
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|end| end == "store"))
        .collect();
    all.sort();
    all
}

fn golden(path: &PathBuf) -> Golden {
    let packed = std::fs::read(path).unwrap();
    assert!(packed.len() < 200_000, "{} is too large", path.display());
    let bytes = zstd::bulk::decompress(&packed, 64 << 20).unwrap();
    postcard::from_bytes(&bytes).unwrap()
}

#[test]
fn stores_of_earlier_versions_hold_what_they_held() {
    let all = fixtures();
    assert!(!all.is_empty());
    for path in all {
        let (files, expected) = golden(&path);
        let world = SimEnv::seeded(1);
        place(&world, &files);
        let known = Known {
            node: Some(NODE),
            ..Known::default()
        };
        let findings = examine(&world.env().disk, &known, &mut |_| {}).unwrap();
        assert!(findings.faults.is_empty(), "{:?}", findings.faults);
        let store = Store::open(world.env(), options()).unwrap();
        assert!(
            dump(&store) == expected,
            "{} reads otherwise",
            path.display()
        );
        // What this version makes of its files holds the same.
        for table in [1, 2] {
            store.compact(activestore_types::TableId(table)).unwrap();
        }
        assert!(
            dump(&store) == expected,
            "{} merges otherwise",
            path.display()
        );
        store.close().unwrap();
        drop(store);
        let store = Store::open(world.env(), options()).unwrap();
        assert!(
            dump(&store) == expected,
            "{} reopens otherwise",
            path.display()
        );
    }
}
