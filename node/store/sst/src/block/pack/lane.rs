//! The FastLanes layout over lanes of 32 and of 64 bits, in plain loops that the compiler turns
//! into vector instructions. Nothing is dispatched here.

use super::{CHAIN, LINE, Lanes};

/// Which sixteenths of a layer group's 128 rows come first.
const ORDER: [usize; 8] = [0, 4, 2, 6, 1, 5, 3, 7];

/// An unsigned integer of 32 or 64 bits.
pub(crate) trait Lane: Copy + Default {
    /// Its bits; also the number of layers.
    const BITS: u32;
    /// The lowest `width` bits, of which there are at most as many as the type has.
    fn mask(width: u32) -> Self;
    /// The lowest bits of a value.
    fn narrow(value: u64) -> Self;
    /// As 64 bits.
    fn widen(self) -> u64;
    /// `(self >> down | high << up) & mask`, for `up` below the type's bits.
    fn joined(self, down: u32, high: Self, up: u32, mask: Self) -> Self;
    /// `self | other << up`, for `up` below the type's bits.
    fn with(self, other: Self, up: u32) -> Self;
    /// `(self & mask) >> down`, for `down` below the type's bits.
    fn cut(self, down: u32, mask: Self) -> Self;
    /// The lanes of a line.
    fn load<const N: usize>(line: &[u8; LINE]) -> [Self; N];
    /// One lane of a line; 0 where there is none.
    fn at(line: &[u8; LINE], lane: usize) -> Self;
    /// A line of lanes.
    fn store<const N: usize>(lanes: &[Self; N], line: &mut [u8; LINE]);
}

macro_rules! lane {
    ($type:ty, $bytes:literal) => {
        impl Lane for $type {
            const BITS: u32 = <$type>::BITS;
            #[inline(always)]
            fn mask(width: u32) -> Self {
                <$type>::MAX
                    .checked_shr(<$type>::BITS.saturating_sub(width))
                    .unwrap_or(0)
            }
            #[inline(always)]
            fn narrow(value: u64) -> Self {
                value as $type
            }
            #[inline(always)]
            fn widen(self) -> u64 {
                self as u64
            }
            #[inline(always)]
            fn joined(self, down: u32, high: Self, up: u32, mask: Self) -> Self {
                (self.wrapping_shr(down) | high.wrapping_shl(up)) & mask
            }
            #[inline(always)]
            fn with(self, other: Self, up: u32) -> Self {
                self | other.wrapping_shl(up)
            }
            #[inline(always)]
            fn cut(self, down: u32, mask: Self) -> Self {
                (self & mask).wrapping_shr(down)
            }
            #[inline(always)]
            fn load<const N: usize>(line: &[u8; LINE]) -> [Self; N] {
                let mut lanes = [0; N];
                for (lane, bytes) in lanes.iter_mut().zip(line.as_chunks::<$bytes>().0) {
                    *lane = <$type>::from_le_bytes(*bytes);
                }
                lanes
            }
            #[inline(always)]
            fn at(line: &[u8; LINE], lane: usize) -> Self {
                let bytes = line.as_chunks::<$bytes>().0.get(lane);
                bytes.map_or(0, |bytes| <$type>::from_le_bytes(*bytes))
            }
            #[inline(always)]
            fn store<const N: usize>(lanes: &[Self; N], line: &mut [u8; LINE]) {
                for (lane, bytes) in lanes.iter().zip(line.as_chunks_mut::<$bytes>().0) {
                    *bytes = lane.to_le_bytes();
                }
            }
        }
    };
}
lane!(u32, 4);
lane!(u64, 8);

/// The first row of a layer.
#[inline(always)]
fn first_row(layer: usize) -> usize {
    let order = ORDER.get(layer / 8).copied().unwrap_or(0);
    (layer % 8) * 128 + order * 16
}

