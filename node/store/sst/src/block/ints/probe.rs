//! Single values of a payload, asked for in any order as a binary search does: at most one chain of
//! differences is summed at a time, and of runs only their ends and heads are kept.

use std::ops::Range;

use activestore_types::Result;

use super::patched::Patched;
use super::read::{Body, Ints, Runs};
use crate::block::VECTOR_ROWS;
use crate::block::pack::CHAIN;

/// A parsed payload, and what of it was decoded to answer.
pub(crate) struct Probe<'a> {
    ints: Ints<'a>,
    /// The rows whose values are held.
    chain: Range<usize>,
    values: [u64; CHAIN],
    /// For each run the row behind it, and its value.
    runs: Option<Vec<(usize, u64)>>,
}

impl<'a> Probe<'a> {
    pub(crate) fn new(ints: Ints<'a>) -> Self {
        Probe {
            ints,
            chain: 0..0,
            values: [0; CHAIN],
            runs: None,
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
        if !self.chain.contains(&row) {
            let start = chain * CHAIN;
            let rows = start..(start + CHAIN).min(self.ints.rows);
            deltas.sum_chain(chain, bases, &rows, &mut self.values)?;
            self.chain = rows;
        }
        Ok(self.values.get(row % CHAIN).copied().unwrap_or(0))
    }

    fn run(&mut self, row: usize, runs: &Runs<'_>) -> Result<u64> {
        let ends = match &self.runs {
            Some(ends) => ends,
            None => self.runs.insert(self.ints.ends(runs)?),
        };
        let run = ends.partition_point(|(end, _)| *end <= row);
        Ok(ends.get(run).map_or(0, |(_, value)| *value))
    }
}
