//! The filter on the partition key: a split-block Bloom filter (Putze, Sanders and Singler, 2009, with
//! the salts of Apache Parquet) over xxh3 of the encoded partition prefix. It may say yes wrongly,
//! about once in a hundred, and never no wrongly.

use activestore_types::{Error, Result};
use xxhash_rust::xxh3::xxh3_64;

/// Bits a partition takes.
const BITS_PER_PARTITION: usize = 10;
const BLOCK_BYTES: usize = 32;
/// Beyond this many partitions the filter stops growing and only loses sharpness.
const PARTITIONS_MAX: usize = 1 << 20;

const SALTS: [u32; 8] = [
    0x47b6_137b,
    0x4497_4d91,
    0x8824_ad5b,
    0xa2b7_289d,
    0x7054_95c7,
    0x2df1_424b,
    0x9efc_4947,
    0x5c6b_fb31,
];

/// Collects partitions.
#[derive(Default)]
pub(crate) struct FilterBuilder {
    hashes: Vec<u64>,
    overflow: Option<Filter>,
}

impl FilterBuilder {
    /// Adds an encoded partition prefix.
    pub(crate) fn add(&mut self, prefix: &[u8]) {
        let hash = xxh3_64(prefix);
        if let Some(filter) = &mut self.overflow {
            filter.insert(hash);
            return;
        }
        self.hashes.push(hash);
        if self.hashes.len() >= PARTITIONS_MAX {
            let mut filter = Filter::sized(PARTITIONS_MAX * 2);
            self.hashes.drain(..).for_each(|hash| filter.insert(hash));
            self.hashes = Vec::new();
            self.overflow = Some(filter);
        }
    }

    /// The filter of everything added.
    pub(crate) fn build(self) -> Filter {
        if let Some(filter) = self.overflow {
            return filter;
        }
        let mut filter = Filter::sized(self.hashes.len());
        for hash in self.hashes {
            filter.insert(hash);
        }
        filter
    }
}

/// A finished filter.
#[derive(Debug)]
pub(crate) struct Filter {
    blocks: Vec<[u32; 8]>,
}

impl Filter {
    fn sized(partitions: usize) -> Self {
        let blocks = (partitions * BITS_PER_PARTITION)
            .div_ceil(BLOCK_BYTES * 8)
            .max(1);
        Filter {
            blocks: vec![[0; 8]; blocks],
        }
    }

    fn insert(&mut self, hash: u64) {
        let block = self.block_of(hash);
        if let Some(words) = self.blocks.get_mut(block) {
            for (word, bit) in words.iter_mut().zip(bits(hash)) {
                *word |= bit;
            }
        }
    }

    /// Whether the partition may be among those added.
    pub(crate) fn may_hold(&self, prefix: &[u8]) -> bool {
        let hash = xxh3_64(prefix);
        self.blocks.get(self.block_of(hash)).is_none_or(|words| {
            words
                .iter()
                .zip(bits(hash))
                .all(|(word, bit)| word & bit != 0)
        })
    }

    fn block_of(&self, hash: u64) -> usize {
        (((hash >> 32) * self.blocks.len() as u64) >> 32) as usize
    }

    /// Its bytes.
    pub(crate) fn encode(&self) -> Vec<u8> {
        self.blocks
            .iter()
            .flatten()
            .flat_map(|word| word.to_le_bytes())
            .collect()
    }

    /// From its bytes.
    ///
    /// # Errors
    /// `Corrupt` where they are not whole blocks.
    pub(crate) fn decode(bytes: &[u8]) -> Result<Self> {
        let (words, []) = bytes.as_chunks::<4>() else {
            return Err(Error::corrupt("a partition filter is cut"));
        };
        let (blocks, []) = words.as_chunks::<8>() else {
            return Err(Error::corrupt("a partition filter is cut"));
        };
        if blocks.is_empty() {
            return Err(Error::corrupt("a partition filter is empty"));
        }
        let blocks = blocks
            .iter()
            .map(|block| block.map(u32::from_le_bytes))
            .collect();
        Ok(Filter { blocks })
    }
}

/// One bit in each word of a block.
fn bits(hash: u64) -> [u32; 8] {
    SALTS.map(|salt| 1 << ((hash as u32).wrapping_mul(salt) >> 27))
}

#[cfg(test)]
mod tests;
