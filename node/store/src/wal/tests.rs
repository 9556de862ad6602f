//! The log gives back its records in order, across segments, and reuses files without ever taking
//! an old record for a new one.

use activestore_env::{Disk, SimDiskOptions, SimEnv};
use activestore_types::NodeId;

use super::*;
use crate::write_set::Note;

fn options() -> StoreOptions {
    StoreOptions {
        wal_segment_bytes: 4096,
        ..StoreOptions::new(NodeId([4; 16]))
    }
}

fn record(text: &str) -> Encoded {
    record::encode(&WriteSet {
        notes: vec![Note {
            key: text.as_bytes().to_vec(),
            value: Some(vec![b'v'; 100]),
        }],
        ..WriteSet::default()
    })
    .unwrap()
}

fn open(world: &SimEnv, flushed: u64) -> Result<(Wal, Vec<(u64, String)>)> {
    let mut seen = Vec::new();
    let replayed = Wal::open(&world.env(), &options(), Lsn(flushed), |lsn, set| {
        seen.push((lsn.0, String::from_utf8(set.notes[0].key.clone()).unwrap()));
        Ok(())
    })?;
    Ok((replayed.wal, seen))
}

fn put(wal: &Wal, texts: &[String]) {
    let mut records: Vec<_> = texts.iter().map(|text| record(text)).collect();
    let appended = wal.append(&mut records);
    assert_eq!(appended.error, None);
    assert_eq!(appended.done, texts.len());
}

#[test]
fn records_come_back_in_order_over_many_segments() {
    let world = SimEnv::seeded(1);
    let (wal, _) = open(&world, 0).unwrap();
    let all: Vec<String> = (1..=200).map(|at| format!("r{at}")).collect();
    for group in all.chunks(7) {
        put(&wal, group);
    }
    assert!(wal.segment_count() > 5);
    let read = wal.read(Lsn(50), Lsn(200), usize::MAX).unwrap();
    assert_eq!(read.len(), 151);
    assert_eq!(read[0].lsn, Lsn(50));
    assert_eq!(wal.read(Lsn(50), Lsn(200), 1).unwrap().len(), 1);
    drop(wal);
    let (_, seen) = open(&world, 150).unwrap();
    let expected: Vec<_> = (151..=200).map(|at| (at, format!("r{at}"))).collect();
    assert_eq!(seen, expected);
}

#[test]
fn released_files_are_used_again_and_their_old_records_stay_dead() {
    let world = SimEnv::seeded(2);
    let (mut wal, _) = open(&world, 0).unwrap();
    let mut next = 1;
    for round in 0..30 {
        let texts: Vec<String> = (next..next + 40).map(|at| format!("r{at}")).collect();
        next += 40;
        put(&wal, &texts);
        wal.release_below(Lsn(next - 20)).unwrap();
        if round % 3 == 0 {
            drop(wal);
            world.disk.crash();
            let (reopened, seen) = open(&world, next - 21).unwrap();
            let expected: Vec<_> = (next - 20..next).map(|at| (at, format!("r{at}"))).collect();
            assert_eq!(seen, expected);
            wal = reopened;
        }
    }
    assert!(world.disk.list("wal").unwrap().len() < 12);
}

#[test]
fn a_record_larger_than_a_segment_gets_one_of_its_own() {
    let world = SimEnv::seeded(3);
    let (wal, _) = open(&world, 0).unwrap();
    put(&wal, &["a".to_owned(), "b".repeat(20_000), "c".to_owned()]);
    drop(wal);
    let (wal, seen) = open(&world, 0).unwrap();
    assert_eq!(seen.len(), 3);
    put(&wal, &["d".to_owned()]);
    wal.release_below(Lsn(4)).unwrap();
    assert_eq!(wal.first(), Lsn(3));
}

#[test]
fn a_write_that_found_no_space_leaves_no_trace() {
    for seed in 0..50 {
        let world = SimEnv::seeded(seed);
        let (wal, _) = open(&world, 0).unwrap();
        put(&wal, &["a".to_owned()]);
        // As on a file system that copies on write: even a place inside the file needs space.
        world.disk.set_options(SimDiskOptions {
            full_at: Some(world.disk.ops() + 1),
            ..SimDiskOptions::default()
        });
        let mut failed = vec![record("x"), record("y")];
        let appended = wal.append(&mut failed);
        assert_eq!(appended.done, 0);
        assert_eq!(appended.error.unwrap().kind(), ErrorKind::DiskFull);
        put(&wal, &["x".to_owned()]);
        drop(wal);
        world.disk.crash();
        let (_, seen) = open(&world, 0).unwrap();
        assert_eq!(seen, [(1, "a".to_owned()), (2, "x".to_owned())]);
    }
}

