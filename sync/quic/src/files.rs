//! Small private files: written whole or not at all, readable by their owner only.

use std::fs::{File, OpenOptions};
use std::io::{ErrorKind, Read, Write};
use std::path::Path;

use activestore_types::{Error, Result};

/// No file here comes near this; a larger one is not ours.
const MAX_FILE_BYTES: u64 = 16 << 20;

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
    file.take(MAX_FILE_BYTES)
        .read_to_end(&mut bytes)
        .map_err(|error| Error::from(error).context(path.display()))?;
    Ok(Some(bytes))
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
