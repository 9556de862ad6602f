//! Reading integers: a payload is first parsed, which checks every length and touches no value, and
//! then decoded whole or for a few rows. A few rows cost about as little as they look: a packed
//! value is two words, a difference at most one chain, a run one pass over the lengths.

use std::cmp::Ordering;
use std::ops::Range;

use activestore_types::{Error, Result};

use super::super::VECTOR_ROWS;
use super::super::cursor::Cursor;
use super::super::pack::{CHAIN, Lanes, Packed, multiply, sum_chains};
use super::patched::Patched;
use super::{CONSTANT, DELTA, FRAME, RUNS, SCALED, factor_of};

/// Bits of a run's length less one, in a vector of [`VECTOR_ROWS`] at most.
const RUN_BITS_MAX: u32 = VECTOR_ROWS.trailing_zeros();
/// Stretches of packed values that are read one by one, at most: where few stand aside, and where many do.
const MANY_STRETCHES: usize = 16;
const FEW_STRETCHES: usize = 4;
const FEW_EXCEPTIONS: usize = 8;
/// Runs that are passed together.
const BLOCK: usize = 16;

/// A parsed payload.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ints<'a> {
    pub(super) rows: usize,
    pub(super) factor: u64,
    pub(super) body: Body<'a>,
}

#[derive(Clone, Copy, Debug)]
pub(super) enum Body<'a> {
    Constant(u64),
    Frame(Patched<'a>),
    Delta {
        bases: [u64; VECTOR_ROWS / CHAIN],
        deltas: Patched<'a>,
    },
    Runs(Runs<'a>),
}

/// Values that repeat, and how often each does.
#[derive(Clone, Copy, Debug)]
pub(super) struct Runs<'a> {
    heads: Patched<'a>,
    count: usize,
    /// Each less one.
    lengths: Packed<'a>,
}

impl<'a> Ints<'a> {
    /// Takes a payload of `rows` values.
    ///
    /// # Errors
    /// `Corrupt` for bytes that [`super::encode`] does not write.
    pub(crate) fn parse(bytes: &mut Cursor<'a>, rows: usize) -> Result<Self> {
        if rows > VECTOR_ROWS {
            return Err(Error::corrupt(format!("a vector of {rows} rows")));
        }
        let kind = bytes.byte()?;
        let scale = if kind & SCALED == 0 { 0 } else { bytes.byte()? };
        let factor = factor_of(scale)
            .ok_or_else(|| Error::corrupt(format!("integers of the unknown scale {scale}")))?;
        let body = match kind & !SCALED {
            CONSTANT => Body::Constant(bytes.signed()?),
            FRAME => Body::Frame(Patched::parse(bytes, rows)?),
            DELTA => {
                let mut bases = [0_u64; VECTOR_ROWS / CHAIN];
                let mut before = 0_u64;
                for base in bases.iter_mut().take(rows.div_ceil(CHAIN)) {
                    before = before.wrapping_add(bytes.signed()?);
                    *base = before;
                }
                let deltas = Patched::parse(bytes, rows)?;
                Body::Delta { bases, deltas }
            }
            RUNS => {
                let runs = bytes.count("runs", rows)?;
                let heads = Patched::parse(bytes, runs)?;
                let width = u32::from(bytes.byte()?);
                if width > RUN_BITS_MAX {
                    return Err(too_long());
                }
                Body::Runs(Runs {
                    heads,
                    count: runs,
                    lengths: Packed::take(bytes, runs, width)?,
                })
            }
            other => {
                return Err(Error::corrupt(format!(
                    "integer encoding {other} is unknown"
                )));
            }
        };
        Ok(Ints { rows, factor, body })
    }

