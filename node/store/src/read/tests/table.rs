//! A table driven by hand: writes, freezes, flushes and merges, without a log or a manifest.

use std::sync::Arc;

use activestore_env::{Disk, Env};
use activestore_sst::{Sst, SstOptions};
use activestore_types::{
    BatchColumn, ClusteringColumn, Column, ColumnId, CompactionMode, DataType, Hlc, KeyRange, Lsn,
    OriginId, RangeTombstone, RowBatch, SyncMode, TableId, TableName, TableSchema, encode_keys,
};
use arrow::array::{
    Array, ArrayRef, AsArray, Float64Array, Int64Array, StringArray, TimestampNanosecondArray,
};
use arrow::buffer::BooleanBuffer;
use arrow::compute::cast;
use arrow::datatypes::{DataType as ArrowType, Float64Type, Int64Type, TimestampNanosecondType};
use arrow::record_batch::RecordBatch;

use super::model::{Cell, Delete, Row, Write, node};
use crate::compaction::{Choice, Outcome, run};
use crate::disks::SstDisks;
use crate::memtable::{Memtable, flush};
use crate::read::Snapshot;
use crate::version::{Origins, TableFile, TableVersion};

pub(crate) const DEVICE: ColumnId = ColumnId(1);
pub(crate) const AT: ColumnId = ColumnId(2);
pub(crate) const VALUES: [ColumnId; 3] = [ColumnId(3), ColumnId(4), ColumnId(5)];
pub(crate) const ALL: [ColumnId; 5] = [DEVICE, AT, VALUES[0], VALUES[1], VALUES[2]];

/// `PRIMARY KEY ((device), at DESC)`, with a float, a text and an integer column.
pub(crate) fn schema() -> Arc<TableSchema> {
    schema_ordered(true)
}

/// [`schema`] with `at` in either order.
pub(crate) fn schema_ordered(descending: bool) -> Arc<TableSchema> {
    let column = |id, name: &str, data_type| Column {
        id,
        name: name.to_owned(),
        data_type,
    };
    Arc::new(TableSchema {
        id: TableId(7),
        name: TableName::new("test", "readings"),
        columns: vec![
            column(VALUES[0], "temperature", DataType::Double),
            column(DEVICE, "device", DataType::Text),
            column(VALUES[1], "note", DataType::Text),
            column(AT, "at", DataType::Timestamp),
            column(VALUES[2], "count", DataType::BigInt),
        ],
        partition_key: vec![DEVICE],
        clustering_key: vec![ClusteringColumn { id: AT, descending }],
        flexible: false,
        ttl_s: None,
        sync: SyncMode::None,
        compaction: CompactionMode::Automatic,
        version: 1,
    })
}

pub(crate) fn origins() -> Origins {
    Arc::new(|origin: OriginId| node(origin.0))
}

pub(crate) fn device_name(device: u8) -> String {
    // Lengths differ, and one name is the beginning of another.
    "d".repeat(usize::from(device) + 1)
}

pub(crate) fn key(device: u8, at: i64) -> Vec<u8> {
    key_ordered(device, at, true)
}

fn key_ordered(device: u8, at: i64, descending: bool) -> Vec<u8> {
    let device: ArrayRef = Arc::new(StringArray::from(vec![device_name(device)]));
    let at: ArrayRef = Arc::new(TimestampNanosecondArray::from(vec![at]));
    encode_keys(&[(device, false), (at, descending)])
        .unwrap()
        .key(0)
        .to_vec()
}

pub(crate) fn partition(device: u8) -> Vec<u8> {
    let device: ArrayRef = Arc::new(StringArray::from(vec![device_name(device)]));
    encode_keys(&[(device, false)]).unwrap().key(0).to_vec()
}

/// Keys from (device, at) down to (device, to), both inside; the clustering key descends.
pub(crate) fn span(device: u8, from: i64, to: i64) -> KeyRange {
    let mut end = key(device, to);
    end.push(0);
    KeyRange {
        start: key(device, from),
        end,
    }
}

