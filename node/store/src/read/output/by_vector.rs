//! Picked rows vector by vector, where their order does not matter: each vector is decoded once, whatever came between its
//! rows, and one of which all rows were picked may be taken by what is known of it.

use super::{BATCH_ROWS, Pick, Picker, push_span};
use crate::read::copy::Span;
use crate::read::covering::Covering;
use crate::read::scan::piece::Pieces;
use activestore_types::Result;

/// Rows for one batch.
#[derive(Default)]
pub(crate) struct Share {
    picks: Vec<Pick>,
    /// As in [`Picker`], of the rows of this share.
    cells: Vec<Option<(usize, usize)>>,
    rows: usize,
}

impl Picker {
    /// Takes the rows of these pieces out.
    pub(crate) fn hold_back(&mut self, pieces: &[usize]) -> Vec<Span> {
        let mut held = Vec::new();
        self.picks.retain(|pick| match pick {
            Pick::Rows(span) if pieces.contains(&span.piece) => {
                held.push(*span);
                false
            }
            _ => true,
        });
        self.rows -= held.iter().map(|span| span.rows).sum::<usize>();
        held
    }

    /// Divides what is picked into shares of at most [`BATCH_ROWS`] rows, none of which cuts a vector: first what is not of
    /// vectors or was put together, in its order, then vector by vector. What `covering` takes is in none.
    ///
    /// # Errors
    /// What `covering` says.
    pub(crate) fn shares(
        &mut self,
        pieces: &mut Pieces,
        covering: Option<&dyn Covering>,
    ) -> Result<Vec<Share>> {
        let columns = self.schema.fields().len();
        let cells = std::mem::take(&mut self.cells);
        let mut shares = Vec::new();
        let mut share = Share::default();
        let mut of_vectors: Vec<Span> = Vec::with_capacity(self.picks.len());
        for pick in self.picks.drain(..) {
            if share.rows >= BATCH_ROWS {
                shares.push(std::mem::take(&mut share));
            }
            match pick {
                Pick::Rows(span) if pieces.is_fresh(span.piece) => of_vectors.push(span),
                Pick::Rows(mut span) => {
                    let room = BATCH_ROWS - share.rows;
                    if span.rows > room && !span.reverse {
                        share.push(Span { rows: room, ..span });
                        shares.push(std::mem::take(&mut share));
                        (span.start, span.rows) = (span.start + room, span.rows - room);
                    }
                    share.push(span);
                }
                Pick::Cells(row) => {
                    let number = share.cells.len() / columns.max(1);
                    let of_row = cells.get(row * columns..(row + 1) * columns);
                    share.cells.extend_from_slice(of_row.unwrap_or(&[]));
                    share.picks.push(Pick::Cells(number));
                    share.rows += 1;
                }
            }
        }
        shares.push(share);
        self.rows = 0;
        of_vectors.sort_by_key(|span| (span.piece, span.start));
        let mut share = Share::default();
        for spans in of_vectors.chunk_by(|one, next| one.piece == next.piece) {
            let rows = spans.iter().map(|span| span.rows).sum::<usize>();
            if let (Some(covering), Some(span)) = (covering, spans.first())
                && pieces.is_covered(span.piece, rows, covering)?
            {
                pieces.stats.vectors_covered += 1;
                continue;
            }
            if share.rows + rows > BATCH_ROWS {
                shares.push(std::mem::take(&mut share));
            }
            spans.iter().for_each(|span| share.push(*span));
        }
        shares.push(share);
        shares.retain(|share| share.rows > 0);
        Ok(shares)
    }

    /// Picks what a share holds, and nothing else.
    pub(crate) fn pick_share(&mut self, share: Share) {
        self.picks = share.picks;
        self.cells = share.cells;
        self.rows = share.rows;
    }
}

impl Share {
    fn push(&mut self, span: Span) {
        self.rows += span.rows;
        push_span(&mut self.picks, span);
    }
}
