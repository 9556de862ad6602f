//! A source that is read piece by piece, whatever its format.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use activestore_types::Result;

use super::batches::Batches;
use super::format;
use super::piece::Piece;
use super::source::{Opened, Source};
use super::split::Splitter;
use crate::cli::FileFormat;

/// Pieces on their way.
pub struct Reader {
    pieces: Pieces,
    /// The format that was found.
    pub format: FileFormat,
    size: Option<u64>,
    taken: Arc<AtomicU64>,
}

enum Pieces {
    Text(Box<Splitter>),
    Batches(Box<Batches>),
}

/// Where a load goes on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Place {
    /// A byte of the unpacked text, or a row.
    pub offset: u64,
    /// The number of the record there.
    pub line: u64,
}

impl Reader {
    /// Opens a source at its beginning or where an earlier load stopped.
    ///
    /// # Errors
    /// Where it cannot be read, or is not what it is said to be.
    pub fn open(
        source: &Source,
        asked: Option<FileFormat>,
        delimiter: Option<u8>,
        place: Place,
    ) -> Result<Reader> {
        let opened = source.open()?;
        let format = format::of_input(asked, source.path(), &opened.head)?;
        let (size, taken) = (opened.size, opened.taken.clone());
        let pieces = match format {
            FileFormat::Arrow | FileFormat::Parquet => {
                Pieces::Batches(Box::new(Batches::open(opened, format, place.offset)?))
            }
            _ => {
                let delimiter = delimiter.unwrap_or_else(|| delimiter_of(source.path()));
                let Opened { input, .. } = opened;
                Pieces::Text(Box::new(Splitter::open(
                    input,
                    format,
                    delimiter,
                    place.offset,
                    place.line,
                )?))
            }
        };
        Ok(Reader {
            pieces,
            format,
            size,
            taken,
        })
    }

    /// The next piece; `None` at the end.
    ///
    /// # Errors
    /// Where the source cannot be read further.
    pub fn next_piece(&mut self) -> Result<Option<Piece>> {
        match &mut self.pieces {
            Pieces::Text(text) => text.next_piece(),
            Pieces::Batches(batches) => batches.next_piece(),
        }
    }

    /// The names in the first line of CSV, and what stands between its fields.
    pub fn header(&self) -> (Vec<String>, u8) {
        match &self.pieces {
            Pieces::Text(text) => (text.names.clone(), text.delimiter),
            Pieces::Batches(_) => (Vec::new(), b','),
        }
    }

    /// The size of the file, where it has one.
    pub fn size(&self) -> Option<u64> {
        self.size
    }

    /// How much of that is read.
    pub fn position(&self) -> u64 {
        let rows = match &self.pieces {
            Pieces::Batches(batches) => batches.rows_total.map(|total| (batches.row(), total)),
            Pieces::Text(_) => None,
        };
        match (rows, self.size) {
            (Some((row, total)), Some(size)) if total > 0 => {
                (size as f64 * (row as f64 / total as f64)) as u64
            }
            _ => self.taken.load(Ordering::Relaxed),
        }
    }
}

fn delimiter_of(path: Option<&Path>) -> u8 {
    let name = path.map(|path| path.to_string_lossy().to_ascii_lowercase());
    match name {
        Some(name) if name.ends_with(".tsv") || name.ends_with(".tsv.gz") => b'\t',
        _ => b',',
    }
}