pub(crate) fn batch(writes: &[Write]) -> RowBatch {
    let rows = writes.len();
    let device: ArrayRef = Arc::new(StringArray::from_iter_values(
        writes.iter().map(|w| device_name(w.device)),
    ));
    let at: ArrayRef = Arc::new(TimestampNanosecondArray::from_iter_values(
        writes.iter().map(|w| w.at),
    ));
    let plain = |id, array| BatchColumn {
        id,
        array,
        set: None,
    };
    let mut columns = vec![plain(DEVICE, device), plain(AT, at)];
    for (index, id) in VALUES.iter().enumerate() {
        let cell = |write: &Write| match write.cells[index] {
            Cell::Value(value) => Some(value),
            _ => None,
        };
        let set: BooleanBuffer = writes
            .iter()
            .map(|w| w.cells[index] != Cell::Absent)
            .collect();
        if set.count_set_bits() == 0 {
            continue;
        }
        let array: ArrayRef = match index {
            0 => Arc::new(
                writes
                    .iter()
                    .map(|w| cell(w).map(|v| v as f64 / 4.0))
                    .collect::<Float64Array>(),
            ),
            1 => Arc::new(
                writes
                    .iter()
                    .map(|w| cell(w).map(|v| v.to_string()))
                    .collect::<StringArray>(),
            ),
            _ => Arc::new(writes.iter().map(cell).collect::<Int64Array>()),
        };
        columns.push(BatchColumn {
            id: *id,
            array,
            set: (set.count_set_bits() < rows).then_some(set),
        });
    }
    RowBatch {
        table: TableId(7),
        rows,
        columns,
        hlc: writes.iter().map(|w| w.hlc).collect(),
        origin: writes.iter().map(|w| w.origin).collect(),
        expiry_ms: writes
            .iter()
            .any(|w| w.expiry_ms != 0)
            .then(|| writes.iter().map(|w| w.expiry_ms).collect()),
        tombstone: writes
            .iter()
            .any(|w| w.tombstone)
            .then(|| writes.iter().map(|w| w.tombstone).collect()),
    }
}

pub(crate) fn range_tombstone(delete: &Delete, descending: bool) -> RangeTombstone {
    let range = match delete.span {
        Some((from, to)) if !descending => KeyRange {
            start: key_ordered(delete.device, from, false),
            end: key_ordered(delete.device, to, false),
        },
        None => KeyRange::prefix(&partition(delete.device)),
        // `from <= at < to`, and the clustering key descends.
        Some((from, to)) => span(delete.device, to - 1, from),
    };
    RangeTombstone {
        table: TableId(7),
        start: range.start,
        end: range.end,
        hlc: Hlc(delete.hlc),
        origin: OriginId(delete.origin),
    }
}

pub(crate) struct Table {
    pub(crate) version: TableVersion,
    /// Whether each snapshot begins anew to find out which of its files have keys in common.
    pub(crate) forgets: bool,
    descending: bool,
    disk: Arc<dyn Disk>,
    files: u64,
}

impl Table {
    pub(crate) fn new() -> Self {
        Table::ordered(true)
    }

    /// With `at` in either order.
    pub(crate) fn ordered(descending: bool) -> Self {
        Table {
            descending,
            ..Table::of(schema_ordered(descending))
        }
    }

    pub(crate) fn of(schema: Arc<TableSchema>) -> Self {
        let disk = Env::simulated(1).disk;
        disk.create_dir_all("sst").unwrap();
        Table {
            version: TableVersion::new(schema),
            forgets: false,
            descending: true,
            disk,
            files: 0,
        }
    }

    pub(crate) fn write(&self, writes: &[Write]) {
        self.version.active.append(batch(writes)).unwrap();
    }

    pub(crate) fn delete(&self, delete: &Delete) {
        self.version
            .active
            .append_tombstone(range_tombstone(delete, self.descending));
    }

