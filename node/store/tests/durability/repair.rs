//! A store with a damaged manifest, log or SSTable is examined and repaired: every fault is found,
//! what an acknowledged commit brought is there again wherever any byte still says it, and nothing
//! that was not damaged is touched.

use std::sync::Arc;

use activestore_env::{Disk, SimDiskOptions, SimEnv, SimRng};
use activestore_store::repair::{Findings, Known, Repair, examine, repair};
use activestore_store::{Store, StoreOptions};
use activestore_types::{ErrorKind, NodeId, OriginId};

use crate::world::*;

const PEER: NodeId = NodeId([9; 16]);

/// A store with files, merges, range deletes, notes, an origin, and rows that are only in the log.
fn filled(world: &SimEnv, rng: &SimRng, options: &StoreOptions) -> Tracked {
    let store = Store::open(world.env(), options.clone()).unwrap();
    store.put_schema(schema()).unwrap();
    let stamps = Stamps::default();
    let mut tracked = Tracked::new();
    assert_eq!(store.origin_id(PEER).unwrap(), OriginId(1));
    for commit in 0..120 {
        let set = Commit::random(rng, 0..200);
        tracked.commit(&store, set, &stamps, true).unwrap();
        match commit {
            30 | 90 => store.flush().unwrap(),
            60 => store.compact(TABLE).unwrap(),
            _ => {}
        }
    }
    store.close().unwrap();
    tracked
}

fn disk(world: &SimEnv) -> Arc<dyn Disk> {
    world.env().disk
}

fn examined(world: &SimEnv, options: &StoreOptions) -> Findings {
    let known = Known {
        node: Some(NODE),
        schemas: vec![schema()],
        keyring: options.encryption.clone(),
    };
    examine(&disk(world), &known, &mut |_| {}).unwrap()
}

fn repaired(world: &SimEnv, options: &StoreOptions) -> Repair {
    repair(&world.env(), options, vec![schema()], &mut |_| {}).unwrap()
}

fn sstables(world: &SimEnv) -> Vec<String> {
    let names = world.disk.list("sst").unwrap().into_iter();
    names
        .filter(|name| name.ends_with(".sst"))
        .map(|name| format!("sst/{name}"))
        .collect()
}

/// Damages a file in one of several ways.
fn spoil(world: &SimEnv, rng: &SimRng, path: &str) {
    let length = world.disk.contents(path).unwrap().len() as u64;
    match rng.below(3) {
        0 => world.disk.remove(path).unwrap(),
        1 => {
            let file = world.disk.open(path).unwrap();
            file.set_len(length / 2).unwrap();
        }
        _ => {
            for _ in 0..200 {
                world.disk.flip(path, rng.below(length), 1 << rng.below(8));
            }
        }
    }
}

#[test]
fn a_whole_store_has_no_fault_and_a_repair_leaves_every_byte() {
    for seed in [1, 5] {
        let world = SimEnv::seeded(seed);
        let options = options_for(seed, &world);
        let mut tracked = filled(&world, &world.rng, &options);
        let before: Vec<_> = ["", "wal", "sst"]
            .iter()
            .map(|dir| world.disk.list(dir).unwrap())
            .collect();
        let ops = world.disk.ops();
        let findings = examined(&world, &options);
        assert!(findings.faults.is_empty(), "{:?}", findings.faults);
        assert_eq!(findings.tables, 1);
        assert!(findings.files > 0 && findings.rows > 0 && findings.records > 0);
        let done = repaired(&world, &options);
        assert!(done.done.is_empty() && done.lost.is_empty(), "{done:?}");
        assert_eq!(world.disk.ops(), ops, "nothing was written");
        let after: Vec<_> = ["", "wal", "sst"]
            .iter()
            .map(|dir| world.disk.list(dir).unwrap())
            .collect();
        assert_eq!(before, after);
        tracked.check(&Store::open(world.env(), options).unwrap());
    }
}

#[test]
fn a_lost_manifest_is_rebuilt_from_its_copy_without_any_loss() {
    for_seeds(40, |seed| {
        let world = SimEnv::seeded(seed);
        let rng = SimRng::seeded(seed);
        let options = options_for(seed, &world);
        let mut tracked = filled(&world, &rng, &options);
        spoil(&world, &rng, "manifest.redb");
        // A store never begins anew over the remains of another.
        if let Err(error) = Store::open(world.env(), options.clone()) {
            assert_eq!(error.kind(), ErrorKind::Corrupt, "{error}");
        } else {
            // A few flipped bits may all lie where nothing is stored.
            return;
        }
        let findings = examined(&world, &options);
        assert_eq!(findings.faults.len(), 1, "{:?}", findings.faults);
        assert_eq!(findings.faults[0].path, "manifest.redb");
        let done = repaired(&world, &options);
        assert!(done.lost.is_empty(), "{:?}", done.lost);
        assert!(examined(&world, &options).faults.is_empty());
        let store = Store::open(world.env(), options.clone()).unwrap();
        tracked.check(&store);
        assert_eq!(store.origin_node(OriginId(1)), Some(PEER));
    });
}

