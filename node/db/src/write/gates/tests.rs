//! Who may be in a gate with whom.

use std::collections::BTreeMap;

use activestore_types::TableId;
use futures::FutureExt;

use super::{Gates, Way};

fn tables(of: &[(u32, Way)]) -> BTreeMap<TableId, Way> {
    of.iter().map(|(id, way)| (TableId(*id), *way)).collect()
}

#[test]
fn plain_writes_pass_together_and_conditional_ones_alone() {
    let gates = Gates::default();
    let first = gates.pass_blocking(tables(&[(1, Way::Together)]));
    let second = gates.pass_blocking(tables(&[(1, Way::Together), (2, Way::Together)]));
    let mut alone = Box::pin(gates.pass(tables(&[(1, Way::Alone)])));
    assert!((&mut alone).now_or_never().is_none());
    // Who comes after somebody who waits to be alone waits too: nobody waits for ever.
    let mut late = Box::pin(gates.pass(tables(&[(1, Way::Together)])));
    assert!((&mut late).now_or_never().is_none());
    let other = gates.pass_blocking(tables(&[(3, Way::Alone)]));
    drop((first, second, other));
    let held = (&mut alone).now_or_never().expect("the gate is free");
    assert!((&mut late).now_or_never().is_none());
    drop(held);
    assert!(late.now_or_never().is_some());
}

#[test]
fn idle_gates_do_not_pile_up() {
    let gates = Gates::default();
    let held = gates.pass_blocking(tables(&[(0, Way::Alone)]));
    for table in 1..5_000 {
        drop(gates.pass_blocking(tables(&[(table, Way::Together)])));
    }
    assert!(gates.0.lock().len() <= super::IDLE_MAX + 1);
    assert!(
        gates
            .pass(tables(&[(0, Way::Together)]))
            .now_or_never()
            .is_none()
    );
    drop(held);
}
