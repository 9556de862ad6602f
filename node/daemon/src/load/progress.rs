//! How far a load is: `FILE.progress`, kept while the load runs and keyed by the file's size and time, so that a changed
//! file starts over, as does one that goes elsewhere or is read otherwise. What can be read only once has none.

use std::path::{Path, PathBuf};
use std::time::UNIX_EPOCH;

use activestore_types::{Error, Result};
use serde::{Deserialize, Serialize};

use crate::cli::{FileFormat, LoadArgs};

/// Where a load goes and how it reads: only the same one goes on.
#[derive(Clone, Debug, Serialize, Deserialize, PartialEq, Eq)]
pub struct Goal {
    node: String,
    table: String,
    /// Which table of this name; one that is made anew is another.
    stamp: String,
    format: String,
    /// Which columns go where, and what stands between them.
    reading: String,
}

impl Goal {
    /// What is asked for, on this node, in the table of this stamp.
    pub fn of(args: &LoadArgs, node: &str, stamp: String, format: FileFormat) -> Goal {
        Goal {
            node: node.to_owned(),
            table: args.table.to_string(),
            stamp,
            format: format!("{format:?}"),
            reading: format!("{:?} {:?} {:?}", args.map, args.skip, args.delimiter),
        }
    }
}

/// The state after the last acknowledged piece.
#[derive(Clone, Debug, Serialize, Deserialize, PartialEq, Eq)]
pub struct Progress {
    /// The file's size in bytes.
    pub size: u64,
    mtime_ns: u64,
    goal: Goal,
    /// The time of lines that say none, in nanoseconds since 1970: it stays when they are sent again.
    #[serde(default)]
    pub now_ns: Option<i64>,
    /// Where to go on: a byte of the unpacked text, or a row.
    pub offset: u64,
    /// The number of the next record.
    pub next_line: u64,
    /// Whether the table was made for what the first rows held.
    #[serde(default)]
    pub makes_table: bool,
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
    pub fn forgotten(goal: Goal) -> Progress {
        Progress {
            size: 0,
            mtime_ns: 0,
            goal,
            now_ns: None,
            offset: 0,
            next_line: 0,
            makes_table: false,
            rows: 0,
            refused: 0,
            rejects_bytes: 0,
            path: None,
        }
    }

    /// What an earlier load of the same file to the same goal left, or the beginning.
    ///
    /// # Errors
    /// Where the file cannot be read.
    pub fn of(file: &Path, goal: Goal) -> Result<Progress> {
        let fresh = Progress::fresh(file, goal)?;
        let kept: Option<Progress> = std::fs::read(beside(file, "progress"))
            .ok()
            .and_then(|bytes| serde_json::from_slice(&bytes).ok());
        Ok(match kept {
            Some(kept)
                if kept.size == fresh.size
                    && kept.mtime_ns == fresh.mtime_ns
                    && kept.goal == fresh.goal =>
            {
                Progress {
                    path: fresh.path,
                    ..kept
                }
            }
            _ => fresh,
        })
    }

    /// The beginning, whatever an earlier load left.
    ///
    /// # Errors
    /// Where the file cannot be read.
    pub fn fresh(file: &Path, goal: Goal) -> Result<Progress> {
        let meta = std::fs::metadata(file)
            .map_err(|error| Error::invalid(format!("the file cannot be read: {error}")))?;
        let mtime_ns = meta
            .modified()
            .ok()
            .and_then(|time| time.duration_since(UNIX_EPOCH).ok())
            .map_or(0, |since| u64::try_from(since.as_nanos()).unwrap_or(0));
        Ok(Progress {
            size: meta.len(),
            mtime_ns,
            path: Some(beside(file, "progress")),
            ..Progress::forgotten(goal)
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
        self.path.as_deref().map_or(Ok(()), removed)
    }

    /// Forgets what an earlier load of a file left.
    ///
    /// # Errors
    /// Where it cannot be removed.
    pub fn forget(file: &Path) -> Result<()> {
        removed(&beside(file, "progress"))
    }
}

fn removed(path: &Path) -> Result<()> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error.into()),
        _ => Ok(()),
    }
}

/// `FILE.extension`.
pub fn beside(file: &Path, extension: &str) -> PathBuf {
    let mut name = file.as_os_str().to_owned();
    name.push(".");
    name.push(extension);
    name.into()
}
