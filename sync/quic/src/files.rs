//! Small private files: written whole or not at all, readable by their owner only.

use std::fs::{File, OpenOptions};
use std::io::{ErrorKind, Read, Write};
use std::path::Path;
use std::time::{Duration, SystemTime};

use activestore_types::{Error, Result};

/// No file here comes near this, not even a hundred thousand tokens; a larger one is not ours.
const MAX_FILE_BYTES: u64 = 128 << 20;
/// Longer than a tick of any file system's clock.
const SETTLED_AFTER: Duration = Duration::from_secs(3);

/// Makes the directory, for its owner only where the system knows owners.
pub(crate) fn make_private_dir(path: &Path) -> Result<()> {
    let mut builder = std::fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    {
        use std::os::unix::fs::DirBuilderExt;
        builder.mode(0o700);
    }
    builder
        .create(path)
        .map_err(|error| Error::from(error).context(path.display()))
}

/// The file's bytes; `None` when there is no such file.
pub(crate) fn read(path: &Path) -> Result<Option<Vec<u8>>> {
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(Error::from(error).context(path.display())),
    };
    let mut bytes = Vec::new();
    file.take(MAX_FILE_BYTES + 1)
        .read_to_end(&mut bytes)
        .map_err(|error| Error::from(error).context(path.display()))?;
    if bytes.len() as u64 > MAX_FILE_BYTES {
        return Err(Error::corrupt(format!(
            "{} is longer than any file of this kind",
            path.display()
        )));
    }
    Ok(Some(bytes))
}

/// By what it is seen that a file was replaced. A replaced one is another file with another time, also where the clock
/// went back; where the system does not number its files, the time and the length have to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Mark {
    number: u64,
    changed: Option<SystemTime>,
    bytes: u64,
}

impl Mark {
    /// Whether a later change could not be taken for this one: times are kept by ticks of some milliseconds, and two
    /// changes within one may look alike.
    pub(crate) fn is_settled(&self) -> bool {
        let age = self.changed.and_then(|changed| changed.elapsed().ok());
        age.is_some_and(|age| age >= SETTLED_AFTER)
    }
}

/// The file's mark; `None` when there is no such file.
pub(crate) fn mark(path: &Path) -> Result<Option<Mark>> {
    let metadata = match std::fs::metadata(path) {
        Ok(metadata) => metadata,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(Error::from(error).context(path.display())),
    };
    #[cfg(unix)]
    let number = std::os::unix::fs::MetadataExt::ino(&metadata);
    #[cfg(not(unix))]
    let number = 0;
    Ok(Some(Mark {
        number,
        changed: metadata.modified().ok(),
        bytes: metadata.len(),
    }))
}

/// Replaces the file: after a crash it holds the old bytes or the new, and nobody else may read it.
pub(crate) fn write_private(path: &Path, bytes: &[u8]) -> Result<()> {
    let write = || -> std::io::Result<()> {
        let mut name = path.file_name().unwrap_or_default().to_owned();
        name.push(".new");
        let temporary = path.with_file_name(name);
        let mut options = OpenOptions::new();
        options.write(true).create(true).truncate(true);
        #[cfg(unix)]
        {
            use std::os::unix::fs::OpenOptionsExt;
            options.mode(0o600);
        }
        let mut file = options.open(&temporary)?;
        file.write_all(bytes)?;
        file.sync_all()?;
        std::fs::rename(&temporary, path)?;
        if let Some(directory) = path.parent() {
            File::open(directory)?.sync_all()?;
        }
        Ok(())
    };
    write().map_err(|error| Error::from(error).context(path.display()))
}

/// Holds the lock file for as long as the value lives, so that two processes do not change the
/// files beside it at once.
pub(crate) fn lock(path: &Path) -> Result<File> {
    let lock = || -> std::io::Result<File> {
        let file = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(false)
            .open(path)?;
        file.lock()?;
        Ok(file)
    };
    lock().map_err(|error| Error::from(error).context(path.display()))
}
