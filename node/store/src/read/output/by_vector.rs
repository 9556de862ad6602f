//! Picked rows vector by vector, where their order does not matter: each vector is decoded once, whatever came between its
//! rows, and one of which all rows were picked may be taken by what is known of it.

use super::{BATCH_ROWS, Pick, Picker};
use crate::read::copy::Span;
use crate::read::covering::Covering;
use crate::read::scan::piece::Pieces;
use activestore_types::Result;

/// Rows for one batch.
#[derive(Default)]
pub(crate) struct Share {
    picks: Vec<Pick>,
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
        let mut rest = Share::default();
        let mut of_vectors: Vec<Span> = Vec::with_capacity(self.picks.len());
        for pick in self.picks.drain(..) {
            match pick {
                Pick::Rows(span) if pieces.is_fresh(span.piece) => of_vectors.push(span),
                Pick::Rows(span) => rest.push(span),
                Pick::Cells(_) => {
                    rest.picks.push(pick);
                    rest.rows += 1;
                }
            }
        }
        self.rows = 0;
        of_vectors.sort_by_key(|span| (span.piece, span.start));
        let mut shares = vec![rest];
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
        self.rows = share.rows;
    }
}

impl Share {
    fn push(&mut self, span: Span) {
        self.rows += span.rows;
        if let Some(Pick::Rows(before)) = self.picks.last_mut()
            && before.adjoins(&span)
        {
            before.rows += span.rows;
            return;
        }
        self.picks.push(Pick::Rows(span));
    }
}
