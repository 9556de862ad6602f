//! What the golden stores hold, and any store's content as text. The example `fixture` fills a store
//! with it and keeps both; the test compares what it reads with the text that was kept.

use std::fmt::Write;
use std::sync::Arc;

use activestore_env::{Disk, DiskFile, SimEnv};
use activestore_store::{Note, ScanRequest, Store, StoreOptions, WriteSet};
use activestore_types::{
    BatchColumn, ClusteringColumn, Column, ColumnId, DataType, Hlc, Lsn, NodeId, OriginId,
    RangeTombstone, RowBatch, SyncMode, TableId, TableName, TableSchema, encode_keys,
};
use arrow::array::{
    ArrayRef, BinaryArray, BooleanArray, Date32Array, Decimal128Array, Float32Array, Float64Array,
    Int32Array, Int64Array, StringArray, TimestampNanosecondArray,
};
use arrow::buffer::BooleanBuffer;
use arrow::util::display::array_value_to_string;

/// Whose stores they are.
pub const NODE: NodeId = NodeId([0x60; 16]);
const PEER: NodeId = NodeId([0x61; 16]);
const TABLE: TableId = TableId(1);
const SMALL: TableId = TableId(2);

/// Everything happens in the caller, so that the same files come out.
pub fn options() -> StoreOptions {
    StoreOptions {
        wal_segment_bytes: 64 << 10,
        background: false,
        ..StoreOptions::new(NODE)
    }
}

/// The files of a store: path and bytes. The folders are those of FORMAT.md.
pub type Files = Vec<(String, Vec<u8>)>;

/// A fixture: the files and the text of what they hold, postcard in zstd.
pub type Golden = (Files, String);

/// Puts the files on a disk.
pub fn place(world: &SimEnv, files: &Files) {
    for (path, bytes) in files {
        let dir = path.rsplit_once('/').map_or("", |(dir, _)| dir);
        world.disk.create_dir_all(dir).unwrap();
        let file: Arc<dyn DiskFile> = world.disk.create(path).unwrap();
        file.write_at(0, bytes).unwrap();
        file.sync_data().unwrap();
        world.disk.sync_dir(dir).unwrap();
    }
}

/// The files that are on a disk.
#[allow(dead_code, reason = "the example gathers, the test places")]
pub fn gather(world: &SimEnv) -> Files {
    let mut files = Vec::new();
    for dir in ["", "wal", "sst"] {
        for name in world.disk.list(dir).unwrap() {
            let path = format!("{dir}/{name}").trim_start_matches('/').to_owned();
            let bytes = world.disk.contents(&path).unwrap();
            files.push((path, bytes));
        }
    }
    files
}

fn schema(wide: bool) -> Arc<TableSchema> {
    let types = [
        ("device", DataType::Text),
        ("ts", DataType::Timestamp),
        ("n", DataType::BigInt),
        ("i", DataType::Int),
        ("f", DataType::Double),
        ("r", DataType::Real),
        (
            "d",
            DataType::Decimal {
                precision: 20,
                scale: 3,
            },
        ),
        ("b", DataType::Boolean),
        ("t", DataType::Text),
        ("x", DataType::Bytes),
        ("day", DataType::Date),
        ("j", DataType::Json),
        ("later", DataType::Double),
    ];
    let kept = if wide { types.len() } else { types.len() - 1 };
    Arc::new(TableSchema {
        id: TABLE,
        name: TableName::new("golden", "readings"),
        columns: types
            .iter()
            .zip(1..)
            .take(kept)
            .map(|((name, data_type), id)| Column {
                id: ColumnId(id),
                name: (*name).to_owned(),
                data_type: *data_type,
            })
            .collect(),
        partition_key: vec![ColumnId(1)],
        clustering_key: vec![ClusteringColumn {
            id: ColumnId(2),
            descending: true,
        }],
        flexible: true,
        ttl_s: None,
        compaction: activestore_types::CompactionMode::Automatic,
        sync: SyncMode::Up,
        version: if wide { 2 } else { 1 },
    })
}

