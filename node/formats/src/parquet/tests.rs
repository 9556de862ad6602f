//! Rows of Parquet: however large they are, few are decoded at once, and what is damaged is an error.

#![allow(missing_docs, clippy::unwrap_used, clippy::indexing_slicing)]

use std::io::Write;
use std::sync::Arc;

use ::parquet::arrow::ArrowWriter;
use ::parquet::file::properties::WriterProperties;
use ::parquet::file::reader::{FileReader, SerializedFileReader};
use arrow::array::{
    ArrayRef, AsArray, BinaryArray, BooleanArray, Date32Array, Decimal128Array, Float64Array,
    Int64Array, ListArray, StringArray, TimestampNanosecondArray,
};
use arrow::compute::concat_batches;
use arrow::datatypes::Int64Type;
use bytes::Bytes;

use super::*;
use crate::values_bytes;

const PIECE: AtOnce = AtOnce {
    bytes: 6 << 20,
    rows: 64 << 10,
};

/// Rows that have text of these lengths.
fn texts(lengths: &[usize]) -> RecordBatch {
    let numbers = Int64Array::from_iter_values(0..i64::try_from(lengths.len()).unwrap());
    // Few values: the file keeps each of them once.
    let texts = StringArray::from_iter_values(lengths.iter().map(|length| "x".repeat(*length)));
    RecordBatch::try_from_iter([
        ("n", Arc::new(numbers) as ArrayRef),
        ("text", Arc::new(texts) as ArrayRef),
    ])
    .unwrap()
}

/// A file of them, in row groups of so many.
fn file(lengths: &[usize], group: usize) -> File {
    let file = tempfile::tempfile().unwrap();
    let batch = texts(lengths);
    let properties = WriterProperties::builder()
        .set_max_row_group_row_count(Some(group))
        .build();
    let mut writer =
        ArrowWriter::try_new(file.try_clone().unwrap(), batch.schema(), Some(properties)).unwrap();
    writer.write(&batch).unwrap();
    writer.close().unwrap();
    file
}

/// The batches behind so many rows.
fn batches(file: &File, mut left: u64) -> Vec<RecordBatch> {
    let reader = ParquetReader::of_file(file.try_clone().unwrap(), &[], PIECE, &mut left).unwrap();
    assert_eq!(left, 0);
    reader.map(|batch| batch.unwrap()).collect()
}

fn numbers(batches: &[RecordBatch]) -> Vec<i64> {
    let columns = batches.iter();
    columns
        .flat_map(|batch| {
            batch
                .column(0)
                .as_primitive::<Int64Type>()
                .values()
                .to_vec()
        })
        .collect()
}

#[test]
fn large_rows_are_decoded_a_few_at_a_time_and_small_ones_many() {
    const LARGE: usize = 300_000;
    let large = vec![LARGE; 200];
    let found = batches(&file(&large, 1_000), 0);
    assert_eq!(numbers(&found), (0..200).collect::<Vec<_>>());
    for batch in &found {
        assert!(
            values_bytes(batch) <= PIECE.bytes + LARGE,
            "{}",
            values_bytes(batch)
        );
    }
    let small = vec![3; 200_000];
    let found = batches(&file(&small, 1 << 20), 0);
    assert_eq!(numbers(&found), (0..200_000).collect::<Vec<_>>());
    assert!(found.iter().any(|batch| batch.num_rows() == PIECE.rows));
    assert!(found.len() < 12, "{}", found.len());
}

#[test]
fn no_row_is_lost_or_doubled_where_sizes_change() {
    let lengths: Vec<usize> = (0..3_000)
        .map(|row| match row / 500 % 2 {
            0 => 3,
            _ => 20_000,
        })
        .collect();
    for group in [700, 10_000] {
        let file = file(&lengths, group);
        for done in [0, 1, 699, 700, 701, 2_999, 3_000] {
            let found = batches(&file, done);
            let first = i64::try_from(done).unwrap();
            assert_eq!(numbers(&found), (first..3_000).collect::<Vec<_>>());
        }
    }
}

/// Rows of every type that a column has.
fn every_kind(rows: i64) -> RecordBatch {
    let some = |row: &i64| row % 5 != 0;
    let of = |row: i64| some(&row).then_some(row);
    let decimals: Decimal128Array = (0..rows).map(|row| of(row).map(i128::from)).collect();
    let decimals = decimals.with_precision_and_scale(12, 2).unwrap();
    let times: TimestampNanosecondArray = (0..rows).map(of).collect();
    let days: Date32Array = (0..rows)
        .map(|row| of(row).and_then(|row| i32::try_from(row).ok()))
        .collect();
    let columns: [(&str, ArrayRef); 8] = [
        ("i", Arc::new((0..rows).map(of).collect::<Int64Array>())),
        (
            "f",
            Arc::new(
                (0..rows)
                    .map(|row| of(row).map(|row| row as f64 / 3.0))
                    .collect::<Float64Array>(),
            ),
        ),
        (
            "b",
            Arc::new(
                (0..rows)
                    .map(|row| of(row).map(|row| row % 2 == 0))
                    .collect::<BooleanArray>(),
            ),
        ),
        (
            "t",
            Arc::new(
                (0..rows)
                    .map(|row| of(row).map(|row| format!("text {}", row % 90)))
                    .collect::<StringArray>(),
            ),
        ),
        (
            "x",
            Arc::new(
                (0..rows)
                    .map(|row| of(row).map(|row| row.to_le_bytes()))
                    .collect::<BinaryArray>(),
            ),
        ),
        ("d", Arc::new(days)),
        ("ts", Arc::new(times)),
        ("n", Arc::new(decimals)),
    ];
    RecordBatch::try_from_iter_with_nullable(columns.map(|(name, array)| (name, array, true)))
        .unwrap()
}

