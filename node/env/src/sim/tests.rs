//! The simulated disk loses exactly what its contract allows it to lose.

use std::collections::BTreeSet;
use std::io;
use std::time::Duration;

use proptest::prelude::*;

use super::*;
use crate::{Clock, Disk, Rng};

fn disk(seed: u64) -> SimDisk {
    SimDisk::seeded(seed, SimDiskOptions::default())
}

#[test]
fn synced_bytes_under_synced_names_survive_every_crash() {
    for seed in 0..100 {
        let disk = disk(seed);
        disk.create_dir_all("a/b").unwrap();
        let file = disk.create("a/b/f").unwrap();
        file.write_at(0, &[7; 3000]).unwrap();
        file.sync_data().unwrap();
        disk.sync_dir("a/b").unwrap();
        file.write_at(1000, &[8; 600]).unwrap();
        disk.crash();
        assert!(file.len().is_err(), "a handle of the life before is dead");
        let bytes = disk.contents("a/b/f").unwrap();
        assert_eq!(bytes.len(), 3000);
        assert_eq!(&bytes[..1000], &[7; 1000]);
        assert_eq!(&bytes[1600..], &[7; 1400]);
    }
}

#[test]
fn a_length_that_was_given_is_there_or_not_while_appended_bytes_may_be_there_in_part() {
    let (mut given, mut appended) = (BTreeSet::new(), BTreeSet::new());
    for seed in 0..300 {
        for append in [false, true] {
            let disk = disk(seed);
            let file = disk.create("f").unwrap();
            file.write_at(0, &[1; 512]).unwrap();
            file.sync_data().unwrap();
            disk.sync_dir("").unwrap();
            if append {
                file.write_at(512, &[0; 4608]).unwrap();
            } else {
                file.set_len(2048).unwrap();
                file.set_len(5120).unwrap();
                file.write_at(600, &[2; 900]).unwrap();
            }
            disk.crash();
            let length = disk.contents("f").unwrap().len();
            let lengths = if append { &mut appended } else { &mut given };
            lengths.insert(length);
        }
    }
    assert_eq!(given, BTreeSet::from([512, 2048, 5120]));
    let parts: BTreeSet<usize> = (1..=10).map(|pieces| pieces * 512).collect();
    assert_eq!(appended, parts);
}

#[test]
fn unsynced_pieces_survive_in_every_combination() {
    let mut seen = [false; 4];
    for seed in 0..200 {
        let disk = disk(seed);
        let file = disk.create("f").unwrap();
        file.write_at(0, &[1; 1024]).unwrap();
        file.sync_data().unwrap();
        disk.sync_dir("").unwrap();
        file.write_at(0, &[2; 1024]).unwrap();
        disk.crash();
        let bytes = disk.contents("f").unwrap();
        assert!(bytes[..512].iter().all(|byte| *byte == bytes[0]));
        assert!(bytes[512..].iter().all(|byte| *byte == bytes[512]));
        seen[usize::from(bytes[0] == 2) * 2 + usize::from(bytes[512] == 2)] = true;
    }
    assert_eq!(seen, [true; 4]);
}

#[test]
fn unsynced_names_may_be_lost_and_renames_are_atomic() {
    let (mut lost, mut kept, mut old, mut new) = (false, false, false, false);
    for seed in 0..100 {
        let disk = disk(seed);
        let file = disk.create("stable").unwrap();
        file.write_at(0, b"one").unwrap();
        file.sync_data().unwrap();
        disk.sync_dir("").unwrap();
        let other = disk.create("temporary").unwrap();
        other.write_at(0, b"two").unwrap();
        other.sync_data().unwrap();
        disk.rename("temporary", "stable").unwrap();
        disk.create("fresh").unwrap();
        disk.crash();
        match disk.contents("stable").unwrap().as_slice() {
            b"one" => old = true,
            b"two" => new = true,
            other => panic!("seed {seed}: {other:?}"),
        }
        if disk.exists("fresh") {
            kept = true;
        } else {
            lost = true;
        }
    }
    assert!(lost && kept && old && new);
}

