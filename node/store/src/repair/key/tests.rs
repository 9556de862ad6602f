//! Keys of every type are shown as the values that they encode.

use std::sync::Arc;

use activestore_types::{
    ClusteringColumn, Column, ColumnId, SyncMode, TableId, TableName, encode_keys,
};
use arrow::array::{ArrayRef, BinaryArray, BooleanArray, Float64Array, Int64Array, StringArray};

use super::*;

#[test]
fn every_type_is_shown_by_name_and_value_in_both_directions() {
    let arrays: Vec<(DataType, ArrayRef, &str)> = vec![
        (
            DataType::Text,
            Arc::new(StringArray::from(vec!["a\0b"])),
            "'a\0b'",
        ),
        (DataType::BigInt, Arc::new(Int64Array::from(vec![-7])), "-7"),
        (
            DataType::Double,
            Arc::new(Float64Array::from(vec![-2.5])),
            "-2.5",
        ),
        (
            DataType::Boolean,
            Arc::new(BooleanArray::from(vec![true])),
            "true",
        ),
        (
            DataType::Bytes,
            Arc::new(BinaryArray::from(vec![b"xy".as_slice()])),
            "'xy'",
        ),
    ];
    for descending in [false, true] {
        let schema = TableSchema {
            id: TableId(1),
            name: TableName::new("k", "t"),
            columns: arrays
                .iter()
                .zip(1..)
                .map(|((data_type, _, _), id)| Column {
                    id: ColumnId(id),
                    name: format!("c{id}"),
                    data_type: *data_type,
                })
                .collect(),
            partition_key: vec![ColumnId(1)],
            clustering_key: (2..=5)
                .map(|id| ClusteringColumn {
                    id: ColumnId(id),
                    descending,
                })
                .collect(),
            flexible: false,
            compaction: Default::default(),
            ttl_s: None,
            sync: SyncMode::None,
            version: 1,
        };
        let columns: Vec<(ArrayRef, bool)> = arrays
            .iter()
            .enumerate()
            .map(|(at, (_, array, _))| (array.clone(), descending && at > 0))
            .collect();
        let keys = encode_keys(&columns).unwrap();
        let expected: Vec<String> = arrays
            .iter()
            .zip(1..)
            .map(|((_, _, shown), id)| format!("c{id} = {shown}"))
            .collect();
        assert_eq!(
            show(&schema, keys.key(0)),
            format!("({})", expected.join(", "))
        );
        let cut = &keys.key(0)[..keys.key(0).len() - 1];
        assert!(show(&schema, cut).starts_with("0x"));
    }
}
