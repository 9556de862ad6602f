//! Every queued record gets its own answer, in the order of arrival, whoever leads.

use std::sync::atomic::{AtomicU64, Ordering};

use super::*;

fn record() -> (Encoded, CheckedSet) {
    let encoded = Encoded {
        bytes: vec![0; 64],
        payload_length: 0,
        payload_crc: 0,
    };
    let set = CheckedSet {
        batches: Vec::new(),
        tombstones: Vec::new(),
        notes: Vec::new(),
    };
    (encoded, set)
}

#[test]
fn many_threads_get_distinct_consecutive_numbers() {
    let queue = GroupQueue::default();
    let next = AtomicU64::new(1);
    let groups = AtomicU64::new(0);
    let mut numbers: Vec<u64> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..8)
            .map(|_| {
                scope.spawn(|| {
                    (0..100)
                        .map(|_| {
                            let (encoded, set) = record();
                            let lsn = queue.submit(encoded, set, 16, |records, _| {
                                assert!(records.len() <= 16);
                                groups.fetch_add(1, Ordering::Relaxed);
                                let count = records.len() as u64;
                                let first = next.fetch_add(count, Ordering::Relaxed);
                                (first..first + count).map(|lsn| Ok(Lsn(lsn))).collect()
                            });
                            lsn.unwrap().0
                        })
                        .collect::<Vec<_>>()
                })
            })
            .collect();
        threads
            .into_iter()
            .flat_map(|thread| thread.join().unwrap())
            .collect()
    });
    numbers.sort_unstable();
    assert_eq!(numbers, (1..=800).collect::<Vec<_>>());
    assert!(groups.load(Ordering::Relaxed) <= 800);
}

#[test]
fn a_leader_that_panics_leaves_no_one_waiting() {
    let queue = GroupQueue::default();
    let (encoded, set) = record();
    let panicked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        queue.submit(encoded, set, 1, |_, _| panic!("a defect"))
    }));
    assert!(panicked.is_err());
    let (encoded, set) = record();
    let lsn = queue.submit(encoded, set, 1, |_, _| vec![Ok(Lsn(5))]);
    assert_eq!(lsn, Ok(Lsn(5)));
}
