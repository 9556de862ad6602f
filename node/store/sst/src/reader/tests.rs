//! A file holds exactly the rows it was given, finds them by range, predicate and partition, and
//! notices every changed byte.

use activestore_env::{SimDisk, SimDiskOptions};
use activestore_types::ErrorKind;
use arrow::array::Array;
use proptest::prelude::*;

use super::*;
use crate::VECTOR_ROWS;
use crate::tables::{self, COUNT, DEVICE, FLAG, NEVER, Row, STATUS, TEMP, TS};
use crate::{SstOptions, SstWriter, ZoneValue};

const PATH: &str = "t/1.sst";

fn sim() -> Arc<SimDisk> {
    let disk = Arc::new(SimDisk::seeded(1, SimDiskOptions::default()));
    disk.create_dir_all("t").unwrap();
    disk
}

fn write(disk: &Arc<SimDisk>, rows: &[Row], piece: usize, cold: bool) -> SstMeta {
    let disk: Arc<dyn Disk> = disk.clone();
    let mut writer = SstWriter::create(
        &disk,
        PATH,
        tables::schema(),
        SstOptions {
            cold,
            ..SstOptions::default()
        },
    )
    .unwrap();
    for rows in rows.chunks(piece.max(1)) {
        let (batch, keys) = tables::batch(rows);
        writer.append(&batch, &keys).unwrap();
    }
    writer.finish().unwrap()
}

fn open(disk: &Arc<SimDisk>) -> Result<Arc<Sst>> {
    let disk: Arc<dyn Disk> = disk.clone();
    Sst::open(&disk, PATH)
}

/// The rows of a batch of all columns, as the model has them.
fn rows_of(batch: &RowBatch) -> Vec<Row> {
    let cells = |id: ColumnId, row: usize| -> Option<Option<(ArrayRef, usize)>> {
        let column = batch.column(id)?;
        if column.set.as_ref().is_some_and(|set| !set.value(row)) {
            assert!(column.array.is_null(row));
            return None;
        }
        Some((!column.array.is_null(row)).then(|| (column.array.clone(), row)))
    };
    let key = |id: ColumnId| batch.column(id).unwrap().array.clone();
    (0..batch.rows)
        .map(|row| Row {
            device: key(DEVICE).as_string::<i32>().value(row).to_owned(),
            ts: key(TS)
                .as_primitive::<arrow::datatypes::TimestampNanosecondType>()
                .value(row),
            hlc: batch.hlc[row],
            origin: batch.origin[row],
            expiry_ms: batch.expiry_ms.as_ref().map_or(0, |expiry| expiry[row]),
            tombstone: batch.tombstone.as_ref().is_some_and(|bits| bits.value(row)),
            temp: cells(TEMP, row).map(|cell| {
                cell.map(|(a, r)| a.as_primitive::<arrow::datatypes::Float64Type>().value(r))
            }),
            status: cells(STATUS, row)
                .map(|cell| cell.map(|(a, r)| a.as_string::<i32>().value(r).to_owned())),
            count: cells(COUNT, row).map(|cell| {
                cell.map(|(a, r)| a.as_primitive::<arrow::datatypes::Int64Type>().value(r))
            }),
        })
        .collect()
}

