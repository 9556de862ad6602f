//! The manifest keeps what it was told through crashes, and says whose it is.

use activestore_env::{Env, MasterKey, SimDisk, SimDiskOptions};
use activestore_types::ErrorKind;

use super::*;

const NODE: NodeId = NodeId([7; 16]);

fn disk(seed: u64) -> (SimDisk, Arc<dyn Disk>) {
    let disk = SimDisk::seeded(seed, SimDiskOptions::default());
    (disk.clone(), Arc::new(disk))
}

fn keyring() -> Arc<Keyring> {
    let master = MasterKey::parse(&[3; 32]).unwrap();
    Keyring::open_or_create(&Env::simulated(1), &master).unwrap()
}

fn note(index: u64) -> Edit {
    Edit {
        notes: vec![Note {
            key: index.to_be_bytes().to_vec(),
            value: Some(vec![b'x'; 300]),
        }],
        flushed: Some(Lsn(index)),
        ..Edit::default()
    }
}

#[test]
fn an_edit_is_whole_or_absent_after_a_power_cut_at_any_operation() {
    let keys = keyring();
    for cut in 1..120 {
        let (sim, disk) = disk(cut);
        let keyring = (cut % 2 == 0).then_some(&keys);
        let cut = cut / 2;
        let mut acknowledged = 0;
        sim.set_options(SimDiskOptions {
            power_cut_at: Some(cut),
            ..SimDiskOptions::default()
        });
        if let Ok((manifest, _)) = Manifest::open(&disk, NODE, keyring) {
            for index in 1..20 {
                if manifest.commit(&note(index)).is_err() {
                    break;
                }
                acknowledged = index;
            }
        }
        sim.crash();
        let (_, contents) = Manifest::open(&disk, NODE, keyring).unwrap();
        assert!(contents.flushed.0 >= acknowledged, "cut at {cut}");
        assert!(contents.flushed.0 <= acknowledged + 1, "cut at {cut}");
        assert_eq!(contents.notes.len() as u64, contents.flushed.0);
    }
}

#[test]
fn a_number_that_nobody_counts_to_is_damage() {
    for edit in [
        Edit {
            flushed: Some(Lsn(u64::MAX)),
            ..Edit::default()
        },
        Edit {
            next_file: Some(1 << 62),
            ..Edit::default()
        },
        Edit {
            hold: Some(Some(Lsn(u64::MAX - 1))),
            ..Edit::default()
        },
    ] {
        let (_, disk) = disk(1);
        let (manifest, _) = Manifest::open(&disk, NODE, None).unwrap();
        manifest.commit(&edit).unwrap();
        drop(manifest);
        let error = Manifest::open(&disk, NODE, None).err().unwrap();
        assert_eq!(error.kind(), ErrorKind::Corrupt, "{error}");
        let sealer = EntrySealer::new(None);
        let error = copy::read(disk.as_ref(), copy::PATH, &sealer).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Corrupt, "{error}");
    }
}

#[test]
fn a_full_disk_refuses_an_edit_and_takes_it_later() {
    let (sim, disk) = disk(1);
    let (manifest, _) = Manifest::open(&disk, NODE, None).unwrap();
    let used = sim.contents(PATH).unwrap().len() as u64;
    sim.set_options(SimDiskOptions {
        capacity_bytes: Some(used),
        ..SimDiskOptions::default()
    });
    let mut big = note(1);
    big.notes.push(Note {
        key: b"big".to_vec(),
        value: Some(vec![1; 8 << 20]),
    });
    assert_eq!(
        manifest.commit(&big).unwrap_err().kind(),
        ErrorKind::DiskFull
    );
    manifest.commit(&note(2)).unwrap();
    sim.set_options(SimDiskOptions::default());
    manifest.commit(&big).unwrap();
    drop(manifest);
    let (_, contents) = Manifest::open(&disk, NODE, None).unwrap();
    assert_eq!(contents.notes.len(), 3);
}

#[test]
fn a_failed_sync_ends_all_writing() {
    let (sim, disk) = disk(1);
    let (manifest, _) = Manifest::open(&disk, NODE, None).unwrap();
    sim.set_options(SimDiskOptions {
        fail_sync: Some(sim.syncs() + 1),
        ..SimDiskOptions::default()
    });
    for _ in 0..2 {
        assert_eq!(
            manifest.commit(&note(1)).unwrap_err().kind(),
            ErrorKind::Poisoned
        );
    }
}

#[test]
fn another_node_and_other_bytes_are_refused() {
    let (sim, disk) = disk(1);
    drop(Manifest::open(&disk, NODE, None).unwrap());
    let error = Manifest::open(&disk, NodeId([8; 16]), None).err().unwrap();
    assert_eq!(error.kind(), ErrorKind::Conflict);
    for offset in 0..64 {
        sim.flip(PATH, offset, 0xff);
    }
    let error = Manifest::open(&disk, NODE, None).err().unwrap();
    assert_ne!(error.kind(), ErrorKind::Conflict);
}

#[test]
fn an_encrypted_manifest_shows_no_name_no_key_and_no_note_and_opens_with_its_keys_alone() {
    let (sim, disk) = disk(1);
    let keys = keyring();
    let (manifest, _) = Manifest::open(&disk, NODE, Some(&keys)).unwrap();
    let schema = Arc::new(TableSchema {
        id: TableId(4),
        name: activestore_types::TableName::new("secretspace", "secrettable"),
        columns: Vec::new(),
        partition_key: Vec::new(),
        clustering_key: Vec::new(),
        flexible: false,
        ttl_s: None,
        sync: activestore_types::SyncMode::None,
        compaction: activestore_types::CompactionMode::Automatic,
        version: 1,
    });
    let tombstone = RangeTombstone {
        table: TableId(4),
        start: b"secretstart".to_vec(),
        end: b"secretstop".to_vec(),
        hlc: Hlc(9),
        origin: OriginId(0),
    };
    let secret = |value: Option<&[u8]>| Note {
        key: b"secretkey".to_vec(),
        value: value.map(<[u8]>::to_vec),
    };
    let edit = Edit {
        schemas: vec![Arc::clone(&schema)],
        tombstones: vec![(TableId(4), vec![tombstone.clone()])],
        notes: vec![secret(Some(b"secretvalue"))],
        ..Edit::default()
    };
    manifest.commit(&edit).unwrap();
    drop(manifest);
    let stored = sim.contents(PATH).unwrap();
    assert!(!stored.windows(6).any(|window| window == b"secret"));
    let (manifest, contents) = Manifest::open(&disk, NODE, Some(&keys)).unwrap();
    assert_eq!(contents.schemas, [schema.as_ref().clone()]);
    assert_eq!(contents.tombstones[&TableId(4)], [tombstone]);
    assert_eq!(contents.notes[b"secretkey".as_slice()], b"secretvalue");
    let edit = Edit {
        notes: vec![secret(None)],
        ..Edit::default()
    };
    manifest.commit(&edit).unwrap();
    drop(manifest);
    let (manifest, contents) = Manifest::open(&disk, NODE, Some(&keys)).unwrap();
    assert!(contents.notes.is_empty());
    drop(manifest);
    let error = Manifest::open(&disk, NODE, None).err().unwrap();
    assert_eq!(error.kind(), ErrorKind::Denied);
    let other = Keyring::open_or_create(&Env::simulated(2), &MasterKey::parse(&[3; 32]).unwrap());
    let error = Manifest::open(&disk, NODE, Some(&other.unwrap()))
        .err()
        .unwrap();
    assert_eq!(error.kind(), ErrorKind::Corrupt);
}
