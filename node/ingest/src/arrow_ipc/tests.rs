//! Arrow streams come back as they went, and cut ones are errors.

use std::sync::Arc;

use arrow::array::{Int64Array, StringArray};
use arrow::ipc::writer::StreamWriter;
use arrow::record_batch::RecordBatch;

use super::*;

fn stream() -> Vec<u8> {
    let batch = RecordBatch::try_from_iter([
        (
            "a",
            Arc::new(Int64Array::from(vec![1, 2])) as arrow::array::ArrayRef,
        ),
        ("b", Arc::new(StringArray::from(vec![Some("x"), None])) as _),
    ])
    .unwrap();
    let mut writer = StreamWriter::try_new(Vec::new(), &batch.schema()).unwrap();
    writer.write(&batch).unwrap();
    writer.write(&batch).unwrap();
    writer.into_inner().unwrap()
}

#[test]
fn batches_come_back() {
    let table = TableName::new("k", "t");
    let batches = parse(&stream(), &table).unwrap();
    assert_eq!(batches.len(), 2);
    assert_eq!(batches[0].rows, 2);
    assert_eq!(batches[0].columns[1].name, "b");
}

#[test]
fn hostile_bytes_are_errors_or_fewer_batches() {
    let table = TableName::new("k", "t");
    let whole = stream();
    assert!(parse(b"nonsense", &table).is_err());
    for cut in 0..whole.len() {
        if let Ok(batches) = parse(&whole[..cut], &table) {
            assert!(batches.len() <= 2);
        }
    }
}
