//! Making room against a simple model: what is let go is what may go, what was handed out stays what it was,
//! and every row is waiting, arrived or counted as let go.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;

use activestore_env::RealRng;
use activestore_sync_proto::ChainHash;
use activestore_types::{Lsn, NodeId};
use proptest::prelude::*;

use super::*;
use crate::outbox::chain::Sealed;

const NODE: NodeId = NodeId([3; 16]);

fn open(path: &Path) -> Queue {
    let rng: Arc<dyn activestore_env::Rng> = Arc::new(RealRng);
    let queue = Queue::open(path, NODE, &rng, Lsn(5), None).unwrap();
    queue.note_handed(true).unwrap();
    queue
}

/// Rows are numbers; those that are even may be let go.
fn payload(rows: &[u64]) -> Payload {
    let bytes: Vec<u8> = rows.iter().flat_map(|row| row.to_le_bytes()).collect();
    Payload {
        rows: rows.len() as u64,
        bytes: bytes.into(),
        own: None,
    }
}

fn content(segment: &SealedSegment) -> Vec<u64> {
    let rows = segment.payload.chunks_exact(8);
    rows.map(|row| u64::from_le_bytes(row.try_into().unwrap()))
        .collect()
}

fn table() -> TableName {
    TableName::new("plant", "readings")
}

fn without_even(segment: &SealedSegment) -> Option<Thinned> {
    let rows = content(segment);
    let stay: Vec<u64> = rows.iter().copied().filter(|row| row % 2 == 1).collect();
    if stay.len() == rows.len() {
        return None;
    }
    let gone = Gone {
        rows: (rows.len() - stay.len()) as u64,
        ..Gone::default()
    };
    let rest = payload(&stay);
    Some(Thinned {
        rest: (!stay.is_empty()).then_some((rest.rows, rest.bytes)),
        gone: [(table(), gone)].into(),
    })
}

/// Lets go what may go.
fn let_go(queue: &Queue) -> Option<Freed> {
    queue.let_go(&|segment| Ok(without_even(segment))).unwrap()
}

#[derive(Clone, Debug)]
enum Step {
    Seal(SyncClass, Vec<u64>),
    /// The first segments of a chain are handed out.
    HandOut(usize, u64),
    /// A part, in quarters, of what was handed out of a chain is acknowledged.
    Acknowledge(usize, u64),
    LetGo,
    Rotate(u64),
    Restart(usize),
    Reopen,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let class = prop_oneof![1 => Just(SyncClass::Alarm), 4 => Just(SyncClass::Live)];
    let rows = prop::collection::vec(0..2_u64, 1..5);
    let step = prop_oneof![
        6 => (class, rows).prop_map(|(class, rows)| Step::Seal(class, rows)),
        3 => (0..8_usize, 1..4_u64).prop_map(|(chain, count)| Step::HandOut(chain, count)),
        3 => (0..8_usize, 1..=4_u64).prop_map(|(chain, part)| Step::Acknowledge(chain, part)),
        3 => Just(Step::LetGo),
        2 => (0..40_u64).prop_map(Step::Rotate),
        1 => (0..8_usize).prop_map(Step::Restart),
        1 => Just(Step::Reopen),
    ];
    prop::collection::vec(step, 1..60)
}

/// What the model knows.
#[derive(Default)]
struct Model {
    written: BTreeSet<u64>,
    arrived: BTreeSet<u64>,
    /// Segments as they were handed out.
    handed: BTreeMap<(Epoch, u64), (ChainHash, Vec<u64>)>,
    urgent: BTreeSet<u64>,
}

/// What waits, after checking that every chain is one and that what was handed out is what it was.
fn waiting(queue: &Queue, model: &Model) -> BTreeSet<u64> {
    let standing = queue.standing();
    let mut all = BTreeSet::new();
    for chain in &standing.chains {
        let (mut hash, mut rows, mut bytes) = (chain.acknowledged_hash, 0, 0);
        for sequence in chain.acknowledged + 1..=chain.last_sealed {
            let segment = queue.segment(chain.epoch, sequence).unwrap().unwrap();
            assert!(segment.verify(NODE, chain.epoch));
            assert_eq!((segment.seq, segment.prev_hash), (sequence, hash));
            hash = segment.hash;
            rows += segment.rows;
            bytes += segment.payload.len() as u64;
            if let Some((handed, content_then)) = model.handed.get(&(chain.epoch, sequence)) {
                assert_eq!((*handed, content_then), (segment.hash, &content(&segment)));
            }
            for row in content(&segment) {
                assert!(all.insert(row), "row {row} waits twice");
            }
        }
        assert_eq!(hash, chain.last_hash);
        assert_eq!((chain.pending_rows, chain.pending_bytes), (rows, bytes));
    }
    all
}