#[test]
fn a_repair_that_is_cut_off_at_any_operation_can_be_started_again() {
    for cut in 1..60 {
        let world = SimEnv::seeded(cut);
        let options = options_for(cut, &world);
        let mut tracked = filled(&world, &SimRng::seeded(5), &options);
        world.disk.remove("manifest.redb").unwrap();
        world.disk.sync_dir("").unwrap();
        world.disk.set_options(SimDiskOptions {
            power_cut_at: Some(world.disk.ops() + cut),
            ..SimDiskOptions::default()
        });
        let first = repair(&world.env(), &options, vec![schema()], &mut |_| {});
        let done = first.is_ok();
        world.disk.crash();
        if !done {
            repaired(&world, &options);
        }
        tracked.check(&Store::open(world.env(), options.clone()).unwrap());
        if done {
            return;
        }
    }
    panic!("the repair never ended");
}

#[test]
fn without_manifest_and_copy_the_rows_come_back_from_files_and_log() {
    for_seeds(20, |seed| {
        let world = SimEnv::seeded(seed);
        let rng = SimRng::seeded(seed);
        let options = options_for(seed, &world);
        // Deletes that are flushed and gone from the log are in no file: here there are none.
        let store = Store::open(world.env(), options.clone()).unwrap();
        store.put_schema(schema()).unwrap();
        let stamps = Stamps::default();
        let mut tracked = Tracked::new();
        for commit in 0..90 {
            let mut set = Commit::random(&rng, 0..200);
            set.range = None;
            tracked.commit(&store, set, &stamps, true).unwrap();
            if commit % 40 == 39 {
                store.flush().unwrap();
            }
        }
        store.close().unwrap();
        drop(store);
        spoil_whole(&world, "manifest.redb");
        spoil_whole(&world, "manifest.copy");
        let findings = examined(&world, &options);
        assert!(!findings.faults[0].lost.is_empty());
        let done = repaired(&world, &options);
        assert!(!done.lost.is_empty());
        let store = Store::open(world.env(), options.clone()).unwrap();
        assert_eq!(Model::read(&store).rows, tracked.model.rows);
    });
}

fn spoil_whole(world: &SimEnv, path: &str) {
    for offset in 0..world.disk.contents(path).unwrap().len() as u64 {
        world.disk.flip(path, offset, 0xff);
    }
}

#[test]
fn a_damaged_sstable_costs_the_vectors_that_are_damaged_and_no_other_row() {
    let single = std::cell::Cell::new(0);
    for_seeds(60, |seed| {
        let world = SimEnv::seeded(seed);
        let rng = SimRng::seeded(seed);
        let options = StoreOptions {
            memtable_bytes: 4 << 20,
            wal_flush_bytes: 4 << 20,
            auto_compact: false,
            ..options_for(seed, &world)
        };
        let store = Store::open(world.env(), options.clone()).unwrap();
        store.put_schema(schema()).unwrap();
        let stamps = Stamps::default();
        let mut tracked = Tracked::new();
        for _ in 0..10 {
            let upserts = (0..500)
                .map(|_| (rng.below(100_000).cast_signed(), 1, "s".to_owned()))
                .collect();
            let commit = Commit {
                upserts,
                ..Commit::default()
            };
            tracked.commit(&store, commit, &stamps, true).unwrap();
        }
        store.flush().unwrap();
        store.close().unwrap();
        drop(store);
        let [path] = sstables(&world).try_into().unwrap();
        let length = world.disk.contents(&path).unwrap().len() as u64;
        let at = rng.below(length);
        world.disk.flip(&path, at, 0x40);
        let findings = examined(&world, &options);
        assert_eq!(findings.faults.len(), 1, "{:?}", findings.faults);
        assert_eq!(findings.faults[0].path, path);
        assert!(!findings.faults[0].lost.is_empty());
        let done = repaired(&world, &options);
        assert!(world.disk.exists(&format!("{path}.damaged")));
        assert!(!done.lost.is_empty());
        let after = examined(&world, &options);
        assert!(after.faults.is_empty(), "{:?}", after.faults);
        let store = Store::open(world.env(), options).unwrap();
        let found = Model::read(&store);
        // The log may still hold the lost rows; whatever is there is right.
        for (id, row) in &found.rows {
            assert_eq!(tracked.model.rows.get(id), Some(row));
        }
        let lost = tracked.model.rows.len() - found.rows.len();
        let named: usize = done.lost.iter().map(|sentence| number(sentence)).sum();
        assert!(lost <= named, "{lost} rows at byte {at}: {:?}", done.lost);
        if named <= 1024 {
            single.set(single.get() + 1);
        }
        assert!(world.disk.exists(&format!("{path}.damaged")));
    });
    assert!(
        single.get() > 10 || replaying(),
        "{} times one vector alone was lost",
        single.get()
    );
}

