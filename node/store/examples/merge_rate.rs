//! How fast files are merged: a fleet's rows in several flushes, then one merge of all of them.
//!
//! `cargo run --release -p activestore-store --example merge_rate -- [rows] [flushes] [ttl]`
//! prints rows per second of processor time (user and system), which other programs do not disturb.
//! With `ttl` every row expires some day.

use std::sync::Arc;

use activestore_env::Env;
use activestore_store::{Store, StoreOptions, WalSync, WriteSet};
use activestore_types::{
    BatchColumn, ClusteringColumn, Column, ColumnId, CompactionMode, DataType, Hlc, NodeId,
    OriginId, Result, RowBatch, SyncMode, TableId, TableName, TableSchema,
};
use arrow::array::{ArrayRef, Float64Array, StringArray, TimestampNanosecondArray};
use arrow::buffer::ScalarBuffer;

const DEVICES: usize = 2_000;
const FIELDS: usize = 10;
const BATCH_ROWS: usize = 10_000;
const TABLE: TableId = TableId(1);

fn main() -> Result<()> {
    let mut arguments = std::env::args().skip(1);
    let mut number = |otherwise: usize| {
        let text = arguments.next();
        text.and_then(|text| text.parse().ok()).unwrap_or(otherwise)
    };
    let (rows, flushes) = (number(2_000_000), number(8).max(1));
    let expires = std::env::args().any(|argument| argument == "ttl");
    let dir = tempfile::tempdir()?;
    let options = StoreOptions {
        memtable_bytes: 1 << 30,
        wal_flush_bytes: 4 << 30,
        wal_sync: WalSync::Interval(std::time::Duration::from_secs(60)),
        auto_compact: false,
        ..StoreOptions::new(NodeId([1; 16]))
    };
    let store = Store::open(Env::real(dir.path())?, options)?;
    store.put_schema(schema())?;
    let mut fleet = Fleet::new();
    for flush in 0..flushes {
        while fleet.next < rows * (flush + 1) / flushes {
            let count = BATCH_ROWS.min(rows * (flush + 1) / flushes - fleet.next);
            store.commit(WriteSet {
                batches: vec![fleet.batch(count, expires)],
                ..WriteSet::default()
            })?;
        }
        store.flush()?;
    }
    let bytes = |store: &Store| {
        store
            .sstables()
            .iter()
            .map(|file| file.meta.bytes)
            .sum::<u64>()
    };
    let before = bytes(&store);
    let begun = processor_seconds();
    store.compact(TABLE)?;
    let spent = processor_seconds() - begun;
    println!(
        "{rows} rows, {flushes} files of {} KiB → {} KiB: {spent:.2} s, {:.2} M rows per processor second",
        before / 1024 / flushes as u64,
        bytes(&store) / 1024,
        rows as f64 / spent / 1e6,
    );
    Ok(())
}

/// User and system time of this process, from `/proc`, in ticks of a hundredth.
fn processor_seconds() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let after = stat.rsplit(')').next().unwrap_or_default();
    let ticks = |field: usize| {
        let text = after.split_whitespace().nth(field);
        text.and_then(|text| text.parse::<f64>().ok())
            .unwrap_or(0.0)
    };
    (ticks(11) + ticks(12)) / 100.0
}

fn schema() -> Arc<TableSchema> {
    let column = |id, name: String, data_type| Column {
        id: ColumnId(id),
        name,
        data_type,
    };
    let mut columns = vec![
        column(0, "device".into(), DataType::Text),
        column(1, "ts".into(), DataType::Timestamp),
    ];
    columns.extend((0..FIELDS).map(|field| {
        let id = 2 + u32::try_from(field).unwrap_or_default();
        column(id, format!("f{field}"), DataType::Double)
    }));
    Arc::new(TableSchema {
        id: TABLE,
        name: TableName::new("plant", "readings"),
        columns,
        partition_key: vec![ColumnId(0)],
        clustering_key: vec![ClusteringColumn {
            id: ColumnId(1),
            descending: false,
        }],
        flexible: false,
        ttl_s: None,
        sync: SyncMode::None,
        compaction: CompactionMode::Automatic,
        version: 1,
    })
}

/// Devices that send in turn, every ten seconds; their fields walk at random.
struct Fleet {
    next: usize,
    random: u64,
    state: Vec<[f64; FIELDS]>,
}

impl Fleet {
    fn new() -> Self {
        Fleet {
            next: 0,
            random: 0x2545_F491_4F6C_DD1D,
            state: vec![[50.0; FIELDS]; DEVICES],
        }
    }

    fn unit(&mut self) -> f64 {
        self.random ^= self.random >> 12;
        self.random ^= self.random << 25;
        self.random ^= self.random >> 27;
        (self.random >> 11) as f64 / (1_u64 << 53) as f64 - 0.5
    }

    fn batch(&mut self, rows: usize, expires: bool) -> RowBatch {
        let (mut devices, mut times) = (Vec::new(), Vec::new());
        let mut fields: Vec<Vec<f64>> = vec![Vec::new(); FIELDS];
        for row in self.next..self.next + rows {
            let device = row % DEVICES;
            let tick = i64::try_from(row / DEVICES).unwrap_or_default();
            devices.push(format!("device-{device:06}"));
            times.push(
                1_767_225_600_000_000_000 + tick * 10_000_000_000 + device as i64 * 5_000_000,
            );
            for (field, values) in fields.iter_mut().enumerate() {
                let moved = self.unit() * (1 + field) as f64 / 10.0;
                if let Some(value) = self
                    .state
                    .get_mut(device)
                    .and_then(|state| state.get_mut(field))
                {
                    *value += moved;
                    values.push((*value * 100.0).round() / 100.0);
                }
            }
        }
        let mut columns = vec![
            Arc::new(StringArray::from(devices)) as ArrayRef,
            Arc::new(TimestampNanosecondArray::from(times)) as ArrayRef,
        ];
        columns.extend(
            fields
                .into_iter()
                .map(|values| Arc::new(Float64Array::from(values)) as ArrayRef),
        );
        let columns = (0..).zip(columns).map(|(id, array)| BatchColumn {
            id: ColumnId(id),
            array,
            set: None,
        });
        let first = self.next as u64;
        self.next += rows;
        let mut batch = RowBatch::upsert(TABLE, rows, columns.collect(), Hlc(1), OriginId(0));
        batch.hlc = (first + 1..=first + rows as u64).collect();
        batch.expiry_ms = expires.then(|| {
            (0..rows as u64)
                .map(|row| 4_000_000_000_000 + (first + row) / 1000)
                .collect::<ScalarBuffer<u64>>()
        });
        batch
    }
}
