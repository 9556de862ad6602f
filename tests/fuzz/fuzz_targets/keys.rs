//! Encoded keys as bounds of what is read.
#![no_main]

use std::sync::OnceLock;

use activestore_fuzz::{columns, disk, env, options, sample};
use activestore_store::{ScanRequest, Snapshot, Store};
use activestore_types::KeyRange;
use activestore_types::key::prefix_end;

/// A table with rows in a file and in memory.
fn snapshot() -> &'static Snapshot {
    static SNAPSHOT: OnceLock<Snapshot> = OnceLock::new();
    SNAPSHOT.get_or_init(|| {
        let files: Vec<(&str, &[u8])> = sample()
            .files
            .iter()
            .map(|(path, bytes)| (path.as_str(), bytes.as_slice()))
            .collect();
        let store = Store::open(env(disk(&files)), options()).expect("a sound store");
        store
            .commit(activestore_fuzz::rows(90, 5_000))
            .expect("a simulated disk");
        store.snapshot(activestore_fuzz::TABLE).expect("the table")
    })
}

libfuzzer_sys::fuzz_target!(init: activestore_fuzz::seeds::write("keys"), |data: &[u8]| {
    let (start, end) = data.split_at(data.len() / 2);
    assert!(prefix_end(start).is_empty() || prefix_end(start).as_slice() > start);
    let snapshot = snapshot();
    for range in [
        KeyRange {
            start: start.to_vec(),
            end: end.to_vec(),
        },
        KeyRange::prefix(data),
    ] {
        let mut counts = [false, true].map(|reverse| {
            let request = ScanRequest {
                columns: columns(),
                ranges: vec![range.clone()],
                reverse,
                now_ms: 1_767_225_600_000,
                ..ScanRequest::default()
            };
            let batches = snapshot.scan(request).expect("one range is in order");
            batches
                .map(|batch| batch.expect("a sound file").num_rows())
                .sum::<usize>()
        });
        counts.sort_unstable();
        assert_eq!(counts[0], counts[1], "both ways see the same rows");
    }
});
