//! Receivers that break connections off, for one event or for all, and links that are slow.

#![allow(missing_docs, clippy::unwrap_used, clippy::indexing_slicing)]

use super::pace::Pace;
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

/// Sends events over a link that brings no more than so many in time, and takes those that it does where it `acknowledges`
/// each. How many there were in each try, and how many of the tries were late.
fn over(fits: usize, acknowledges: bool, events: usize, whole: usize) -> (Vec<usize>, usize) {
    let mut pace = Pace::new(whole);
    let (mut tried, mut late, mut left) = (Vec::new(), 0, events);
    while left > 0 {
        assert!(tried.len() < 1 << 16, "it comes to no end");
        let batch = pace.events().min(left);
        tried.push(batch);
        if batch <= fits {
            pace.went(batch);
            left -= batch;
            continue;
        }
        let taken = if acknowledges { fits } else { 0 };
        left -= taken;
        late += 1;
        pace.late(batch, taken);
    }
    (tried, late)
}

#[test]
fn a_batch_that_is_never_done_in_time_is_halved_and_grows_again_seldom() {
    let (tried, late) = over(32, false, 64, 32);
    assert_eq!((tried.as_slice(), late), ([32, 32].as_slice(), 0));
    let (tried, _) = over(3, false, 1_000, 32);
    assert_eq!(tried[..8], [32, 32, 16, 8, 4, 2, 2, 2], "{tried:?}");
    for fits in 1..32 {
        for acknowledges in [true, false] {
            let (tried, late) = over(fits, acknowledges, 10_000, 32);
            // What is tried in vain becomes rarer and rarer.
            assert!(
                late <= 20 + tried.len() / 64,
                "{fits}: {late} of {} late",
                tried.len()
            );
            let least = tried[12..tried.len() / 2].iter().min().unwrap();
            assert!(least * 2 > fits.min(16), "{fits}: {least}");
        }
    }
    // One event that is late stays what it is.
    let mut pace = Pace::new(1);
    assert!(!pace.late(1, 0) && !pace.late(1, 0) && !pace.late(1, 0));
    assert_eq!(pace.events(), 1);
    // A link that was slow for a while: all is as it was before.
    let mut pace = Pace::new(16);
    assert!(!pace.late(16, 0) && pace.late(16, 0) && pace.late(8, 3));
    assert_eq!(pace.events(), 4);
    for _ in 0..8 {
        pace.went(3);
        pace.went(pace.events());
    }
    assert_eq!(pace.events(), 16);
}
