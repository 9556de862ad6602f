//! Where the partition's part of an encoded key ends, and its hash.

use std::hash::{BuildHasher, RandomState};
use std::sync::LazyLock;

use activestore_types::key::prefix_end;
use activestore_types::{DataType, KeyRange, TableSchema};
use xxhash_rust::xxh3::xxh3_64_with_seed;

/// What no writer can know. It decides no order and is written nowhere.
static SEED: LazyLock<u64> = LazyLock::new(|| RandomState::new().hash_one(0_u64));

/// The hash by which memtables find a partition; another one in every process.
pub(crate) fn hash(prefix: &[u8]) -> u64 {
    xxh3_64_with_seed(prefix, *SEED)
}

#[derive(Clone, Copy, Debug)]
enum Width {
    Fixed(usize),
    /// Ends with 0x00 0x00; 0x00 inside is followed by 0xFF.
    Terminated,
}

/// The encoded widths of the partition key's columns (always ascending).
#[derive(Clone, Debug)]
pub(crate) struct PrefixShape(Vec<Width>);

impl PrefixShape {
    pub(crate) fn of(schema: &TableSchema) -> Self {
        PrefixShape(
            schema
                .partition_key
                .iter()
                .filter_map(|id| schema.column_by_id(*id))
                .map(|column| match column.data_type {
                    DataType::Boolean => Width::Fixed(1),
                    DataType::Int | DataType::Date => Width::Fixed(4),
                    DataType::BigInt | DataType::Timestamp | DataType::Real | DataType::Double => {
                        Width::Fixed(8)
                    }
                    DataType::Decimal { .. } => Width::Fixed(16),
                    DataType::Text | DataType::Bytes | DataType::Uuid | DataType::Json => {
                        Width::Terminated
                    }
                })
                .collect(),
        )
    }

    /// The length of the partition prefix; `None` if the bytes end before it does.
    pub(crate) fn prefix_len(&self, key: &[u8]) -> Option<usize> {
        let mut at = 0;
        for width in &self.0 {
            match width {
                Width::Fixed(bytes) => at += bytes,
                Width::Terminated => loop {
                    at += key.get(at..)?.iter().position(|byte| *byte == 0)? + 2;
                    if *key.get(at - 1)? == 0 {
                        break;
                    }
                },
            }
        }
        (at <= key.len()).then_some(at)
    }

    /// The partition prefix that every key of the range has, if the range lies in one partition.
    pub(crate) fn single_partition<'a>(&self, range: &'a KeyRange) -> Option<&'a [u8]> {
        let prefix = range.start.get(..self.prefix_len(&range.start)?)?;
        let end = prefix_end(prefix);
        let inside = end.is_empty() || (!range.end.is_empty() && range.end <= end);
        inside.then_some(prefix)
    }
}
