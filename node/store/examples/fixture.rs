//! Writes a golden store of the format as it is now: `tests/fixtures/NAME.store` (all files of a data
//! directory and the text of what they hold, packed). Run it when a version of the format is
//! released, and never again for that version: `cargo run -p activestore-store --example fixture -- v1`.
#![allow(missing_docs, clippy::unwrap_used, clippy::indexing_slicing)]

#[path = "../tests/golden/content.rs"]
mod content;

use std::path::PathBuf;

use activestore_env::SimEnv;
use activestore_store::Store;

fn main() {
    let name = std::env::args().nth(1);
    let name = name.expect("the fixture's name, such as v1");
    let world = SimEnv::seeded(60);
    let store = Store::open(world.env(), content::options()).unwrap();
    content::fill(&store);
    let held = content::dump(&store);
    store.close().unwrap();
    drop(store);
    let files = content::gather(&world);
    let golden: content::Golden = (files, held);
    let packed = postcard::to_stdvec(&golden).unwrap();
    let packed = zstd::bulk::compress(&packed, 19).unwrap();
    let dir = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures");
    std::fs::create_dir_all(&dir).unwrap();
    std::fs::write(dir.join(format!("{name}.store")), &packed).unwrap();
    let (files, held) = golden;
    println!(
        "{name}: {} files, {} bytes packed",
        files.len(),
        packed.len()
    );
    // The other way round, it is the same store.
    let again = SimEnv::seeded(61);
    content::place(&again, &files);
    let store = Store::open(again.env(), content::options()).unwrap();
    assert_eq!(content::dump(&store), held);
}