const ALL: [ColumnId; 6] = [DEVICE, TS, TEMP, STATUS, COUNT, FLAG];

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    #[test]
    fn a_file_holds_its_rows(
        rows in tables::rows(1..5000),
        piece in 1..3000_usize,
        cold in any::<bool>(),
    ) {
        let disk = sim();
        let piece = piece.max(rows.len() / 40);
        let meta = write(&disk, &rows, piece, cold);
        let sst = open(&disk).unwrap();
        prop_assert_eq!(sst.meta(), &meta);
        prop_assert_eq!(meta.bytes, disk.contents(PATH).unwrap().len() as u64);
        let (_, keys) = tables::batch(&rows);
        let mut read = Vec::new();
        let mut sequential = sst.sequential();
        for v in 0..sst.vectors() {
            prop_assert_eq!(&*sst.fence(v).unwrap(), keys.key(read.len()));
            prop_assert_eq!(sst.vector_rows(v), (rows.len() - v * VECTOR_ROWS).min(VECTOR_ROWS));
            let batch = sst.read_stamped(v, &ALL).unwrap();
            batch.validate().unwrap();
            prop_assert_eq!(&batch.columns[0].id, &DEVICE);
            prop_assert_eq!(rows_of(&sequential.read_stamped(v, &ALL).unwrap()), rows_of(&batch));
            for id in [DEVICE, STATUS] {
                if let Some(codes) = sequential.read_codes(v, id).unwrap() {
                    let text = batch.column(id).unwrap().array.as_string::<i32>();
                    prop_assert_eq!((codes[0].0, text.null_count()), (0, 0));
                    let values = sst.codes(id).unwrap();
                    for (row, value) in text.iter().enumerate() {
                        let run = codes.partition_point(|(start, _)| *start <= row) - 1;
                        let code = codes[run].1;
                        prop_assert_eq!(values.value(code).unwrap(), value.unwrap().as_bytes());
                    }
                    prop_assert!(codes.last().unwrap().0 < batch.rows);
                    prop_assert!(codes.windows(2).all(|runs| runs[0].1 != runs[1].1));
                } else {
                    prop_assert!(id == STATUS, "six devices repeat");
                }
            }
            let expiries = || batch.expiry_ms.iter().flat_map(|expiry| expiry.iter().copied());
            let zone = StampZone {
                min_hlc: *batch.hlc.iter().min().unwrap(),
                max_hlc: *batch.hlc.iter().max().unwrap(),
                min_expiry_ms: expiries().min().unwrap_or(0),
                max_expiry_ms: expiries().max().unwrap_or(0),
                tombstones: batch.tombstone.is_some(),
            };
            prop_assert_eq!(sst.stamps(v).unwrap(), zone);
            read.extend(rows_of(&batch));
        }
        prop_assert_eq!(&read, &rows);
        sst.verify().unwrap();

        prop_assert_eq!(meta.rows, rows.len() as u64);
        prop_assert_eq!(meta.first_key.as_slice(), keys.key(0));
        prop_assert_eq!(meta.last_key.as_slice(), keys.key(rows.len() - 1));
        prop_assert_eq!(meta.min_hlc.0, rows.iter().map(|row| row.hlc).min().unwrap());
        prop_assert_eq!(meta.max_hlc.0, rows.iter().map(|row| row.hlc).max().unwrap());
        prop_assert_eq!(meta.tombstones as usize, rows.iter().filter(|row| row.tombstone).count());
        let expiries = || rows.iter().map(|row| row.expiry_ms);
        prop_assert_eq!(meta.min_expiry_ms, expiries().filter(|e| *e > 0).min());
        let latest = if expiries().all(|e| e > 0) { expiries().max() } else { None };
        prop_assert_eq!(meta.max_expiry_ms, latest);
        let whole = |set: &dyn Fn(&Row) -> bool| rows.iter().all(set) || !rows.iter().any(set);
        let unique = (1..rows.len()).all(|row| keys.key(row - 1) != keys.key(row))
            && rows.iter().all(|row| !row.tombstone && row.expiry_ms == 0)
            && whole(&|row| row.temp.is_some())
            && whole(&|row| row.status.is_some())
            && whole(&|row| row.count.is_some());
        prop_assert_eq!(meta.unique, unique);
        let distinct = (1..rows.len()).all(|row| keys.key(row - 1) != keys.key(row));
        prop_assert_eq!(meta.distinct, distinct);
    }

    #[test]
    fn ranges_predicates_and_partitions_lose_nothing(
        rows in tables::rows(1..6000),
        ends in any::<[prop::sample::Index; 2]>(),
        bounds in (0..9000_i64, 0..9000_i64),
    ) {
        let disk = sim();
        write(&disk, &rows, 4096, false);
        let sst = open(&disk).unwrap();
        let (_, keys) = tables::batch(&rows);
        let mut ends = ends.map(|end| end.index(rows.len()));
        ends.sort_unstable();
        for range in [
            KeyRange { start: keys.key(ends[0]).to_vec(), end: keys.key(ends[1]).to_vec() },
            KeyRange { start: keys.key(ends[1]).to_vec(), end: Vec::new() },
            KeyRange::all(),
        ] {
            let vectors = sst.vectors_in(&range).unwrap();
            for row in 0..rows.len() {
                if range.contains(keys.key(row)) {
                    prop_assert!(vectors.contains(&(row / VECTOR_ROWS)));
                }
            }
        }
        let (low, high) = (bounds.0.min(bounds.1) as f64 / 100.0, bounds.0.max(bounds.1) as f64 / 100.0);
        let predicate = ZonePredicate {
            column: TEMP,
            low: Some(ZoneValue::Float(low)),
            high: Some(ZoneValue::Float(high)),
        };
        for (row, cells) in rows.iter().enumerate() {
            if cells.temp.flatten().is_some_and(|temp| (low..=high).contains(&temp)) {
                prop_assert!(sst.may_match(row / VECTOR_ROWS, &predicate));
            }
            let key = keys.key(row);
            prop_assert!(sst.may_hold_partition(&key[..key.len() - 8]));
        }
    }

    #[test]
    fn a_few_rows_are_those_of_the_whole(
        rows in tables::rows(1..4000),
        picks in prop::collection::vec((any::<prop::sample::Index>(), 0..90_usize), 1..12),
        cached in any::<bool>(),
        cold in any::<bool>(),
    ) {
        let disk = sim();
        write(&disk, &rows, 4096, cold);
        // Without room every page of the index is read again and again.
        let cache = match cached {
            true => crate::BlockCache::new(1 << 16, 1 << 16, 1 << 20),
            false => crate::BlockCache::new(0, 0, 0),
        };
        let disk: Arc<dyn Disk> = disk;
        let sst = Sst::open_cached(&disk, PATH, &cache).unwrap();
        let (_, keys) = tables::batch(&rows);
        for (pick, count) in picks {
            let row = pick.index(rows.len());
            let (v, first) = (row / VECTOR_ROWS, row % VECTOR_ROWS);
            let base = v * VECTOR_ROWS;
            let end = (first + count).min(sst.vector_rows(v));
            let some = sst.read_rows(v, first..end, &ALL, true).unwrap();
            some.validate().unwrap();
            prop_assert_eq!(rows_of(&some), rows[base + first..base + end].to_vec());
            prop_assert!(sst.read_rows(v, first..end, &[TEMP], false).unwrap().hlc.is_empty());

            // One key, a stretch of them, all from one on; and what lies between two keys.
            let mut after = keys.key(row).to_vec();
            after.push(0);
            let far = keys.key((row + count).min(rows.len() - 1)).to_vec();
            for range in [
                KeyRange { start: keys.key(row).to_vec(), end: after.clone() },
                KeyRange { start: keys.key(row).to_vec(), end: far },
                KeyRange { start: after.clone(), end: Vec::new() },
                KeyRange { start: after.clone(), end: [after.as_slice(), &[0]].concat() },
                KeyRange::prefix(&keys.key(row)[..keys.key(row).len() - 8]),
            ] {
                let all = base..base + sst.vector_rows(v);
                let inside: Vec<usize> = all.filter(|row| range.contains(keys.key(*row))).collect();
                let found = sst.find_rows(v, &range).unwrap();
                let model: Vec<usize> = found.clone().map(|row| base + row).collect();
                prop_assert_eq!(model, inside);
                let read = sst.read_key_range(v, &range, &ALL).unwrap();
                prop_assert_eq!(read.is_none(), found.is_empty());
                if let Some((at, batch)) = read {
                    prop_assert_eq!(&at, &found);
                    prop_assert_eq!(rows_of(&batch), rows[base + at.start..base + at.end].to_vec());
                }
            }
            // Read a second time, and of fewer columns, a key has the rows that it had.
            let one = sst.find_rows(v, &KeyRange::only(keys.key(row))).unwrap();
            for columns in [&ALL[..], &ALL[..], &[TEMP], &ALL[..]] {
                let (at, batch) = sst.read_key(v, keys.key(row), columns).unwrap().unwrap();
                prop_assert_eq!(&at, &one);
                prop_assert_eq!(batch.columns.len(), columns.len());
                if columns.len() > 1 {
                    prop_assert_eq!(rows_of(&batch), rows[base + at.start..base + at.end].to_vec());
                }
                prop_assert!(sst.read_key(v, &after, columns).unwrap().is_none());
            }
        }
        prop_assert!(sst.read_rows(sst.vectors(), 0..1, &ALL, true).is_err());
        prop_assert!(sst.read_rows(0, 0..sst.vector_rows(0) + 1, &ALL, true).is_err());
    }

    #[test]
    fn every_changed_byte_is_noticed(
        rows in tables::rows(1..400),
        at in any::<prop::sample::Index>(),
        mask in 1..=255_u8,
    ) {
        let disk = sim();
        let meta = write(&disk, &rows, 4096, false);
        disk.flip(PATH, at.index(meta.bytes as usize) as u64, mask);
        let found = open(&disk).and_then(|sst| sst.verify());
        prop_assert_eq!(found.unwrap_err().kind(), ErrorKind::Corrupt);
    }

    #[test]
    fn a_cut_file_is_refused(rows in tables::rows(1..400), at in any::<prop::sample::Index>()) {
        let disk = sim();
        let meta = write(&disk, &rows, 4096, false);
        let length = at.index(meta.bytes as usize) as u64;
        disk.open(PATH).unwrap().set_len(length).unwrap();
        let error = open(&disk).err().unwrap();
        prop_assert_eq!(error.kind(), ErrorKind::Corrupt);
    }
}

