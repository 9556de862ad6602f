//! A range in its table's words holds the same keys as the encoded one.

use activestore_types::{
    ClusteringColumn, Column, ColumnId, CompactionMode, SyncMode, TableId, TableName, encode_keys,
};
use arrow::compute::concat;
use proptest::prelude::*;

use super::*;

const TYPES: [DataType; 9] = [
    DataType::Text,
    DataType::Bytes,
    DataType::Boolean,
    DataType::Int,
    DataType::Date,
    DataType::BigInt,
    DataType::Timestamp,
    DataType::Double,
    DataType::Real,
];

/// A table whose key is of these types, all but the first clustering.
fn table(types: &[(DataType, bool)]) -> TableSchema {
    let id = |place: usize| ColumnId(u32::try_from(place).unwrap());
    let columns = types
        .iter()
        .enumerate()
        .map(|(place, (data_type, _))| Column {
            id: id(place),
            name: format!("c{place}"),
            data_type: *data_type,
        });
    let clustering = types.iter().enumerate().skip(1);
    TableSchema {
        id: TableId(1),
        name: TableName::new("k", "t"),
        columns: columns.collect(),
        partition_key: vec![id(0)],
        clustering_key: clustering
            .map(|(place, (_, descending))| ClusteringColumn {
                id: id(place),
                descending: *descending,
            })
            .collect(),
        flexible: false,
        ttl_s: None,
        sync: SyncMode::None,
        compaction: CompactionMode::Automatic,
        version: 1,
    }
}

/// A value out of a few, so that keys meet.
fn value(data_type: DataType, seed: u8) -> ArrayRef {
    let texts = ["", "a", "a\0", "ab", "\u{7f}", "ÿ"];
    let text = texts[usize::from(seed) % texts.len()];
    let numbers = [0, 1, -1, 255, 256, i32::MAX, i32::MIN, -256];
    let number = numbers[usize::from(seed) % numbers.len()];
    match data_type {
        DataType::Text => Arc::new(StringArray::from(vec![text])),
        DataType::Bytes => {
            let bytes = [text.as_bytes(), &[0xff, 0xff][..usize::from(seed % 3)]].concat();
            Arc::new(BinaryArray::from_vec(vec![&bytes]))
        }
        DataType::Boolean => Arc::new(BooleanArray::from(vec![seed % 2 == 1])),
        DataType::Int => Arc::new(Int32Array::from(vec![number])),
        DataType::Date => Arc::new(Date32Array::from(vec![number])),
        DataType::BigInt => Arc::new(Int64Array::from(vec![i64::from(number) << (seed % 33)])),
        DataType::Timestamp => Arc::new(TimestampNanosecondArray::from(vec![i64::from(number)])),
        DataType::Double => Arc::new(Float64Array::from(vec![f64::from(number) / 3.0])),
        _ => Arc::new(Float32Array::from(vec![number as f32 / 4.0])),
    }
}

fn encoded(values: &[ArrayRef], table: &TableSchema) -> Vec<u8> {
    let order = table.key_columns().map(|key| key.descending);
    let columns: Vec<_> = values.iter().cloned().zip(order).collect();
    encode_keys(&columns).unwrap().key(0).to_vec()
}

fn values(types: &[(DataType, bool)], seeds: &[u8]) -> Vec<ArrayRef> {
    let both = types.iter().zip(seeds);
    both.map(|((data_type, _), seed)| value(*data_type, *seed))
        .collect()
}

proptest! {
    #[test]
    fn a_range_in_words_holds_the_same_keys(
        types in prop::collection::vec((0..TYPES.len(), any::<bool>()), 1..4),
        start in prop::collection::vec(any::<u8>(), 0..4),
        end in prop::collection::vec(any::<u8>(), 0..4),
        after_start in any::<bool>(),
        through_end in 0..3_u8,
        keys in prop::collection::vec(prop::collection::vec(any::<u8>(), 4), 1..40),
    ) {
        let mut types: Vec<_> = types.iter().map(|(at, descending)| (TYPES[*at], *descending)).collect();
        types[0].1 = false;
        let table = table(&types);
        let whole = |seeds: &[u8]| encoded(&values(&types, seeds), &table);
        let (start, end) = (whole(&start), whole(&end));
        // As deletes are planned: from a prefix or behind it, up to one, through it, or a key alone.
        let start = if after_start && !start.is_empty() {
            KeyRange::prefix(&start).end
        } else {
            start
        };
        let end = match through_end {
            1 if !end.is_empty() => KeyRange::prefix(&end).end,
            2 if !end.is_empty() => KeyRange::only(&end).end,
            _ => end,
        };
        let range = KeyRange { start, end };
        let bounds = Bounds::of(&table, range.clone());
        if !bounds.exact {
            prop_assert!(bounds.from.is_none() && bounds.to.is_none() && bounds.range == range);
            return Ok(());
        }
        let bytes = |row: &RecordBatch| encoded(row.columns(), &table);
        for key in &keys {
            let key = whole(key);
            let above = bounds.from.as_ref().is_none_or(|from| key >= bytes(from));
            prop_assert_eq!(above, key >= range.start, "{:?}", bounds);
            let below = bounds.to.as_ref().is_none_or(|to| {
                let to = bytes(to);
                key < to || (bounds.through && key.starts_with(&to))
            });
            prop_assert_eq!(below, range.end.is_empty() || key < range.end, "{:?}", bounds);
        }
    }
}

#[test]
fn what_deletes_write_has_words() {
    let types = [
        (DataType::Text, false),
        (DataType::Timestamp, true),
        (DataType::Text, false),
    ];
    let table = table(&types);
    let key = encoded(&values(&types, &[1, 3, 3]), &table);
    for (range, from, to, through) in [
        (KeyRange::all(), 0, 0, false),
        (
            KeyRange::prefix(&encoded(&values(&types, &[1]), &table)),
            1,
            1,
            true,
        ),
        (
            KeyRange::prefix(&encoded(&values(&types, &[1, 2]), &table)),
            2,
            2,
            false,
        ),
        (KeyRange::only(&key), 3, 3, true),
    ] {
        let bounds = Bounds::of(&table, range);
        assert!(bounds.exact, "{bounds:?}");
        let columns = |row: &Option<RecordBatch>| row.as_ref().map_or(0, RecordBatch::num_columns);
        assert_eq!(
            (columns(&bounds.from), columns(&bounds.to), bounds.through),
            (from, to, through)
        );
    }
    let both: Vec<ArrayRef> = values(&types, &[1, 3, 3]);
    let only = Bounds::of(&table, KeyRange::only(&key)).from.unwrap();
    for (given, read) in both.iter().zip(only.columns()) {
        let pair = concat(&[given.as_ref(), read.as_ref()]).unwrap();
        assert_eq!(pair.slice(0, 1).to_data(), pair.slice(1, 1).to_data());
    }
}
