//! Predicates that are asked of rows outside of a query.

use std::sync::Arc;

use activestore_types::{
    Column, ColumnId, CompactionMode, DataType, SyncMode, TableId, TableName, TableSchema,
};
use arrow::array::{ArrayRef, Float64Array, StringArray};
use arrow::record_batch::RecordBatch;

use crate::RowPredicate;

fn schema() -> TableSchema {
    let column = |id, name: &str, data_type| Column {
        id: ColumnId(id),
        name: name.to_owned(),
        data_type,
    };
    TableSchema {
        id: TableId(1),
        name: TableName::new("fleet", "trips"),
        columns: vec![
            column(0, "car", DataType::Text),
            column(1, "speed", DataType::Double),
            column(2, "ts", DataType::Timestamp),
        ],
        partition_key: vec![ColumnId(0)],
        clustering_key: Vec::new(),
        flexible: false,
        ttl_s: None,
        sync: SyncMode::Up,
        compaction: CompactionMode::Automatic,
        version: 1,
    }
}

fn held(text: &str) -> Vec<bool> {
    let predicate = RowPredicate::new(&schema(), text).unwrap();
    let columns = predicate.columns().fields().iter().map(|field| {
        let array: ArrayRef = match field.name().as_str() {
            "car" => Arc::new(StringArray::from(vec!["a", "B", "c"])),
            _ => Arc::new(Float64Array::from(vec![Some(80.0), Some(20.0), None])),
        };
        array
    });
    let columns: Vec<ArrayRef> = columns.collect();
    let batch = RecordBatch::try_new(predicate.columns().clone(), columns).unwrap();
    predicate.holds(&batch).unwrap().values().iter().collect()
}

#[test]
fn rows_are_judged_and_null_does_not_hold() {
    assert_eq!(held("speed > 50"), [true, false, false]);
    assert_eq!(
        held("speed BETWEEN 10 AND 30 OR speed > 79"),
        [true, true, false]
    );
    assert_eq!(held("lower(car) = 'b'"), [false, true, false]);
    assert_eq!(held("speed IS NULL"), [false, false, true]);
}

#[test]
fn what_is_no_predicate_of_a_row_is_refused() {
    for (text, words) in [
        ("speed", "no predicate"),
        ("speed >", "xpected"),
        ("speed > 1; DROP TABLE t", "goes on"),
        ("speed > 1 extra", "goes on"),
        ("nobody > 1", "nobody"),
        ("random() > 0.5", "another time"),
        ("ts > now()", "another time"),
        ("speed > $1", "parameter"),
        ("max(speed) > 1", "more than one row"),
        ("speed IN (SELECT 1)", ""),
    ] {
        let error = RowPredicate::new(&schema(), text).unwrap_err();
        assert!(error.to_string().contains(words), "{text}: {error}");
    }
}