    pub(crate) fn freeze(&mut self) {
        if !self.version.active.is_empty() {
            let next = Arc::new(Memtable::new(Arc::clone(&self.version.schema)));
            self.version
                .frozen
                .push(std::mem::replace(&mut self.version.active, next));
        }
    }

    /// Writes the oldest frozen memtable out.
    pub(crate) fn flush(&mut self) {
        if self.version.frozen.is_empty() {
            return;
        }
        let oldest = self.version.frozen.remove(0);
        let mut files = self.files;
        let mut next_path = || {
            files += 1;
            format!("sst/{files}")
        };
        let made = flush(
            &oldest,
            &self.version.schema,
            &self.version.own,
            &SstDisks::new(&self.disk, None),
            &mut next_path,
            &SstOptions::default(),
        )
        .unwrap();
        self.files = files;
        let mut tombstones = self.version.tombstones.as_ref().clone();
        tombstones.extend(oldest.tombstones());
        self.version.tombstones = Arc::new(tombstones);
        for file in made {
            self.open(file.path);
        }
    }

    pub(crate) fn flush_all(&mut self) {
        self.freeze();
        while !self.version.frozen.is_empty() {
            self.flush();
        }
    }

    pub(crate) fn compact(&mut self, choice: &Choice) -> Outcome {
        let mut files = self.files;
        let mut next_path = || {
            files += 1;
            format!("sst/{files}")
        };
        let outcome = run(
            &self.version,
            choice,
            &origins(),
            &SstDisks::new(&self.disk, None),
            SstOptions {
                level: choice.level,
                ..SstOptions::default()
            },
            &mut next_path,
            &mut |_| Ok(()),
        )
        .unwrap();
        self.files = files;
        self.version
            .files
            .retain(|file| !choice.inputs.contains(&file.id));
        let mut tombstones = self.version.tombstones.as_ref().clone();
        tombstones.retain(|tombstone| !outcome.dropped_tombstones.contains(tombstone));
        self.version.tombstones = Arc::new(tombstones);
        for file in &outcome.files {
            self.open(file.path.clone());
        }
        outcome
    }

    pub(crate) fn snapshot(&self) -> Snapshot {
        let mut version = self.version.clone();
        if self.forgets {
            let anew = |file: &Arc<TableFile>| TableFile {
                apart: Arc::default(),
                ..file.as_ref().clone()
            };
            version.files = version.files.iter().map(anew).map(Arc::new).collect();
        }
        Snapshot::new(Arc::new(version), origins())
    }

    fn open(&mut self, path: String) {
        let sst = Sst::open(&self.disk, &path).unwrap();
        let id = path.trim_start_matches("sst/").parse().unwrap();
        self.version.files.push(Arc::new(TableFile {
            id,
            path,
            sst,
            reach: Lsn(0),
            apart: Arc::default(),
        }));
    }
}

/// Rows of batches that hold the columns [`ALL`] in that order.
pub(crate) fn rows(batches: &[RecordBatch]) -> Vec<((u8, i64), Row)> {
    let mut rows = Vec::new();
    for batch in batches {
        assert!(batch.num_rows() <= 8192);
        // Text may come by codes.
        let text = |place: usize| cast(batch.column(place), &ArrowType::Utf8).unwrap();
        let (device, note) = (text(0), text(3));
        let device = device.as_string::<i32>();
        let at = batch.column(1).as_primitive::<TimestampNanosecondType>();
        let (a, b, c) = (
            batch.column(2).as_primitive::<Float64Type>(),
            note.as_string::<i32>(),
            batch.column(4).as_primitive::<Int64Type>(),
        );
        for row in 0..batch.num_rows() {
            let key = (
                u8::try_from(device.value(row).len() - 1).unwrap(),
                at.value(row),
            );
            rows.push((
                key,
                [
                    a.is_valid(row).then(|| (a.value(row) * 4.0) as i64),
                    b.is_valid(row).then(|| b.value(row).parse().unwrap()),
                    c.is_valid(row).then(|| c.value(row)),
                ],
            ));
        }
    }
    rows
}
