//! The files of a node as a backup reads them: from the file system or out of the store's picture.
//! Each is read to the length that it had when the backup began.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use activestore_store::backup::Backup;
use activestore_types::{Error, Result};
use ring::digest;

/// Bytes at the end of an immutable file that tell it from others: an SSTable's footer, with the
/// checksums of its parts, is among them.
const TAIL_BYTES: u64 = 64 * 1024;

/// One file.
pub(super) struct Source {
    path: String,
    bytes: u64,
    from: From,
}

enum From {
    File(PathBuf),
    Store(Arc<Backup>, usize),
}

impl Source {
    /// A file below `dir`.
    pub(super) fn file(dir: &Path, path: &str) -> Result<Source> {
        let file = dir.join(path);
        let bytes = std::fs::metadata(&file)
            .map_err(|error| Error::from(error).context(file.display()))?
            .len();
        Ok(Source {
            path: path.to_owned(),
            bytes,
            from: From::File(file),
        })
    }

    /// The store's files.
    pub(super) fn of_store(backup: &Arc<Backup>) -> impl Iterator<Item = Source> {
        backup.files.iter().enumerate().map(|(at, file)| Source {
            path: file.path.clone(),
            bytes: file.bytes,
            from: From::Store(Arc::clone(backup), at),
        })
    }

    pub(super) fn path(&self) -> &str {
        &self.path
    }

    pub(super) fn bytes(&self) -> u64 {
        self.bytes
    }

    pub(super) fn immutable(&self) -> bool {
        match &self.from {
            From::File(_) => false,
            From::Store(backup, at) => backup.files.get(*at).is_some_and(|file| file.immutable),
        }
    }

    /// All of its bytes, or an error where it has become shorter.
    pub(super) fn reader(&self) -> Reader<'_> {
        Reader {
            source: self,
            at: 0,
            file: None,
        }
    }
}

/// Reads a source from front to end.
pub(super) struct Reader<'a> {
    source: &'a Source,
    at: u64,
    file: Option<File>,
}

impl Read for Reader<'_> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let left = self.source.bytes.saturating_sub(self.at);
        let wanted = usize::try_from(left).map_or(out.len(), |left| left.min(out.len()));
        let out = out.get_mut(..wanted).unwrap_or_default();
        if out.is_empty() {
            return Ok(0);
        }
        let read = match &self.source.from {
            From::Store(backup, at) => match backup.files.get(*at) {
                Some(file) => file.read_at(self.at, out).map_err(io::Error::other)?,
                None => 0,
            },
            From::File(path) => {
                if self.file.is_none() {
                    let mut file = File::open(path)?;
                    file.seek(SeekFrom::Start(self.at))?;
                    self.file = Some(file);
                }
                self.file.as_mut().map_or(Ok(0), |file| file.read(out))?
            }
        };
        if read == 0 {
            return Err(io::Error::new(
                io::ErrorKind::UnexpectedEof,
                format!("{} became shorter while it was copied", self.source.path),
            ));
        }
        self.at += read as u64;
        Ok(read)
    }
}

/// The SHA-256 of everything that is read.
pub(super) fn hashed(from: &mut dyn Read) -> Result<[u8; 32]> {
    let mut context = digest::Context::new(&digest::SHA256);
    let mut buffer = vec![0; 256 * 1024];
    loop {
        let read = from.read(&mut buffer)?;
        if read == 0 {
            break;
        }
        context.update(buffer.get(..read).unwrap_or_default());
    }
    let mut hash = [0; 32];
    hash.copy_from_slice(context.finish().as_ref());
    Ok(hash)
}

/// The hash of a file's last bytes.
pub(super) fn tail_of(source: &Source) -> Result<String> {
    let mut reader = source.reader();
    reader.at = source.bytes.saturating_sub(TAIL_BYTES);
    Ok(crate::blobs::hex(&hashed(&mut reader)?))
}