fn small() -> Arc<TableSchema> {
    let mut schema = TableSchema::clone(&schema(false));
    schema.id = SMALL;
    schema.name = TableName::new("golden", "small");
    schema.columns.truncate(3);
    schema.clustering_key[0].descending = false;
    schema.flexible = false;
    schema.ttl_s = Some(3600);
    Arc::new(schema)
}

/// Rows of every type: values, NULLs, extremes, long text.
fn rows(first: i64, count: i64, hlc: u64, origin: OriginId, wide: bool) -> RowBatch {
    let n: Vec<i64> = (first..first + count).collect();
    let every = |by: i64| move |value: &i64| value % by != 0;
    let some = |by: i64| n.iter().map(move |v| every(by)(v).then_some(*v));
    let arrays: Vec<ArrayRef> = vec![
        Arc::new(StringArray::from_iter_values(
            n.iter().map(|v| format!("dev-{}", v % 7)),
        )),
        Arc::new(TimestampNanosecondArray::from_iter_values(
            n.iter()
                .map(|v| 1_767_225_600_000_000_000 + v * 1_000_000_007),
        )),
        Arc::new(some(5).collect::<Int64Array>()),
        Arc::new(
            some(3)
                .map(|v| v.map(|v| if v % 11 == 0 { i32::MIN } else { v as i32 }))
                .collect::<Int32Array>(),
        ),
        Arc::new(
            some(4)
                .map(|v| {
                    v.map(|v| {
                        if v % 13 == 0 {
                            f64::NAN
                        } else {
                            v as f64 / 10.0
                        }
                    })
                })
                .collect::<Float64Array>(),
        ),
        Arc::new(
            some(6)
                .map(|v| v.map(|v| v as f32 * 0.1))
                .collect::<Float32Array>(),
        ),
        Arc::new(
            some(8)
                .map(|v| v.map(|v| i128::from(v) * 1_000_000_007))
                .collect::<Decimal128Array>()
                .with_precision_and_scale(20, 3)
                .unwrap(),
        ),
        Arc::new(
            some(9)
                .map(|v| v.map(|v| v % 2 == 0))
                .collect::<BooleanArray>(),
        ),
        Arc::new(
            some(10)
                .map(|v| {
                    v.map(|v| match v % 3 {
                        0 => "running".to_owned(),
                        1 => String::new(),
                        _ => "överheated ".repeat((v % 5) as usize),
                    })
                })
                .collect::<StringArray>(),
        ),
        Arc::new(BinaryArray::from_iter(
            some(7).map(|v| v.map(|v| v.to_le_bytes().to_vec())),
        )),
        Arc::new(
            some(12)
                .map(|v| v.map(|v| v as i32))
                .collect::<Date32Array>(),
        ),
        Arc::new(
            some(2)
                .map(|v| v.map(|v| format!("{{\"v\":{v}}}")))
                .collect::<StringArray>(),
        ),
    ];
    let mut columns: Vec<BatchColumn> = arrays
        .into_iter()
        .zip(1..)
        .map(|(array, id)| BatchColumn {
            id: ColumnId(id),
            array,
            set: None,
        })
        .collect();
    if wide {
        let later: Float64Array = n.iter().map(|v| Some(*v as f64)).collect();
        columns.push(BatchColumn {
            id: ColumnId(13),
            array: Arc::new(later),
            set: Some(n.iter().map(every(2)).collect::<BooleanBuffer>()),
        });
    }
    RowBatch::upsert(TABLE, n.len(), columns, Hlc(hlc), origin)
}

fn device(name: &str) -> Vec<u8> {
    let array: ArrayRef = Arc::new(StringArray::from(vec![name]));
    encode_keys(&[(array, false)]).unwrap().key(0).to_vec()
}

