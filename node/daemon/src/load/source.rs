//! Where rows come from: a file, several, or stdin, packed by gzip or not. Each is read from its beginning; a plain file
//! is gone on with at any place.

use std::fs::File;
use std::io::{Cursor, Read, Seek, SeekFrom, Stdin};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use activestore_types::{Error, Result};
use flate2::read::MultiGzDecoder;

use super::format::GZIP;

/// Bytes that are looked at to tell what a file is.
const HEAD_BYTES: usize = 64 * 1024;

/// Bytes read at a time where a place is sought that cannot be jumped to.
const SKIP_BYTES: usize = 256 * 1024;

/// The most files that one name with `*` may stand for.
const FILES_MAX: usize = 100_000;

/// A file or stdin.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// A file.
    File(PathBuf),
    /// Stdin, written as `-`.
    Stdin,
}

impl Source {
    /// What the arguments name. A name with `*`, `?` or `[` that is no file stands for all files that fit, by name.
    ///
    /// # Errors
    /// `NotFound` where nothing fits, `Invalid` for a pattern that is none.
    pub fn all(names: &[PathBuf]) -> Result<Vec<Source>> {
        let mut found = Vec::new();
        for name in names {
            let text = name.to_string_lossy();
            if text == "-" {
                if found.contains(&Source::Stdin) {
                    return Err(Error::invalid("stdin can be loaded only once"));
                }
                found.push(Source::Stdin);
            } else if text.contains(['*', '?', '[']) && !name.exists() {
                found.extend(fitting(&text)?.into_iter().map(Source::File));
            } else {
                found.push(Source::File(name.clone()));
            }
        }
        Ok(found)
    }

    /// Its path.
    pub fn path(&self) -> Option<&Path> {
        match self {
            Source::File(path) => Some(path),
            Source::Stdin => None,
        }
    }

    /// Its name for people.
    pub fn shown(&self) -> String {
        match self {
            Source::File(path) => path.display().to_string(),
            Source::Stdin => "stdin".to_owned(),
        }
    }

    /// Opens it and looks at its first bytes.
    ///
    /// # Errors
    /// Where it cannot be read, or is a folder.
    pub fn open(&self) -> Result<Opened> {
        let taken = Arc::new(AtomicU64::new(0));
        let (raw, size) = match self {
            Source::Stdin => (Raw::Stdin(std::io::stdin()), None),
            Source::File(path) => {
                let file = File::open(path)
                    .map_err(|error| Error::invalid(format!("the file cannot be read: {error}")))?;
                let meta = file.metadata()?;
                if meta.is_dir() {
                    return Err(Error::invalid("this is a folder")
                        .with_hint(format!("name its files: '{}/*.csv'", path.display())));
                }
                // A pipe has no size, and nothing to go back to.
                (Raw::File(file), meta.is_file().then_some(meta.len()))
            }
        };
        let mut counted = Counted {
            raw,
            taken: taken.clone(),
        };
        let head = read_head(&mut counted)?;
        let (input, head) = if head.starts_with(GZIP) {
            let mut unpacked = MultiGzDecoder::new(Cursor::new(head).chain(counted));
            let head = read_head(&mut unpacked)?;
            let input = Input::Stream(Box::new(Cursor::new(head.clone()).chain(unpacked)));
            (input, head)
        } else if size.is_some() {
            counted.rewind()?;
            (Input::File(counted), head)
        } else {
            let input = Input::Stream(Box::new(Cursor::new(head.clone()).chain(counted)));
            (input, head)
        };
        Ok(Opened {
            input,
            head,
            size,
            taken,
        })
    }
}

/// A source that is open.
pub struct Opened {
    /// Its bytes, unpacked.
    pub input: Input,
    /// The first of them.
    pub head: Vec<u8>,
    /// The size of a file as it lies on the disk.
    pub size: Option<u64>,
    /// How many bytes of that have been read.
    pub taken: Arc<AtomicU64>,
}

