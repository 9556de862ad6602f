//! Vectors of which a filter left few rows, side by side: those rows are decoded without the others.

use std::ops::Range;

use super::{Pick, Picker};
use crate::read::scan::piece::Pieces;

/// Rows of a vector, at most, that are worth it: of more the whole vector is decoded in little more time.
const ROWS_MAX: usize = 64;
/// Stretches of them, at most: each is a read of its own.
const STRETCHES_MAX: usize = 4;
/// Rows between two stretches that are read with them rather than apart.
const GAP_ROWS: usize = 16;

/// Rows of a piece that are picked, and the piece of them alone.
struct Part {
    piece: usize,
    rows: Range<usize>,
    number: usize,
}

impl Picker {
    /// Picks from pieces of the picked rows alone, where a vector has few.
    pub(crate) fn narrow(&mut self, pieces: &mut Pieces) {
        let mut stretches: Vec<Vec<Range<usize>>> = vec![Vec::new(); pieces.count()];
        for pick in &self.picks {
            if let Pick::Rows(span) = pick
                && let Some(stretches) = stretches.get_mut(span.piece)
            {
                add(stretches, span.start..span.start + span.rows);
            }
        }
        // Of a row that is put together the cells are found by their place in the whole vector.
        for (piece, _) in self.cells.iter().flatten() {
            if let Some(stretches) = stretches.get_mut(*piece) {
                stretches.clear();
            }
        }
        let mut parts: Vec<Part> = Vec::new();
        for (piece, stretches) in stretches.into_iter().enumerate() {
            let rows: usize = stretches.iter().map(Range::len).sum();
            let few = rows > 0 && rows <= ROWS_MAX && stretches.len() <= STRETCHES_MAX;
            if !few || !pieces.is_fresh(piece) {
                continue;
            }
            for rows in stretches {
                if let Some(number) = pieces.push_part(piece, rows.clone()) {
                    parts.push(Part {
                        piece,
                        rows,
                        number,
                    });
                }
            }
        }
        if parts.is_empty() {
            return;
        }
        for pick in &mut self.picks {
            let Pick::Rows(span) = pick else {
                continue;
            };
            let first = parts.partition_point(|part| part.piece < span.piece);
            let of_piece = parts.iter().skip(first);
            let part = of_piece
                .take_while(|part| part.piece == span.piece)
                .find(|part| {
                    part.rows.start <= span.start && span.start + span.rows <= part.rows.end
                });
            if let Some(part) = part {
                span.piece = part.number;
                span.start -= part.rows.start;
            }
        }
    }
}

/// Adds rows to the stretches of a piece; what lies near becomes one. More of them than are worth it are not told
/// apart.
fn add(stretches: &mut Vec<Range<usize>>, rows: Range<usize>) {
    let near =
        |one: &Range<usize>| rows.start <= one.end + GAP_ROWS && one.start <= rows.end + GAP_ROWS;
    if let Some(one) = stretches.iter_mut().find(|one| near(one)) {
        one.start = one.start.min(rows.start);
        one.end = one.end.max(rows.end);
    } else if stretches.len() <= STRETCHES_MAX {
        stretches.push(rows);
    }
}
