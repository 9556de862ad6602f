//! Receipts come one at a time to the host, whatever the cloud sends.

use activestore_types::{Error, NodeId};

use super::*;
use crate::receipt::Statement;
use crate::segment::ChainHash;

fn receipt(epoch: u64, seq: u64) -> Receipt {
    Receipt {
        statement: Statement {
            cloud: NodeId([1; 16]),
            edge: NodeId([2; 16]),
            epoch: Epoch(epoch),
            seq,
            hash: ChainHash::GENESIS,
            rows: seq,
            issued_ms: 1,
        },
        signature: vec![1].into(),
        certificates: vec![vec![1].into()],
    }
}

fn called(out: &mut Outputs) -> Vec<(u64, u64)> {
    let calls = out.drain(..).filter_map(|output| match output {
        EdgeOutput::Call(EdgeCall::Receipt(receipt)) => {
            Some((receipt.statement.epoch.0, receipt.statement.seq))
        }
        _ => None,
    });
    calls.collect()
}

#[test]
fn the_last_of_those_that_came_meanwhile_is_taken_next() {
    let (mut receipts, mut out) = (Receipts::default(), Outputs::new());
    receipts.came(receipt(1, 1), &mut out);
    for seq in 2..9 {
        receipts.came(receipt(1, seq), &mut out);
    }
    assert_eq!(called(&mut out), [(1, 1)]);
    receipts.taken(Epoch(1), 1, Ok(true), &mut out);
    let held = EdgeEvent::ReceiptHeld {
        epoch: Epoch(1),
        seq: 1,
    };
    assert_eq!(out.pop_front(), Some(EdgeOutput::Event(held)));
    assert_eq!(called(&mut out), [(1, 8)]);
}

#[test]
fn what_is_not_true_is_told_apart_from_what_failed() {
    let (mut receipts, mut out) = (Receipts::default(), Outputs::new());
    let denied = Error::denied("a lie");
    receipts.taken(Epoch(1), 1, Err(denied.clone()), &mut out);
    let refused = EdgeEvent::ReceiptRefused { error: denied };
    assert_eq!(out.pop_front(), Some(EdgeOutput::Event(refused)));
    receipts.taken(Epoch(1), 1, Err(Error::disk_full("no space")), &mut out);
    assert!(matches!(
        out.pop_front(),
        Some(EdgeOutput::Event(EdgeEvent::Trouble(_)))
    ));
}

#[test]
fn a_cloud_that_invents_epochs_fills_no_memory() {
    let (mut receipts, mut out) = (Receipts::default(), Outputs::new());
    for epoch in 0..10_000 {
        receipts.came(receipt(epoch, 1), &mut out);
    }
    assert!(receipts.waiting.len() <= WAITING_MAX);
    assert_eq!(called(&mut out).len(), 1);
}
