//! Packed integers of which those that would take many bits stand aside.

use std::ops::Range;

use activestore_types::{Error, Result};

use super::super::VECTOR_ROWS;
use super::super::cursor::Cursor;
use super::super::pack::{CHAIN, Lanes, Packed};

/// Packed values over a reference, with those that stand aside.
#[derive(Clone, Copy, Debug)]
pub(super) struct Patched<'a> {
    rows: usize,
    reference: u64,
    packed: Packed<'a>,
    positions: &'a [[u8; 2]],
    offsets: &'a [u8],
    offset_bytes: usize,
}

impl<'a> Patched<'a> {
    /// How many values stand aside.
    pub(super) fn exceptions(&self) -> usize {
        self.positions.len()
    }

    /// The packed values and their reference, where none stands aside.
    pub(super) fn plain(&self) -> Option<(Packed<'a>, u64)> {
        let plain = self.positions.is_empty();
        plain.then_some((self.packed, self.reference))
    }

    pub(super) fn parse(bytes: &mut Cursor<'a>, rows: usize) -> Result<Self> {
        let reference = bytes.signed()?;
        let width = u32::from(bytes.byte()?);
        let exceptions = bytes.count("exceptions", rows)?;
        let (mut positions, mut offsets, mut offset_bytes): (_, &[u8], _) = (&[][..], &[], 1);
        if exceptions > 0 {
            offset_bytes = usize::from(bytes.byte()?);
            if !(1..=8).contains(&offset_bytes) {
                return Err(Error::corrupt(format!(
                    "exceptions of {offset_bytes} bytes"
                )));
            }
            positions = bytes.take(exceptions * 2)?.as_chunks::<2>().0;
            offsets = bytes.take(exceptions * offset_bytes)?;
        }
        Ok(Patched {
            rows,
            reference,
            packed: Packed::take(bytes, rows, width)?,
            positions,
            offsets,
            offset_bytes,
        })
    }

    pub(super) fn unpack(&self, out: &mut Lanes) -> Result<()> {
        self.packed.unpack(self.reference, out);
        self.patch(0..self.rows, Some, out)
    }

    /// The values of one chain.
    pub(super) fn unpack_chain(&self, chain: usize, out: &mut [u64; CHAIN]) -> Result<()> {
        let start = chain * CHAIN;
        self.packed.unpack_chain(chain, self.reference, out);
        let place = |row: usize| row.checked_sub(start);
        self.patch(start..start + CHAIN, place, out)
    }

    /// A row's value, unless it stands aside.
    pub(super) fn get(&self, row: usize) -> u64 {
        self.reference.wrapping_add(self.packed.get(row))
    }

    /// A row's value, wherever it stands.
    pub(super) fn look_up(&self, row: usize) -> Result<u64> {
        let mut value = [self.get(row)];
        self.patch(row..row + 1, |_| Some(0), &mut value)?;
        Ok(value[0])
    }

    /// Writes the values that stand aside and whose row lies in the range, to the place of that row.
    pub(super) fn patch(
        &self,
        range: Range<usize>,
        place: impl Fn(usize) -> Option<usize>,
        out: &mut [u64],
    ) -> Result<()> {
        let offsets = self.offsets.chunks_exact(self.offset_bytes);
        for (position, offset) in self.positions.iter().zip(offsets) {
            let row = usize::from(u16::from_le_bytes(*position));
            if row >= self.rows {
                let rows = self.rows;
                return Err(Error::corrupt(format!(
                    "an exception at row {row} of {rows}"
                )));
            }
            if !range.contains(&row) {
                continue;
            }
            let mut wide = [0_u8; 8];
            for (to, from) in wide.iter_mut().zip(offset) {
                *to = *from;
            }
            if let Some(slot) = place(row).and_then(|place| out.get_mut(place)) {
                *slot = self.reference.wrapping_add(u64::from_le_bytes(wide));
            }
        }
        Ok(())
    }

    /// Sums one chain and writes what of it lies in the range.
    pub(super) fn sum_chain(
        &self,
        chain: usize,
        bases: &[u64; VECTOR_ROWS / CHAIN],
        range: &Range<usize>,
        out: &mut [u64],
    ) -> Result<()> {
        let start = chain * CHAIN;
        let mut deltas = [0_u64; CHAIN];
        self.unpack_chain(chain, &mut deltas)?;
        let base = bases.get(chain).copied().unwrap_or(0);
        let (from, to) = (range.start.max(start), range.end.min(start + CHAIN));
        // The first slot of a chain means nothing: the base stands there.
        let before = deltas.get(1..=from - start).unwrap_or(&[]);
        let mut value = before
            .iter()
            .fold(base, |sum, delta| sum.wrapping_add(*delta));
        let slots = out.get_mut(from - range.start..to - range.start);
        for (place, slot) in slots.unwrap_or_default().iter_mut().enumerate() {
            if place > 0 {
                let delta = deltas.get(from - start + place).copied().unwrap_or(0);
                value = value.wrapping_add(delta);
            }
            *slot = value;
        }
        Ok(())
    }
}
