//! How far a load is: `FILE.progress`, kept while the load runs and keyed by the file's size and
//! time, so that a changed file starts over.

use std::path::{Path, PathBuf};
use std::time::UNIX_EPOCH;

use activestore_types::{Error, Result, TableName};
use serde::{Deserialize, Serialize};

use crate::cli::FileFormat;

/// The state after the last acknowledged piece.
#[derive(Clone, Debug, Serialize, Deserialize, PartialEq, Eq)]
pub struct Progress {
    /// The file's size in bytes.
    pub size: u64,
    mtime_ns: u64,
    table: String,
    format: String,
    /// Where to go on: a byte offset, for Arrow a batch number.
    pub offset: u64,
    /// The number of the next record.
    pub next_line: u64,
    /// Rows stored.
    pub rows: u64,
    /// Records refused.
    pub refused: u64,
    #[serde(skip)]
    path: PathBuf,
}

impl Progress {
    /// What an earlier load of the same file into the same table left, or the beginning.
    ///
    /// # Errors
    /// Where the file cannot be read.
    pub fn of(file: &Path, table: &TableName, format: FileFormat) -> Result<Progress> {
        let meta = std::fs::metadata(file)
            .map_err(|error| Error::invalid(format!("the file cannot be read: {error}")))?;
        let mtime_ns = meta
            .modified()
            .ok()
            .and_then(|time| time.duration_since(UNIX_EPOCH).ok())
            .map_or(0, |since| u64::try_from(since.as_nanos()).unwrap_or(0));
        let fresh = Progress {
            size: meta.len(),
            mtime_ns,
            table: table.to_string(),
            format: format!("{format:?}"),
            offset: 0,
            next_line: 0,
            rows: 0,
            refused: 0,
            path: beside(file, "progress"),
        };
        let kept: Option<Progress> = std::fs::read(&fresh.path)
            .ok()
            .and_then(|bytes| serde_json::from_slice(&bytes).ok());
        Ok(match kept {
            Some(kept)
                if kept.size == fresh.size
                    && kept.mtime_ns == fresh.mtime_ns
                    && kept.table == fresh.table
                    && kept.format == fresh.format =>
            {
                Progress {
                    path: fresh.path,
                    ..kept
                }
            }
            _ => fresh,
        })
    }

    /// The same file, nothing loaded yet.
    #[must_use]
    pub fn rewound(self) -> Progress {
        Progress {
            offset: 0,
            next_line: 0,
            rows: 0,
            refused: 0,
            ..self
        }
    }

    /// Writes the state; a reader sees the old one or the new one.
    ///
    /// # Errors
    /// Where the directory cannot be written.
    pub fn save(&self) -> Result<()> {
        let text = serde_json::to_vec(self)
            .map_err(|error| Error::internal(format!("the progress has no JSON: {error}")))?;
        let part = self.path.with_extension("progress.part");
        std::fs::write(&part, text)
            .and_then(|()| std::fs::rename(&part, &self.path))
            .map_err(|error| Error::from(error).context(format!("writing {}", self.path.display())))
    }

    /// Forgets the load: it is done.
    ///
    /// # Errors
    /// Where the file cannot be removed.
    pub fn remove(&self) -> Result<()> {
        match std::fs::remove_file(&self.path) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error.into()),
            _ => Ok(()),
        }
    }
}

/// `FILE.extension`.
pub fn beside(file: &Path, extension: &str) -> PathBuf {
    let mut name = file.as_os_str().to_owned();
    name.push(".");
    name.push(extension);
    name.into()
}
