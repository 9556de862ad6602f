//! Column vectors and the SSTable file: how rows of one table, sorted by key, become few bytes that
//! can be pruned, checked and decoded straight into Arrow arrays. This crate merges nothing, keeps no
//! manifest and removes no file; that is the store's.
//!
//! ```
//! use std::sync::Arc;
//!
//! use activestore_env::{Disk, SimDisk, SimDiskOptions};
//! use activestore_sst::{Sst, SstOptions, SstWriter};
//! use activestore_types::*;
//! use arrow::array::{ArrayRef, Float64Array, Int64Array};
//!
//! # fn main() -> Result<()> {
//! let column = |id, name: &str, data_type| Column { id: ColumnId(id), name: name.into(), data_type };
//! let schema = Arc::new(TableSchema {
//!     id: TableId(1),
//!     name: TableName::new("plant", "readings"),
//!     columns: vec![column(1, "device", DataType::BigInt), column(2, "temp", DataType::Double)],
//!     partition_key: vec![ColumnId(1)],
//!     clustering_key: vec![],
//!     flexible: false,
//!     ttl_s: None,
//!     sync: SyncMode::None,
//!     compaction: CompactionMode::Automatic,
//!     version: 1,
//! });
//! let device: ArrayRef = Arc::new(Int64Array::from_iter_values(0..5000));
//! let temp: ArrayRef = Arc::new(Float64Array::from_iter_values((0..5000).map(|i| i as f64 / 10.0)));
//! let keys = encode_keys(&[(device.clone(), false)])?;
//! let cells = |id, array| BatchColumn { id: ColumnId(id), array, set: None };
//! let columns = vec![cells(1, device), cells(2, temp)];
//! let batch = RowBatch::upsert(TableId(1), 5000, columns, Hlc::from_ms(1), OriginId(0));
//!
//! let disk: Arc<dyn Disk> = Arc::new(SimDisk::seeded(1, SimDiskOptions::default()));
//! let mut writer = SstWriter::create(&disk, "1.sst", schema, SstOptions::default())?;
//! writer.append(&batch, &keys)?;
//! let meta = writer.finish()?;
//! assert!(meta.unique && meta.bytes < 5000 * 4);
//!
//! let sst = Sst::open(&disk, "1.sst")?;
//! let range = KeyRange { start: keys.key(2000).to_vec(), end: keys.key(2001).to_vec() };
//! assert_eq!(sst.vectors_in(&range)?, 1..2);
//! assert_eq!(sst.read(1, &[ColumnId(2)])?.columns.len(), 1);
//! # Ok(())
//! # }
//! ```

pub mod block;
pub mod cache;
mod column;
mod filter;
mod footer;
mod group;
mod index;
pub mod meta;
mod newest;
mod page;
mod reader;
mod sum;
mod writer;
pub mod zone;

pub use block::{VECTOR_ROWS, decode_array, encode_array};
pub use cache::BlockCache;
pub use meta::{ColumnMeta, SstMeta};
pub use page::Fence;
pub use reader::{Codes, SequentialReader, Sst, StampZone, Summary, WideColumn, is_wide_type};
pub use sum::Sum;
pub use writer::{SstOptions, SstWriter};
pub use zone::{ZonePredicate, ZoneValue};

#[cfg(test)]
mod samples;
#[cfg(test)]
mod tables;
