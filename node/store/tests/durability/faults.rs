//! Full disks, failing operations, failing and lying syncs, flipped bits.

use activestore_env::{Disk, Rng, SimDiskOptions, SimEnv, SimRng};
use activestore_store::{Store, StoreOptions};
use activestore_types::ErrorKind;

use crate::world::*;

fn opened(world: &SimEnv, options: &StoreOptions) -> std::sync::Arc<Store> {
    let store = Store::open(world.env(), options.clone()).unwrap();
    store.put_schema(schema()).unwrap();
    store
}

/// Cuts a store off without closing it, as a kill does: all it wrote is there.
fn killed(world: &SimEnv, store: std::sync::Arc<Store>) {
    world.disk.set_options(SimDiskOptions {
        power_cut_at: Some(0),
        ..SimDiskOptions::default()
    });
    drop(store);
    world.disk.crash();
}

#[test]
fn a_full_disk_refuses_commits_keeps_reading_and_recovers_when_there_is_space() {
    for_seeds(16, |seed| {
        let world = SimEnv::seeded(seed);
        let rng = SimRng::seeded(seed);
        let options = StoreOptions {
            background: seed % 2 == 0,
            ..options_for(seed, &world)
        };
        let store = opened(&world, &options);
        let stamps = Stamps::default();
        let mut tracked = Tracked::new();
        let used: u64 = ["", "wal", "sst"]
            .iter()
            .flat_map(|dir| {
                let names = world.disk.list(dir).unwrap();
                names
                    .into_iter()
                    .map(move |name| format!("{dir}/{name}").trim_start_matches('/').to_owned())
            })
            .map(|path| world.disk.contents(&path).unwrap().len() as u64)
            .sum();
        world.disk.set_options(SimDiskOptions {
            capacity_bytes: Some(used + rng.below(60_000)),
            ..SimDiskOptions::default()
        });
        let error = (0..10_000)
            .find_map(|_| {
                let commit = bulky(&rng);
                let result = tracked.commit(&store, commit, &stamps, true);
                result.err().inspect(|_| {
                    tracked.unsure.clear();
                })
            })
            .expect("the disk fills up");
        assert_eq!(error.kind(), ErrorKind::DiskFull, "{error}");
        assert_eq!(Model::read(&store), tracked.model);
        world.disk.set_options(SimDiskOptions::default());
        let again = (0..100).any(|_| {
            let commit = bulky(&rng);
            let done = tracked.commit(&store, commit, &stamps, true).is_ok();
            tracked.unsure.clear();
            done
        });
        assert!(again, "commits work again");
        assert_eq!(Model::read(&store), tracked.model);
        killed(&world, store);
        let store = opened(&world, &options);
        tracked.check(&store);
    });
}

/// Rows that no encoding makes small.
fn bulky(rng: &SimRng) -> Commit {
    let mut commit = Commit::random(rng, 0..1_000_000);
    for (_, _, status) in &mut commit.upserts {
        *status = (0..40)
            .map(|_| format!("{:016x}", rng.next_u64()))
            .collect();
    }
    commit
}

#[test]
fn a_sync_that_fails_poisons_the_store_and_loses_nothing_acknowledged() {
    for_seeds(100, |seed| {
        let world = SimEnv::seeded(seed);
        let rng = SimRng::seeded(seed);
        let options = options_for(seed, &world);
        let store = opened(&world, &options);
        let stamps = Stamps::default();
        let mut tracked = Tracked::new();
        world.disk.set_options(SimDiskOptions {
            fail_sync: Some(world.disk.syncs() + 1 + rng.below(60)),
            ..SimDiskOptions::default()
        });
        let mut error = None;
        for _ in 0..400 {
            let commit = Commit::random(&rng, 0..60);
            if let Err(failed) = tracked.commit(&store, commit, &stamps, true) {
                error = Some(failed);
                break;
            }
        }
        // The sync of an SSTable that failed is harmless: the file is written anew.
        if let Some(error) = error {
            assert_eq!(error.kind(), ErrorKind::Poisoned, "{error}");
            assert!(store.stats().poisoned.is_some());
            let after = store.commit(write_set(&Commit::default(), &stamps, 0, b"other"));
            assert_eq!(after.unwrap_err().kind(), ErrorKind::Poisoned);
            assert_eq!(Model::read(&store), tracked.model, "reads go on");
        }
        killed(&world, store);
        tracked.check(&opened(&world, &options));
    });
}

#[test]
fn an_operation_that_fails_once_loses_nothing() {
    for_seeds(300, |seed| {
        let world = SimEnv::seeded(seed);
        let rng = SimRng::seeded(seed);
        let options = options_for(seed, &world);
        let store = opened(&world, &options);
        let stamps = Stamps::default();
        let mut tracked = Tracked::new();
        world.disk.set_options(SimDiskOptions {
            fail_op: Some(world.disk.ops() + 1 + rng.below(300)),
            ..SimDiskOptions::default()
        });
        for _ in 0..120 {
            let commit = Commit::random(&rng, 0..60);
            if tracked.commit(&store, commit, &stamps, true).is_err() {
                break;
            }
        }
        killed(&world, store);
        tracked.check(&opened(&world, &options));
    });
}

