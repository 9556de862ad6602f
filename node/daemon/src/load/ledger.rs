//! What became of the pieces of one source, in their order: how far the load is, what was refused, what is shown.

use activestore_types::{Error, Result};

use super::display::Display;
use super::progress::Progress;
use super::rejects::{Rejected, Rejects};

/// A piece that is through.
#[derive(Debug, Default)]
pub struct Done {
    /// Rows stored.
    pub rows: u64,
    /// Records refused, by line.
    pub refused: Vec<Rejected>,
    /// Rows that a processor of the table refused.
    pub rejected: u64,
    /// Where the load goes on behind the piece.
    pub end_offset: u64,
    /// The number of the record there.
    pub next_line: u64,
    /// How far the file was read when the piece was taken.
    pub position: u64,
}

/// The book of one source.
pub struct Ledger {
    /// How far it is.
    pub progress: Progress,
    /// Refused records.
    pub rejects: Rejects,
    /// What is shown.
    pub display: Display,
    /// Rows that processors refused.
    pub rejected: u64,
    /// How many more records may be refused before the load stops.
    pub refusals_left: Option<u64>,
    /// Whether refused records are written down.
    pub keeps_rejects: bool,
}

impl Ledger {
    /// Notes a piece; the pieces before it are noted.
    ///
    /// # Errors
    /// Where nothing can be written, and where more was refused than is allowed.
    pub fn note(&mut self, done: &Done) -> Result<()> {
        if self.keeps_rejects {
            self.rejects.note(&done.refused)?;
        }
        let refused = done.refused.len() as u64;
        self.progress.rows += done.rows;
        self.progress.refused += refused;
        self.progress.offset = done.end_offset;
        self.progress.next_line = done.next_line;
        self.progress.rejects_bytes = self.rejects.bytes();
        self.rejected += done.rejected;
        self.progress.save()?;
        self.display.update(self.progress.rows, done.position);
        if let Some(left) = &mut self.refusals_left {
            *left = left.checked_sub(refused).ok_or_else(|| too_many(done))?;
        }
        Ok(())
    }
}

fn too_many(done: &Done) -> Error {
    let first = done.refused.first();
    let example = first.map_or_else(String::new, |first| {
        format!(": line {}: {}", first.line, first.reason)
    });
    Error::invalid(format!(
        "more records were refused than --max-rejects allows{example}"
    ))
    .with_hint("see the reject file; what is loaded stays, and the same command goes on from here")
}
