//! The writer refuses what would make a file that lies: rows out of order, strange columns.

use activestore_env::{SimDisk, SimDiskOptions};
use activestore_types::{ColumnId, ErrorKind};
use arrow::array::Int32Array;

use super::*;
use crate::tables::{self, Row, TEMP};

fn row(device: &str, ts: i64, hlc: u64) -> Row {
    Row {
        device: device.to_owned(),
        ts,
        hlc,
        origin: 0,
        expiry_ms: 0,
        tombstone: false,
        temp: Some(Some(1.0)),
        status: None,
        count: None,
    }
}

fn writer() -> SstWriter {
    let disk: Arc<dyn Disk> = Arc::new(SimDisk::seeded(1, SimDiskOptions::default()));
    SstWriter::create(&disk, "a.sst", tables::schema(), SstOptions::default()).unwrap()
}

#[test]
fn rows_out_of_order_are_refused() {
    for rows in [
        [row("b", 1, 1), row("a", 1, 2)],
        [row("a", 1, 1), row("a", 2, 2)],
        [row("a", 1, 1), row("a", 1, 2)],
    ] {
        let (batch, keys) = tables::batch(&rows);
        let error = writer().append(&batch, &keys).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Invalid);
        // The same across two calls.
        let mut writer = writer();
        let (first, keys) = tables::batch(&rows[..1]);
        writer.append(&first, &keys).unwrap();
        let (second, keys) = tables::batch(&rows[1..]);
        assert!(writer.append(&second, &keys).is_err());
    }
    let (batch, keys) = tables::batch(&[row("a", 2, 1), row("a", 1, 9), row("a", 1, 3)]);
    writer().append(&batch, &keys).unwrap();
}

#[test]
fn columns_must_be_those_of_the_schema() {
    let (mut batch, keys) = tables::batch(&[row("a", 1, 1)]);
    batch.columns[0].id = ColumnId(99);
    assert!(writer().append(&batch, &keys).is_err());
    let (mut batch, keys) = tables::batch(&[row("a", 1, 1)]);
    for column in batch.columns.iter_mut().filter(|column| column.id == TEMP) {
        column.array = Arc::new(Int32Array::from(vec![1]));
    }
    let error = writer().append(&batch, &keys).unwrap_err();
    assert!(error.message().contains("'temp'"), "{error}");
    let (batch, _) = tables::batch(&[row("a", 1, 1)]);
    let (_, keys) = tables::batch(&[row("a", 2, 1), row("a", 1, 1)]);
    assert!(writer().append(&batch, &keys).is_err());
}

#[test]
fn partition_prefixes_end_where_the_partition_key_does() {
    let (_, keys) = tables::batch(&[row("pump", 77, 1), row("pu\0mp", 3, 1)]);
    assert_eq!(
        partition_prefix(&tables::schema(), keys.key(0)),
        b"pump\0\0"
    );
    assert_eq!(
        partition_prefix(&tables::schema(), keys.key(1)),
        b"pu\0\xffmp\0\0"
    );
    assert_eq!(partition_prefix(&tables::schema(), b"cut"), b"cut");
    assert_eq!(partition_prefix(&tables::schema(), b"cut\0"), b"cut\0");
}

#[test]
fn a_long_text_ends_a_row_group_early() {
    let disk: Arc<dyn Disk> = Arc::new(SimDisk::seeded(1, SimDiskOptions::default()));
    let mut writer =
        SstWriter::create(&disk, "a.sst", tables::schema(), SstOptions::default()).unwrap();
    let rows: Vec<Row> = (0..40)
        .map(|index| {
            let mut row = row("a", -index, 1);
            row.status = Some(Some(format!("{index}").repeat(1 << 20)));
            row
        })
        .collect();
    let (batch, keys) = tables::batch(&rows);
    writer.append(&batch, &keys).unwrap();
    assert!(writer.groups.len() > 1);
    let meta = writer.finish().unwrap();
    assert_eq!(meta.rows, 40);
    let sst = crate::Sst::open(&disk, "a.sst").unwrap();
    let mut at = 0;
    for v in 0..sst.vectors() {
        let batch = sst.read(v, &[tables::STATUS]).unwrap();
        for row in 0..batch.rows {
            let text = samples_text(&batch, row);
            assert_eq!(Some(Some(text)), rows[at].status);
            at += 1;
        }
    }
    assert_eq!(at, 40);
}

fn samples_text(batch: &RowBatch, row: usize) -> String {
    String::from_utf8(crate::samples::cell(&batch.columns[0].array, row).unwrap()).unwrap()
}