#[test]
fn many_row_groups_and_columns_that_come_later() {
    let disk = sim();
    let rows: Vec<Row> = (0..150_000)
        .map(|row: u64| Row {
            device: format!("device-{:03}", row / 1000),
            ts: -(row as i64 % 1000) * 1_000_000,
            hlc: 1_000 + row,
            origin: 0,
            expiry_ms: 0,
            tombstone: false,
            temp: Some(Some((row % 7) as f64 / 10.0)),
            status: None,
            count: (row >= 140_000).then_some(Some(row as i64)),
        })
        .collect();
    let meta = write(&disk, &rows, 10_000, false);
    assert!(!meta.unique);
    assert_eq!(
        meta.columns.iter().map(|c| c.id).collect::<Vec<_>>(),
        [DEVICE, TS, TEMP, COUNT, FLAG]
    );
    let sst = open(&disk).unwrap();
    assert_eq!(sst.vectors(), 150_000_usize.div_ceil(VECTOR_ROWS));
    let first = sst.read(0, &[COUNT, NEVER, STATUS, TS]).unwrap();
    assert_eq!(
        first.columns.iter().map(|c| c.id).collect::<Vec<_>>(),
        [COUNT, TS]
    );
    assert_eq!(first.columns[0].set.as_ref().unwrap().count_set_bits(), 0);
    assert!(first.hlc.is_empty() && first.origin.is_empty());
    let mut read = Vec::new();
    let mut sequential = sst.sequential();
    for v in 0..sst.vectors() {
        read.extend(rows_of(&sequential.read_stamped(v, &ALL).unwrap()));
    }
    assert_eq!(read, rows);
    for v in [100, 3, 4, 5, 99, 4, 0] {
        let (alone, in_order) = (
            sst.read(v, &[TS]).unwrap(),
            sequential.read(v, &[TS]).unwrap(),
        );
        assert_eq!(
            alone.columns[0].array.as_ref(),
            in_order.columns[0].array.as_ref()
        );
    }
    let predicate = |id, low| ZonePredicate {
        column: id,
        low: Some(low),
        high: None,
    };
    assert!(!sst.may_match(0, &predicate(COUNT, ZoneValue::Int(0))));
    assert!(!sst.may_match(0, &predicate(NEVER, ZoneValue::Int(0))));
    assert!(sst.may_match(
        sst.vectors() - 1,
        &predicate(COUNT, ZoneValue::Int(149_999))
    ));
    assert!(!sst.may_match(5, &predicate(TEMP, ZoneValue::Float(0.7))));
    assert!(sst.read(sst.vectors(), &ALL).is_err());
    assert!(sst.sequential().read_codes(sst.vectors(), DEVICE).is_err());
    assert_eq!(sst.sequential().read_codes(0, TS).unwrap(), None);
    assert!(sst.codes(DEVICE).unwrap().value(150).is_err());
    assert!(sst.codes(TS).unwrap().value(0).is_err());
    assert_eq!(sst.vector_rows(sst.vectors()), 0);
}

