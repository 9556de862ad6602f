//! The real disk, without space when that is said.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use activestore_env::{Disk, DiskFile, RealDisk};

/// Whether there is no space.
#[derive(Clone, Debug, Default)]
pub struct Space(Arc<AtomicBool>);

impl Space {
    pub fn run_out(&self, full: bool) {
        self.0.store(full, Ordering::SeqCst);
    }

    pub fn is_full(&self) -> bool {
        self.0.load(Ordering::SeqCst)
    }

    fn take(&self) -> io::Result<()> {
        if self.is_full() {
            return Err(io::Error::new(io::ErrorKind::StorageFull, "no space left"));
        }
        Ok(())
    }
}

/// See the module's text.
pub struct FaultyDisk {
    pub disk: RealDisk,
    pub space: Space,
}

impl FaultyDisk {
    fn file(&self, file: Arc<dyn DiskFile>) -> Arc<dyn DiskFile> {
        Arc::new(FaultyFile {
            file,
            space: self.space.clone(),
        })
    }
}

impl Disk for FaultyDisk {
    fn create(&self, path: &str) -> io::Result<Arc<dyn DiskFile>> {
        self.space.take()?;
        Ok(self.file(self.disk.create(path)?))
    }

    fn open(&self, path: &str) -> io::Result<Arc<dyn DiskFile>> {
        Ok(self.file(self.disk.open(path)?))
    }

    fn exists(&self, path: &str) -> bool {
        self.disk.exists(path)
    }

    fn list(&self, dir: &str) -> io::Result<Vec<String>> {
        self.disk.list(dir)
    }

    fn remove(&self, path: &str) -> io::Result<()> {
        self.disk.remove(path)
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        self.disk.rename(from, to)
    }

    fn create_dir_all(&self, dir: &str) -> io::Result<()> {
        self.space.take()?;
        self.disk.create_dir_all(dir)
    }

    fn sync_dir(&self, dir: &str) -> io::Result<()> {
        self.disk.sync_dir(dir)
    }

    fn free_bytes(&self) -> io::Result<u64> {
        self.space.take()?;
        self.disk.free_bytes()
    }
}

struct FaultyFile {
    file: Arc<dyn DiskFile>,
    space: Space,
}

impl DiskFile for FaultyFile {
    fn len(&self) -> io::Result<u64> {
        self.file.len()
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.file.set_len(len)
    }

    fn read_at(&self, offset: u64, out: &mut [u8]) -> io::Result<usize> {
        self.file.read_at(offset, out)
    }

    // Writing over what is there takes no space, but which bytes are really there only the file system knows:
    // every write fails.
    fn write_at(&self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        self.space.take()?;
        self.file.write_at(offset, bytes)
    }

    fn sync_data(&self) -> io::Result<()> {
        self.file.sync_data()
    }

    fn allocate(&self, len: u64) -> io::Result<()> {
        self.space.take()?;
        self.file.allocate(len)
    }
}
