//! The words every part of activestore shares: ids, schema types, keys that sort as bytes, the
//! hybrid logical clock, row batches on Arrow arrays, and errors named by what the caller must do.
//! This crate performs no I/O and reads no clock.
//!
//! ```
//! use activestore_types::{DataType, Hlc, HlcClock};
//!
//! let clock = HlcClock::starting_at(Hlc::ZERO);
//! let first = clock.reserve(1_700_000_000_000, 3); // three rows, stamped first, first+1, first+2
//! let next = clock.reserve(1_600_000_000_000, 1); // the wall clock jumped back; stamps do not
//! assert!(next > first.plus(2));
//! assert_eq!("double".parse::<DataType>().unwrap(), DataType::Double);
//! ```

pub mod batch;
pub mod data_type;
pub mod error;
pub mod hlc;
pub mod id;
pub mod key;
pub mod labels;
pub mod named;
pub mod schema;

pub use batch::{BatchColumn, RangeTombstone, RowBatch};
pub use data_type::DataType;
pub use error::{Error, ErrorKind, Result};
pub use hlc::{Hlc, HlcClock};
pub use id::{ColumnId, Epoch, Lsn, NodeId, OriginId, TableId};
pub use key::{KeyBuffer, KeyRange, encode_keys, encode_split_keys};
pub use labels::{Labels, MAX_LABELS};
pub use named::{KeyHint, NamedBatch, NamedColumn};
pub use schema::{
    ClusteringColumn, Column, CompactionMode, SyncClass, SyncMode, TableName, TableSchema,
};
