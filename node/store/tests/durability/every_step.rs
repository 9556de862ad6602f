//! One life of a store with everything in it, run once for every operation that the disk is asked
//! for, with a fault at that operation: the power goes, the operation fails, there is no space, a sync
//! fails, a read fails, is short or returns a flipped bit. No operation is left out, so none is safe
//! by luck.

use std::sync::Arc;

use activestore_env::{SimDiskOptions, SimEnv, SimRng};
use activestore_store::{Store, StoreOptions};
use activestore_types::{
    Column, ColumnId, DataType, Error, ErrorKind, Lsn, NodeId, Result, TableId, TableName,
    TableSchema,
};

use crate::world::*;

const OTHER: TableId = TableId(2);

fn small() -> StoreOptions {
    StoreOptions {
        memtable_bytes: 6 << 10,
        wal_flush_bytes: 24 << 10,
        wal_segment_bytes: 4 << 10,
        ..options()
    }
}

fn wider() -> Arc<TableSchema> {
    let mut schema = TableSchema::clone(&schema());
    schema.version += 1;
    schema.columns.push(Column {
        id: ColumnId(4),
        name: "more".to_owned(),
        data_type: DataType::Double,
    });
    Arc::new(schema)
}

fn other() -> Arc<TableSchema> {
    let mut schema = TableSchema::clone(&schema());
    schema.id = OTHER;
    schema.name = TableName::new("plant", "other");
    Arc::new(schema)
}

/// Everything that a store does, in a fixed order, until something fails.
fn life(world: &SimEnv, tracked: &mut Tracked) -> Result<()> {
    let rng = SimRng::seeded(11);
    let store = Store::open(world.env(), small())?;
    store.put_schema(schema())?;
    let stamps = Stamps::default();
    let commits = |store: &Store, tracked: &mut Tracked, many: u64| -> Result<()> {
        for _ in 0..many {
            let commit = Commit::random(&rng, 0..60);
            tracked.commit(store, commit, &stamps, true)?;
        }
        Ok(())
    };
    commits(&store, tracked, 8)?;
    // A record of several writes: its texts are too long to be copied.
    let long = Commit {
        upserts: vec![(7, 1, "y".repeat(40_000)), (70, 2, "z".repeat(20_000))],
        ..Commit::default()
    };
    tracked.commit(&store, long, &stamps, true)?;
    store.flush()?;
    store.hold_log(Some(Lsn(5)));
    commits(&store, tracked, 8)?;
    store.put_schema(wider())?;
    store.origin_id(NodeId([9; 16]))?;
    commits(&store, tracked, 6)?;
    store.put_schema(other())?;
    store.compact(TABLE)?;
    let backup = store.backup(store.pin_log())?;
    commits(&store, tracked, 8)?;
    for file in &backup.files {
        let mut bytes = vec![0; file.bytes as usize];
        if file.read_at(0, &mut bytes)? != bytes.len() {
            return Err(Error::corrupt("a file of the backup is short"));
        }
    }
    drop(backup);
    store.hold_log(None);
    store.drop_table(OTHER)?;
    commits(&store, tracked, 8)?;
    store.compact(TABLE)?;
    store.close()
}

/// A whole life and a second start, to know how many operations, syncs and reads there are.
fn lived() -> (SimEnv, Tracked) {
    let world = SimEnv::seeded(3);
    let mut tracked = Tracked::new();
    life(&world, &mut tracked).unwrap();
    (world, tracked)
}

/// What must hold after a fault, whatever it was.
fn check_after(world: &SimEnv, tracked: &mut Tracked) {
    world.disk.crash();
    world.disk.set_options(SimDiskOptions::default());
    let store = Store::open(world.env(), small()).unwrap();
    if store.snapshot(TABLE).is_err() {
        assert_eq!(tracked.model.commits, 0);
        return;
    }
    tracked.check(&store);
    // It goes on as a store.
    let stamps = Stamps::above(store.max_hlc());
    let more = Commit::random(&SimRng::seeded(1), 0..60);
    tracked.commit(&store, more, &stamps, true).unwrap();
    store.compact(TABLE).unwrap();
    tracked.check(&store);
}