fn chain_at(queue: &Queue, at: usize) -> Chain {
    let chains = queue.standing().chains;
    chains[at % chains.len()]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    #[test]
    fn every_row_waits_has_arrived_or_is_counted(steps in steps()) {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("outbox.redb");
        let mut queue = open(&path);
        let mut model = Model::default();
        let mut next = 0;
        for step in steps {
            match step {
                Step::Seal(class, kinds) => {
                    let rows: Vec<u64> = kinds.iter().map(|kind| { next += 2; next + kind }).collect();
                    model.written.extend(&rows);
                    if class.is_urgent() {
                        model.urgent.extend(&rows);
                    }
                    queue.append(vec![(class, payload(&rows))], Sealed::All(Lsn(6))).unwrap();
                }
                Step::HandOut(at, count) => {
                    let chain = chain_at(&queue, at);
                    for sequence in chain.acknowledged + 1..=(chain.acknowledged + count).min(chain.last_sealed) {
                        let segment = queue.hand_out(chain.epoch, sequence).unwrap().unwrap();
                        model.handed.insert((chain.epoch, sequence), (segment.hash, content(&segment)));
                    }
                }
                Step::Acknowledge(at, part) => {
                    let chain = chain_at(&queue, at);
                    let handed = (chain.acknowledged + 1..=chain.last_sealed)
                        .take_while(|sequence| model.handed.contains_key(&(chain.epoch, *sequence)))
                        .count() as u64;
                    let up_to = chain.acknowledged + handed * part / 4;
                    for sequence in chain.acknowledged + 1..=up_to {
                        model.arrived.extend(&model.handed[&(chain.epoch, sequence)].1);
                    }
                    queue.acknowledge(chain.epoch, up_to).unwrap();
                }
                Step::LetGo => {
                    let before = queue.pending_bytes();
                    if let Some(freed) = let_go(&queue) {
                        prop_assert_eq!(before - queue.pending_bytes(), freed.bytes);
                        prop_assert!(freed.bytes > 0);
                    } else {
                        // All that may go was handed out, as far as anybody knows, or is urgent.
                        let rows = waiting(&queue, &model);
                        let standing = queue.standing();
                        for row in rows.iter().filter(|row| *row % 2 == 0 && !model.urgent.contains(row)) {
                            let seen = standing.chains.iter().any(|chain| {
                                // What had been handed out when its chain was folded is with what remains.
                                let folded = standing.let_go.rest == Some(chain.epoch);
                                let end = queue.handing.handed.lock().get(&chain.epoch).copied();
                                let end = if folded { chain.last_sealed } else { end.unwrap_or(0) };
                                (1..=end).any(|sequence| {
                                    let segment = queue.segment(chain.epoch, sequence).unwrap();
                                    segment.is_some_and(|segment| content(&segment).contains(row))
                                })
                            });
                            prop_assert!(seen, "row {} could have been let go", row);
                        }
                    }
                }
                Step::Rotate(bytes) => {
                    queue.rotate_over_bytes(bytes).unwrap();
                }
                Step::Restart(at) => {
                    let before = chain_at(&queue, at).epoch;
                    queue.restart(before).unwrap();
                }
                Step::Reopen => {
                    drop(queue);
                    queue = open(&path);
                }
            }
            let rows = waiting(&queue, &model);
            let gone: BTreeSet<u64> = model.written.iter().copied()
                .filter(|row| !rows.contains(row) && !model.arrived.contains(row))
                .collect();
            prop_assert!(gone.iter().all(|row| row % 2 == 0 && !model.urgent.contains(row)));
            let counted = queue.standing().let_go.tables.get(&table()).map_or(0, |gone| gone.rows);
            prop_assert_eq!(counted, gone.len() as u64);
            prop_assert!(rows.is_disjoint(&model.arrived));
            // Backlogs within their bound and the one of what remains, live rows and alarms.
            prop_assert!(queue.standing().chains.len() <= super::BACKLOGS_MAX + 3);
        }
    }
}

#[test]
fn connections_that_break_again_and_again_leave_a_bounded_number_of_chains() {
    let dir = tempfile::tempdir().unwrap();
    let queue = open(&dir.path().join("outbox.redb"));
    let mut handed = 0;
    for round in 0..60_u64 {
        for part in 0..2 {
            let rows = vec![(
                SyncClass::Live,
                payload(&[round * 10 + part * 2, round * 10 + part * 2 + 1]),
            )];
            queue.append(rows, Sealed::All(Lsn(6))).unwrap();
        }
        let live = queue.live();
        queue.hand_out(live.epoch, 1).unwrap().unwrap();
        handed += 1;
        assert_eq!(let_go(&queue).unwrap().gone[&table()].rows, 1);
        assert!(queue.standing().chains.len() <= BACKLOGS_MAX + 2);
    }
    // What was handed out waits, whole; of the others the rows that hold.
    let rows = waiting(&queue, &Model::default());
    assert_eq!(rows.len(), handed * 2 + 60);
    assert!(queue.standing().generation > 0);
}

#[test]
fn a_file_of_before_is_read_and_what_waits_in_it_counts_as_handed_out() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("outbox.redb");
    let rng: Arc<dyn activestore_env::Rng> = Arc::new(RealRng);
    let queue = Queue::open(&path, NODE, &rng, Lsn(5), None).unwrap();
    let even = || vec![(SyncClass::Live, payload(&[2, 4]))];
    queue.append(even(), Sealed::All(Lsn(6))).unwrap();
    let standing = queue.standing();
    // As a release that lets nothing go writes it.
    let nothing = crate::outbox::file::encoded(&standing.let_go).unwrap();
    let mut bytes = crate::outbox::file::encoded(&standing).unwrap();
    bytes.truncate(bytes.len() - nothing.len());
    queue.keep("standing", Some(&bytes), true).unwrap();
    drop(queue);
    let queue = open(&path);
    assert_eq!(queue.standing().chains, standing.chains);
    assert!(let_go(&queue).is_none());
    // What is sealed from now on was not.
    queue.append(even(), Sealed::All(Lsn(7))).unwrap();
    assert_eq!(let_go(&queue).unwrap().gone[&table()].rows, 2);
    assert_eq!(queue.standing().waiting(), 1);
}
