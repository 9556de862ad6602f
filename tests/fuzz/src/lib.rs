//! What the fuzz targets share: one table with a column of every type, rows for it, data directories in
//! memory, and guests that give back what they are given. The targets feed hostile bytes to everything that
//! the store reads from its disk, and to the host of plugins as what they return; with `--cfg fuzzing` the
//! store does not compare checksums, so that the bytes behind them are reached.

pub mod manifest;
pub mod mirror;
pub mod seeds;

use std::sync::{Arc, OnceLock};

use activestore_env::{Disk, Env, SimDisk, SimDiskOptions, SimEnv};
use activestore_sst::{Sst, SstOptions, SstWriter, WideColumn};
use activestore_store::{Note, ScanRequest, Store, StoreOptions, WriteSet};
use activestore_types::{
    BatchColumn, ClusteringColumn, Column, ColumnId, CompactionMode, DataType, Hlc, KeyRange,
    NodeId, OriginId, RangeTombstone, Result, RowBatch, SyncMode, TableId, TableName, TableSchema,
    encode_keys,
};
use arrow::array::{
    ArrayRef, BinaryArray, BooleanArray, Date32Array, Decimal128Array, Float32Array, Float64Array,
    Int32Array, Int64Array, StringArray, TimestampNanosecondArray,
};
use arrow::buffer::BooleanBuffer;

/// The node of every store here.
pub const NODE: NodeId = NodeId([7; 16]);
/// The only table.
pub const TABLE: TableId = TableId(1);
/// The manifest's file.
pub const MANIFEST: &str = "manifest.redb";
/// Its copy.
pub const COPY: &str = "manifest.copy";
/// The log's only segment.
pub const SEGMENT: &str = "wal/00000001.wal";
const SEGMENT_BYTES: u64 = 8 << 10;

/// The columns' ids.
pub fn columns() -> Vec<ColumnId> {
    (0..11).map(ColumnId).collect()
}

/// A column of every type; text and time are the key.
pub fn schema() -> Arc<TableSchema> {
    let types = [
        DataType::Text,
        DataType::Timestamp,
        DataType::Boolean,
        DataType::Int,
        DataType::BigInt,
        DataType::Real,
        DataType::Double,
        DataType::Decimal {
            precision: 30,
            scale: 3,
        },
        DataType::Bytes,
        DataType::Date,
        DataType::Text,
    ];
    Arc::new(TableSchema {
        id: TABLE,
        name: TableName::new("plant", "readings"),
        columns: (0..)
            .zip(types)
            .map(|(id, data_type)| Column {
                id: ColumnId(id),
                name: format!("c{id}"),
                data_type,
            })
            .collect(),
        partition_key: vec![ColumnId(0)],
        clustering_key: vec![ClusteringColumn {
            id: ColumnId(1),
            descending: false,
        }],
        flexible: true,
        ttl_s: None,
        sync: SyncMode::None,
        compaction: CompactionMode::default(),
        version: 1,
    })
}

/// Arrays of every type, without NULLs in the first two.
pub fn arrays(rows: usize) -> Vec<ArrayRef> {
    let some = |row: usize| !(row + 1).is_multiple_of(7);
    let number = |row: usize| (row as i64 * 7_919) % 1_000 - 500;
    let all = || 0..rows;
    vec![
        Arc::new(StringArray::from_iter_values(
            all().map(|row| format!("d{:03}", row / 100)),
        )),
        Arc::new(TimestampNanosecondArray::from_iter_values(
            all().map(|row| 1_767_225_600_000_000_000 + row as i64 * 1_000_000),
        )),
        Arc::new(BooleanArray::from_iter(
            all().map(|row| some(row).then_some(row % 3 == 0)),
        )),
        Arc::new(Int32Array::from_iter(
            all().map(|row| some(row).then_some(number(row) as i32)),
        )),
        Arc::new(Int64Array::from_iter(
            all().map(|row| some(row).then_some(number(row) << (row % 50))),
        )),
        Arc::new(Float32Array::from_iter(
            all().map(|row| some(row).then_some(number(row) as f32 / 10.0)),
        )),
        Arc::new(Float64Array::from_iter(all().map(|row| {
            some(row).then_some(match row % 90 {
                0 => f64::NAN,
                1 => 1.0 / 3.0,
                _ => number(row) as f64 / 100.0,
            })
        }))),
        Arc::new(
            Decimal128Array::from_iter(
                all().map(|row| some(row).then_some(i128::from(number(row)) << (row % 90))),
            )
            .with_precision_and_scale(30, 3)
            .expect("30 digits, 3 of them decimals"),
        ),
        Arc::new(BinaryArray::from_iter(
            all().map(|row| some(row).then(|| vec![row as u8; row % 9])),
        )),
        Arc::new(Date32Array::from_iter(
            all().map(|row| some(row).then_some(20_000 + row as i32 / 20)),
        )),
        Arc::new(StringArray::from_iter(all().map(|row| {
            some(row).then_some(["ok", "warm", "hot: stop the line"][row % 3])
        }))),
    ]
}

