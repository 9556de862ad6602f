//! A log segment, found by a store and by an examination.
#![no_main]

use activestore_fuzz::{MANIFEST, SEGMENT, disk, env, examine, look_around, options, sample};
use activestore_store::Store;

libfuzzer_sys::fuzz_target!(init: activestore_fuzz::seeds::write("wal"), |data: &[u8]| {
    let files: [(&str, &[u8]); 2] = [(MANIFEST, &sample().manifest), (SEGMENT, data)];
    examine(&disk(&files));
    if let Ok(store) = Store::open(env(disk(&files)), options()) {
        look_around(&store);
        let _ = store.close();
    }
});
