//! What scans count.

/// What a scan did so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ScanStats {
    /// Vectors whose cells were decoded.
    pub vectors_read: u64,
    /// Vectors whose keys were read, to merge them with others or to cut them at the range's ends.
    pub keys_read: u64,
    /// Vectors shown as they were, their keys unread.
    pub vectors_whole: u64,
    /// Vectors that were answered for by what their file's index says of them.
    pub vectors_covered: u64,
    /// Vectors skipped by the predicates or because all of it has expired.
    pub vectors_pruned: u64,
    /// Rows that nothing was merged with and nobody resolved, shown or not.
    pub rows_run: u64,
    /// Keys merged row by row.
    pub keys_merged: u64,
    /// Bytes of the cells that were decoded, as arrays hold them.
    pub bytes_decoded: u64,
    /// Rows left out by the filter.
    pub rows_filtered: u64,
    /// Rows put out.
    pub rows: u64,
}