    /// All values, into the front of `out`; what lies behind them is unspecified.
    ///
    /// # Errors
    /// `Corrupt` for exceptions or runs outside the rows.
    pub(crate) fn decode(&self, out: &mut Lanes) -> Result<()> {
        match &self.body {
            Body::Constant(value) => out.fill(*value),
            Body::Frame(values) => values.unpack(out)?,
            Body::Delta { bases, deltas } => {
                deltas.unpack(out)?;
                sum_chains(*bases, out);
            }
            Body::Runs(runs) => self.unroll(runs, out)?,
        }
        if self.factor != 1 {
            multiply(self.factor, out);
        }
        Ok(())
    }

    /// The values of one quarter of a vector; whether they could be had without the others, else `out` is unspecified.
    ///
    /// # Errors
    /// As [`Ints::decode`].
    pub(crate) fn decode_chain(&self, chain: usize, out: &mut [u64; CHAIN]) -> Result<bool> {
        match &self.body {
            Body::Constant(value) => out.fill(*value),
            Body::Frame(values) => values.unpack_chain(chain, out)?,
            Body::Delta { bases, deltas } => {
                deltas.unpack_chain(chain, out)?;
                // The first slot of a chain means nothing: the base stands there.
                let mut value = bases.get(chain).copied().unwrap_or(0);
                for (place, slot) in out.iter_mut().enumerate() {
                    if place > 0 {
                        value = value.wrapping_add(*slot);
                    }
                    *slot = value;
                }
            }
            Body::Runs(_) => return Ok(false),
        }
        if self.factor != 1 {
            multiply(self.factor, out);
        }
        Ok(true)
    }

    /// Packed offsets that nothing is set aside of and nothing scales, and their reference: such
    /// values can be unpacked into something else in one pass.
    pub(crate) fn as_plain_frame(&self) -> Option<(Packed<'a>, u64)> {
        match &self.body {
            Body::Frame(values) if self.factor == 1 => values.plain(),
            _ => None,
        }
    }

    /// Up to how many stretches of rows are read one by one in less time than all values are decoded in: a packed value is
    /// there at once, where a difference takes its chain and a run the lengths of those before it, each time anew.
    pub(crate) fn few_stretches(&self) -> usize {
        match &self.body {
            Body::Constant(_) => VECTOR_ROWS,
            Body::Frame(values) if values.exceptions() <= FEW_EXCEPTIONS => MANY_STRETCHES,
            Body::Frame(_) => FEW_STRETCHES,
            Body::Delta { .. } | Body::Runs(_) => 2,
        }
    }

    /// The values of some rows, as many as `out` holds, from `first` on.
    ///
    /// # Errors
    /// As [`Ints::decode`], of the rows that are looked at; `Internal` for rows beyond the last.
    pub(crate) fn read(&self, first: usize, out: &mut [u64]) -> Result<()> {
        let range = first..first.saturating_add(out.len());
        if range.end > self.rows {
            return Err(Error::internal("rows beyond those of a vector are read"));
        }
        match &self.body {
            Body::Constant(value) => out.fill(*value),
            Body::Frame(values) => {
                for (slot, row) in out.iter_mut().zip(range.clone()) {
                    *slot = values.get(row);
                }
                values.patch(range, |row| row.checked_sub(first), out)?;
            }
            Body::Delta { bases, deltas } => {
                for chain in range.start / CHAIN..range.end.div_ceil(CHAIN) {
                    deltas.sum_chain(chain, bases, &range, out)?;
                }
            }
            Body::Runs(runs) => self.find_runs(runs, &range, out)?,
        }
        if self.factor != 1 {
            for value in out {
                *value = value.wrapping_mul(self.factor);
            }
        }
        Ok(())
    }

    /// For each run the row behind it, and its value.
    pub(super) fn ends(&self, runs: &Runs<'a>) -> Result<Vec<(usize, u64)>> {
        let mut ends = Vec::with_capacity(runs.count);
        let mut end = 0;
        for run in 0..runs.count {
            end += runs.lengths.get(run) as usize + 1;
            if end > self.rows {
                return Err(too_long());
            }
            ends.push((end, runs.heads.look_up(run)?));
        }
        if end < self.rows {
            return Err(too_short());
        }
        Ok(ends)
    }