/// The `N` values of a layer.
#[inline(always)]
fn layer<T: Lane, const N: usize>(lines: &[[u8; LINE]], width: u32, layer: usize) -> [T; N] {
    let mut out = [T::default(); N];
    let bit = layer as u32 * width;
    let (line, shift) = ((bit / T::BITS) as usize, bit % T::BITS);
    let mask = T::mask(width);
    let Some(low) = lines.get(line) else {
        return out;
    };
    let low = T::load::<N>(low);
    if shift + width <= T::BITS {
        for (out, low) in out.iter_mut().zip(low) {
            *out = low.joined(shift, T::default(), 0, mask);
        }
    } else if let Some(high) = lines.get(line + 1) {
        let high = T::load::<N>(high);
        for ((out, low), high) in out.iter_mut().zip(low).zip(high) {
            *out = low.joined(shift, high, T::BITS - shift, mask);
        }
    }
    out
}

/// Unpacks every layer and passes each value through `map`.
#[inline(always)]
pub(super) fn unpack_layers<T: Lane, const N: usize>(
    lines: &[[u8; LINE]],
    width: u32,
    out: &mut Lanes,
    map: impl Fn(u64) -> u64,
) {
    let places = out.as_chunks_mut::<N>().0;
    for number in 0..T::BITS as usize {
        let values = layer::<T, N>(lines, width, number);
        if let Some(place) = places.get_mut(first_row(number) / N) {
            for (slot, value) in place.iter_mut().zip(values) {
                *slot = map(value.widen());
            }
        }
    }
}

/// Unpacks the layers of one quarter of the vector.
#[inline(always)]
pub(super) fn chain_layers<T: Lane, const N: usize>(
    lines: &[[u8; LINE]],
    width: u32,
    chain: usize,
    reference: u64,
    out: &mut [u64; CHAIN],
) {
    let places = out.as_chunks_mut::<N>().0;
    for order in 0..T::BITS as usize / 8 {
        for half in 0..2 {
            let number = order * 8 + chain * 2 + half;
            let values = layer::<T, N>(lines, width, number);
            let row = first_row(number).wrapping_sub(chain * CHAIN);
            if let Some(place) = places.get_mut(row / N) {
                for (slot, value) in place.iter_mut().zip(values) {
                    *slot = reference.wrapping_add(value.widen());
                }
            }
        }
    }
}

/// One value of a full vector.
pub(super) fn get_full<T: Lane, const N: usize>(
    lines: &[[u8; LINE]],
    width: u32,
    row: usize,
) -> u64 {
    let lane = row % N;
    let sixteenth = (row % 128 - lane) / 16;
    // The order is its own inverse.
    let order = ORDER.get(sixteenth).copied().unwrap_or(0);
    let bit = (order * 8 + row / 128) as u32 * width;
    let (line, shift) = ((bit / T::BITS) as usize, bit % T::BITS);
    let lane_of = |line: usize| {
        lines
            .get(line)
            .map_or_else(T::default, |line| T::at(line, lane))
    };
    let low = lane_of(line);
    let high = if shift + width > T::BITS {
        lane_of(line + 1)
    } else {
        T::default()
    };
    // A shift by nothing has no high part.
    low.joined(shift, high, (T::BITS - shift) % T::BITS, T::mask(width))
        .widen()
}

/// Packs every layer.
#[inline(always)]
pub(super) fn pack_layers<T: Lane, const N: usize>(
    values: &Lanes,
    width: u32,
    lines: &mut [[u8; LINE]],
) {
    let places = values.as_chunks::<N>().0;
    let mask = T::mask(width);
    let mut pending = [T::default(); N];
    let mut lines = lines.iter_mut();
    for number in 0..T::BITS as usize {
        let Some(place) = places.get(first_row(number) / N) else {
            return;
        };
        let shift = number as u32 * width % T::BITS;
        for (pending, value) in pending.iter_mut().zip(place) {
            *pending = pending.with(T::narrow(*value).cut(0, mask), shift);
        }
        let end = shift + width;
        if end >= T::BITS {
            if let Some(line) = lines.next() {
                T::store(&pending, line);
            }
            for (pending, value) in pending.iter_mut().zip(place) {
                *pending = if end > T::BITS {
                    T::narrow(*value).cut(T::BITS - shift, mask)
                } else {
                    T::default()
                };
            }
        }
    }
}
