//! The reject file: one CSV line for each refused record, with its line, the reason, the record and its file.

use std::fs::{File, OpenOptions};
use std::io::{BufWriter, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use activestore_types::{Error, Result};

use super::progress::beside;
use super::source::Source;

/// The most bytes of a refused record that are kept.
const RECORD_BYTES_MAX: usize = 64 * 1024;

/// Its first line.
const HEADER: &[u8] = b"line,reason,record,file\n";

/// The name for what is refused of stdin.
const OF_STDIN: &str = "stdin.rejects";

/// A refused record with its text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rejected {
    /// Its line (or row) in the file.
    pub line: u64,
    /// Why.
    pub reason: String,
    /// The record.
    pub record: Vec<u8>,
}

/// The reject file; it is made with the first refused record.
pub struct Rejects {
    path: PathBuf,
    source: String,
    file: Option<BufWriter<File>>,
    /// How many bytes of it stay; what a load that broke off has written behind them is written again.
    kept: u64,
}

impl Rejects {
    /// The reject file of a source: the one asked for, to which is added, or one beside it. Of what an earlier load left,
    /// `kept` bytes stay.
    pub fn open(source: &Source, asked: Option<&Path>, kept: u64, first: bool) -> Rejects {
        let path = match (asked, source.path()) {
            (Some(path), _) => path.to_owned(),
            (None, Some(path)) => beside(path, "rejects"),
            (None, None) => PathBuf::from(OF_STDIN),
        };
        let added = kept == 0 && asked.is_some() && !first;
        let kept = if added {
            std::fs::metadata(&path).map_or(0, |meta| meta.len())
        } else {
            kept
        };
        Rejects {
            path,
            source: source.shown(),
            file: None,
            kept,
        }
    }

    /// Takes away what a load before has left, where nothing of it stays.
    ///
    /// # Errors
    /// Where it cannot be removed.
    pub fn clear(&self) -> Result<()> {
        if self.kept == 0 && self.path.is_file() {
            std::fs::remove_file(&self.path)?;
        }
        Ok(())
    }

    /// Appends refused records.
    ///
    /// # Errors
    /// Where the file cannot be written.
    pub fn note(&mut self, refused: &[Rejected]) -> Result<()> {
        if refused.is_empty() {
            return Ok(());
        }
        self.write(refused)
            .map_err(|error| Error::from(error).context(format!("writing {}", self.path.display())))
    }

    fn write(&mut self, refused: &[Rejected]) -> std::io::Result<()> {
        let file = match &mut self.file {
            Some(file) => file,
            none => {
                let mut opened = OpenOptions::new()
                    .create(true)
                    .write(true)
                    .truncate(false)
                    .open(&self.path)?;
                let length = opened.metadata()?.len();
                if opened.metadata()?.is_file() {
                    opened.set_len(self.kept.min(length))?;
                    opened.seek(SeekFrom::End(0))?;
                }
                let file = none.insert(BufWriter::new(opened));
                if self.kept == 0 {
                    file.write_all(HEADER)?;
                    self.kept = HEADER.len() as u64;
                }
                file
            }
        };
        for one in refused {
            let record = one.record.get(..RECORD_BYTES_MAX).unwrap_or(&one.record);
            let record = String::from_utf8_lossy(record);
            let line = format!(
                "{},{},{},{}\n",
                one.line,
                quoted(&one.reason),
                quoted(record.trim_end_matches(['\r', '\n'])),
                quoted(&self.source)
            );
            file.write_all(line.as_bytes())?;
            self.kept += line.len() as u64;
        }
        file.flush()
    }

    /// How many bytes it holds.
    pub fn bytes(&self) -> u64 {
        self.kept
    }

    /// Its path.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

fn quoted(text: &str) -> String {
    format!("\"{}\"", text.replace('"', "\"\""))
}
