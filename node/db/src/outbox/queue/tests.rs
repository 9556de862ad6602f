//! The queue against a simple model, files of one chain, rotation and its bound.

use std::collections::BTreeMap;

use activestore_env::RealRng;
use proptest::prelude::*;
use redb::TableDefinition;

use super::*;

const NODE: NodeId = NodeId([3; 16]);

fn open(path: &Path) -> Queue {
    let rng: Arc<dyn activestore_env::Rng> = Arc::new(RealRng);
    Queue::open(path, NODE, &rng, Lsn(5), None).unwrap()
}

fn payload(content: u64) -> Payload {
    Payload {
        rows: 1,
        bytes: content.to_le_bytes().to_vec().into(),
        own: None,
    }
}

fn content(segment: &SealedSegment) -> u64 {
    u64::from_le_bytes(segment.payload.as_ref().try_into().unwrap())
}

/// What waits in each chain, in order, after checking that it is a chain.
fn waiting(queue: &Queue) -> Vec<(SyncClass, Vec<u64>)> {
    let standing = queue.standing();
    let mut all = Vec::new();
    for chain in &standing.chains {
        let mut hash = chain.acknowledged_hash;
        let mut found = Vec::new();
        for sequence in chain.acknowledged + 1..=chain.last_sealed {
            let segment = queue.segment(chain.epoch, sequence).unwrap().unwrap();
            assert!(segment.verify(NODE, chain.epoch));
            assert_eq!((segment.seq, segment.prev_hash), (sequence, hash));
            hash = segment.hash;
            found.push(content(&segment));
        }
        assert_eq!(hash, chain.last_hash);
        assert_eq!(chain.pending_rows, found.len() as u64);
        assert_eq!(chain.pending_bytes, 8 * found.len() as u64);
        all.push((chain.class, found));
    }
    all
}

#[derive(Clone, Debug)]
enum Step {
    Seal(SyncClass, usize),
    /// A part, in quarters, of what waits in a chain is acknowledged.
    Acknowledge(usize, u64),
    Rotate(u64),
    Restart(usize),
    Wipe,
    Reopen,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let class = prop_oneof![
        Just(SyncClass::Alarm),
        Just(SyncClass::Control),
        Just(SyncClass::Live)
    ];
    let step = prop_oneof![
        4 => (class, 1..4_usize).prop_map(|(class, count)| Step::Seal(class, count)),
        3 => (0..8_usize, 1..=4_u64).prop_map(|(chain, part)| Step::Acknowledge(chain, part)),
        2 => (0..3_u64).prop_map(Step::Rotate),
        1 => (0..8_usize).prop_map(Step::Restart),
        1 => Just(Step::Wipe),
        1 => Just(Step::Reopen),
    ];
    prop::collection::vec(step, 1..40)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    #[test]
    fn every_segment_waits_in_its_chain_until_it_is_acknowledged(steps in steps()) {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("outbox.redb");
        let mut queue = open(&path);
        let mut model: Vec<(SyncClass, Vec<u64>)> = vec![(SyncClass::Live, Vec::new())];
        let mut next = 0;
        for step in steps {
            match step {
                Step::Seal(class, count) => {
                    let made: Vec<u64> = (next..).take(count).collect();
                    next += count as u64;
                    let lsn = Lsn(10 + next);
                    let sealed = if class.is_urgent() { Sealed::Urgent(lsn) } else { Sealed::All(lsn) };
                    let payloads = made.iter().map(|content| (class, payload(*content)));
                    queue.append(payloads.collect(), sealed).unwrap();
                    if !model.iter().any(|(of, _)| *of == class) {
                        model.push((class, Vec::new()));
                    }
                    let chain = model.iter_mut().find(|(of, _)| *of == class).unwrap();
                    chain.1.extend(made);
                }
                Step::Acknowledge(index, part) => {
                    let index = index % model.len();
                    let count = model[index].1.len() as u64 * part / 4;
                    let chain = queue.standing().chains[index];
                    queue.acknowledge(chain.epoch, chain.acknowledged + count).unwrap();
                    model[index].1.drain(..count as usize);
                    model.retain(|(class, held)| *class != SyncClass::Backlog || !held.is_empty());
                }
                Step::Rotate(over) => {
                    let backlogs = model.iter().filter(|(of, _)| *of == SyncClass::Backlog).count();
                    let rotates = model[0].1.len() as u64 > over && backlogs < BACKLOGS_MAX;
                    prop_assert_eq!(queue.rotate(over).unwrap(), rotates);
                    if rotates {
                        let held = std::mem::take(&mut model[0].1);
                        model.push((SyncClass::Backlog, held));
                    }
                }
                Step::Restart(index) => {
                    let epoch = queue.standing().chains[index % model.len()].epoch;
                    let after = queue.restart(epoch).unwrap().unwrap();
                    prop_assert_ne!(after, epoch);
                    prop_assert!(queue.restart(epoch).unwrap().is_none());
                }
                Step::Wipe => queue.wipe().unwrap(),
                Step::Reopen => {
                    let before = queue.standing();
                    drop(queue);
                    queue = open(&path);
                    prop_assert_eq!(queue.standing(), before);
                }
            }
            prop_assert_eq!(&waiting(&queue), &model);
            let standing = queue.standing();
            prop_assert!(standing.cursor <= standing.urgent);
            let epochs: BTreeMap<Epoch, ()> =
                standing.chains.iter().map(|chain| (chain.epoch, ())).collect();
            prop_assert_eq!(epochs.len(), standing.chains.len());
        }
    }
}

