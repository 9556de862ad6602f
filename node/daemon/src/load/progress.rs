//! How far a load is: `FILE.progress`, kept while the load runs and keyed by the file's size and time, so that a changed
//! file starts over. What can be read only once has none.

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
    node: String,
    /// Where to go on: a byte of the unpacked text, or a row.
    pub offset: u64,
    /// The number of the next record.
    pub next_line: u64,
    /// Rows stored.
    pub rows: u64,
    /// Records refused.
    pub refused: u64,
    /// How long the reject file is.
    pub rejects_bytes: u64,
    #[serde(skip)]
    path: Option<PathBuf>,
}

impl Progress {
    /// The beginning of what is not remembered: stdin, a pipe, a try.
    pub fn forgotten(table: &TableName, format: FileFormat) -> Progress {
        Progress {
            size: 0,
            mtime_ns: 0,
            table: table.to_string(),
            format: format!("{format:?}"),
            node: String::new(),
            offset: 0,
            next_line: 0,
            rows: 0,
            refused: 0,
            rejects_bytes: 0,
            path: None,
        }
    }

    /// What an earlier load of the same file into the same table of the same node left, or the beginning.
    ///
    /// # Errors
    /// Where the file cannot be read.
    pub fn of(file: &Path, table: &TableName, format: FileFormat, node: &str) -> Result<Progress> {
        let meta = std::fs::metadata(file)
            .map_err(|error| Error::invalid(format!("the file cannot be read: {error}")))?;
        let mtime_ns = meta
            .modified()
            .ok()
            .and_then(|time| time.duration_since(UNIX_EPOCH).ok())
            .map_or(0, |since| u64::try_from(since.as_nanos()).unwrap_or(0));
        let path = beside(file, "progress");
        let kept: Option<Progress> = std::fs::read(&path)
            .ok()
            .and_then(|bytes| serde_json::from_slice(&bytes).ok());
        let fresh = Progress {
            size: meta.len(),
            mtime_ns,
            node: node.to_owned(),
            path: Some(path),
            ..Progress::forgotten(table, format)
        };
        Ok(match kept {
            Some(kept)
                if kept.size == fresh.size
                    && kept.mtime_ns == fresh.mtime_ns
                    && kept.table == fresh.table
                    && kept.node == fresh.node
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

    /// Whether a later load goes on from here.
    pub fn is_kept(&self) -> bool {
        self.path.is_some()
    }

    /// Writes the state; a reader sees the old one or the new one.
    ///
    /// # Errors
    /// Where the directory cannot be written.
    pub fn save(&self) -> Result<()> {
        let Some(path) = &self.path else {
            return Ok(());
        };
        let text = serde_json::to_vec(self)
            .map_err(|error| Error::internal(format!("the progress has no JSON: {error}")))?;
        let part = beside(path, "part");
        std::fs::write(&part, text)
            .and_then(|()| std::fs::rename(&part, path))
            .map_err(|error| {
                Error::from(error)
                    .context(format!("writing {}", path.display()))
                    .with_hint("a load notes beside its file how far it is; add --no-resume where that folder cannot be written")
            })
    }

    /// Forgets the load: it is done.
    ///
    /// # Errors
    /// Where the file cannot be removed.
    pub fn remove(&self) -> Result<()> {
        let Some(path) = &self.path else {
            return Ok(());
        };
        match std::fs::remove_file(path) {
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
