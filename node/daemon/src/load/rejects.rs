//! `FILE.rejects`: one CSV line for each refused record, with its line, the reason and the record.

use std::fs::{File, OpenOptions};
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

use activestore_types::Result;

use super::Piece;
use super::progress::beside;
use super::send::Refused;

/// The most bytes of a refused record that are kept.
const RECORD_BYTES_MAX: usize = 64 * 1024;

/// The reject file; it is made with the first refused record.
pub struct Rejects {
    path: PathBuf,
    file: Option<BufWriter<File>>,
}

impl Rejects {
    /// The reject file of a file to load; what an earlier load left goes unless it is `resumed`.
    ///
    /// # Errors
    /// Where the old one cannot be removed.
    pub fn open(file: &Path, resumed: bool) -> Result<Rejects> {
        let path = beside(file, "rejects");
        if !resumed && path.exists() {
            std::fs::remove_file(&path)?;
        }
        Ok(Rejects { path, file: None })
    }

    /// Appends the refused records of a piece.
    ///
    /// # Errors
    /// Where the file cannot be written.
    pub fn note(&mut self, piece: &Piece, refused: &[Refused]) -> Result<()> {
        if refused.is_empty() {
            return Ok(());
        }
        let file = match &mut self.file {
            Some(file) => file,
            none => {
                let is_new = !self.path.exists();
                let opened = OpenOptions::new()
                    .create(true)
                    .append(true)
                    .open(&self.path)?;
                let file = none.insert(BufWriter::new(opened));
                if is_new {
                    writeln!(file, "line,reason,record")?;
                }
                file
            }
        };
        for one in refused {
            let record = piece.record(one.line);
            let record = record.get(..RECORD_BYTES_MAX).unwrap_or(record);
            let record = String::from_utf8_lossy(record);
            writeln!(
                file,
                "{},{},{}",
                one.line,
                quoted(&one.reason),
                quoted(record.trim_end_matches(['\r', '\n']))
            )?;
        }
        file.flush()?;
        Ok(())
    }

    /// Ends the file.
    ///
    /// # Errors
    /// Where it cannot be written.
    pub fn close(&mut self, refused: u64) -> Result<()> {
        if let Some(file) = &mut self.file {
            file.flush()?;
            tracing::debug!(refused, path = %self.path.display(), "reject file written");
        }
        Ok(())
    }

    /// Its path.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

fn quoted(text: &str) -> String {
    format!("\"{}\"", text.replace('"', "\"\""))
}
