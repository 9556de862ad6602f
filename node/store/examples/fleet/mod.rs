//! Rows of a fleet and the time that reading them takes, for the programs that measure reads.

use std::sync::Arc;

use activestore_env::Env;
use activestore_store::{ScanRequest, Snapshot, Store, StoreOptions, WalSync, WriteSet};
use activestore_types::{
    BatchColumn, ClusteringColumn, Column, ColumnId, DataType, HlcClock, NodeId, OriginId, Result,
    RowBatch, SyncMode, TableId, TableName, TableSchema,
};
use arrow::array::{ArrayRef, Float64Array, StringArray, TimestampNanosecondArray};

pub(crate) const TABLE: TableId = TableId(1);
/// Columns of numbers; two columns of text follow.
pub(crate) const FIELDS: u32 = 10;
/// The field whose values lie anywhere between 0 and 100; those of the others come in waves.
pub(crate) const NOISE: u32 = FIELDS - 1;
pub(crate) const NOW_MS: u64 = 1_767_225_600_000;

/// Devices that send in turn.
pub(crate) struct Fleet {
    pub(crate) devices: usize,
    pub(crate) ticks: usize,
}

impl Fleet {
    /// As the command line says: devices, then ticks.
    pub(crate) fn asked() -> Self {
        let words = std::env::args().skip(1);
        let mut numbers = words.filter_map(|text| text.parse().ok());
        Fleet {
            devices: numbers.next().unwrap_or(2_000),
            ticks: numbers.next().unwrap_or(1_000),
        }
    }
}

/// A store that writes a file only when it is told to.
pub(crate) fn open(directory: &tempfile::TempDir) -> Result<Arc<Store>> {
    let options = StoreOptions {
        memtable_bytes: 4 << 30,
        wal_flush_bytes: u64::MAX,
        wal_sync: WalSync::Interval(std::time::Duration::from_secs(1)),
        auto_compact: false,
        ..StoreOptions::new(NodeId([1; 16]))
    };
    let store = Store::open(Env::real(directory.path())?, options)?;
    store.put_schema(schema())?;
    Ok(store)
}

/// Nanoseconds that this thread has computed.
pub(crate) fn cpu_ns() -> u64 {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    let first = text.split(' ').next().and_then(|text| text.parse().ok());
    first.unwrap_or(0)
}

/// The least CPU time of some runs, in nanoseconds a row, and the rows.
pub(crate) fn best(runs: usize, mut run: impl FnMut() -> Result<usize>) -> Result<(f64, usize)> {
    let mut least = (f64::INFINITY, 0);
    for _ in 0..runs {
        let begin = cpu_ns();
        let rows = run()?;
        let ns = (cpu_ns() - begin) as f64 / rows.max(1) as f64;
        if ns < least.0 {
            least = (ns, rows);
        }
    }
    Ok(least)
}

/// The rows that a scan gives.
pub(crate) fn scan(snapshot: &Snapshot, request: &ScanRequest) -> Result<usize> {
    let mut rows = 0;
    for batch in snapshot.scan(request.clone())? {
        rows += std::hint::black_box(batch?).num_rows();
    }
    Ok(rows)
}

fn schema() -> Arc<TableSchema> {
    let named = |id, name: String, data_type| Column {
        id: ColumnId(id),
        name,
        data_type,
    };
    let mut columns = vec![
        named(0, "device".to_owned(), DataType::Text),
        named(1, "ts".to_owned(), DataType::Timestamp),
    ];
    columns.extend((0..FIELDS).map(|n| named(2 + n, format!("field{n}"), DataType::Double)));
    columns.push(named(2 + FIELDS, "region".to_owned(), DataType::Text));
    columns.push(named(3 + FIELDS, "model".to_owned(), DataType::Text));
    Arc::new(TableSchema {
        id: TABLE,
        name: TableName::new("bench", "readings"),
        columns,
        partition_key: vec![ColumnId(0)],
        clustering_key: vec![ClusteringColumn {
            id: ColumnId(1),
            descending: false,
        }],
        flexible: false,
        ttl_s: None,
        compaction: activestore_types::CompactionMode::Automatic,
        sync: SyncMode::None,
        version: 1,
    })
}

pub(crate) fn ts(device: usize, tick: usize) -> i64 {
    let jitter = (device * 31 + tick * 17) % 5;
    (NOW_MS as i64 + tick as i64 * 10_000 + device as i64 % 10_000 + jitter as i64) * 1_000_000
}

/// A number that looks like chance.
pub(crate) fn chance(device: usize, tick: usize) -> usize {
    let mixed = (device as u64) << 32 | tick as u64;
    let mixed = mixed.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let mixed = (mixed ^ (mixed >> 29)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    (mixed >> 33) as usize
}

fn value(device: usize, tick: usize, field: usize) -> f64 {
    if field == NOISE as usize {
        return (chance(device, tick) % 10_000) as f64 / 100.0;
    }
    // A slow wave and some noise, two decimals.
    let noise = (device * 7919 + tick * 104_729 + field * 31) % 13;
    let wave = ((tick as f64 / 200.0) + (device + field) as f64).sin() * 20.0;
    ((wave + 50.0) * 100.0 + noise as f64).round() / 100.0
}

/// Writes these rows, each a device and a tick.
pub(crate) fn commit(
    store: &Store,
    clock: &HlcClock,
    rows: &[(usize, usize)],
    expiry_ms: u64,
) -> Result<()> {
    let text = |name: &dyn Fn(usize) -> String| -> ArrayRef {
        let names = rows.iter().map(|(device, _)| name(*device));
        Arc::new(StringArray::from_iter_values(names))
    };
    let times = rows.iter().map(|(device, tick)| ts(*device, *tick));
    let mut arrays: Vec<ArrayRef> = vec![
        text(&|device| format!("device-{device:06}")),
        Arc::new(TimestampNanosecondArray::from_iter_values(times)),
    ];
    for field in 0..FIELDS as usize {
        let values = rows.iter();
        let values = values.map(|(device, tick)| value(*device, *tick, field));
        arrays.push(Arc::new(Float64Array::from_iter_values(values)));
    }
    arrays.push(text(&|device| format!("region-{}", device % 8)));
    arrays.push(text(&|device| format!("model-{:02}", device % 20)));
    let columns = (0..).zip(arrays).map(|(id, array)| BatchColumn {
        id: ColumnId(id),
        array,
        set: None,
    });
    let first = clock.reserve(NOW_MS, rows.len() as u64);
    let mut batch = RowBatch::upsert(TABLE, rows.len(), columns.collect(), first, OriginId(0));
    if expiry_ms > 0 {
        batch.expiry_ms = Some(vec![expiry_ms; rows.len()].into());
    }
    store.commit(WriteSet {
        batches: vec![batch],
        ..WriteSet::default()
    })?;
    Ok(())
}