#[test]
fn a_failed_sync_loses_pages_that_later_syncs_do_not_bring_back() {
    let mut lost = false;
    for seed in 0..50 {
        let disk = SimDisk::seeded(
            seed,
            SimDiskOptions {
                fail_sync: Some(1),
                ..SimDiskOptions::default()
            },
        );
        let file = disk.create("f").unwrap();
        disk.sync_dir("").unwrap();
        file.write_at(0, &[1; 4096]).unwrap();
        file.sync_data().unwrap_err();
        file.sync_data().unwrap();
        let mut out = [0; 4096];
        file.read_exact_at(0, &mut out).unwrap();
        assert_eq!(out, [1; 4096], "reads show the page cache");
        disk.crash();
        lost |= disk.contents("f").unwrap() != [1; 4096];
    }
    assert!(lost);
}

#[test]
fn a_full_disk_says_so_and_recovers() {
    let disk = SimDisk::seeded(
        1,
        SimDiskOptions {
            capacity_bytes: Some(1000),
            ..SimDiskOptions::default()
        },
    );
    let file = disk.create("f").unwrap();
    file.write_at(0, &[1; 900]).unwrap();
    assert_eq!(disk.free_bytes().unwrap(), 100);
    let error = file.write_at(900, &[1; 200]).unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::StorageFull);
    assert_eq!(file.len().unwrap(), 900);
    file.write_at(0, &[2; 900]).unwrap();
    disk.set_options(SimDiskOptions::default());
    file.write_at(900, &[1; 200]).unwrap();
}

#[test]
fn a_power_cut_stops_everything_and_a_failed_operation_only_itself() {
    let disk = SimDisk::seeded(
        3,
        SimDiskOptions {
            fail_op: Some(2),
            power_cut_at: Some(5),
            ..SimDiskOptions::default()
        },
    );
    let file = disk.create("f").unwrap();
    file.write_at(0, b"x").unwrap_err();
    file.write_at(0, b"x").unwrap();
    disk.sync_dir("").unwrap();
    file.sync_data().unwrap_err();
    assert!(disk.is_dark());
    disk.create("g").err().unwrap();
    disk.crash();
    disk.open("f").unwrap();
}

#[test]
fn a_lying_sync_makes_nothing_durable() {
    let lost = (0..50).any(|seed| {
        let disk = SimDisk::seeded(
            seed,
            SimDiskOptions {
                lying_sync: true,
                ..SimDiskOptions::default()
            },
        );
        let file = disk.create("f").unwrap();
        file.write_at(0, b"x").unwrap();
        file.sync_data().unwrap();
        disk.sync_dir("").unwrap();
        disk.crash();
        !disk.exists("f")
    });
    assert!(lost);
}

#[test]
fn the_same_seed_gives_the_same_world() {
    let run = |seed| {
        let world = SimEnv::seeded(seed);
        let file = world.disk.create("f").unwrap();
        world.disk.sync_dir("").unwrap();
        for index in 0..40 {
            file.write_at(index * 700, &world.rng.next_u64().to_le_bytes())
                .unwrap();
        }
        world.disk.crash();
        world.disk.contents("f")
    };
    assert_eq!(run(9), run(9));
    assert_ne!(run(9), run(10));
}

#[test]
fn the_clock_moves_when_told() {
    let clock = SimClock::at_ms(5);
    clock.advance(Duration::from_millis(3));
    assert_eq!(
        (clock.wall_ms(), clock.monotonic()),
        (8, Duration::from_millis(3))
    );
    clock.set_ms(1);
    assert_eq!(
        (clock.wall_ms(), clock.monotonic()),
        (1, Duration::from_millis(3))
    );
}

proptest! {
    /// Without a crash a simulated file is a plain byte array.
    #[test]
    fn a_file_is_a_byte_array(ops in proptest::collection::vec((0_u8..3, 0_usize..4000, 1_usize..1500, any::<u8>()), 1..40)) {
        let disk = disk(1);
        let file = disk.create("f").unwrap();
        let mut model: Vec<u8> = Vec::new();
        for (op, at, length, byte) in ops {
            match op {
                0 => {
                    file.write_at(at as u64, &vec![byte; length]).unwrap();
                    model.resize(model.len().max(at + length), 0);
                    model[at..at + length].fill(byte);
                }
                1 => {
                    file.set_len(at as u64).unwrap();
                    model.resize(at, 0);
                }
                _ => file.sync_data().unwrap(),
            }
            prop_assert_eq!(file.len().unwrap(), model.len() as u64);
        }
        let mut out = vec![0; model.len()];
        file.read_exact_at(0, &mut out).unwrap();
        prop_assert_eq!(&out, &model);
        file.sync_data().unwrap();
        disk.sync_dir("").unwrap();
        disk.crash();
        prop_assert_eq!(disk.contents("f").unwrap(), model);
    }
}
