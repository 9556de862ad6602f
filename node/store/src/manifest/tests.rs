//! The manifest keeps what it was told through crashes, and says whose it is.

use activestore_env::{SimDisk, SimDiskOptions};
use activestore_types::ErrorKind;

use super::*;

const NODE: NodeId = NodeId([7; 16]);

fn disk(seed: u64) -> (SimDisk, Arc<dyn Disk>) {
    let disk = SimDisk::seeded(seed, SimDiskOptions::default());
    (disk.clone(), Arc::new(disk))
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
    for cut in 1..60 {
        let (sim, disk) = disk(cut);
        let mut acknowledged = 0;
        sim.set_options(SimDiskOptions {
            power_cut_at: Some(cut),
            ..SimDiskOptions::default()
        });
        if let Ok((manifest, _)) = Manifest::open(&disk, NODE) {
            for index in 1..20 {
                if manifest.commit(&note(index)).is_err() {
                    break;
                }
                acknowledged = index;
            }
        }
        sim.crash();
        let (_, contents) = Manifest::open(&disk, NODE).unwrap();
        assert!(contents.flushed.0 >= acknowledged, "cut at {cut}");
        assert!(contents.flushed.0 <= acknowledged + 1, "cut at {cut}");
        assert_eq!(contents.notes.len() as u64, contents.flushed.0);
    }
}

#[test]
fn a_full_disk_refuses_an_edit_and_takes_it_later() {
    let (sim, disk) = disk(1);
    let (manifest, _) = Manifest::open(&disk, NODE).unwrap();
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
    let (_, contents) = Manifest::open(&disk, NODE).unwrap();
    assert_eq!(contents.notes.len(), 3);
}

#[test]
fn a_failed_sync_ends_all_writing() {
    let (sim, disk) = disk(1);
    let (manifest, _) = Manifest::open(&disk, NODE).unwrap();
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
    drop(Manifest::open(&disk, NODE).unwrap());
    let error = Manifest::open(&disk, NodeId([8; 16])).err().unwrap();
    assert_eq!(error.kind(), ErrorKind::Conflict);
    for offset in 0..64 {
        sim.flip(PATH, offset, 0xff);
    }
    let error = Manifest::open(&disk, NODE).err().unwrap();
    assert_ne!(error.kind(), ErrorKind::Conflict);
}
