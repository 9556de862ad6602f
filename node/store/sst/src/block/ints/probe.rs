//! Single values of a payload, asked for in any order as a binary search does: at most one chain of
//! differences is summed at a time, and of runs only their ends and heads are kept.

use std::ops::Range;

use activestore_types::Result;

use super::read::{Body, Ints, Patched, Runs};
use crate::block::VECTOR_ROWS;
use crate::block::pack::CHAIN;

/// A parsed payload, and what of it was decoded to answer.
pub(crate) struct Probe<'a> {
    ints: Ints<'a>,
    held: Held,
}

enum Held {
    Nothing,
    /// The values of these rows.
    Chain(Range<usize>, [u64; CHAIN]),
    /// For each run the row behind it, and its value.
    Runs(Vec<(usize, u64)>),
}

impl<'a> Probe<'a> {
    pub(crate) fn new(ints: Ints<'a>) -> Self {
        Probe {
            ints,
            held: Held::Nothing,
        }
    }

    /// A row's value.
    ///
    /// # Errors
    /// As [`Ints::read`].
    pub(crate) fn get(&mut self, row: usize) -> Result<u64> {
        let value = match self.ints.body {
            Body::Constant(value) => value,
            Body::Frame(values) => values.look_up(row)?,
            Body::Delta { bases, deltas } => self.difference(row, &bases, &deltas)?,
            Body::Runs(runs) => self.run(row, &runs)?,
        };
        Ok(value.wrapping_mul(self.ints.factor))
    }

    fn difference(
        &mut self,
        row: usize,
        bases: &[u64; VECTOR_ROWS / CHAIN],
        deltas: &Patched<'_>,
    ) -> Result<u64> {
        let chain = row / CHAIN;
        if row.is_multiple_of(CHAIN)
            && let Some(base) = bases.get(chain)
        {
            return Ok(*base);
        }
        if !matches!(&self.held, Held::Chain(rows, _) if rows.contains(&row)) {
            let start = chain * CHAIN;
            let rows = start..(start + CHAIN).min(self.ints.rows);
            let mut values = [0; CHAIN];
            deltas.sum_chain(chain, bases, &rows, &mut values)?;
            self.held = Held::Chain(rows, values);
        }
        Ok(match &self.held {
            Held::Chain(_, values) => values.get(row % CHAIN).copied().unwrap_or(0),
            _ => 0,
        })
    }

    fn run(&mut self, row: usize, runs: &Runs<'_>) -> Result<u64> {
        if !matches!(self.held, Held::Runs(_)) {
            self.held = Held::Runs(self.ints.ends(runs)?);
        }
        Ok(match &self.held {
            Held::Runs(ends) => {
                let run = ends.partition_point(|(end, _)| *end <= row);
                ends.get(run).map_or(0, |(_, value)| *value)
            }
            _ => 0,
        })
    }
}
