//! How packed integers are laid out: a reference, a width and the values that do not fit it set
//! aside (PFOR, Zukowski et al., ICDE 2006).

use super::super::VECTOR_ROWS;
use super::super::cursor::{push_signed, push_varint};
use super::super::pack::{bits, pack, packed_len};
use super::shape::{distances, outliers, span_within, wider_than};

/// At most one value in this many may be an exception.
const EXCEPTION_SHARE: usize = 16;
/// Below this many rows outliers are not searched for.
const ROWS_FOR_EXCEPTIONS: usize = 64;

/// How to pack: `reference + packed`, with the values that do not fit set aside.
pub(super) struct Plan {
    reference: u64,
    width: u32,
    exceptions: usize,
    exception_bytes: usize,
    pub(super) bytes: usize,
}

impl Plan {
    pub(super) fn plain(reference: u64, width: u32, rows: usize) -> Self {
        Plan {
            reference,
            width,
            exceptions: 0,
            exception_bytes: 0,
            bytes: packed_len(rows, width),
        }
    }

    #[cfg(test)]
    pub(super) fn width(&self) -> u32 {
        self.width
    }

    /// The cheapest plan for values that lie in `[low, high]`.
    pub(super) fn of(values: &[u64], low: i64, high: i64) -> Self {
        let rows = values.len();
        let full = bits(high.wrapping_sub(low).cast_unsigned());
        let plain = Plan::plain(low.cast_unsigned(), full, rows);
        if full <= 1 || rows < ROWS_FOR_EXCEPTIONS {
            return plain;
        }
        let pivot = values.get(rows / 2 + 1).copied().unwrap_or(0);
        let mut lanes = [0; VECTOR_ROWS];
        let widest = bits(distances(values, pivot, &mut lanes));
        let lanes = lanes.get(..rows).unwrap_or(&[]);
        let most = rows / EXCEPTION_SHARE;
        // The narrowest width that leaves few enough outside; mostly it is one of the widest.
        let (mut refused, mut narrowest) = (None, widest);
        let mut probe = widest.saturating_sub(1);
        while refused.map_or(0, |refused| refused + 1) < narrowest {
            if wider_than(lanes, probe) > most {
                refused = Some(probe);
            } else {
                narrowest = probe;
            }
            probe = refused.map_or(narrowest / 2, |refused: u32| refused.midpoint(narrowest));
        }
        if narrowest == widest {
            return plain;
        }
        // From there on up, what lies outside is little enough to be counted one by one.
        let mut of_width = [0_usize; u64::BITS as usize + 1];
        for place in wide_places(lanes, narrowest) {
            let distance = lanes.get(place).copied().unwrap_or(0);
            if let Some(count) = of_width.get_mut(bits(distance) as usize) {
                *count += 1;
            }
        }
        let (mut outside, mut best, mut best_bytes) = (0, None, plain.bytes);
        for width in (narrowest..widest).rev() {
            outside += of_width.get(width as usize + 1).copied().unwrap_or(0);
            let bytes = packed_len(rows, width) + outside * 8;
            if bytes < best_bytes {
                (best, best_bytes) = (Some(width), bytes);
            }
        }
        let patched = best.map(|width| Plan::patched(values, lanes, width));
        match patched {
            Some(patched) if patched.bytes < plain.bytes => patched,
            _ => plain,
        }
    }

    /// For the values that lie nearer than so many bits; the others are exceptions.
    fn patched(values: &[u64], distances: &[u64], distance_bits: u32) -> Self {
        let (low, high) = span_within(values, distances, distance_bits);
        let reference = low.cast_unsigned();
        let width = bits(high.wrapping_sub(low).cast_unsigned());
        let (exceptions, widest) = outliers(values, reference, width);
        let exception_bytes = (bits(widest) as usize).div_ceil(8);
        Plan {
            reference,
            width,
            exceptions,
            exception_bytes,
            bytes: packed_len(values.len(), width) + exceptions * (2 + exception_bytes) + 1,
        }
    }

    pub(super) fn write(&self, values: &[u64], out: &mut Vec<u8>) {
        push_signed(self.reference, out);
        out.push(self.width as u8);
        push_varint(self.exceptions as u64, out);
        let mut offsets = [0_u64; VECTOR_ROWS];
        for (offset, value) in offsets.iter_mut().zip(values) {
            *offset = value.wrapping_sub(self.reference);
        }
        let Some(offsets) = offsets.get_mut(..values.len()) else {
            return;
        };
        if self.exceptions > 0 {
            out.push(self.exception_bytes as u8);
            let wide: Vec<usize> = wide_places(offsets, self.width).collect();
            out.extend(wide.iter().flat_map(|row| (*row as u16).to_le_bytes()));
            for row in wide {
                if let Some(offset) = offsets.get_mut(row) {
                    out.extend(offset.to_le_bytes().iter().take(self.exception_bytes));
                    *offset = 0;
                }
            }
        }
        pack(offsets, self.width, out);
    }
}

/// Where the offsets are that have more than `width` bits. They are few: most are passed by the dozen.
pub(crate) fn wide_places(offsets: &[u64], width: u32) -> impl Iterator<Item = usize> {
    let is_wide = move |offset: u64| offset.checked_shr(width).is_some_and(|rest| rest != 0);
    let groups = offsets.chunks(16).enumerate();
    groups
        .filter(move |(_, group)| is_wide(group.iter().fold(0, |any, offset| any | offset)))
        .flat_map(move |(number, group)| {
            let places = group.iter().enumerate();
            let wide = places.filter(move |(_, offset)| is_wide(**offset));
            wide.map(move |(place, _)| number * 16 + place)
        })
}
