//! The keys of a vector are those that `encode_keys` gives, and a bound falls where it falls among them,
//! for keys of every shape.

use activestore_env::Env;
use activestore_sst::{SstOptions, SstWriter, VECTOR_ROWS};
use activestore_types::{
    BatchColumn, ClusteringColumn, Column, DataType, Hlc, KeyBuffer, OriginId, RowBatch, SyncMode,
    TableId, TableName,
};
use arrow::array::{Int64Array, StringArray};
use proptest::prelude::*;

use super::*;

const TEXT: ColumnId = ColumnId(1);
const NUMBER: ColumnId = ColumnId(2);
const NOTE: ColumnId = ColumnId(3);

/// A table whose key is made of these columns.
fn schema(partition: &[ColumnId], clustering: &[(ColumnId, bool)]) -> Arc<TableSchema> {
    let column = |id, name: &str, data_type| Column {
        id,
        name: name.to_owned(),
        data_type,
    };
    let clustering = clustering.iter().map(|(id, descending)| ClusteringColumn {
        id: *id,
        descending: *descending,
    });
    Arc::new(TableSchema {
        id: TableId(1),
        name: TableName::new("test", "keys"),
        columns: vec![
            column(TEXT, "text", DataType::Text),
            column(NUMBER, "number", DataType::BigInt),
            column(NOTE, "note", DataType::Text),
        ],
        partition_key: partition.to_vec(),
        clustering_key: clustering.collect(),
        flexible: false,
        ttl_s: None,
        compaction: activestore_types::CompactionMode::Automatic,
        sync: SyncMode::None,
        version: 1,
    })
}

/// Writes the rows in the order of their keys and gives the file and those keys.
fn write(schema: &Arc<TableSchema>, rows: &[(u8, i64, u8)]) -> (Arc<Sst>, KeyBuffer) {
    let columns = |rows: &[(u8, i64, u8)]| -> Vec<BatchColumn> {
        let text = |values: Vec<u8>| -> ArrayRef {
            Arc::new(StringArray::from_iter_values(
                values
                    .iter()
                    .map(|value| "ab\0".repeat(usize::from(*value))),
            ))
        };
        let arrays = [
            (TEXT, text(rows.iter().map(|row| row.0).collect())),
            (
                NUMBER,
                Arc::new(Int64Array::from_iter_values(rows.iter().map(|row| row.1))) as ArrayRef,
            ),
            (NOTE, text(rows.iter().map(|row| row.2).collect())),
        ];
        let column = |(id, array)| BatchColumn {
            id,
            array,
            set: None,
        };
        arrays.into_iter().map(column).collect()
    };
    let encode = |rows: &[(u8, i64, u8)]| {
        let columns = columns(rows);
        let keys = schema.key_columns().map(|key| {
            let column = columns.iter().find(|column| column.id == key.id).unwrap();
            (Arc::clone(&column.array), key.descending)
        });
        encode_keys(&keys.collect::<Vec<_>>()).unwrap()
    };
    let keys = encode(rows);
    let mut order: Vec<usize> = (0..rows.len()).collect();
    order.sort_by_key(|row| keys.key(*row).to_vec());
    let rows: Vec<(u8, i64, u8)> = order.iter().map(|row| rows[*row]).collect();
    let keys = encode(&rows);
    let disk = Env::simulated(1).disk;
    let options = SstOptions::default();
    let mut writer = SstWriter::create(&disk, "1.sst", Arc::clone(schema), options).unwrap();
    let mut batch = RowBatch::upsert(TableId(1), rows.len(), columns(&rows), Hlc(0), OriginId(0));
    // Fragments of one key stand by descending stamp.
    batch.hlc = (0..rows.len() as u64).map(|row| 1_000_000 - row).collect();
    writer.append(&batch, &keys).unwrap();
    writer.finish().unwrap();
    (Sst::open(&disk, "1.sst").unwrap(), keys)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    #[test]
    fn keys_are_those_of_their_rows(
        rows in prop::collection::vec((0_u8..4, prop_oneof![0..600_i64, any::<i64>()], 0_u8..5), 1..2500),
        shape in 0_usize..6,
        descending in any::<bool>(),
        targets in prop::collection::vec((any::<prop::sample::Index>(), 0_usize..24, prop::option::of(any::<u8>())), 1..20),
    ) {
        let (partition, clustering): (&[ColumnId], Vec<(ColumnId, bool)>) = match shape {
            0 => (&[TEXT], vec![(NUMBER, descending)]),
            1 => (&[TEXT], vec![(NUMBER, descending), (NOTE, !descending)]),
            2 => (&[NUMBER], vec![(TEXT, descending)]),
            3 => (&[NUMBER, TEXT], vec![]),
            4 => (&[TEXT, NOTE], vec![(NUMBER, descending)]),
            _ => (&[TEXT], vec![]),
        };
        let schema = schema(partition, &clustering);
        let (sst, keys) = write(&schema, &rows);
        let shape = KeyShape::of(&schema);
        let mut reader = sst.sequential();
        for vector in 0..sst.vectors() {
            let first = vector * VECTOR_ROWS;
            let read = VectorKeys::read(&mut reader, &shape, vector).unwrap();
            prop_assert_eq!(read.rows(), sst.vector_rows(vector));
            let there = (first..first + read.rows()).map(|row| keys.key(row));
            if let Some(made) = VectorKeys::of_rows(&shape, there) {
                prop_assert_eq!(made.rows(), read.rows());
                prop_assert_eq!(made.partitions(), read.partitions());
                for row in 0..read.rows() {
                    let mut key = Vec::new();
                    made.push_key(row, &mut key);
                    prop_assert_eq!(key.as_slice(), keys.key(first + row));
                    prop_assert_eq!(made.partition_of(row), read.partition_of(row));
                }
                let mut numbers = [Vec::new(), Vec::new()];
                made.push_numbers(made.partition_rows(0), false, &mut numbers[0]);
                read.push_numbers(read.partition_rows(0), false, &mut numbers[1]);
                prop_assert_eq!(&numbers[0], &numbers[1]);
            } else {
                prop_assert!(shape.clustering.len() != 1 || clustering[0].0 != NUMBER);
            }
            for row in 0..read.rows() {
                let mut key = Vec::new();
                read.push_key(row, &mut key);
                prop_assert_eq!(key.as_slice(), keys.key(first + row));
                if row > 0 {
                    let equal = keys.key(first + row - 1) == keys.key(first + row);
                    prop_assert_eq!(read.equal(row - 1, row), equal);
                }
                let partition = read.partition_of(row);
                prop_assert!(read.partition_rows(partition).contains(&row));
                prop_assert_eq!(read.prefix(partition), shape.prefix_of(&key).unwrap());
            }
            let pairs = 0..read.rows() - 1;
            let equal = |row: &usize| keys.key(first + row) == keys.key(first + row + 1);
            prop_assert_eq!(read.repeats(), pairs.filter(equal).collect::<Vec<_>>());
            for (index, cut, added) in &targets {
                let mut target = keys.key(index.index(rows.len())).to_vec();
                target.truncate(*cut);
                target.extend(*added);
                for rows in [0..read.rows(), read.rows() / 3..read.rows() / 2, 1..1] {
                    let expected = rows
                        .clone()
                        .find(|row| keys.key(first + row) >= target.as_slice())
                        .unwrap_or(rows.end);
                    prop_assert_eq!(read.lower_bound(rows, &target), expected);
                }
            }
        }
    }
}
