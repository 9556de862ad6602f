//! What is urgent overtakes, what is too much is refused, and after the end only the farewell goes.
#![allow(missing_docs, clippy::unwrap_used, clippy::indexing_slicing)]

use super::*;

#[test]
fn what_is_urgent_overtakes_and_order_holds_within_a_rank() {
    let mut queue = Queue::default();
    for (rank, nonce) in [(2, 1), (1, 2), (2, 3), (0, 4), (1, 5), (0, 6)] {
        queue.push(rank, &Record::Ping(nonce)).unwrap();
    }
    for nonce in [4, 6, 2, 5, 1, 3] {
        assert_eq!(queue.pop(RANKS), Next::Write(Record::Ping(nonce).encode()));
    }
    assert_eq!(queue.pop(RANKS), Next::Wait);
}

#[test]
fn a_peer_that_does_not_read_fills_one_rank_and_no_more() {
    let mut queue = Queue::default();
    for nonce in 0..WRITE_QUEUE_FRAMES as u64 {
        queue.push(1, &Record::Ping(nonce)).unwrap();
    }
    assert!(queue.push(1, &Record::Ping(0)).is_err());
    queue.push(0, &Record::Ping(0)).unwrap();
}

#[test]
fn after_the_end_only_the_first_farewell_goes() {
    let mut queue = Queue::default();
    queue.push(1, &Record::Ping(1)).unwrap();
    let farewell = Record::close(b"bye");
    queue.end(Some(&farewell));
    queue.end(Some(&Record::close(b"again")));
    queue.push(0, &Record::Ping(2)).unwrap();
    assert_eq!(queue.pop(RANKS), Next::End(Some(farewell.encode())));
    assert_eq!(queue.pop(RANKS), Next::End(None));
}

#[test]
fn what_is_not_urgent_waits_for_bandwidth() {
    let mut queue = Queue::default();
    queue.push(URGENT_RANKS, &Record::Ping(1)).unwrap();
    assert_eq!(queue.pop(URGENT_RANKS), Next::Wait);
    queue.push(URGENT_RANKS - 1, &Record::Ping(2)).unwrap();
    assert_eq!(
        queue.pop(URGENT_RANKS),
        Next::Write(Record::Ping(2).encode())
    );
    assert_eq!(queue.pop(RANKS), Next::Write(Record::Ping(1).encode()));
}