fn written(batch: &RecordBatch, group_bytes: usize) -> Vec<u8> {
    let mut writer = ParquetWriter::new(Vec::new(), batch.schema(), group_bytes).unwrap();
    writer.write(batch).unwrap();
    writer.finish().unwrap();
    std::mem::take(writer.out())
}

/// A file of these bytes.
fn of_bytes(bytes: &[u8], columns: &[String]) -> Result<ParquetReader> {
    let mut file = tempfile::tempfile().unwrap();
    file.write_all(bytes).unwrap();
    ParquetReader::of_file(file, columns, PIECE, &mut 0)
}

#[test]
fn what_is_written_comes_back() {
    let batch = every_kind(50_000);
    // In one row group, and in many.
    for group_bytes in [1 << 30, 1] {
        let bytes = written(&batch, group_bytes);
        let reader = of_bytes(&bytes, &[]).unwrap();
        assert_eq!(reader.rows_total(), 50_000);
        let found: Vec<_> = reader.map(|batch| batch.unwrap()).collect();
        assert_eq!(concat_batches(&batch.schema(), &found).unwrap(), batch);
    }
    let none = every_kind(0);
    let reader = of_bytes(&written(&none, 1), &[]).unwrap();
    assert_eq!(reader.count(), 0);
}

#[test]
fn a_row_group_is_written_once_it_is_large_enough() {
    let batch = texts(&vec![10; 8_000]);
    let mut writer = ParquetWriter::new(Vec::new(), batch.schema(), 64 << 10).unwrap();
    let mut most = 0;
    for _ in 0..20 {
        writer.write(&batch).unwrap();
        most = most.max(writer.out_ref().len());
        // Who takes what is written holds no more than a row group.
        writer.out().clear();
    }
    writer.finish().unwrap();
    assert!(most > 0 && most < 256 << 10, "{most}");
    assert!(writer.bytes_written() > 0);
}

#[test]
fn only_the_columns_that_are_named_are_read() {
    let rows = 70;
    let numbers: ArrayRef = Arc::new(Int64Array::from_iter_values(0..rows));
    let lists = ListArray::from_iter_primitive::<Int64Type, _, _>(
        (0..rows).map(|row| Some(vec![Some(row)])),
    );
    let batch = RecordBatch::try_from_iter([
        ("lists", Arc::new(lists) as ArrayRef),
        ("a", numbers.clone()),
        ("b", numbers),
    ])
    .unwrap();
    let bytes = written(&batch, 1 << 20);
    let names = ["b".to_owned(), "a".to_owned()];
    let found: Vec<_> = of_bytes(&bytes, &names)
        .unwrap()
        .map(|batch| batch.unwrap())
        .collect();
    assert_eq!(found[0].num_columns(), 2);
    assert_eq!(found[0].schema().field(0).name(), "a");
    let rows = found.iter().map(RecordBatch::num_rows).sum::<usize>();
    assert_eq!(rows, 70);
    let missing = of_bytes(&bytes, &["c".to_owned()]).err().unwrap();
    assert!(missing.to_string().contains("the file"), "{missing}");
}

#[test]
fn a_file_of_very_many_columns_is_read() {
    let numbers: ArrayRef = Arc::new(Float64Array::from_iter_values((0..5_000).map(f64::from)));
    let names: Vec<String> = (0..500).map(|column| format!("c{column}")).collect();
    let columns = names.iter().map(|name| (name.as_str(), numbers.clone()));
    let batch = RecordBatch::try_from_iter(columns).unwrap();
    let bytes = written(&batch, 32 << 20);
    let found: Vec<_> = of_bytes(&bytes, &[])
        .unwrap()
        .map(|batch| batch.unwrap())
        .collect();
    assert_eq!(concat_batches(&batch.schema(), &found).unwrap(), batch);
}

#[test]
fn wide_rows_do_not_make_a_row_group_of_each_batch() {
    for width in [50, 150, 2_000] {
        let numbers: ArrayRef = Arc::new(Int64Array::from_iter_values(0..10));
        let names: Vec<String> = (0..width).map(|column| format!("c{column}")).collect();
        let columns = names.iter().map(|name| (name.as_str(), numbers.clone()));
        let batch = RecordBatch::try_from_iter(columns).unwrap();
        let mut writer = ParquetWriter::new(Vec::new(), batch.schema(), 8 << 20).unwrap();
        for _ in 0..20 {
            writer.write(&batch).unwrap();
        }
        let bytes = writer.into_inner().unwrap();
        let reader = SerializedFileReader::new(Bytes::from(bytes)).unwrap();
        assert_eq!(reader.metadata().num_row_groups(), 1, "{width}");
    }
}

#[test]
fn a_file_that_is_cut_or_is_none_is_an_error() {
    let whole = written(&every_kind(40), 1);
    for cut in (0..whole.len()).step_by(11) {
        let read = of_bytes(&whole[..cut], &[]).and_then(Iterator::collect::<Result<Vec<_>>>);
        let error = read.unwrap_err();
        assert!(error.to_string().contains("whole Parquet"), "{error}");
    }
}