/// Rows with NULLs, absent cells, expiries and tombstones.
pub fn batch(rows: usize, first: u64) -> RowBatch {
    let columns = (0..)
        .zip(arrays(rows))
        .map(|(id, array)| BatchColumn {
            id: ColumnId(id),
            array,
            set: (id == 5).then(|| (0..rows).map(|row| row % 2 == 0).collect()),
        })
        .collect();
    let mut batch = RowBatch::upsert(TABLE, rows, columns, Hlc(first), OriginId(0));
    batch.expiry_ms = Some(
        (0..rows as u64)
            .map(|row| row % 5 * 2_000_000_000_000)
            .collect(),
    );
    batch.tombstone = Some(
        (0..rows)
            .map(|row| row % 50 == 49)
            .collect::<BooleanBuffer>(),
    );
    batch
}

/// A file of rows.
///
/// # Errors
/// As the writer.
pub fn table_file(rows: usize) -> Result<Vec<u8>> {
    let disk = disk(&[]);
    let batch = batch(rows, 1);
    let key = [0, 1].map(|column| (Arc::clone(&batch.columns[column].array), false));
    let keys = encode_keys(&key)?;
    let options = SstOptions::default();
    let mut writer = SstWriter::create(&disk, "1.sst", schema(), options)?;
    writer.append(&batch, &keys)?;
    writer.finish()?;
    read(&disk, "1.sst")
}

/// Bytes of a file.
///
/// # Errors
/// As the disk.
pub fn read(disk: &Arc<dyn Disk>, path: &str) -> Result<Vec<u8>> {
    let file = disk.open(path)?;
    let mut bytes = vec![0; file.len()? as usize];
    file.read_exact_at(0, &mut bytes)?;
    Ok(bytes)
}

/// A disk with files.
pub fn disk(files: &[(&str, &[u8])]) -> Arc<dyn Disk> {
    let disk = SimDisk::seeded(1, SimDiskOptions::default());
    for (path, bytes) in files {
        if let Some((dir, _)) = path.rsplit_once('/') {
            disk.create_dir_all(dir).expect("a simulated disk");
        }
        let file = disk.create(path).expect("a simulated disk");
        file.write_at(0, bytes).expect("a simulated disk");
    }
    Arc::new(disk)
}

/// A simulated world around a disk.
pub fn env(disk: Arc<dyn Disk>) -> Env {
    Env {
        disk,
        ..SimEnv::seeded(1).env()
    }
}

/// Small limits, everything in the caller's thread.
pub fn options() -> StoreOptions {
    StoreOptions {
        memtable_bytes: 1 << 20,
        wal_flush_bytes: 1 << 20,
        wal_segment_bytes: SEGMENT_BYTES,
        background: false,
        ..StoreOptions::new(NODE)
    }
}

/// The files of a store that committed a few sets and was closed, before and after a flush.
pub struct Sample {
    /// The manifest before the flush.
    pub manifest: Vec<u8>,
    /// The log segments at that time.
    pub segments: Vec<Vec<u8>>,
    /// The manifest after it.
    pub flushed_manifest: Vec<u8>,
    /// All files after it.
    pub files: Vec<(String, Vec<u8>)>,
}

/// Makes it once.
pub fn sample() -> &'static Sample {
    static SAMPLE: OnceLock<Sample> = OnceLock::new();
    SAMPLE.get_or_init(|| make_sample().expect("a simulated disk"))
}

