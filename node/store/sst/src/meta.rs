//! What a file says about itself: kept in its footer, in the store's manifest and shown to users.

use activestore_types::{ColumnId, Hlc};
use serde::{Deserialize, Serialize};

/// A summary of one SSTable.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SstMeta {
    /// Row fragments held.
    pub rows: u64,
    /// The file's length in bytes.
    pub bytes: u64,
    /// The first encoded key.
    pub first_key: Vec<u8>,
    /// The last encoded key.
    pub last_key: Vec<u8>,
    /// The lowest stamp.
    pub min_hlc: Hlc,
    /// The highest stamp.
    pub max_hlc: Hlc,
    /// The earliest expiry in milliseconds since 1970; `None` where no row expires.
    pub min_expiry_ms: Option<u64>,
    /// The latest expiry in milliseconds since 1970; `None` where any row never expires.
    pub max_expiry_ms: Option<u64>,
    /// The least value of the first clustering column in nanoseconds since 1970, where that column is
    /// a TIMESTAMP and the file has rows.
    pub min_time_ns: Option<i64>,
    /// Its greatest value.
    pub max_time_ns: Option<i64>,
    /// 0 for a flush; what compaction says of its own files.
    pub level: u8,
    /// Row tombstones among the rows.
    pub tombstones: u64,
    /// No key stands twice.
    pub distinct: bool,
    /// No key stands twice, no row is a tombstone, none expires, and every listed column is set in
    /// every row: the rows can be shown as they are.
    pub unique: bool,
    /// The columns that hold any cell, in the order of the schema; the hidden ones are not listed.
    pub columns: Vec<ColumnMeta>,
}

/// A summary of one column of a file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ColumnMeta {
    /// The column's id on this node.
    pub id: ColumnId,
    /// Its name when the file was written.
    pub name: String,
    /// How many vectors took each encoding, most frequent first.
    pub encodings: Vec<(String, u64)>,
    /// Bytes its vectors and its dictionary take in the file.
    pub bytes: u64,
}