/// Unpacked bytes.
pub enum Input {
    /// A file as it is.
    File(Counted),
    /// What can be read only once.
    Stream(Box<dyn Read + Send>),
}

impl Input {
    /// Goes from `at` on to `to`.
    ///
    /// # Errors
    /// Where there are fewer bytes, or they cannot be read.
    pub fn jump(&mut self, at: u64, to: u64) -> Result<()> {
        match self {
            Input::File(counted) => {
                counted.seek(SeekFrom::Start(to))?;
                Ok(())
            }
            Input::Stream(stream) => {
                let mut left = to.saturating_sub(at);
                let mut buffer = vec![0; SKIP_BYTES];
                while left > 0 {
                    let wanted = usize::try_from(left).unwrap_or(SKIP_BYTES).min(SKIP_BYTES);
                    let read = stream.read(buffer.get_mut(..wanted).unwrap_or_default())?;
                    if read == 0 {
                        return Err(Error::invalid(
                            "the file is shorter than it was when the load stopped",
                        ));
                    }
                    left -= read as u64;
                }
                Ok(())
            }
        }
    }

    /// The file itself, for formats that are read from their end.
    ///
    /// # Errors
    /// `Invalid` for stdin, a pipe or a packed file.
    pub fn into_plain(self) -> Result<Counted> {
        match self {
            Input::File(counted) => Ok(counted),
            Input::Stream(_) => Err(Error::invalid(
                "this format is read from its end, which stdin and gzip do not show",
            )
            .with_hint("save it as a plain file and load that")),
        }
    }
}

impl Read for Input {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        match self {
            Input::File(counted) => counted.read(buffer),
            Input::Stream(stream) => stream.read(buffer),
        }
    }
}

enum Raw {
    File(File),
    Stdin(Stdin),
}

/// A reader that tells how far it is.
pub struct Counted {
    raw: Raw,
    taken: Arc<AtomicU64>,
}

impl Counted {
    /// The file, uncounted.
    ///
    /// # Errors
    /// `Invalid` for stdin.
    pub fn into_file(self) -> Result<File> {
        match self.raw {
            Raw::File(file) => Ok(file),
            Raw::Stdin(_) => Err(Error::invalid("stdin is not a file")),
        }
    }
}

impl Read for Counted {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let read = match &mut self.raw {
            Raw::File(file) => file.read(buffer)?,
            Raw::Stdin(stdin) => stdin.lock().read(buffer)?,
        };
        self.taken.fetch_add(read as u64, Ordering::Relaxed);
        Ok(read)
    }
}

impl Seek for Counted {
    fn seek(&mut self, to: SeekFrom) -> std::io::Result<u64> {
        let place = match &mut self.raw {
            Raw::File(file) => file.seek(to)?,
            Raw::Stdin(_) => return Err(std::io::ErrorKind::NotSeekable.into()),
        };
        self.taken.store(place, Ordering::Relaxed);
        Ok(place)
    }
}

fn read_head(reader: &mut impl Read) -> Result<Vec<u8>> {
    let mut head = Vec::new();
    reader
        .take(HEAD_BYTES as u64)
        .read_to_end(&mut head)
        .map_err(|error| Error::invalid(format!("the file cannot be read: {error}")))?;
    Ok(head)
}

fn fitting(pattern: &str) -> Result<Vec<PathBuf>> {
    let paths = glob::glob(pattern)
        .map_err(|error| Error::invalid(format!("'{pattern}' is not a pattern: {error}")))?;
    let mut found = Vec::new();
    for path in paths.take(FILES_MAX + 1) {
        let path = path.map_err(|error| Error::invalid(error.to_string()))?;
        if path.is_file() {
            found.push(path);
        }
    }
    if found.len() > FILES_MAX {
        return Err(Error::invalid(format!(
            "'{pattern}' stands for more than {FILES_MAX} files"
        )));
    }
    if found.is_empty() {
        return Err(Error::not_found(format!("no file fits '{pattern}'")));
    }
    Ok(found)
}
