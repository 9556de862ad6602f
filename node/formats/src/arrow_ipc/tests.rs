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

/// Batches of so many rows each: numbers and text, some of it missing.
fn of_rows(rows: &[usize]) -> Vec<u8> {
    let batch = |rows: usize| {
        let numbers: Int64Array = (0..rows as i64)
            .map(|row| (row % 5 > 0).then_some(row))
            .collect();
        let text: StringArray = (0..rows)
            .map(|row| (row % 3 > 0).then(|| "é".repeat(row % 9)))
            .collect();
        RecordBatch::try_from_iter([
            ("a", Arc::new(numbers) as ArrayRef),
            ("b", Arc::new(text) as _),
        ])
    };
    let batch = |rows: usize| batch(rows).unwrap();
    let schema = batch(1).schema();
    let mut writer = StreamWriter::try_new(Vec::new(), &schema).unwrap();
    for rows in rows {
        writer.write(&batch(*rows)).unwrap();
    }
    writer.into_inner().unwrap()
}

#[test]
fn rows_that_lie_in_their_body_are_those_that_were_copied() {
    let table = TableName::new("k", "t");
    for rows in [&[0][..], &[1, 0], &[3000, 1, 70], &[0, 0, 9, 0]] {
        let whole = of_rows(rows);
        let ends = [whole.len(), whole.len() - END.len(), whole.len()];
        // Also where the body begins at a place that no number may.
        for (end, shift) in ends.into_iter().zip([0, 3, 1]) {
            let shifted: Vec<u8> = vec![0; shift]
                .into_iter()
                .chain(whole[..end].iter().copied())
                .collect();
            let body = Buffer::from(shifted).slice(shift);
            let reader = ArrowReader::new(body.clone(), table.clone()).unwrap();
            let found: Vec<NamedBatch> = reader.collect::<Result<_>>().unwrap();
            let wanted = arrow::ipc::reader::StreamReader::try_new(body.as_slice(), None).unwrap();
            let wanted: Vec<RecordBatch> = wanted.collect::<Result<_, _>>().unwrap();
            assert_eq!(found.len(), rows.len(), "{rows:?}, cut at {end}");
            for (found, wanted) in found.into_iter().zip(wanted) {
                let copied = apart(found.clone());
                for (at, array) in wanted.columns().iter().enumerate() {
                    assert_eq!(&found.columns[at].array, array);
                    assert_eq!(&copied.columns[at].array, array);
                }
            }
        }
    }
}

#[test]
fn rows_do_not_keep_a_body_that_is_mostly_something_else() {
    let table = TableName::new("k", "t");
    let read = |body: Vec<u8>| {
        let mut reader = ArrowReader::new(Buffer::from(body), table.clone()).unwrap();
        let batches: Vec<NamedBatch> = reader.by_ref().collect::<Result<_>>().unwrap();
        let columns = batches.iter().flat_map(|batch: &NamedBatch| &batch.columns);
        let bytes = columns.map(|column| column.array.to_data().get_slice_memory_size().unwrap());
        (reader.is_loose(bytes.sum()), batches)
    };
    let (loose, _) = read(of_rows(&[3000, 3000]));
    assert!(!loose);
    // A row of a column whose buffer is as long as that of thousands.
    let many = Int64Array::from(vec![7; 5000]);
    let batch = RecordBatch::try_from_iter([("a", Arc::new(many) as ArrayRef)]).unwrap();
    let mut writer = StreamWriter::try_new(Vec::new(), &batch.schema()).unwrap();
    writer.write(&batch).unwrap();
    let mut body = writer.into_inner().unwrap();
    for place in 0..body.len() - 8 {
        if body[place..].starts_with(&5000_i64.to_le_bytes()) {
            body[place..][..8].copy_from_slice(&1_i64.to_le_bytes());
        }
    }
    let (loose, batches) = read(body);
    assert!(loose);
    let array = &batches[0].columns[0].array;
    assert_eq!(array.len(), 1);
    assert!(array.get_buffer_memory_size() > 30_000);
    let copied = apart(batches[0].clone());
    assert_eq!(&copied.columns[0].array, array);
    assert!(copied.columns[0].array.get_buffer_memory_size() < 1000);
}
