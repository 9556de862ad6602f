//! A blob on its way in: pieces in order, the whole verified by its hash. Survives a connection, so
//! that a fetch goes on where it stopped.

use activestore_types::{Error, Result};

use crate::limits::MAX_BLOB_BYTES;
use crate::segment::sha256;

/// The part of a blob that has arrived. At most [`MAX_BLOB_BYTES`], grown as pieces come, never
/// ahead of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BlobAssembly {
    sha256: [u8; 32],
    total: Option<u64>,
    bytes: Vec<u8>,
}

impl BlobAssembly {
    /// Nothing of the blob named `sha256` yet.
    pub fn new(sha256: [u8; 32]) -> Self {
        BlobAssembly {
            sha256,
            total: None,
            bytes: Vec::new(),
        }
    }

    /// Which blob.
    pub fn sha256(&self) -> [u8; 32] {
        self.sha256
    }

    /// The first byte that is missing.
    pub fn offset(&self) -> u64 {
        self.bytes.len() as u64
    }

    /// Whether every byte is here.
    pub fn is_complete(&self) -> bool {
        self.total == Some(self.offset())
    }

    /// Takes the next piece; one that does not begin where the last ended is left aside. Returns
    /// whether it was taken.
    ///
    /// # Errors
    /// `Invalid` when the blob's length changed between pieces or is out of bounds.
    pub fn take(&mut self, offset: u64, total: u64, piece: &[u8]) -> Result<bool> {
        if total > MAX_BLOB_BYTES || self.total.is_some_and(|known| known != total) {
            return Err(Error::invalid(
                "the length of a blob changed while it was fetched",
            ));
        }
        self.total = Some(total);
        let end = offset.saturating_add(piece.len() as u64);
        if offset != self.offset() || end > total || self.is_complete() {
            return Ok(false);
        }
        self.bytes.extend_from_slice(piece);
        Ok(true)
    }

    /// The whole blob.
    ///
    /// # Errors
    /// `Corrupt` when its hash is not its name.
    pub fn finish(self) -> Result<Vec<u8>> {
        if !self.is_complete() || sha256(&self.bytes) != self.sha256 {
            return Err(Error::corrupt(
                "a blob arrived with other content than its name says",
            ));
        }
        Ok(self.bytes)
    }
}
