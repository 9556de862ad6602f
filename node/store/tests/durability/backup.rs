//! A backup taken while commits go on is a store of its own: it holds exactly the commits up to its
//! record, whole, and the log that a follower has not read yet.

use std::sync::Arc;

use activestore_env::{Disk, Rng, SimDiskOptions, SimEnv, SimRng};
use activestore_store::backup::{Backup, install};
use activestore_store::{Store, StoreOptions};
use activestore_types::{ErrorKind, Lsn, NodeId, OriginId};

use crate::world::*;

/// Copies every file of a backup to another disk, as it stands, and the keys of its directory.
fn copied(backup: &Backup, from: &SimEnv, to: &Arc<dyn Disk>) {
    if let Some(keys) = from.disk.contents("keyring") {
        let copy = to.create("keyring").unwrap();
        copy.write_at(0, &keys).unwrap();
        copy.sync_data().unwrap();
    }
    for file in &backup.files {
        let dir = file.path.rsplit_once('/').map_or("", |(dir, _)| dir);
        to.create_dir_all(dir).unwrap();
        let copy = to.create(&file.path).unwrap();
        let mut at = 0;
        let mut bytes = [0; 1000];
        loop {
            let read = file.read_at(at, &mut bytes).unwrap();
            if read == 0 {
                break;
            }
            copy.write_at(at, &bytes[..read]).unwrap();
            at += read as u64;
        }
        assert_eq!(at, file.bytes);
        copy.sync_data().unwrap();
        to.sync_dir(dir).unwrap();
    }
}

#[test]
fn a_backup_holds_the_commits_before_it_and_none_after_it() {
    for_seeds(40, |seed| {
        let world = SimEnv::seeded(seed);
        let rng = SimRng::seeded(seed);
        let options = options_for(seed, &world);
        let store = Store::open(world.env(), options.clone()).unwrap();
        store.put_schema(schema()).unwrap();
        assert_eq!(store.origin_id(NodeId([9; 16])).unwrap(), OriginId(1));
        let stamps = Stamps::default();
        let mut tracked = Tracked::new();
        let commit = |store: &Store, tracked: &mut Tracked, many: u64| {
            for _ in 0..many {
                let set = Commit::random(&rng, 0..100);
                tracked.commit(store, set, &stamps, true).unwrap();
            }
        };
        store.hold_log(Some(Lsn(15)));
        commit(&store, &mut tracked, 20 + seed);
        commit(&store, &mut tracked, 60);
        let pin = store.pin_log();
        assert_eq!(pin.from(), Lsn(15));
        // The follower goes on meanwhile; the backup keeps the log for its picture of it.
        store.hold_log(Some(Lsn(70)));
        let backup = store.backup(pin).unwrap();
        let mut then = Tracked::new();
        then.model = tracked.model.clone();
        assert_eq!(backup.lsn, store.last_lsn());
        commit(&store, &mut tracked, 80);
        store.hold_log(None);
        store.compact(TABLE).unwrap();
        commit(&store, &mut tracked, 40);
        let other = SimEnv::seeded(seed + 1000);
        copied(&backup, &world, &other.env().disk);
        let lsn = backup.lsn;
        drop(backup);
        let options = options_for(seed, &other);
        let keyring = options.encryption.as_ref();
        install(&other.env().disk, NODE, keyring).unwrap();
        let restored = Store::open(other.env(), options.clone()).unwrap();
        then.check(&restored);
        assert_eq!(restored.last_lsn(), lsn);
        assert_eq!(restored.origin_node(OriginId(1)), Some(NodeId([9; 16])));
        assert!(restored.first_log_lsn() <= Lsn(15));
        let numbers: Vec<u64> = restored
            .log(Lsn(15), usize::MAX)
            .unwrap()
            .iter()
            .map(|record| record.lsn.0)
            .collect();
        assert_eq!(numbers, (15..=lsn.0).collect::<Vec<_>>());
        // It is a store like any other.
        let after = Stamps::above(restored.max_hlc());
        for _ in 0..30 {
            let set = Commit::random(&SimRng::seeded(seed), 0..100);
            then.commit(&restored, set, &after, true).unwrap();
        }
        drop(restored);
        then.check(&Store::open(other.env(), options.clone()).unwrap());
        tracked.check(&store);
    });
}

#[test]
fn files_that_are_not_those_of_the_backup_are_refused() {
    let world = SimEnv::seeded(1);
    let rng = SimRng::seeded(1);
    let store = Store::open(world.env(), options()).unwrap();
    store.put_schema(schema()).unwrap();
    let stamps = Stamps::default();
    let mut tracked = Tracked::new();
    for _ in 0..60 {
        let set = Commit::random(&rng, 0..100);
        tracked.commit(&store, set, &stamps, true).unwrap();
    }
    let backup = store.backup(store.pin_log()).unwrap();
    for spoilt in ["manifest.copy", "sst"] {
        let other = SimEnv::seeded(2);
        let disk = other.env().disk;
        copied(&backup, &world, &disk);
        let file = backup
            .files
            .iter()
            .find(|file| file.path.starts_with(spoilt));
        let file = file.unwrap();
        other.disk.flip(&file.path, file.bytes - 3, 1);
        let error = install(&disk, NODE, None).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Corrupt, "{error}");
    }
    let other = SimEnv::seeded(2);
    copied(&backup, &world, &other.env().disk);
    let error = install(&other.env().disk, NodeId([8; 16]), None).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Conflict, "{error}");
}

#[test]
fn an_installation_that_is_cut_off_can_be_started_again() {
    let world = SimEnv::seeded(1);
    let rng = SimRng::seeded(1);
    let options: StoreOptions = options();
    let store = Store::open(world.env(), options.clone()).unwrap();
    store.put_schema(schema()).unwrap();
    let mut tracked = Tracked::new();
    let stamps = Stamps::default();
    for _ in 0..60 {
        let set = Commit::random(&rng, 0..100);
        tracked.commit(&store, set, &stamps, true).unwrap();
    }
    let backup = store.backup(store.pin_log()).unwrap();
    for cut in 1.. {
        let other = SimEnv::seeded(cut);
        let disk = other.env().disk;
        copied(&backup, &world, &disk);
        other.disk.set_options(SimDiskOptions {
            power_cut_at: Some(other.disk.ops() + cut),
            ..SimDiskOptions::default()
        });
        let whole = install(&disk, NODE, None).is_ok();
        other.disk.crash();
        other.disk.set_options(SimDiskOptions::default());
        if !whole {
            let disk = other.env().disk;
            install(&disk, NODE, None).unwrap();
        }
        tracked.check(&Store::open(other.env(), options.clone()).unwrap());
        if whole {
            assert!(cut > 3, "the cuts met something");
            return;
        }
        assert!(
            cut < 1000,
            "the installation never ends: {}",
            rng.next_u64()
        );
    }
}
