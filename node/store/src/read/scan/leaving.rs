//! How picked rows leave a scan: copied out when there are enough of them, or when the pieces that they lie in grow many.

use activestore_sst::VECTOR_ROWS;
use activestore_types::Result;

use super::Scan;
use crate::read::copy::Span;
use crate::read::output::BATCH_ROWS;
use crate::read::piece::VECTORS_HELD_MAX;

/// Rows of vectors that are not at their end, and such vectors, at most, that are worth to be held back: of more, batches
/// would be small.
const HELD_BACK_MAX: usize = BATCH_ROWS - VECTOR_ROWS;
const OPEN_MAX: usize = VECTORS_HELD_MAX / 2;

impl Scan {
    pub(super) fn copy_out_if_full(&mut self) -> Result<()> {
        if self.picker.rows() >= BATCH_ROWS || self.pieces.vectors() > VECTORS_HELD_MAX {
            if self.by_vector && self.copy_out_closed()? {
                return Ok(());
            }
            self.copy_out()?;
        }
        Ok(())
    }

    /// Hands rows out where fewer than a full batch are enough.
    pub(super) fn copy_out_early(&mut self) -> Result<()> {
        // Of rows that are looked at first few may be left.
        let enough = self.enough_rows.max(self.awaited_rows);
        if self.filter.is_some() || self.picker.rows() < enough {
            return Ok(());
        }
        if self.by_vector {
            // A vector that is not at its end is not worth to be cut.
            if !self.copy_out_closed()? {
                self.awaited_rows = self.picker.rows() + VECTOR_ROWS;
                return Ok(());
            }
        } else {
            self.copy_out()?;
        }
        self.output.flush()?;
        self.enough_rows = BATCH_ROWS.min(self.enough_rows * 2);
        Ok(())
    }

    /// Copies out what was picked of vectors that are at their end, and goes on holding the others, so that none is decoded
    /// twice; whether that was worth it.
    fn copy_out_closed(&mut self) -> Result<bool> {
        let open = match &self.merge {
            Some(merge) => merge.open_pieces(&self.pieces),
            None => Vec::new(),
        };
        let numbers: Vec<usize> = open.iter().map(|(_, piece)| *piece).collect();
        let held = self.picker.hold_back(&numbers);
        let rows: usize = held.iter().map(|span| span.rows).sum();
        if self.picker.rows() == 0 || rows > HELD_BACK_MAX || open.len() > OPEN_MAX {
            held.into_iter()
                .for_each(|span| self.picker.push_rows(span));
            return Ok(false);
        }
        self.copy_out()?;
        for (source, before) in open {
            let mut of_piece = held.iter().filter(|span| span.piece == before).peekable();
            let Some(merge) = self.merge.as_mut().filter(|_| of_piece.peek().is_some()) else {
                continue;
            };
            if let Some(piece) = merge.piece(source, &mut self.pieces) {
                of_piece.for_each(|span| self.picker.push_rows(Span { piece, ..*span }));
            }
        }
        Ok(true)
    }

    /// Copies the picked rows into the output and lets the pieces go.
    pub(super) fn copy_out(&mut self) -> Result<()> {
        self.awaited_rows = 0;
        if self.by_vector {
            let covering = self.covering.as_deref();
            for share in self.picker.shares(&mut self.pieces, covering)? {
                self.picker.pick_share(share);
                self.copy_picked()?;
            }
        } else {
            self.copy_picked()?;
        }
        self.pieces.clear();
        Ok(())
    }

    fn copy_picked(&mut self) -> Result<()> {
        let is_filtered = self.filter.is_some();
        if let Some(filter) = &self.filter {
            self.picker
                .keep(filter.as_ref(), &mut self.pieces, &mut self.filtered)?;
            self.pieces.stats.rows_filtered = self.filtered.dropped;
            if self.filtered.is_idle() {
                self.filter = None;
            }
        }
        self.output
            .push_picked(&mut self.picker, &mut self.pieces, is_filtered)
    }
}
