//! redb on the disk port, so that the manifest meets the same faults as everything else.

use std::fmt;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use activestore_env::DiskFile;
use redb::StorageBackend;

pub(crate) struct DiskBackend {
    file: Arc<dyn DiskFile>,
    /// Set for good when a sync fails: what is on the disk is unknown from then on.
    broken: Arc<AtomicBool>,
}

impl DiskBackend {
    pub(crate) fn new(file: Arc<dyn DiskFile>, broken: &Arc<AtomicBool>) -> Self {
        DiskBackend {
            file,
            broken: Arc::clone(broken),
        }
    }
}

impl fmt::Debug for DiskBackend {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DiskBackend").finish_non_exhaustive()
    }
}

impl StorageBackend for DiskBackend {
    fn len(&self) -> Result<u64, io::Error> {
        self.file.len()
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> Result<(), io::Error> {
        self.file.read_exact_at(offset, out)
    }

    fn set_len(&self, len: u64) -> Result<(), io::Error> {
        self.file.set_len(len)
    }

    fn sync_data(&self) -> Result<(), io::Error> {
        if self.broken.load(Ordering::SeqCst) {
            return Err(io::Error::other("an earlier sync failed"));
        }
        self.file.sync_data().inspect_err(|_| {
            self.broken.store(true, Ordering::SeqCst);
        })
    }

    fn write(&self, offset: u64, data: &[u8]) -> Result<(), io::Error> {
        self.file.write_at(offset, data)
    }
}
