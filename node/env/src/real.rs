//! This machine's clock, randomness and file system.

use std::fs::{File, OpenOptions, TryLockError};
use std::io;
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use activestore_types::{Error, Result};

use crate::memory::prefer_huge_pages;
use crate::{Clock, Disk, DiskFile, Rng};

/// The file whose lock says that a node works in the directory.
pub const LOCK_FILE: &str = "LOCK";

/// The system's clock.
#[derive(Debug)]
pub struct RealClock {
    started: Instant,
}

impl RealClock {
    /// A clock whose monotonic time starts now.
    pub fn new() -> Self {
        RealClock {
            started: Instant::now(),
        }
    }
}

impl Default for RealClock {
    fn default() -> Self {
        RealClock::new()
    }
}

impl Clock for RealClock {
    fn wall_ns(&self) -> i64 {
        match SystemTime::now().duration_since(SystemTime::UNIX_EPOCH) {
            Ok(after) => i64::try_from(after.as_nanos()).unwrap_or(i64::MAX),
            Err(before) => {
                i64::try_from(before.duration().as_nanos()).map_or(i64::MIN, |nanos| -nanos)
            }
        }
    }

    fn monotonic(&self) -> Duration {
        self.started.elapsed()
    }
}

/// The system's randomness.
#[derive(Clone, Copy, Debug, Default)]
pub struct RealRng;

impl Rng for RealRng {
    fn fill(&self, out: &mut [u8]) {
        getrandom::fill(out).expect("the operating system hands out random bytes");
    }
}

/// A directory of the file system, locked against a second process.
#[derive(Debug)]
pub struct RealDisk {
    root: PathBuf,
    /// Held open: the lock goes with it.
    _lock: File,
}

impl RealDisk {
    /// Opens `root`, making it if it is missing, and locks it.
    ///
    /// # Errors
    /// `Conflict` when another process holds it; otherwise what the system says, naming `root`.
    pub fn open(root: &Path) -> Result<RealDisk> {
        let context = |error: io::Error| {
            Error::from(error).context(format!("data directory {}", root.display()))
        };
        std::fs::create_dir_all(root).map_err(context)?;
        let root = root.canonicalize().map_err(context)?;
        let lock = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(root.join(LOCK_FILE))
            .map_err(context)?;
        match lock.try_lock() {
            Ok(()) => Ok(RealDisk { root, _lock: lock }),
            Err(TryLockError::WouldBlock) => Err(Error::conflict(format!(
                "another node is using the data directory {}",
                root.display()
            ))
            .with_hint("stop that node or choose another data directory")),
            Err(TryLockError::Error(error)) => Err(context(error)),
        }
    }

    /// The directory.
    pub fn root(&self) -> &Path {
        &self.root
    }

    fn path(&self, path: &str) -> io::Result<PathBuf> {
        let inside = Path::new(path)
            .components()
            .all(|part| matches!(part, Component::Normal(_)));
        if inside {
            Ok(self.root.join(path))
        } else {
            Err(io::Error::new(
                io::ErrorKind::InvalidInput,
                format!("'{path}' leads out of the data directory"),
            ))
        }
    }
}

impl Disk for RealDisk {
    fn create(&self, path: &str) -> io::Result<Arc<dyn DiskFile>> {
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create_new(true)
            .open(self.path(path)?)
            .map_err(|error| named(path, &error))?;
        Ok(Arc::new(RealFile { file }))
    }

    fn open(&self, path: &str) -> io::Result<Arc<dyn DiskFile>> {
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .open(self.path(path)?)
            .map_err(|error| named(path, &error))?;
        Ok(Arc::new(RealFile { file }))
    }

    fn exists(&self, path: &str) -> bool {
        self.path(path).is_ok_and(|path| path.exists())
    }

    fn list(&self, dir: &str) -> io::Result<Vec<String>> {
        let entries = match std::fs::read_dir(self.path(dir)?) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(named(dir, &error)),
        };
        let mut names = Vec::new();
        for entry in entries {
            let entry = entry?;
            if entry.file_type()?.is_file()
                && let Ok(name) = entry.file_name().into_string()
            {
                names.push(name);
            }
        }
        names.sort_unstable();
        Ok(names)
    }

    fn remove(&self, path: &str) -> io::Result<()> {
        std::fs::remove_file(self.path(path)?).map_err(|error| named(path, &error))
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        std::fs::rename(self.path(from)?, self.path(to)?).map_err(|error| named(from, &error))
    }

    fn create_dir_all(&self, dir: &str) -> io::Result<()> {
        let path = self.path(dir)?;
        std::fs::create_dir_all(&path).map_err(|error| named(dir, &error))?;
        for above in path.ancestors() {
            if above != path {
                sync_directory(above)?;
            }
            if above == self.root {
                break;
            }
        }
        Ok(())
    }

    fn sync_dir(&self, dir: &str) -> io::Result<()> {
        sync_directory(&self.path(dir)?).map_err(|error| named(dir, &error))
    }

    fn free_bytes(&self) -> io::Result<u64> {
        free_bytes(&self.root)
    }
}

/// The system's error with the name it is about.
fn named(path: &str, error: &io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("{path}: {error}"))
}

#[cfg(unix)]
fn sync_directory(path: &Path) -> io::Result<()> {
    File::open(path)?.sync_all()
}

#[cfg(unix)]
fn free_bytes(root: &Path) -> io::Result<u64> {
    let stats = rustix::fs::statvfs(root)?;
    Ok(stats.f_bavail.saturating_mul(stats.f_frsize))
}

#[derive(Debug)]
struct RealFile {
    file: File,
}

#[cfg(unix)]
impl DiskFile for RealFile {
    fn len(&self) -> io::Result<u64> {
        Ok(self.file.metadata()?.len())
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.file.set_len(len)
    }

    fn read_at(&self, offset: u64, out: &mut [u8]) -> io::Result<usize> {
        use std::os::unix::fs::FileExt;
        let mut done = 0;
        while let Some(rest) = out.get_mut(done..).filter(|rest| !rest.is_empty()) {
            match self.file.read_at(rest, offset + done as u64) {
                Ok(0) => break,
                Ok(read) => done += read,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(done)
    }

    fn read_vec(&self, offset: u64, len: usize) -> io::Result<Vec<u8>> {
        use rustix::buffer::spare_capacity;
        let mut bytes: Vec<u8> = Vec::with_capacity(len);
        prefer_huge_pages(bytes.as_ptr(), len);
        while bytes.len() < len {
            let at = offset + bytes.len() as u64;
            match rustix::io::pread(&self.file, spare_capacity(&mut bytes), at) {
                Ok(0) => break,
                Ok(_) | Err(rustix::io::Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
        bytes.truncate(len);
        Ok(bytes)
    }

    fn write_at(&self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        use std::os::unix::fs::FileExt;
        self.file.write_all_at(bytes, offset)
    }

    fn sync_data(&self) -> io::Result<()> {
        self.file.sync_data()
    }

    #[cfg(target_os = "linux")]
    fn reserve(&self, len: u64) -> io::Result<()> {
        use rustix::fs::{FallocateFlags, fallocate};
        use rustix::io::Errno;
        if self.len()? >= len {
            return Ok(());
        }
        match fallocate(&self.file, FallocateFlags::empty(), 0, len) {
            Ok(()) => Ok(()),
            // Not every file system can.
            Err(Errno::OPNOTSUPP | Errno::NOSYS | Errno::INVAL | Errno::INTR) => self.allocate(len),
            Err(error) => Err(error.into()),
        }
    }
}

#[cfg(test)]
mod tests;