#[test]
fn a_file_of_one_chain_becomes_the_chain_of_live_rows() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("outbox.redb");
    let epoch = Epoch(77);
    let first = SealedSegment::seal(NODE, epoch, 1, ChainHash::GENESIS, 1, vec![1; 8].into());
    let second = SealedSegment::seal(NODE, epoch, 2, first.hash, 1, vec![2; 8].into());
    {
        let before: TableDefinition<'_, u64, &[u8]> = TableDefinition::new("segments");
        let database = create(&path).unwrap();
        let write = database.begin_write().unwrap();
        {
            let mut segments = write.open_table(before).unwrap();
            let bytes = postcard::to_stdvec(&second).unwrap();
            segments.insert(2, bytes.as_slice()).unwrap();
            let mut state = write.open_table(STATE).unwrap();
            // epoch, last sealed and its hash, acknowledged and its hash, cursor, rows, bytes
            let one = (
                epoch,
                2_u64,
                second.hash,
                1_u64,
                first.hash,
                Lsn(9),
                1_u64,
                8_u64,
            );
            let bytes = postcard::to_stdvec(&one).unwrap();
            state.insert("state", bytes.as_slice()).unwrap();
            state
                .insert("wipe", 2_u64.to_le_bytes().as_slice())
                .unwrap();
            state.insert("follower/x", [1].as_slice()).unwrap();
        }
        write.commit().unwrap();
    }
    for _ in 0..2 {
        let queue = open(&path);
        let standing = queue.standing();
        assert_eq!((standing.cursor, standing.urgent), (Lsn(9), Lsn(9)));
        assert_eq!(standing.chains.len(), 1);
        let live = standing.live();
        assert_eq!((live.class, live.epoch), (SyncClass::Live, epoch));
        assert_eq!((live.acknowledged, live.last_sealed), (1, 2));
        assert_eq!(live.acknowledged_hash, first.hash);
        assert_eq!(queue.segment(epoch, 2).unwrap().unwrap(), second);
        assert_eq!(queue.kept("follower/").unwrap().len(), 1);
        assert_eq!(*queue.owed.lock(), vec![(epoch, 2)]);
    }
    // The wipe that was owed is paid with its last segment.
    let queue = open(&path);
    queue.acknowledge(epoch, 2).unwrap();
    assert!(queue.owed.lock().is_empty());
    assert!(queue.kept(OWED).unwrap().is_empty());
}

#[test]
fn live_rows_are_set_aside_until_there_are_too_many_backlogs() {
    let dir = tempfile::tempdir().unwrap();
    let queue = open(&dir.path().join("outbox.redb"));
    for round in 0..BACKLOGS_MAX as u64 + 3 {
        let two = vec![
            (SyncClass::Live, payload(2 * round)),
            (SyncClass::Live, payload(2 * round + 1)),
        ];
        queue.append(two, Sealed::All(Lsn(10 + round))).unwrap();
        assert!(!queue.rotate(5 * round + 2).unwrap());
        assert_eq!(queue.rotate(1).unwrap(), round < BACKLOGS_MAX as u64);
    }
    let standing = queue.standing();
    assert_eq!(standing.chains.len(), BACKLOGS_MAX + 1);
    assert_eq!(standing.live().waiting(), 6);
    // The oldest backlog is offered first; once it is done, there is a place again.
    let offered = standing.offered();
    assert_eq!(offered[0].epoch, standing.live().epoch);
    let oldest = offered[1].epoch;
    let segment = queue.segment(oldest, 1).unwrap().unwrap();
    assert_eq!(content(&segment), 0);
    queue.acknowledge(oldest, 2).unwrap();
    assert!(queue.standing().chain(oldest).is_none());
    assert!(queue.segment(oldest, 1).unwrap().is_none());
    assert!(queue.rotate(1).unwrap());
}

#[test]
fn a_wipe_waits_for_all_chains_and_follows_a_new_epoch() {
    let dir = tempfile::tempdir().unwrap();
    let queue = open(&dir.path().join("outbox.redb"));
    let both = vec![
        (SyncClass::Live, payload(1)),
        (SyncClass::Alarm, payload(2)),
    ];
    queue.append(both, Sealed::All(Lsn(10))).unwrap();
    assert_eq!(queue.owe_wipe().unwrap().len(), 2);
    let [live, alarm] = [0, 1].map(|at| queue.standing().chains[at].epoch);
    queue.acknowledge(live, 1).unwrap();
    assert!(!queue.owed.lock().is_empty());
    let alarm = queue.restart(alarm).unwrap().unwrap();
    assert!(queue.owed.lock().contains(&(alarm, 1)));
    queue.acknowledge(alarm, 1).unwrap();
    assert!(queue.owed.lock().is_empty());
}
