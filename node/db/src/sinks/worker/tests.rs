//! Receivers that break connections off, for one event or for all.

#![allow(missing_docs, clippy::unwrap_used, clippy::indexing_slicing)]

use super::suspicion::{Suspicion, Verdict};

/// How often each event was tried alone that was left out: a receiver breaks off upon those for which `breaks` says so.
fn tries(mut breaks: impl FnMut(usize) -> bool, events: usize, attempts: u32) -> Vec<u32> {
    let mut suspicion = Suspicion::default();
    let (mut left_out, mut at, mut tried) = (Vec::new(), 0, 0);
    while at < events {
        tried += 1;
        assert!(tried < 1 << 20, "it comes to no end");
        let batch = match suspicion.goes_alone() {
            true => 1,
            false => events - at,
        };
        if !(at..at + batch).any(&mut breaks) {
            (0..batch).for_each(|_| suspicion.passed());
            suspicion.answered();
            at += batch;
            continue;
        }
        if let Verdict::Event(times) = suspicion.broke_off(batch, attempts) {
            left_out.push(times);
            suspicion.passed();
            suspicion.left_out();
            at += 1;
        }
    }
    left_out
}

#[test]
fn an_event_that_breaks_connections_off_is_left_out_and_few_where_all_do() {
    assert_eq!(tries(|_| false, 10, 5), Vec::<u32>::new());
    assert_eq!(tries(|at| at == 4, 10, 5), [5]);
    assert_eq!(tries(|at| at == 9, 10, 7), [7]);
    assert_eq!(tries(|at| at == 0 || at == 5, 10, 5), [5, 5]);
    // Each of them, with nothing taken in between: it may be the receiver.
    assert_eq!(tries(|_| true, 5, 1), [3, 6, 12, 24, 48]);
    // One that is made ready anew costs nothing.
    let mut connections = 0;
    let begun = |_| {
        connections += 1;
        connections < 3
    };
    assert_eq!(tries(begun, 1, 1), Vec::<u32>::new());
}