/// What reads leave in memory of a file's index stays within its bytes, and nothing is missed for it.
#[test]
fn the_index_keeps_to_its_bytes() {
    let rows: Vec<Row> = (0..60_000)
        .map(|row| Row {
            device: format!("device {:04}", row / 100),
            ts: -i64::from(row % 100),
            hlc: 1_000 + row as u64,
            origin: 0,
            expiry_ms: 0,
            tombstone: false,
            temp: Some(Some(f64::from(row % 17))),
            status: None,
            count: Some(Some(i64::from(row))),
        })
        .collect();
    let disk = sim();
    write(&disk, &rows, 8192, false);
    let disk: Arc<dyn Disk> = disk;
    let bytes_max = 12 << 10;
    let cache = crate::BlockCache::new(0, 0, bytes_max);
    let sst = Sst::open_cached(&disk, PATH, &cache).unwrap();
    assert!(sst.pages().len() > 8, "{}", sst.pages().len());
    assert_eq!(
        sst.pages().map(|(_, rows)| rows).sum::<u64>() / 1024,
        sst.vectors() as u64
    );
    let (_, keys) = tables::batch(&rows);
    for row in (0..rows.len()).step_by(997) {
        let range = KeyRange::only(keys.key(row));
        let found = sst.vectors_in(&range).unwrap();
        let found = found.filter(|v| !sst.find_rows(*v, &range).unwrap().is_empty());
        assert_eq!(found.collect::<Vec<_>>(), [row / VECTOR_ROWS]);
        assert!(cache.index_bytes() <= bytes_max as u64);
    }
    let mut read = 0;
    let mut all = sst.sequential();
    for v in 0..sst.vectors() {
        read += all.read_stamped(v, &ALL).unwrap().rows;
        assert!(cache.index_bytes() <= bytes_max as u64);
    }
    assert_eq!(read, rows.len());
    assert!(cache.index_bytes() > 0);
    drop((all, sst));
    assert_eq!(
        cache.index_bytes(),
        0,
        "nothing is left of a file that is closed"
    );
}

#[test]
fn a_file_without_rows_is_empty() {
    let disk = sim();
    write(&disk, &[], 1, false);
    let sst = open(&disk).unwrap();
    assert_eq!((sst.vectors(), sst.meta().rows), (0, 0));
    assert_eq!(sst.vectors_in(&KeyRange::all()).unwrap(), 0..0);
    assert!(!sst.may_hold_partition(b"any"));
    sst.verify().unwrap();
}