/// The first number of a sentence.
fn number(sentence: &str) -> usize {
    let words = sentence.split(' ');
    words.filter_map(|word| word.parse().ok()).next().unwrap()
}

#[test]
fn a_damaged_record_of_the_log_costs_that_commit_alone() {
    for nth in [3_u64, 11, 20] {
        let world = SimEnv::seeded(nth);
        let options = StoreOptions {
            memtable_bytes: 4 << 20,
            wal_flush_bytes: 4 << 20,
            ..options()
        };
        let store = Store::open(world.env(), options.clone()).unwrap();
        store.put_schema(schema()).unwrap();
        let stamps = Stamps::default();
        let mut tracked = Tracked::new();
        for commit in 1..=40 {
            let commit = Commit {
                upserts: vec![(commit, 1, format!("mark-{commit:04}"))],
                ..Commit::default()
            };
            tracked.commit(&store, commit, &stamps, true).unwrap();
        }
        store.close().unwrap();
        drop(store);
        let (path, at) = crate::faults::find(&world, format!("mark-{nth:04}").as_bytes());
        world.disk.flip(&path, at, 1);
        let findings = examined(&world, &options);
        assert_eq!(findings.faults.len(), 1, "{:?}", findings.faults);
        assert_eq!(findings.faults[0].path, path);
        let done = repaired(&world, &options);
        assert_eq!(done.lost.len(), 1, "{:?}", done.lost);
        assert!(done.lost[0].starts_with(&format!("record {nth} ")));
        assert!(examined(&world, &options).faults.is_empty());
        let store = Store::open(world.env(), options).unwrap();
        tracked.model.rows.remove(&nth.cast_signed());
        assert_eq!(Model::read(&store), tracked.model);
        assert!(world.disk.exists(&format!("{path}.damaged")));
        // Whoever follows the log finds every other record under its number.
        let numbers: Vec<u64> = store
            .log(store.first_log_lsn(), usize::MAX)
            .unwrap()
            .iter()
            .map(|record| record.lsn.0)
            .collect();
        let expected: Vec<u64> = (1..=40).filter(|lsn| *lsn != nth).collect();
        assert_eq!(numbers, expected);
        let more = Commit::random(&SimRng::seeded(1), 0..10);
        tracked
            .commit(&store, more, &Stamps::above(store.max_hlc()), true)
            .unwrap();
        assert_eq!(Model::read(&store), tracked.model);
    }
}

#[test]
fn a_segment_whose_first_sector_is_damaged_loses_no_record() {
    for seed in [3, 4] {
        let world = SimEnv::seeded(seed);
        let options = StoreOptions {
            memtable_bytes: 4 << 20,
            wal_flush_bytes: 4 << 20,
            ..options_for(seed, &world)
        };
        let mut tracked = filled(&world, &SimRng::seeded(seed), &options);
        let (path, _) = used_segment(&world);
        world.disk.flip(&path, 20, 1);
        assert!(Store::open(world.env(), options.clone()).is_err());
        let findings = examined(&world, &options);
        assert_eq!(findings.faults.len(), 1, "{:?}", findings.faults);
        let done = repaired(&world, &options);
        assert!(done.lost.is_empty(), "{:?}", done.lost);
        tracked.check(&Store::open(world.env(), options).unwrap());
    }
}

/// A segment that is in use and is not the only one.
fn used_segment(world: &SimEnv) -> (String, u64) {
    for name in world.disk.list("wal").unwrap() {
        let path = format!("wal/{name}");
        let bytes = world.disk.contents(&path).unwrap();
        let first = u64::from_le_bytes(bytes[16..24].try_into().unwrap());
        if bytes.starts_with(b"ACTSWAL") && bytes[512..516] != [0; 4] {
            return (path, first);
        }
    }
    panic!("no segment is in use");
}
