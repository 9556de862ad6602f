//! Two that follow one log: whatever each says, and through restarts, the log holds what the slower of them needs.

use activestore_env::SimEnv;
use activestore_store::{Note, StoreOptions, WriteSet};
use activestore_types::NodeId;
use proptest::prelude::*;

use super::*;
use crate::options::FurtherCloud;
use crate::outbox::{Addressee, Direction};

fn open(world: &SimEnv) -> Arc<Store> {
    let options = StoreOptions {
        memtable_bytes: 32 << 10,
        wal_segment_bytes: 8 << 10,
        background: false,
        ..StoreOptions::new(NodeId([1; 16]))
    };
    Store::open(world.env(), options).unwrap()
}

/// A record that holds nothing but a note of a quarter of a segment.
fn commit(store: &Store) {
    let set = WriteSet {
        notes: vec![Note {
            key: b"n".to_vec(),
            value: Some(vec![7; 2048]),
        }],
        ..WriteSet::default()
    };
    store.commit(set).unwrap();
}

#[derive(Clone, Debug)]
enum Act {
    Commit,
    /// One of them has looked at so many more records.
    Moves(bool, u64),
    /// The downward one begins or ends.
    Down(bool),
    Restart,
}

fn act() -> impl Strategy<Value = Act> {
    prop_oneof![
        4 => Just(Act::Commit),
        4 => (any::<bool>(), 1..9_u64).prop_map(|(up, more)| Act::Moves(up, more)),
        1 => any::<bool>().prop_map(Act::Down),
        1 => Just(Act::Restart),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn the_log_holds_what_the_slower_one_needs(
        further in any::<bool>(),
        acts in prop::collection::vec(act(), 1..60),
    ) {
        // The other one is the stream to the edges, or the outbox of a further cloud.
        let other = match further {
            true => Addressee::further_cloud(&FurtherCloud::named("dr")).follower,
            false => LogFollower::of(Direction::Down),
        };
        let world = SimEnv::seeded(3);
        let mut store = open(&world);
        let mut hold = LogHold::new(store.clone(), true);
        let (mut up, mut down) = (Lsn(1), Some(Lsn(1)));
        hold.hold(&LogFollower::of(Direction::Up), Some(up));
        hold.hold(&other, down);
        hold.all_told();
        for act in acts {
            let end = store.last_lsn().0 + 1;
            match act {
                Act::Commit => commit(&store),
                Act::Moves(true, more) => {
                    up = Lsn((up.0 + more).min(end));
                    hold.hold(&LogFollower::of(Direction::Up), Some(up));
                }
                Act::Moves(false, more) => {
                    down = down.map(|at| Lsn((at.0 + more).min(end)));
                    hold.hold(&other, down);
                }
                Act::Down(begins) => {
                    down = begins.then(|| down.unwrap_or(Lsn(end)));
                    hold.hold(&other, down);
                }
                Act::Restart => {
                    drop((hold, store));
                    store = open(&world);
                    hold = LogHold::new(store.clone(), true);
                    // The faster one is told first, and the log is flushed between.
                    hold.hold(&LogFollower::of(Direction::Up), Some(up));
                    store.flush().unwrap();
                    hold.hold(&other, down);
                    hold.all_told();
                }
            }
            store.flush().unwrap();
            let needed = down.map_or(up, |down| down.min(up));
            prop_assert!(store.first_log_lsn() <= needed, "{needed:?} is gone");
        }
    }
}
