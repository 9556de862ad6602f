//! Floats of all digits, after ALP-RD (Afroozeh, Kuffo and Boncz, SIGMOD 2023): the front bits (sign,
//! exponent and perhaps some of the fraction) as codes of the few that occur, the most frequent
//! first; the rest of the fraction, which nothing makes shorter, as it is.

use super::Real;
use crate::block::VECTOR_ROWS;
use crate::block::ints;
use crate::block::pack::pack;

/// Different fronts of a vector at most.
const FRONTS_MAX: usize = 256;

/// Bits of the rest that are tried for floats of so many bytes.
fn rests(bytes: usize) -> [u32; 2] {
    if bytes == 8 { [52, 48] } else { [23, 19] }
}

/// The shortest payload; `None` where the fronts are too many.
pub(super) fn encode_split<T: Real>(values: &[T]) -> Option<Vec<u8>> {
    let payloads = rests(T::BYTES).into_iter();
    payloads
        .filter_map(|rest| encode_with(values, rest))
        .min_by_key(Vec::len)
}

fn encode_with<T: Real>(values: &[T], rest: u32) -> Option<Vec<u8>> {
    let mut fronts: Vec<u16> = values
        .iter()
        .map(|v| (v.pattern() >> rest) as u16)
        .collect();
    fronts.sort_unstable();
    let mut table: Vec<(u16, usize)> = Vec::new();
    for run in fronts.chunk_by(|a, b| a == b) {
        table.extend(run.first().map(|front| (*front, run.len())));
    }
    if table.len() > FRONTS_MAX {
        return None;
    }
    table.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
    // By front again, to find each value's code.
    let mut codes: Vec<(u16, u64)> = (0..)
        .zip(&table)
        .map(|(code, (front, _))| (*front, code))
        .collect();
    codes.sort_unstable();
    let mut fronts = [0; VECTOR_ROWS];
    let mut remains = [0; VECTOR_ROWS];
    let slots = fronts.iter_mut().zip(&mut remains);
    for ((front, remain), value) in slots.zip(values) {
        let pattern = value.pattern();
        let key = (pattern >> rest) as u16;
        let at = codes.binary_search_by_key(&key, |(front, _)| *front).ok()?;
        *front = codes.get(at)?.1;
        *remain = pattern & ((1 << rest) - 1);
    }
    let mut out = vec![rest as u8, (table.len() - 1) as u8];
    out.extend(table.iter().flat_map(|(front, _)| front.to_le_bytes()));
    pack(remains.get(..values.len())?, rest, &mut out);
    ints::encode(fronts.get(..values.len())?, &mut out);
    Some(out)
}

/// Whether floats of so many bytes are split so.
pub(super) fn is_rest(rest: u32, bytes: usize) -> bool {
    rests(bytes).contains(&rest)
}