#[test]
fn a_closed_log_ends_with_a_mark_that_is_no_record() {
    let world = SimEnv::seeded(4);
    let (wal, _) = open(&world, 0).unwrap();
    put(&wal, &["a".to_owned()]);
    wal.close().unwrap();
    drop(wal);
    let (wal, seen) = open(&world, 0).unwrap();
    assert_eq!(seen.len(), 1);
    put(&wal, &["b".to_owned()]);
    let read = wal.read(Lsn(1), Lsn(3), usize::MAX).unwrap();
    let lsns: Vec<_> = read.iter().map(|record| record.lsn.0).collect();
    assert_eq!(lsns, [1, 3]);
}

#[test]
fn a_log_that_is_gone_or_of_another_node_is_refused() {
    let world = SimEnv::seeded(5);
    let error = open(&world, 10).err().unwrap();
    assert_eq!(error.kind(), ErrorKind::Corrupt);
    drop(open(&world, 0).unwrap());
    let other = StoreOptions::new(NodeId([5; 16]));
    let error = Wal::open(&world.env(), &other, Lsn(0), |_, _| Ok(()))
        .err()
        .unwrap();
    assert_eq!(error.kind(), ErrorKind::Conflict);
}

#[test]
fn a_group_that_the_disk_cuts_short_is_acknowledged_as_far_as_it_got() {
    let world = SimEnv::seeded(7);
    let (wal, _) = open(&world, 0).unwrap();
    put(&wal, &["r1".to_owned()]);
    let used = world.disk.list("wal").unwrap().len() as u64 * 4096;
    world.disk.set_options(SimDiskOptions {
        capacity_bytes: Some(used),
        ..SimDiskOptions::default()
    });
    let texts: Vec<String> = (2..=90).map(|at| format!("r{at}")).collect();
    let mut records: Vec<_> = texts.iter().map(|text| record(text)).collect();
    let appended = wal.append(&mut records);
    assert_eq!(appended.error.unwrap().kind(), ErrorKind::DiskFull);
    assert!(appended.done > 0 && appended.done < texts.len());
    // What was acknowledged survives a power cut, and nothing else does; the rest goes after it.
    drop(wal);
    world.disk.crash();
    world.disk.set_options(SimDiskOptions::default());
    let records =
        |to: usize| -> Vec<_> { (1..=to).map(|at| (at as u64, format!("r{at}"))).collect() };
    let (wal, seen) = open(&world, 0).unwrap();
    assert_eq!(seen, records(1 + appended.done));
    put(&wal, &texts[appended.done..]);
    drop(wal);
    assert_eq!(open(&world, 0).unwrap().1, records(90));
}

#[test]
fn a_segment_is_kept_until_the_header_of_the_next_is_durable() {
    for seed in 0..20 {
        let world = SimEnv::seeded(seed);
        let options = StoreOptions {
            wal_sync: WalSync::Interval(Duration::from_secs(3600)),
            ..options()
        };
        let open = || Wal::open(&world.env(), &options, Lsn(10), |_, _| Ok(()));
        let (wal, _) = self::open(&world, 0).unwrap();
        put(
            &wal,
            &(1..=10).map(|at| format!("r{at}")).collect::<Vec<_>>(),
        );
        drop(wal);
        let wal = open().unwrap().wal;
        while wal.segment_count() < 2 {
            put(&wal, &["later".to_owned()]);
        }
        // All before the second segment may go, but its header is not on the disk yet.
        let second = wal.segments.lock()[1].header.first_lsn;
        wal.release_below(second).unwrap();
        drop(wal);
        world.disk.crash();
        assert!(open().is_ok(), "seed {seed}");
    }
}

#[test]
fn a_frame_that_counts_further_than_anybody_counts_is_no_frame() {
    let header = |lsn: u64, synced: u64| FrameHeader {
        header_crc: 0,
        payload_crc: 1,
        length: 2,
        life: 3,
        lsn: Lsn(lsn),
        synced: Lsn(synced),
        previous: 4,
    };
    let known = |mut header: FrameHeader| FrameHeader::decode(5, &header.encode(5)).is_some();
    assert!(known(header(7, 6)));
    assert!(known(header(NUMBER_MAX - 1, 6)));
    assert!(!known(header(u64::MAX, 6)));
    assert!(!known(header(7, NUMBER_MAX)));
}