#[test]
fn a_drive_that_lies_about_syncs_costs_rows_but_never_sense() {
    for_seeds(60, |seed| {
        let world = SimEnv::seeded(seed);
        let rng = SimRng::seeded(seed);
        let options = options_for(seed, &world);
        let store = opened(&world, &options);
        world.disk.set_options(SimDiskOptions {
            lying_sync: true,
            ..SimDiskOptions::default()
        });
        let stamps = Stamps::default();
        let mut tracked = Tracked::new();
        for _ in 0..150 {
            tracked
                .commit(&store, Commit::random(&rng, 0..60), &stamps, true)
                .unwrap();
        }
        drop(store);
        world.disk.crash();
        world.disk.set_options(SimDiskOptions::default());
        match Store::open(world.env(), options) {
            Ok(store) => {
                // What is left may be damaged, and then says so.
                if let Ok(found) = Model::try_read(&store) {
                    assert!(found.commits <= tracked.model.commits);
                }
            }
            Err(error) => assert_ne!(error.kind(), ErrorKind::Poisoned, "{error}"),
        }
    });
}

/// The segment in use, and where in it a value stands.
pub fn find(world: &SimEnv, needle: &[u8]) -> (String, u64) {
    for name in world.disk.list("wal").unwrap() {
        let path = format!("wal/{name}");
        let bytes = world.disk.contents(&path).unwrap();
        if let Some(at) = bytes
            .windows(needle.len())
            .position(|window| window == needle)
        {
            return (path, at as u64);
        }
    }
    panic!("not in the log");
}

fn marked(nth: u64) -> Commit {
    Commit {
        upserts: vec![(nth.cast_signed(), 1, format!("mark-{nth:04}"))],
        ..Commit::default()
    }
}

#[test]
fn a_flipped_bit_in_the_log_is_reported_wherever_a_later_record_vouches_for_it() {
    for closed in [false, true] {
        for nth in [1, 7, 20] {
            let world = SimEnv::seeded(nth);
            let options = StoreOptions {
                wal_segment_bytes: 64 << 10,
                ..options()
            };
            let store = opened(&world, &options);
            let stamps = Stamps::default();
            let mut tracked = Tracked::new();
            for commit in 1..=20 {
                tracked
                    .commit(&store, marked(commit), &stamps, true)
                    .unwrap();
            }
            if closed {
                store.close().unwrap();
                drop(store);
            } else {
                killed(&world, store);
            }
            let (path, at) = find(&world, format!("mark-{nth:04}").as_bytes());
            world.disk.flip(&path, at, 0x10);
            match Store::open(world.env(), options.clone()) {
                Err(error) => {
                    assert_eq!(error.kind(), ErrorKind::Corrupt, "{error}");
                    assert!(
                        error.message().contains(&format!("record {nth} ")),
                        "{error}"
                    );
                }
                Ok(store) => {
                    // Nothing vouches for the last group before a kill: it may be a torn tail.
                    assert!(nth == 20 && !closed);
                    assert_eq!(Model::read(&store).commits, 19);
                    assert_eq!(store.stats().torn_tails, 1);
                }
            }
        }
    }
}

#[test]
fn a_missing_segment_and_a_damaged_first_sector_are_reported() {
    for damage in 0..2 {
        let world = SimEnv::seeded(3);
        let options = StoreOptions {
            memtable_bytes: 1 << 20,
            wal_flush_bytes: 1 << 20,
            ..options()
        };
        let store = opened(&world, &options);
        let stamps = Stamps::default();
        let mut tracked = Tracked::new();
        for commit in 1..=200 {
            tracked
                .commit(&store, marked(commit), &stamps, true)
                .unwrap();
        }
        assert!(store.stats().wal_segments >= 3);
        killed(&world, store);
        let (path, _) = find(&world, b"mark-0100");
        if damage == 0 {
            world.disk.remove(&path).unwrap();
        } else {
            world.disk.flip(&path, 20, 1);
        }
        let error = Store::open(world.env(), options).err().unwrap();
        assert_eq!(error.kind(), ErrorKind::Corrupt, "{error}");
    }
}

#[test]
fn a_store_without_its_manifest_is_not_taken_for_a_new_one() {
    for flushed in [false, true] {
        let world = SimEnv::seeded(5);
        let store = opened(&world, &options());
        let stamps = Stamps::default();
        let mut tracked = Tracked::new();
        for commit in 1..=20 {
            tracked
                .commit(&store, marked(commit), &stamps, true)
                .unwrap();
        }
        if flushed {
            store.flush().unwrap();
        }
        store.close().unwrap();
        drop(store);
        let disk = &world.disk;
        disk.rename("manifest.redb", "elsewhere").unwrap();
        let error = Store::open(world.env(), options()).err().unwrap();
        assert_eq!(error.kind(), ErrorKind::Corrupt, "{error}");
        assert!(error.message().contains("manifest is missing"), "{error}");
        // Nothing was touched: put back, it opens with all that it held.
        disk.rename("elsewhere", "manifest.redb").unwrap();
        let store = Store::open(world.env(), options()).unwrap();
        assert_eq!(Model::read(&store).commits, 20);
    }
}

#[test]
fn a_directory_belongs_to_one_node() {
    let world = SimEnv::seeded(1);
    drop(opened(&world, &options()));
    let other = StoreOptions {
        node: activestore_types::NodeId([2; 16]),
        ..options()
    };
    let error = Store::open(world.env(), other).err().unwrap();
    assert_eq!(error.kind(), ErrorKind::Conflict);
}
