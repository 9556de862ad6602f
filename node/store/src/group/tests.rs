//! Every queued record gets its own answer, in the order of arrival, whoever leads; groups are
//! applied in the order in which they were logged; what waits is bounded.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use super::*;

fn record() -> (Encoded, CheckedSet) {
    let encoded = Encoded::mark();
    let set = CheckedSet {
        batches: Vec::new(),
        tombstones: Vec::new(),
        notes: Vec::new(),
    };
    (encoded, set)
}

/// Numbers the records; refuses every record from the `fails`-th of a group on.
struct Numbers {
    next: AtomicU64,
    applied: AtomicU64,
    fails: usize,
    log: fn(),
    apply: fn() -> Result<()>,
}

impl Numbers {
    fn new() -> Self {
        Numbers {
            next: AtomicU64::new(1),
            applied: AtomicU64::new(0),
            fails: usize::MAX,
            log: || (),
            apply: || Ok(()),
        }
    }
}

impl Steps for Numbers {
    fn log(&self, records: &mut [Encoded]) -> Appended {
        (self.log)();
        let done = records.len().min(self.fails);
        let first = self.next.fetch_add(done as u64, Ordering::Relaxed);
        Appended {
            first: Lsn(first),
            done,
            error: (done < records.len()).then(|| Error::disk_full("no space")),
        }
    }

    fn apply(&self, first: Lsn, sets: impl Iterator<Item = CheckedSet>) -> Result<()> {
        let before = self.applied.load(Ordering::Relaxed);
        assert_eq!(first.0, before + 1, "applied as logged");
        // A moment in which a later group could overtake.
        std::thread::yield_now();
        self.applied
            .store(before + sets.count() as u64, Ordering::Relaxed);
        (self.apply)()
    }
}

#[test]
fn many_threads_get_distinct_consecutive_numbers() {
    let queue = GroupQueue::new(1 << 20);
    let steps = Numbers::new();
    let mut numbers: Vec<u64> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..8)
            .map(|_| {
                scope.spawn(|| {
                    (0..100)
                        .map(|_| {
                            let (encoded, set) = record();
                            queue.submit(encoded, set, 16, &steps).unwrap().0
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
    assert_eq!(steps.applied.load(Ordering::Relaxed), 800);
}

#[test]
fn records_that_were_not_logged_are_answered_with_the_reason() {
    let queue = GroupQueue::new(1 << 20);
    let steps = Numbers {
        fails: 0,
        ..Numbers::new()
    };
    let (encoded, set) = record();
    let error = queue.submit(encoded, set, 4, &steps).unwrap_err();
    assert_eq!(error.kind(), activestore_types::ErrorKind::DiskFull);
}

#[test]
fn a_leader_that_panics_leaves_no_one_waiting() {
    let queue = GroupQueue::new(1 << 20);
    let panics = Numbers {
        log: || panic!("a defect"),
        ..Numbers::new()
    };
    let submit = |steps: &Numbers| {
        let (encoded, set) = record();
        std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            queue.submit(encoded, set, 1, steps)
        }))
    };
    assert!(submit(&panics).is_err());
    assert_eq!(submit(&Numbers::new()).unwrap(), Ok(Lsn(1)));
}

#[test]
fn nothing_is_applied_after_a_group_that_was_applied_in_part() {
    let queue = GroupQueue::new(1 << 20);
    let (encoded, set) = record();
    let fails = Numbers {
        apply: || Err(Error::internal("a defect")),
        ..Numbers::new()
    };
    assert!(queue.submit(encoded, set, 1, &fails).is_err());
    let (encoded, set) = record();
    let steps = Numbers::new();
    assert!(queue.submit(encoded, set, 1, &steps).is_err());
    assert_eq!(steps.applied.load(Ordering::Relaxed), 0);
}

#[test]
fn what_is_admitted_stays_within_the_bound_and_everybody_gets_in() {
    const BOUND: usize = 100;
    let queue = GroupQueue::new(BOUND);
    let held = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for thread in 0..8_usize {
            let (queue, held) = (&queue, &held);
            scope.spawn(move || {
                for at in 0..100 {
                    // Some want more than all there is, and then have it alone.
                    let bytes = 1 + (thread * 31 + at * 7) % 130;
                    let admission = queue.admit(bytes);
                    let now = held.fetch_add(bytes, Ordering::SeqCst) + bytes;
                    assert!(now <= BOUND || now == bytes, "{now} bytes");
                    if at % 10 == 0 {
                        std::thread::sleep(Duration::from_micros(50));
                    }
                    held.fetch_sub(bytes, Ordering::SeqCst);
                    drop(admission);
                }
            });
        }
    });
    assert_eq!(queue.bytes(), 0);
}
