//! Arrow streams come back as they went, and cut ones are errors.

use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, DictionaryArray, Int32Array, Int64Array, StringArray};
use arrow::datatypes::{DataType, Int32Type};
use arrow::ipc::CompressionType;
use arrow::ipc::writer::{DictionaryHandling, IpcWriteOptions, StreamWriter};
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

/// A stream whose one batch is packed: so many zeros of eight bytes each.
fn packed(rows: usize) -> Vec<u8> {
    let zeros = Int64Array::from(vec![0; rows]);
    let batch = RecordBatch::try_from_iter([("a", Arc::new(zeros) as ArrayRef)]).unwrap();
    let options = IpcWriteOptions::default()
        .try_with_compression(Some(CompressionType::LZ4_FRAME))
        .unwrap();
    let mut writer =
        StreamWriter::try_new_with_options(Vec::new(), &batch.schema(), options).unwrap();
    writer.write(&batch).unwrap();
    std::mem::take(writer.get_mut())
}

/// The stream with another number at the only place where this one is.
fn replaced(mut stream: Vec<u8>, from: i64, to: i64) -> Vec<u8> {
    let from = from.to_le_bytes();
    let places: Vec<usize> = (0..stream.len() - from.len())
        .filter(|place| stream[*place..].starts_with(&from))
        .collect();
    assert_eq!(places.len(), 1, "{places:?}");
    stream[places[0]..][..from.len()].copy_from_slice(&to.to_le_bytes());
    stream
}

#[test]
fn what_packed_columns_announce_is_not_believed() {
    let table = TableName::new("k", "t");
    assert_eq!(parse(&packed(1000), &table).unwrap()[0].rows, 1000);
    for announced in [1 << 60, i64::MAX, 300 * 1024 * 1024] {
        let error = parse(&replaced(packed(1000), 8000, announced), &table).unwrap_err();
        assert!(error.message().contains("when it is unpacked"), "{error}");
    }
    for announced in [-2, i64::MIN] {
        let error = parse(&replaced(packed(1000), 8000, announced), &table).unwrap_err();
        assert!(
            error.message().contains("a length cannot be read"),
            "{error}"
        );
    }
    // Less than there is, or not what packed columns are, is for the reader to refuse.
    for announced in [0, 7999, -1] {
        assert!(parse(&replaced(packed(1000), 8000, announced), &table).is_err());
    }
}

#[test]
fn many_packed_batches_come_to_no_more_than_one_body_may() {
    let one = packed(4 * 1024 * 1024);
    let mut left = one.as_slice();
    message(&mut left).unwrap();
    let again = left.repeat(8);
    let error = parse(&[one, again].concat(), &TableName::new("k", "t")).unwrap_err();
    assert!(
        error.message().contains("the rows of the body come to"),
        "{error}"
    );
}

/// A stream with a dictionary that grows by one value so many times, and rows of it.
fn growing(times: usize) -> Vec<u8> {
    let options = IpcWriteOptions::default().with_dictionary_handling(DictionaryHandling::Delta);
    let rows = |values: &[&str]| {
        let named: DictionaryArray<Int32Type> = values.iter().copied().collect();
        RecordBatch::try_from_iter([("a", Arc::new(named) as ArrayRef)]).unwrap()
    };
    let (first, second) = (rows(&["a"]), rows(&["a", "b"]));
    let mut writer =
        StreamWriter::try_new_with_options(Vec::new(), &first.schema(), options).unwrap();
    writer.write(&first).unwrap();
    let begun = writer.get_ref().len();
    writer.write(&second).unwrap();
    let stream = writer.into_inner().unwrap();
    let mut left = &stream[begun..];
    message(&mut left).unwrap();
    let grows = &stream[begun..stream.len() - left.len()];
    [&stream[..begun], &grows.repeat(times), left].concat()
}

#[test]
fn a_dictionary_may_grow_and_not_for_ever() {
    let table = TableName::new("k", "t");
    let batches = parse(&growing(10), &table).unwrap();
    let column = &batches[1].columns[0].array;
    assert_eq!(column.data_type(), &DataType::Utf8);
    assert_eq!(column.as_string::<i32>().value(1), "b");
    let error = parse(&growing(100_000), &table).unwrap_err();
    assert!(error.message().contains("grows too often"), "{error}");
}

#[test]
fn a_few_bytes_that_stand_for_many_are_refused() {
    let value = "v".repeat(1024 * 1024);
    let named = DictionaryArray::<Int32Type>::new(
        Int32Array::from(vec![0; 60]),
        Arc::new(StringArray::from(vec![value])),
    );
    let batch = RecordBatch::try_from_iter([("a", Arc::new(named) as ArrayRef)]).unwrap();
    let mut writer = StreamWriter::try_new(Vec::new(), &batch.schema()).unwrap();
    for _ in 0..5 {
        writer.write(&batch).unwrap();
    }
    let error = parse(&writer.into_inner().unwrap(), &TableName::new("k", "t")).unwrap_err();
    assert!(error.message().contains("spread out"), "{error}");
}

#[test]
fn columns_that_lie_over_each_other_are_refused() {
    let column = || Arc::new(Int64Array::from(vec![7; 1000])) as ArrayRef;
    let batch = RecordBatch::try_from_iter([("a", column()), ("b", column())]).unwrap();
    let mut writer = StreamWriter::try_new(Vec::new(), &batch.schema()).unwrap();
    writer.write(&batch).unwrap();
    let mut stream = writer.into_inner().unwrap();
    // The first column reaches over the second.
    let length = 8000_i64.to_le_bytes();
    let place = (0..stream.len() - length.len())
        .find(|place| stream[*place..].starts_with(&length))
        .unwrap();
    stream[place..][..length.len()].copy_from_slice(&16_000_i64.to_le_bytes());
    let error = parse(&stream, &TableName::new("k", "t")).unwrap_err();
    assert!(error.message().contains("lie over each other"), "{error}");
}