    /// Writes every run as often as it lasts.
    fn unroll(&self, runs: &Runs<'a>, out: &mut Lanes) -> Result<()> {
        self.each_run(runs, |head, rows| {
            if let Some(run) = out.get_mut(rows) {
                run.fill(head);
            }
        })
    }

    /// Passes each run's value, unscaled, and its rows to `take`.
    fn each_run(&self, runs: &Runs<'a>, mut take: impl FnMut(u64, Range<usize>)) -> Result<()> {
        // There are few mostly, which room for a whole vector would take longer to be made for.
        let mut lengths = [0_u64; CHAIN];
        let mut heads = [0_u64; CHAIN];
        let mut end = 0;
        for first in (0..runs.count).step_by(CHAIN) {
            let count = (runs.count - first).min(CHAIN);
            runs.lengths.unpack_chain(first / CHAIN, 1, &mut lengths);
            runs.heads.unpack_chain(first / CHAIN, &mut heads)?;
            for (length, head) in lengths.iter().zip(&heads).take(count) {
                let start = end;
                end += *length as usize;
                if end > self.rows {
                    return Err(too_long());
                }
                take(*head, start..end);
            }
        }
        match end.cmp(&self.rows) {
            Ordering::Equal => Ok(()),
            _ => Err(too_short()),
        }
    }

    /// Where each run of one value begins, and the value, if they are stored as runs.
    ///
    /// # Errors
    /// As [`Ints::decode`].
    pub(crate) fn runs(&self) -> Result<Option<Vec<(usize, u64)>>> {
        let scaled = |value: u64| value.wrapping_mul(self.factor);
        match &self.body {
            Body::Constant(value) => Ok(Some(vec![(0, scaled(*value))])),
            Body::Runs(runs) => {
                let mut found = Vec::with_capacity(runs.count);
                self.each_run(runs, |head, rows| found.push((rows.start, scaled(head))))?;
                // Only bytes that were tampered with have two runs of one value side by side.
                found.dedup_by_key(|(_, value)| *value);
                Ok(Some(found))
            }
            Body::Frame(_) | Body::Delta { .. } => Ok(None),
        }
    }

    /// Writes of the runs what lies in the range. Of the heads only those are looked up.
    fn find_runs(&self, runs: &Runs<'a>, range: &Range<usize>, out: &mut [u64]) -> Result<()> {
        let mut lengths = [0_u64; CHAIN];
        let mut start = 0;
        for first in (0..runs.count).step_by(CHAIN) {
            runs.lengths.unpack_chain(first / CHAIN, 1, &mut lengths);
            let mut lengths = lengths
                .get(..(runs.count - first).min(CHAIN))
                .unwrap_or(&[]);
            let mut run = first;
            // What lies before the range is passed a block at a time.
            while let Some((block, rest)) = lengths.split_first_chunk::<BLOCK>() {
                let end = start + block.iter().sum::<u64>() as usize;
                if end > range.start {
                    break;
                }
                (start, run, lengths) = (end, run + BLOCK, rest);
            }
            for (run, length) in (run..).zip(lengths) {
                let end = start + *length as usize;
                if end > self.rows {
                    return Err(too_long());
                }
                if end > range.start {
                    let (from, to) = (start.max(range.start), end.min(range.end));
                    let mut head = [runs.heads.get(run)];
                    let place = |row: usize| row.checked_sub(run);
                    runs.heads.patch(run..run + 1, place, &mut head)?;
                    if let Some(slots) = out.get_mut(from - range.start..to - range.start) {
                        slots.fill(head[0]);
                    }
                }
                start = end;
                if start >= range.end {
                    return Ok(());
                }
            }
        }
        Err(too_short())
    }
}

fn too_long() -> Error {
    Error::corrupt("runs are longer than their vector")
}

fn too_short() -> Error {
    Error::corrupt("runs are shorter than their vector")
}
