//! Tables for tests: a schema with a column of every kind that matters to a file, arbitrary rows
//! for it in the order of their keys, and the encoded keys.

use std::sync::Arc;

use activestore_types::{
    BatchColumn, ClusteringColumn, Column, ColumnId, CompactionMode, DataType, KeyBuffer, RowBatch,
    SyncMode, TableId, TableName, TableSchema, encode_keys,
};
use arrow::array::{
    ArrayRef, BooleanArray, Float64Array, Int64Array, StringArray, TimestampNanosecondArray,
};
use arrow::buffer::BooleanBuffer;
use proptest::prelude::*;

pub(crate) const DEVICE: ColumnId = ColumnId(1);
pub(crate) const TS: ColumnId = ColumnId(2);
pub(crate) const TEMP: ColumnId = ColumnId(3);
pub(crate) const STATUS: ColumnId = ColumnId(4);
pub(crate) const COUNT: ColumnId = ColumnId(5);
pub(crate) const FLAG: ColumnId = ColumnId(6);
pub(crate) const NEVER: ColumnId = ColumnId(7);

/// `(device), ts DESC` with readings.
pub(crate) fn schema() -> Arc<TableSchema> {
    let column = |id, name: &str, data_type| Column {
        id,
        name: name.to_owned(),
        data_type,
    };
    Arc::new(TableSchema {
        id: TableId(9),
        name: TableName::new("plant", "readings"),
        columns: vec![
            column(DEVICE, "device", DataType::Text),
            column(TS, "ts", DataType::Timestamp),
            column(TEMP, "temp", DataType::Double),
            column(STATUS, "status", DataType::Text),
            column(COUNT, "count", DataType::BigInt),
            column(FLAG, "flag", DataType::Boolean),
            column(NEVER, "never", DataType::Int),
        ],
        partition_key: vec![DEVICE],
        clustering_key: vec![ClusteringColumn {
            id: TS,
            descending: true,
        }],
        flexible: false,
        ttl_s: None,
        sync: SyncMode::None,
        compaction: CompactionMode::Automatic,
        version: 1,
    })
}

/// One row of the model. `None` is absent, `Some(None)` NULL.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Row {
    pub(crate) device: String,
    pub(crate) ts: i64,
    pub(crate) hlc: u64,
    pub(crate) origin: u32,
    pub(crate) expiry_ms: u64,
    pub(crate) tombstone: bool,
    pub(crate) temp: Option<Option<f64>>,
    pub(crate) status: Option<Option<String>>,
    pub(crate) count: Option<Option<i64>>,
}

/// Rows in the order of a file.
pub(crate) fn rows(count: std::ops::Range<usize>) -> BoxedStrategy<Vec<Row>> {
    let row = (
        0..6_u8,
        0..400_i64,
        0..1_000_000_u64,
        0..3_u32,
        any::<u64>(),
    );
    (prop::collection::vec(row, count), any::<[bool; 4]>())
        .prop_map(|(rows, [plain, expiring, deleting, sparse])| {
            let mut rows: Vec<Row> = rows
                .into_iter()
                .enumerate()
                .map(|(index, (device, ts, hlc, origin, seed))| {
                    let absent = !plain && sparse && seed % 4 == 0;
                    let null = !plain && seed % 7 == 0;
                    Row {
                        device: format!("device-{device}"),
                        ts: if plain { index as i64 } else { ts } * 1_000_000_000,
                        hlc: hlc + 1,
                        origin,
                        expiry_ms: if expiring && seed % 3 == 0 {
                            seed % 10_000 + 1
                        } else {
                            0
                        },
                        tombstone: deleting && seed % 11 == 0,
                        temp: (!absent).then(|| (!null).then(|| (seed % 9000) as f64 / 100.0)),
                        status: (!(absent && seed % 8 == 0)).then(|| {
                            (!null).then(|| ["ok", "warm", "hot"][(seed % 3) as usize].to_owned())
                        }),
                        count: (!absent).then_some(Some(seed as i64)),
                    }
                })
                .collect();
            rows.sort_by(|a, b| {
                (&a.device, b.ts, b.hlc, a.origin).cmp(&(&b.device, a.ts, a.hlc, b.origin))
            });
            rows.dedup_by(|a, b| (&a.device, a.ts, a.hlc) == (&b.device, b.ts, b.hlc));
            rows
        })
        .boxed()
}

/// The rows as a batch, with their keys. A column that no row sets is left out.
pub(crate) fn batch(rows: &[Row]) -> (RowBatch, KeyBuffer) {
    let device: ArrayRef = Arc::new(StringArray::from_iter_values(
        rows.iter().map(|row| &row.device),
    ));
    let ts: ArrayRef = Arc::new(TimestampNanosecondArray::from_iter_values(
        rows.iter().map(|row| row.ts),
    ));
    let keys = encode_keys(&[(device.clone(), false), (ts.clone(), true)]).unwrap();
    let temp = rows
        .iter()
        .map(|row| row.temp.flatten())
        .collect::<Float64Array>();
    let status = rows
        .iter()
        .map(|row| row.status.clone().flatten())
        .collect::<StringArray>();
    let count = rows
        .iter()
        .map(|row| row.count.flatten())
        .collect::<Int64Array>();
    let flag = rows
        .iter()
        .map(|row| Some(row.ts % 2 == 0))
        .collect::<BooleanArray>();
    let key = |id, array| BatchColumn {
        id,
        array,
        set: None,
    };
    let mut columns = vec![
        key(DEVICE, device),
        key(TS, ts),
        key(FLAG, Arc::new(flag) as ArrayRef),
    ];
    let cells: [(ColumnId, ArrayRef, Vec<bool>); 3] = [
        (
            TEMP,
            Arc::new(temp),
            rows.iter().map(|row| row.temp.is_some()).collect(),
        ),
        (
            STATUS,
            Arc::new(status),
            rows.iter().map(|row| row.status.is_some()).collect(),
        ),
        (
            COUNT,
            Arc::new(count),
            rows.iter().map(|row| row.count.is_some()).collect(),
        ),
    ];
    for (id, array, set) in cells {
        if set.iter().any(|set| *set) {
            let set = (!set.iter().all(|set| *set)).then(|| BooleanBuffer::from(set));
            columns.push(BatchColumn { id, array, set });
        }
    }
    let expiring = rows.iter().any(|row| row.expiry_ms > 0);
    let deleting = rows.iter().any(|row| row.tombstone);
    let batch = RowBatch {
        table: TableId(9),
        rows: rows.len(),
        columns,
        hlc: rows.iter().map(|row| row.hlc).collect(),
        origin: rows.iter().map(|row| row.origin).collect(),
        expiry_ms: expiring.then(|| rows.iter().map(|row| row.expiry_ms).collect()),
        tombstone: deleting.then(|| rows.iter().map(|row| row.tombstone).collect()),
    };
    (batch, keys)
}
