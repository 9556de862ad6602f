//! How packed integers are laid out: a reference, a width and the values that do not fit it set
//! aside (PFOR, Zukowski et al., ICDE 2006).

use super::super::VECTOR_ROWS;
use super::super::cursor::{push_signed, push_varint, zigzag};
use super::super::pack::{bits, pack, packed_len};

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

    /// The cheapest plan for values that lie in `[low, high]`.
    pub(super) fn of(values: &[u64], low: i64, high: i64) -> Self {
        let rows = values.len();
        let full = bits(high.wrapping_sub(low).cast_unsigned());
        let plain = Plan::plain(low.cast_unsigned(), full, rows);
        if full <= 1 || rows < ROWS_FOR_EXCEPTIONS {
            return plain;
        }
        // How far values lie from one in the middle, as a histogram of magnitudes.
        let pivot = values.get(rows / 2 + 1).copied().unwrap_or(0);
        let histogram = magnitudes(values, pivot);
        let (mut outside, mut best, mut best_bytes) = (0_usize, None, plain.bytes);
        for (width, count) in histogram.iter().enumerate().rev() {
            // `outside` counts the values wider than `width`.
            let bytes = packed_len(rows, width as u32) + outside * 8;
            if outside > 0 && bytes < best_bytes {
                (best, best_bytes) = (Some(width as u32), bytes);
            }
            outside += usize::from(*count);
            if outside > rows / EXCEPTION_SHARE {
                break;
            }
        }
        let patched = best.map(|width| Plan::patched(values, pivot, width));
        match patched {
            Some(patched) if patched.bytes < plain.bytes => patched,
            _ => plain,
        }
    }

    fn patched(values: &[u64], pivot: u64, distance_bits: u32) -> Self {
        let (mut low, mut high) = (i64::MAX, i64::MIN);
        for value in values {
            if bits(zigzag(value.wrapping_sub(pivot))) <= distance_bits {
                low = low.min(value.cast_signed());
                high = high.max(value.cast_signed());
            }
        }
        let reference = low.cast_unsigned();
        let width = bits(high.wrapping_sub(low).cast_unsigned());
        let (mut exceptions, mut widest) = (0, 0_u64);
        for value in values {
            let offset = value.wrapping_sub(reference);
            if bits(offset) > width {
                exceptions += 1;
                widest = widest.max(offset);
            }
        }
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
            let wide = |offset: &u64| bits(*offset) > self.width;
            for (row, _) in offsets
                .iter()
                .enumerate()
                .filter(|(_, offset)| wide(offset))
            {
                out.extend((row as u16).to_le_bytes());
            }
            for offset in offsets.iter_mut().filter(|offset| wide(offset)) {
                out.extend(offset.to_le_bytes().iter().take(self.exception_bytes));
                *offset = 0;
            }
        }
        pack(offsets, self.width, out);
    }
}

/// How many values lie so many bits from the pivot. Neighbours mostly fall into one bucket, which
/// would make each count wait for the one before: four histograms are filled in turn.
fn magnitudes(values: &[u64], pivot: u64) -> [u16; 65] {
    let mut lanes = [[0_u16; 65]; 4];
    let mut count = |lane: usize, value: &u64| {
        let width = bits(zigzag(value.wrapping_sub(pivot))) as usize;
        if let Some(bucket) = lanes.get_mut(lane).and_then(|lane| lane.get_mut(width)) {
            *bucket += 1;
        }
    };
    let (fours, rest) = values.as_chunks::<4>();
    for four in fours {
        for (lane, value) in four.iter().enumerate() {
            count(lane, value);
        }
    }
    rest.iter().for_each(|value| count(0, value));
    let [mut sum, others @ ..] = lanes;
    for lane in others {
        for (sum, count) in sum.iter_mut().zip(lane) {
            *sum += count;
        }
    }
    sum
}
