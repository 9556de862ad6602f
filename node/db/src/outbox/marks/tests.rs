//! Marks say where a segment ends, as long as somebody may ask, and are few.

use activestore_sync_proto::ChainHash;
use activestore_types::{Epoch, Lsn};

use super::*;

fn state(epoch: u64, seq: u64) -> Standing {
    let mut standing = Standing::fresh(Epoch(epoch), Lsn(seq * 10));
    standing.chains[0].last_sealed = seq;
    standing.chains[0].last_hash = ChainHash([seq as u8; 32]);
    standing
}

#[test]
fn a_mark_is_found_by_its_segment_and_by_later_ones() {
    let marks = Marks::default();
    let epoch = Epoch(1);
    assert_eq!(marks.reach(epoch, 5), None);
    for seq in [2, 5, 9] {
        marks.sealed(&state(1, seq));
    }
    assert_eq!(marks.reach(epoch, 1), None);
    assert_eq!(marks.reach(epoch, 5), Some(Lsn(50)));
    assert_eq!(
        marks.reach(epoch, 8),
        Some(Lsn(50)),
        "never more than is known"
    );
    assert_eq!(marks.reach(epoch, 99), Some(Lsn(90)));
    assert_eq!(marks.hash_at(epoch, 5), Some(ChainHash([5; 32])));
    assert_eq!(marks.hash_at(epoch, 6), None);
    assert_eq!(marks.hash_at(Epoch(2), 5), None);
    marks.covered_up_to(epoch, 8);
    assert_eq!(marks.reach(epoch, 8), None);
    assert_eq!(marks.reach(epoch, 9), Some(Lsn(90)));
}

#[test]
fn what_was_taken_back_from_a_chains_end_has_no_mark() {
    let marks = Marks::default();
    for seq in [2, 5, 9] {
        marks.sealed(&state(1, seq));
    }
    let mut shorter = state(1, 4);
    shorter.chains[0].class = SyncClass::Backlog;
    marks.sealed(&shorter);
    assert_eq!(marks.hash_at(Epoch(1), 9), None);
    assert_eq!(marks.hash_at(Epoch(1), 4), Some(ChainHash([4; 32])));
    assert_eq!(marks.reach(Epoch(1), 3), Some(Lsn(20)));
    // What remains of others is added to: no receipt in between says how far it reaches.
    shorter.let_go.rest = Some(Epoch(1));
    shorter.chains[0].last_sealed = 6;
    marks.sealed(&shorter);
    assert_eq!(marks.reach(Epoch(1), 6), Some(Lsn(0)));
}

#[test]
fn marks_are_bounded_and_the_newest_are_all_there() {
    let marks = Marks::default();
    for seq in 1..=50_000 {
        marks.sealed(&state(1, seq));
    }
    assert!(marks.0.lock()[&Epoch(1)].len() <= MARKS_MAX);
    for seq in 49_000..=50_000 {
        assert!(marks.hash_at(Epoch(1), seq).is_some());
    }
    let reach = marks.reach(Epoch(1), 20_000).unwrap();
    assert!(reach <= Lsn(200_000) && reach > Lsn(0));
    for epoch in 2..1000 {
        marks.sealed(&state(epoch, 1));
    }
    assert_eq!(marks.0.lock().len(), 1, "what is not shipped has no marks");
}

#[test]
fn a_backlog_ends_and_urgent_rows_reach_as_far_as_they_are_sealed() {
    let marks = Marks::default();
    let mut standing = state(1, 3);
    standing.urgent = Lsn(44);
    standing
        .chains
        .push(Chain::fresh(SyncClass::Alarm, Epoch(2)));
    standing
        .chains
        .push(Chain::fresh(SyncClass::Backlog, Epoch(3)));
    for chain in &mut standing.chains {
        chain.last_sealed = 3;
    }
    marks.sealed(&standing);
    assert_eq!(marks.reach(Epoch(1), 3), Some(Lsn(30)));
    assert_eq!(marks.reach(Epoch(2), 3), Some(Lsn(44)));
    assert_eq!(marks.reach(Epoch(3), 3), Some(Lsn(u64::MAX)));
}