/// Runs the life once for each `k` in `1..=last` with the faults that `fault` makes of it.
fn for_every(last: u64, fault: impl Fn(u64) -> SimDiskOptions, cut: bool) {
    let first = std::env::var("ACTIVESTORE_SEED").ok();
    let first: Option<u64> = first.map(|k| k.parse().expect("ACTIVESTORE_SEED is a number"));
    for k in first.map_or(1..=last, |k| k..=k) {
        let run = || {
            let world = SimEnv::seeded(k);
            world.disk.set_options(fault(k));
            let mut tracked = Tracked::new();
            let ended = life(&world, &mut tracked);
            if cut {
                // The power may go at what is done after the last answer.
                assert!(world.disk.is_dark() || ended.is_ok(), "{ended:?}");
            } else {
                // The process ends; all it has written is there.
                world.disk.set_options(SimDiskOptions {
                    power_cut_at: Some(0),
                    ..SimDiskOptions::default()
                });
            }
            check_after(&world, &mut tracked);
        };
        let ran = std::panic::catch_unwind(std::panic::AssertUnwindSafe(run));
        if let Err(panic) = ran {
            eprintln!("failed at operation {k}: ACTIVESTORE_SEED={k}");
            std::panic::resume_unwind(panic);
        }
    }
}

#[test]
fn the_power_goes_at_every_operation() {
    let (world, _) = lived();
    for_every(
        world.disk.ops(),
        |k| SimDiskOptions {
            power_cut_at: Some(k),
            ..SimDiskOptions::default()
        },
        true,
    );
}

#[test]
fn every_operation_fails_once() {
    let (world, _) = lived();
    for_every(
        world.disk.ops(),
        |k| SimDiskOptions {
            fail_op: Some(k),
            ..SimDiskOptions::default()
        },
        false,
    );
}

#[test]
fn there_is_no_space_at_every_operation() {
    let (world, _) = lived();
    for_every(
        world.disk.ops(),
        |k| SimDiskOptions {
            full_at: Some(k),
            ..SimDiskOptions::default()
        },
        false,
    );
}

#[test]
fn every_sync_fails_once() {
    let (world, _) = lived();
    for_every(
        world.disk.syncs(),
        |k| SimDiskOptions {
            fail_sync: Some(k),
            ..SimDiskOptions::default()
        },
        false,
    );
}

#[test]
fn every_read_fails_once() {
    let (world, _) = lived();
    for_every(
        world.disk.reads(),
        |k| SimDiskOptions {
            fail_read: Some(k),
            ..SimDiskOptions::default()
        },
        false,
    );
}

/// A start and a scan of everything, with a fault in each of its reads: the right rows or an error.
fn every_read_of_a_start(refused_min: u64, fault: impl Fn(u64) -> SimDiskOptions) {
    let (world, mut tracked) = lived();
    let before = world.disk.reads();
    tracked.check(&Store::open(world.env(), small()).unwrap());
    let reads = world.disk.reads() - before;
    assert!(reads > 20);
    let mut refused = 0;
    for k in 1..=reads {
        let (world, mut tracked) = lived();
        world.disk.set_options(fault(world.disk.reads() + k));
        let found = Store::open(world.env(), small()).and_then(|store| Model::try_read(&store));
        match found {
            Ok(found) => assert_eq!(found, tracked.model, "read {k}"),
            Err(error) => {
                refused += 1;
                assert!(
                    matches!(error.kind(), ErrorKind::Corrupt | ErrorKind::Internal),
                    "read {k}: {error}"
                );
            }
        }
        // The disk is as it was: the next start shows everything.
        world.disk.set_options(SimDiskOptions::default());
        tracked.check(&Store::open(world.env(), small()).unwrap());
    }
    assert!(
        refused >= refused_min,
        "the faults met something: {refused}"
    );
}

#[test]
fn a_flipped_bit_in_any_read_of_a_start_never_shows_other_rows() {
    every_read_of_a_start(6, |k| SimDiskOptions {
        flip_read: Some(k),
        ..SimDiskOptions::default()
    });
}

#[test]
fn a_short_read_anywhere_in_a_start_never_hides_a_row() {
    // Who asks for exact bytes asks again for the rest.
    every_read_of_a_start(1, |k| SimDiskOptions {
        short_read: Some(k),
        ..SimDiskOptions::default()
    });
}