fn note(key: &str, value: Option<&str>) -> Note {
    Note {
        key: key.as_bytes().to_vec(),
        value: value.map(|value| value.as_bytes().to_vec()),
    }
}

/// Fills an empty store with a bit of everything that its files can hold.
#[allow(dead_code, reason = "the example fills, the test reads")]
pub fn fill(store: &Store) {
    let commit = |batches, tombstones, notes| {
        let set = WriteSet {
            batches,
            tombstones,
            notes,
        };
        store.commit(set).unwrap();
    };
    store.put_schema(schema(false)).unwrap();
    store.put_schema(small()).unwrap();
    let peer = store.origin_id(PEER).unwrap();
    let own = OriginId(0);
    commit(
        vec![rows(1, 1500, 1 << 30, own, false)],
        Vec::new(),
        vec![note("kept", Some("first")), note("gone", Some("x"))],
    );
    commit(
        vec![rows(1000, 100, 2 << 30, peer, false)],
        Vec::new(),
        vec![note("gone", None)],
    );
    store.flush().unwrap();
    store.put_schema(schema(true)).unwrap();
    commit(
        vec![rows(1400, 200, 3 << 30, own, true)],
        vec![RangeTombstone {
            table: TABLE,
            start: device("dev-3"),
            end: device("dev-4"),
            hlc: Hlc((1 << 30) + 5000),
            origin: own,
        }],
        vec![note("kept", Some("second"))],
    );
    let mut deleted = rows(50, 20, 4 << 30, own, false);
    deleted.columns.truncate(2);
    deleted.tombstone = Some(BooleanBuffer::new_set(deleted.rows));
    commit(vec![deleted], Vec::new(), Vec::new());
    let mut expiring = rows(1, 40, 5 << 30, peer, false);
    expiring.table = SMALL;
    expiring.columns.truncate(3);
    expiring.expiry_ms = Some(
        (0..40)
            .map(|row| {
                if row % 3 == 0 {
                    0
                } else {
                    4_000_000_000_000 + row
                }
            })
            .collect(),
    );
    commit(vec![expiring], Vec::new(), Vec::new());
    store.hold_log(Some(Lsn(3)));
    store.flush().unwrap();
    // The rest is only in the log.
    commit(
        vec![rows(5000, 60, 6 << 30, own, true)],
        vec![RangeTombstone {
            table: TABLE,
            start: device("dev-5"),
            end: Vec::new(),
            hlc: Hlc((1 << 30) + 100),
            origin: peer,
        }],
        vec![note("log", Some("only"))],
    );
}

/// Everything that can be read of a store, as text.
pub fn dump(store: &Store) -> String {
    let mut text = String::new();
    for (id, columns) in [(TABLE, 13), (SMALL, 3)] {
        let request = ScanRequest {
            columns: (1..=columns).map(ColumnId).collect(),
            ..ScanRequest::default()
        };
        let snapshot = store.snapshot(id).unwrap();
        writeln!(text, "table {}", id.0).unwrap();
        for batch in snapshot.scan(request).unwrap() {
            let batch = batch.unwrap();
            for row in 0..batch.num_rows() {
                let cells: Vec<String> = batch
                    .columns()
                    .iter()
                    .map(|column| array_value_to_string(column, row).unwrap())
                    .collect();
                writeln!(text, "{}", cells.join("|")).unwrap();
            }
        }
        let digest = snapshot.digest(None, 1_767_225_600_000).unwrap();
        writeln!(text, "digest {} {:x?}", digest.rows, digest.hash).unwrap();
    }
    for (key, value) in store.notes(b"") {
        let shown = String::from_utf8_lossy(&key);
        writeln!(text, "note {shown} {}", String::from_utf8_lossy(&value)).unwrap();
    }
    writeln!(text, "origin 1 {:?}", store.origin_node(OriginId(1))).unwrap();
    writeln!(text, "stamp {}", store.max_hlc().0).unwrap();
    text
}
