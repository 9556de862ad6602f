//! Newest rows are those of the file, and are left out where they would cost.

use activestore_env::{Disk, SimDisk, SimDiskOptions};
use activestore_types::{
    BatchColumn, ClusteringColumn, ColumnId, Hlc, OriginId, TableSchema, encode_keys,
};
use arrow::array::{ArrayRef, AsArray, Float64Array, StringArray, TimestampNanosecondArray};
use arrow::datatypes::{Float64Type, TimestampNanosecondType};

use super::*;
use crate::footer::MAGIC;
use crate::tables::{self, DEVICE, TEMP, TS};
use crate::{Sst, SstMeta};

/// `devices` partitions of `rows` rows, in appends of `piece` rows; a key twice if `twice`.
fn write(descending: bool, devices: usize, rows: usize, piece: usize, twice: bool) -> Arc<Sst> {
    write_to(descending, devices, rows, piece, twice).1
}

fn write_to(
    descending: bool,
    devices: usize,
    rows: usize,
    piece: usize,
    twice: bool,
) -> (Arc<dyn Disk>, Arc<Sst>) {
    let mut schema = TableSchema::clone(&tables::schema());
    schema.clustering_key = vec![ClusteringColumn { id: TS, descending }];
    let disk = Arc::new(SimDisk::seeded(1, SimDiskOptions::default()));
    let disk: Arc<dyn Disk> = disk;
    let schema = Arc::new(schema);
    let mut writer =
        SstWriter::create(&disk, "1.sst", Arc::clone(&schema), SstOptions::default()).unwrap();
    let mut all: Vec<(usize, i64)> = Vec::new();
    for device in 0..devices {
        let ticks = (0..rows as i64).map(|tick| if descending { -tick } else { tick });
        all.extend(ticks.map(|tick| (device, tick)));
    }
    if twice {
        all.insert(5, all[4]);
    }
    let mut stamp = 1 << 30;
    for part in all.chunks(piece) {
        let names = part.iter().map(|(device, _)| format!("d{device:04}"));
        let columns: [(ColumnId, ArrayRef); 3] = [
            (DEVICE, Arc::new(StringArray::from_iter_values(names))),
            (
                TS,
                Arc::new(TimestampNanosecondArray::from_iter_values(
                    part.iter().map(|(_, tick)| *tick),
                )),
            ),
            (
                TEMP,
                Arc::new(
                    part.iter()
                        .map(|(device, tick)| {
                            (tick % 3 != 0).then_some((*device as i64 + tick) as f64)
                        })
                        .collect::<Float64Array>(),
                ),
            ),
        ];
        let keys = encode_keys(&[
            (columns[0].1.clone(), false),
            (columns[1].1.clone(), descending),
        ]);
        let columns = columns.into_iter().map(|(id, array)| BatchColumn {
            id,
            array,
            set: None,
        });
        stamp -= part.len() as u64;
        let mut batch = RowBatch::upsert(
            schema.id,
            part.len(),
            columns.collect(),
            Hlc(stamp),
            OriginId(3),
        );
        batch.hlc = batch.hlc.iter().rev().copied().collect();
        writer.append(&batch, &keys.unwrap()).unwrap();
    }
    let meta: SstMeta = writer.finish().unwrap();
    assert_eq!(meta.rows, all.len() as u64);
    let sst = Sst::open(&disk, "1.sst").unwrap();
    sst.verify().unwrap();
    (disk, sst)
}

#[test]
fn every_partition_has_its_newest_row() {
    for descending in [false, true] {
        for piece in [1, 70, 128, 997, 1 << 20] {
            let (devices, rows) = (37, 128);
            let sst = write(descending, devices, rows, piece, false);
            let newest = sst.newest().unwrap();
            assert_eq!(newest.meta().rows, devices as u64);
            assert!(newest.newest().is_none());
            let batch = newest.read_stamped(0, &[DEVICE, TS, TEMP]).unwrap();
            let ts = batch.column(TS).unwrap().array.clone();
            let ts = ts.as_primitive::<TimestampNanosecondType>();
            let temp = batch.column(TEMP).unwrap().array.clone();
            let temp = temp.as_primitive::<Float64Type>();
            let newest_tick = if descending { 0 } else { rows as i64 - 1 };
            for row in 0..devices {
                assert_eq!(ts.value(row), newest_tick);
                let expected = (newest_tick % 3 != 0).then_some((row as i64 + newest_tick) as f64);
                assert_eq!(temp.iter().nth(row).unwrap(), expected);
                // The stamps came with the rows.
                let at = row * rows + if descending { 0 } else { rows - 1 };
                let whole = sst
                    .read_rows(at / 1024, at % 1024..at % 1024 + 1, &[TS], true)
                    .unwrap();
                assert_eq!((batch.hlc[row], batch.origin[row]), (whole.hlc[0], 3));
            }
        }
    }
}

#[test]
fn they_are_left_out_where_they_cost_or_say_too_little() {
    // Short partitions, many or few; a key that stands twice.
    assert!(write(false, 1000, 20, 500, false).newest().is_none());
    assert!(write(false, 3, 20, 60, false).newest().is_none());
    assert!(write(false, 3, 500, 60, true).newest().is_none());
    assert!(write(true, 3, 500, 60, true).newest().is_none());
}

/// They are in the file a second time: damage to them is found, and nobody reads them.
#[test]
fn damaged_ones_are_left_alone() {
    let (disk, sst) = write_to(false, 5, 200, 100, false);
    assert!(sst.newest().is_some());
    let file = disk.open("1.sst").unwrap();
    let bytes = file.read_vec(0, file.len().unwrap() as usize).unwrap();
    let starts = bytes.windows(8).enumerate();
    let mut starts = starts.filter(|(_, bytes)| *bytes == MAGIC);
    let (inner, _) = starts.nth(1).unwrap();
    for at in [inner + 3, inner + 20, inner + 300] {
        file.write_at(at as u64, &[bytes[at] ^ 0x10]).unwrap();
        let sst = Sst::open(&disk, "1.sst").unwrap();
        assert!(sst.newest().is_none(), "byte {at}");
        assert!(sst.verify().is_err());
        assert_eq!(sst.read(0, &[TEMP]).unwrap().rows, 1000);
        file.write_at(at as u64, &[bytes[at]]).unwrap();
    }
    assert!(Sst::open(&disk, "1.sst").unwrap().newest().is_some());
}

#[test]
fn a_part_of_a_file_ends_where_it_ends() {
    let file = Arc::new(MemoryFile::default());
    file.write_at(0, &[1, 2, 3, 4, 5]).unwrap();
    let part = Part {
        file,
        offset: 1,
        length: 3,
    };
    let mut out = [0; 8];
    assert_eq!(part.read_at(0, &mut out).unwrap(), 3);
    assert_eq!(&out[..4], [2, 3, 4, 0]);
    assert_eq!(part.read_at(2, &mut out).unwrap(), 1);
    assert_eq!(part.read_at(3, &mut out).unwrap(), 0);
    assert_eq!(part.read_at(u64::MAX, &mut out).unwrap(), 0);
    assert!(part.write_at(0, &[1]).is_err());
}