fn make_sample() -> Result<Sample> {
    let disk = disk(&[]);
    let store = Store::open(env(Arc::clone(&disk)), options())?;
    store.put_schema(schema())?;
    for commit in 0..3_u64 {
        store.commit(WriteSet {
            batches: vec![batch(4 + 12 * commit as usize, 1 + commit * 100)],
            tombstones: vec![RangeTombstone {
                table: TABLE,
                start: b"d000\0\0".to_vec(),
                end: b"d000\0\0\x80\0\0\0\0\0\0\x09".to_vec(),
                hlc: Hlc(commit * 100),
                origin: OriginId(0),
            }],
            notes: vec![Note {
                key: vec![commit as u8],
                value: (commit != 1).then(|| b"how far".to_vec()),
            }],
        })?;
    }
    store.close()?;
    let manifest = read(&disk, MANIFEST)?;
    let segments = disk
        .list("wal")?
        .iter()
        .map(|name| read(&disk, &format!("wal/{name}")))
        .collect::<Result<_>>()?;
    drop(store);
    let store = Store::open(env(Arc::clone(&disk)), options())?;
    store.flush()?;
    store.close()?;
    drop(store);
    let mut files = Vec::new();
    for dir in ["", "sst", "wal"] {
        for name in disk.list(dir)? {
            let path = if dir.is_empty() {
                name
            } else {
                format!("{dir}/{name}")
            };
            if let Ok(bytes) = read(&disk, &path) {
                files.push((path, bytes));
            }
        }
    }
    Ok(Sample {
        manifest,
        segments,
        flushed_manifest: read(&disk, MANIFEST)?,
        files,
    })
}

/// A commit of rows.
pub fn rows(rows: usize, first: u64) -> WriteSet {
    WriteSet {
        batches: vec![batch(rows, first)],
        ..WriteSet::default()
    }
}

/// Examines a directory. Damage is a finding of it, never more.
pub fn examine(disk: &Arc<dyn Disk>) {
    let known = activestore_store::repair::Known::default();
    let _ = activestore_store::repair::examine(disk, &known, &mut |_| {});
}

/// Reads everything that a store shows. Damage may be reported, it may not do harm.
pub fn look_around(store: &Store) {
    let Ok(snapshot) = store.snapshot(TABLE) else {
        return;
    };
    for reverse in [false, true] {
        let request = ScanRequest {
            columns: snapshot
                .schema()
                .columns
                .iter()
                .map(|column| column.id)
                .collect(),
            reverse,
            now_ms: 1_767_225_600_000,
            ..ScanRequest::default()
        };
        let Ok(scan) = snapshot.scan(request) else {
            continue;
        };
        for batch in scan {
            if batch.is_err() {
                break;
            }
        }
    }
    let _ = snapshot.split(3);
    let _ = store.stats();
}

/// Reads a table file in every way there is.
pub fn read_table_file(bytes: &[u8]) {
    let disk = disk(&[("1.sst", bytes)]);
    let Ok(sst) = Sst::open(&disk, "1.sst") else {
        return;
    };
    let _ = sst.verify();
    let columns: Vec<ColumnId> = sst
        .schema()
        .columns
        .iter()
        .map(|column| column.id)
        .collect();
    for v in 0..sst.vectors().min(8) {
        let _ = sst.read(v, &columns);
        let _ = sst.read_stamped(v, &columns);
        let _ = sst.stamps(v);
        let rows = sst.vector_rows(v);
        let _ = sst.read_rows(v, rows / 3..rows / 3 + 2, &columns, true);
        let mut reader = sst.sequential();
        for column in &columns {
            let _ = reader.read_codes(v, *column);
            let _ = sst.summary(v, *column);
        }
        let some = [0..rows / 5, rows / 3..rows / 2, rows - rows / 4..rows];
        let count = some.iter().map(std::ops::Range::len).sum();
        for (wanted, count) in [(None, rows), (Some(some.as_slice()), count)] {
            let wide = sst.schema().columns.iter();
            let wide = wide
                .filter_map(|column| WideColumn::new(column.id, &column.data_type.arrow(), count));
            let mut wide: Vec<WideColumn> = wide.collect();
            if reader.read_wide(v, wanted, wide.iter_mut()).is_ok() {
                for column in wide {
                    assert_eq!(column.finish().unwrap().len(), count);
                }
            }
        }
        if let Ok(fence) = sst.fence(v) {
            let range = KeyRange::prefix(&fence);
            let _ = sst.may_hold_partition(&fence);
            let _ = sst.find_rows(v, &range);
            let _ = sst.vectors_in(&range);
        }
    }
    for column in &columns {
        let _ = sst.codes(*column).map(|codes| codes.value(3).is_ok());
    }
    if let Some(newest) = sst.newest() {
        for v in 0..newest.vectors().min(2) {
            let _ = newest.read_stamped(v, &columns);
        }
    }
}
