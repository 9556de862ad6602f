//! Receipts are asked of the host at once where nothing is left to ship, and not too often.

use std::time::Duration;

use activestore_types::{Epoch, Error, NodeId};

use super::*;
use crate::receipt::Statement;
use crate::segment::ChainHash;

const EPOCH: Epoch = Epoch(7);
const NODE: NodeId = NodeId([2; 16]);

fn attesting() -> Attesting {
    let options = DownlinkOptions {
        receipt_every: Duration::from_secs(60),
        ..DownlinkOptions::default()
    };
    Attesting::new(options, NODE)
}

fn at(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

fn progressed(
    attesting: &mut Attesting,
    now: Duration,
    seq: u64,
    last_sealed: u64,
    out: &mut Outputs,
) {
    let ends = false;
    let one = Durable {
        epoch: EPOCH,
        seq,
        last_sealed,
        ends,
    };
    attesting.progressed(now, &[one], out);
}

/// How many receipts the host was asked for.
fn asked(out: &mut Outputs) -> usize {
    let calls = out.drain(..).filter(|output| {
        *output
            == CloudOutput::Call(CloudCall::Attest {
                node: NODE,
                epoch: EPOCH,
            })
    });
    calls.count()
}

fn answer(attesting: &mut Attesting, seq: u64, out: &mut Outputs) {
    let receipt = Receipt {
        statement: Statement {
            cloud: NodeId([1; 16]),
            edge: NODE,
            epoch: EPOCH,
            seq,
            hash: ChainHash::GENESIS,
            rows: seq,
            issued_ms: 1,
        },
        signature: vec![1].into(),
        certificates: vec![vec![1].into()],
    };
    attesting.attested(EPOCH, Ok(Some(receipt.clone())), out);
    assert_eq!(
        out.pop_front(),
        Some(CloudOutput::Send(Frame::Receipt(receipt)))
    );
    let issued = CloudEvent::ReceiptIssued { epoch: EPOCH, seq };
    assert_eq!(out.pop_front(), Some(CloudOutput::Event(issued)));
}

#[test]
fn the_first_comes_at_once_and_the_next_after_a_minute() {
    let (mut attesting, mut out) = (attesting(), Outputs::new());
    assert_eq!(attesting.next_timeout(), None);
    progressed(&mut attesting, at(5), 3, 3, &mut out);
    assert_eq!(asked(&mut out), 1);
    progressed(&mut attesting, at(6), 4, 4, &mut out);
    assert_eq!(asked(&mut out), 0, "one at a time");
    answer(&mut attesting, 3, &mut out);
    assert_eq!(attesting.next_timeout(), Some(at(65)));
    attesting.handle_timeout(at(64), &mut out);
    assert_eq!(asked(&mut out), 0);
    attesting.handle_timeout(at(65), &mut out);
    assert_eq!(asked(&mut out), 1);
    answer(&mut attesting, 4, &mut out);
    assert_eq!(attesting.next_timeout(), None, "nothing is left to say");
}

#[test]
fn an_edge_that_is_behind_gets_one_a_minute() {
    let (mut attesting, mut out) = (attesting(), Outputs::new());
    let mut receipts = 0;
    for second in 0..300 {
        progressed(&mut attesting, at(second), second + 1, 1000, &mut out);
        if asked(&mut out) > 0 {
            receipts += 1;
            answer(&mut attesting, second + 1, &mut out);
        }
    }
    assert_eq!(receipts, 4);
}

#[test]
fn nothing_is_asked_for_that_is_covered_or_that_nobody_signs() {
    let (mut attesting, mut out) = (attesting(), Outputs::new());
    progressed(&mut attesting, at(0), 0, 0, &mut out);
    assert_eq!(asked(&mut out), 0, "nothing is held");
    progressed(&mut attesting, at(1), 2, 2, &mut out);
    assert_eq!(asked(&mut out), 1);
    attesting.attested(EPOCH, Ok(None), &mut out);
    assert_eq!(attesting.next_timeout(), None);
    progressed(&mut attesting, at(100), 3, 3, &mut out);
    assert_eq!(asked(&mut out), 1);
    attesting.attested(EPOCH, Err(Error::internal("no key")), &mut out);
    assert!(matches!(
        out.pop_front(),
        Some(CloudOutput::Event(CloudEvent::Trouble(_)))
    ));
    assert_eq!(attesting.next_timeout(), Some(at(160)), "tried again");
}

#[test]
fn a_chain_that_ends_gets_its_last_one_at_once() {
    let (mut attesting, mut out) = (attesting(), Outputs::new());
    let at_end = |seq| Durable {
        epoch: EPOCH,
        seq,
        last_sealed: 9,
        ends: true,
    };
    attesting.progressed(at(0), &[at_end(3)], &mut out);
    assert_eq!(asked(&mut out), 0, "more is to come");
    attesting.progressed(at(1), &[at_end(9)], &mut out);
    assert_eq!(asked(&mut out), 1);
    // The lane is gone before the host has answered.
    attesting.progressed(at(2), &[], &mut out);
    answer(&mut attesting, 9, &mut out);
    attesting.progressed(at(3), &[], &mut out);
    assert_eq!(attesting.next_timeout(), None);
}

#[test]
fn what_cannot_be_signed_yet_is_asked_for_again_without_haste() {
    let (mut attesting, mut out) = (attesting(), Outputs::new());
    let at_end = Durable {
        epoch: EPOCH,
        seq: 9,
        last_sealed: 9,
        ends: true,
    };
    attesting.progressed(at(1), &[at_end], &mut out);
    let mut second = 1;
    for _ in 0..3 {
        assert_eq!(asked(&mut out), 1);
        // It says nothing of trouble, and the lane may be gone meanwhile.
        attesting.attested(EPOCH, Err(Error::overloaded("not yet")), &mut out);
        attesting.progressed(at(second), &[], &mut out);
        assert_eq!(asked(&mut out), 0);
        assert_eq!(attesting.next_timeout(), Some(at(second + 60)));
        second += 60;
        attesting.handle_timeout(at(second), &mut out);
    }
    assert_eq!(asked(&mut out), 1);
    answer(&mut attesting, 9, &mut out);
    attesting.progressed(at(second + 1), &[], &mut out);
    assert_eq!(attesting.next_timeout(), None);
}
