//! However large rows are, what is decoded at once stays near the size of a piece.

use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, Int64Array, StringArray};
use arrow::datatypes::Int64Type;
use parquet::arrow::ArrowWriter;
use parquet::file::properties::WriterProperties;

use super::*;

/// A file whose rows have text of these lengths, in row groups of so many.
fn file(lengths: &[usize], group: usize) -> File {
    let file = tempfile::tempfile().unwrap();
    let numbers = Int64Array::from_iter_values(0..i64::try_from(lengths.len()).unwrap());
    // Few values: the file keeps each of them once.
    let texts = StringArray::from_iter_values(lengths.iter().map(|length| "x".repeat(*length)));
    let batch = RecordBatch::try_from_iter([
        ("n", Arc::new(numbers) as ArrayRef),
        ("text", Arc::new(texts) as ArrayRef),
    ])
    .unwrap();
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
    let mut total = None;
    let decoded = rows(file.try_clone().unwrap(), &mut left, &mut total).unwrap();
    assert_eq!(left, 0);
    decoded.map(|batch| batch.unwrap()).collect()
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
            values_bytes(batch) <= PIECE_BYTES + LARGE,
            "{}",
            values_bytes(batch)
        );
    }
    let small = vec![3; 200_000];
    let found = batches(&file(&small, 1 << 20), 0);
    assert_eq!(numbers(&found), (0..200_000).collect::<Vec<_>>());
    assert!(found.iter().any(|batch| batch.num_rows() == PIECE_ROWS));
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
