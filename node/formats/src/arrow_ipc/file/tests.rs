//! Files come back as they went, and what is cut, damaged or says too much of itself is an error.

#![allow(missing_docs, clippy::unwrap_used, clippy::indexing_slicing)]

use std::io::Write;

use arrow::array::{ArrayRef, AsArray, DictionaryArray, Int64Array, ListArray};
use arrow::datatypes::{DataType, Int32Type, Int64Type};
use arrow::ipc::CompressionType;
use arrow::ipc::writer::{FileWriter, IpcWriteOptions};

use super::*;

const ROWS: i64 = 1_000;

/// Two batches of numbers, and of a dictionary.
fn file(packed: Option<CompressionType>) -> Vec<u8> {
    let numbers = Int64Array::from_iter_values((0..ROWS).map(|row| row / 100));
    let words: DictionaryArray<Int32Type> = (0..ROWS)
        .map(|row| if row % 2 == 0 { "even" } else { "odd" })
        .collect();
    let batch = RecordBatch::try_from_iter([
        ("n", Arc::new(numbers) as ArrayRef),
        ("word", Arc::new(words) as _),
    ])
    .unwrap();
    let options = IpcWriteOptions::default()
        .try_with_compression(packed)
        .unwrap();
    let mut writer =
        FileWriter::try_new_with_options(Vec::new(), &batch.schema(), options).unwrap();
    writer.write(&batch).unwrap();
    writer.write(&batch).unwrap();
    writer.into_inner().unwrap()
}

fn read(bytes: &[u8]) -> Result<Vec<RecordBatch>> {
    let mut file = tempfile::tempfile().unwrap();
    file.write_all(bytes).unwrap();
    ArrowFile::open(file, &[])?.collect()
}

#[test]
fn rows_come_back_with_plain_columns() {
    for packed in [
        None,
        Some(CompressionType::ZSTD),
        Some(CompressionType::LZ4_FRAME),
    ] {
        let found = read(&file(packed)).unwrap();
        assert_eq!(found.len(), 2);
        for batch in found {
            assert_eq!(batch.column(1).data_type(), &DataType::Utf8);
            assert_eq!(batch.column(1).as_string::<i32>().value(1), "odd");
            let numbers = batch.column(0).as_primitive::<Int64Type>();
            assert_eq!(numbers.value(999), 9);
        }
    }
}

#[test]
fn only_the_columns_that_are_named_are_read() {
    let lists = ListArray::from_iter_primitive::<Int64Type, _, _>([Some(vec![Some(1)])]);
    let numbers: ArrayRef = Arc::new(Int64Array::from(vec![7]));
    let batch = RecordBatch::try_from_iter([
        ("lists", Arc::new(lists) as ArrayRef),
        ("a", numbers.clone()),
        ("b", numbers),
    ])
    .unwrap();
    let file = || {
        let file = tempfile::tempfile().unwrap();
        let mut writer = FileWriter::try_new(&file, &batch.schema()).unwrap();
        writer.write(&batch).unwrap();
        writer.finish().unwrap();
        drop(writer);
        file
    };
    let named = |names: &[&str]| {
        let names: Vec<_> = names.iter().map(|name| (*name).to_owned()).collect();
        ArrowFile::open(file(), &names)?.collect::<Result<Vec<_>>>()
    };
    let found = named(&["b", "a"]).unwrap();
    assert_eq!(
        found,
        [batch.project(&[1, 2]).unwrap()].map(|batch| plain(&batch).unwrap())
    );
    assert!(
        named(&[])
            .unwrap_err()
            .to_string()
            .contains("which no column holds")
    );
    assert!(named(&["c"]).unwrap_err().to_string().contains("the file"));
}

#[test]
fn a_file_that_is_cut_is_an_error_wherever_it_is_cut() {
    let whole = file(None);
    for cut in (0..whole.len()).step_by(7) {
        assert!(read(&whole[..cut]).is_err(), "{cut}");
    }
}

#[test]
fn packed_columns_that_say_they_come_to_more_than_a_message_may_are_refused() {
    let mut bytes = file(Some(CompressionType::ZSTD));
    let announced = (ROWS * 8).to_le_bytes();
    let place = bytes.windows(8).position(|bytes| bytes == announced);
    let place = place.unwrap();
    bytes[place..place + 8].copy_from_slice(&(1_i64 << 40).to_le_bytes());
    let error = read(&bytes).unwrap_err().to_string();
    assert!(error.contains("when it is unpacked"), "{error}");
}

#[test]
fn damage_is_an_error_or_goes_unseen() {
    let whole = file(Some(CompressionType::LZ4_FRAME));
    for place in 0..whole.len() {
        for byte in [0xff, 0x7f] {
            let mut damaged = whole.clone();
            damaged[place] ^= byte;
            let _either = read(&damaged);
        }
    }
}

#[test]
fn a_footer_that_says_more_than_there_is_is_refused() {
    let whole = file(None);
    let place = whole.len() - TAIL_BYTES;
    for length in [i32::MAX, 1 << 25, -1] {
        let mut bytes = whole.clone();
        bytes[place..place + 4].copy_from_slice(&length.to_le_bytes());
        assert!(read(&bytes).is_err(), "{length}");
    }
}
