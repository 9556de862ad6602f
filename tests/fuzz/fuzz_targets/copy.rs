//! The manifest's copy, read where the manifest is lost, and the repair that follows.
#![no_main]

use activestore_fuzz::{COPY, MANIFEST, disk, env, examine, look_around, options, sample};
use activestore_store::{Store, repair};

libfuzzer_sys::fuzz_target!(init: activestore_fuzz::seeds::write("copy"), |data: &[u8]| {
    let mut files: Vec<(&str, &[u8])> = vec![(COPY, data)];
    for (path, bytes) in &sample().files {
        if path != COPY && path != MANIFEST && path != "lock" {
            files.push((path, bytes));
        }
    }
    let disk = disk(&files);
    examine(&disk);
    let env = env(disk);
    if repair::repair(&env, &options(), Vec::new(), &mut |_| {}).is_ok()
        && let Ok(store) = Store::open(env, options())
    {
        look_around(&store);
        let _ = store.close();
    }
});
