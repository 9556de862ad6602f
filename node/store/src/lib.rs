//! The log-structured merge-tree that keeps a node's rows: write-ahead log, memtables, SSTables,
//! a manifest, snapshots and compaction. It is synchronous and thread-safe; callers with an async
//! runtime run it on blocking threads. It knows no SQL, no names of plugins and no peers, and
//! reaches clock, randomness and disk only through `activestore-env`.
//!
//! The write path: [`Store::commit`] checks a [`WriteSet`], encodes it as one log record, joins the
//! group that is being written, and returns when the record is durable and readable.
//!
//! ```
//! use std::sync::Arc;
//! use activestore_env::Env;
//! use activestore_store::{Note, Store, StoreOptions, WriteSet};
//! use activestore_types::NodeId;
//!
//! let store = Store::open(Env::simulated(1), StoreOptions::new(NodeId([1; 16]))).unwrap();
//! let note = Note { key: b"progress".to_vec(), value: Some(b"41".to_vec()) };
//! let lsn = store.commit(WriteSet { notes: vec![note], ..WriteSet::default() }).unwrap();
//! assert_eq!(store.last_lsn(), lsn);
//! assert_eq!(store.note(b"progress").as_deref(), Some(b"41".as_slice()));
//! ```

pub mod backup;
pub mod compaction;
mod disks;
pub mod governor;
mod group;
mod manifest;
pub mod memtable;
mod note;
pub mod options;
pub mod read;
pub mod repair;
pub mod stats;
pub mod store;
pub mod version;
mod wal;
mod worker;
pub mod write_set;

pub use activestore_sst::{
    ColumnMeta, SstMeta, Sum, Summary, VECTOR_ROWS, ZonePredicate, ZoneValue, decode_array,
    encode_array,
};
pub use compaction::evict::{Evicted, Eviction};
pub use disks::table_disk;
pub use governor::PauseReason;
pub use options::{StoreOptions, WalSync};
pub use read::{
    Covering, Digest, FragmentPiece, Known, LastRequest, LastRows, Narrowing, RowFilter, Scan,
    ScanRequest, ScanStats, Share, Snapshot, StampedCell, StampedCells, Trace, WalkedRow, Wanted,
    WantedValues,
};
pub use stats::{CompactionInfo, FileGroup, SstInfo, StoreStats, TableStats};
pub use store::Store;
pub use store::encryption::open_keyring;
pub use version::{OwnKey, OwnState};
pub use write_set::{LogRecord, Note, WriteSet};
