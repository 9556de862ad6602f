//! The disk as SSTables see it: plain, or encrypted under the directory's common data key or under one
//! that a partition has of its own.

use std::sync::Arc;

use activestore_env::seal::{data_key_of, sealed_disk, sealed_disk_under};
use activestore_env::{Disk, Keyring};
use activestore_types::Result;

/// What SSTables are to the keyring.
const SSTABLE: &str = "sstable";

/// The disk as an [`activestore_sst::Sst`] of the directory has to see it.
pub fn table_disk(disk: &Arc<dyn Disk>, keyring: Option<&Arc<Keyring>>) -> Arc<dyn Disk> {
    sealed_disk(disk, keyring, SSTABLE)
}

/// The disk as SSTables see it, for new files under any data key. All of them read all files.
#[derive(Clone)]
pub struct SstDisks {
    below: Arc<dyn Disk>,
    common: Arc<dyn Disk>,
    keyring: Option<Arc<Keyring>>,
}

impl SstDisks {
    /// Over `below`, the directory's disk.
    pub fn new(below: &Arc<dyn Disk>, keyring: Option<&Arc<Keyring>>) -> Self {
        SstDisks {
            below: Arc::clone(below),
            common: table_disk(below, keyring),
            keyring: keyring.map(Arc::clone),
        }
    }

    /// For what has no key of its own.
    pub fn common(&self) -> &Arc<dyn Disk> {
        &self.common
    }

    /// For new files under an own key.
    pub fn under(&self, own: Option<u32>) -> Arc<dyn Disk> {
        match (&self.keyring, own) {
            (Some(keyring), Some(own)) => sealed_disk_under(&self.below, keyring, SSTABLE, own),
            _ => Arc::clone(&self.common),
        }
    }

    /// Removes files that were begun and are of no use, as far as that goes: the failure that matters is
    /// the one before, and a start removes what no version names.
    pub(crate) fn remove_begun(&self, paths: &[String]) {
        for path in paths.iter().filter(|path| self.common.exists(path)) {
            let _ = self.common.remove(path);
        }
    }

    /// The own key that a file was written under, if it was.
    ///
    /// # Errors
    /// As [`data_key_of`].
    pub fn own_key_of(&self, path: &str) -> Result<Option<u32>> {
        if self.keyring.is_none() {
            return Ok(None);
        }
        let key = data_key_of(&self.below, path)?;
        Ok(Some(key).filter(|key| Keyring::is_own(*key)))
    }
}
