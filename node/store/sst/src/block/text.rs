//! Text and bytes: codes of a dictionary, or lengths followed by the bytes themselves.

use std::ops::Range;

use activestore_types::{Error, Result};
use arrow::buffer::NullBuffer;

use super::cursor::Cursor;
use super::dictionary::{DictionaryBuilder, Values};
use super::pack::Lanes;
use super::symbols::SymbolTable;
use super::{VECTOR_ROWS, ints};

/// The values of a vector where they lie: Arrow's offsets and bytes, and which rows have a value.
#[derive(Clone, Copy)]
pub(crate) struct Strings<'a> {
    /// One more than there are rows.
    pub(crate) offsets: &'a [i32],
    /// The buffer that the offsets point into.
    pub(crate) data: &'a [u8],
    /// Which rows have a value; `None` means all.
    pub(crate) present: Option<&'a NullBuffer>,
}

/// A decoded vector.
pub(crate) struct Decoded {
    /// One more than there are rows, beginning with 0.
    pub(crate) offsets: Vec<i32>,
    /// All values.
    pub(crate) data: Vec<u8>,
}

impl<'a> Strings<'a> {
    /// How many rows.
    pub(crate) fn rows(&self) -> usize {
        self.offsets.len().saturating_sub(1)
    }

    /// Bytes of all values.
    pub(crate) fn bytes(&self) -> usize {
        match (self.offsets.first(), self.offsets.last()) {
            (Some(first), Some(last)) => (last - first) as usize,
            _ => 0,
        }
    }

    /// Each row's value; `None` for a row that has none.
    pub(crate) fn iter(self) -> impl Iterator<Item = Option<&'a [u8]>> {
        let present = self.present.filter(|nulls| nulls.null_count() > 0);
        self.offsets.windows(2).enumerate().map(move |(row, pair)| {
            let &[start, end] = pair else { return None };
            if present.is_some_and(|nulls| nulls.is_null(row)) {
                return None;
            }
            self.data.get(start as usize..end as usize)
        })
    }

    /// Appends the codes of all values; `false`, with nothing appended, where the dictionary does
    /// not hold them all.
    pub(crate) fn encode_codes(
        self,
        dictionary: &mut DictionaryBuilder,
        out: &mut Vec<u8>,
    ) -> bool {
        let mut codes = [0_u64; VECTOR_ROWS];
        let mut before: Option<(&[u8], u64)> = None;
        let mut repeated = 0;
        let mut leading = 0;
        for (slot, value) in codes.iter_mut().zip(self.iter()) {
            *slot = match (value, before) {
                (None, Some((_, code))) => code,
                (None, None) => {
                    leading += 1;
                    continue;
                }
                (Some(value), Some((same, code))) if value == same => {
                    repeated += 1;
                    code
                }
                (Some(value), _) => {
                    let Some(code) = dictionary.code(value) else {
                        return false;
                    };
                    before = Some((value, u64::from(code)));
                    u64::from(code)
                }
            };
        }
        dictionary.repeated(repeated);
        // Rows before the first value take its code, so that they cost no width.
        let first = codes.get(leading).copied().unwrap_or(0);
        codes
            .iter_mut()
            .take(leading)
            .for_each(|code| *code = first);
        ints::encode(codes.get(..self.rows()).unwrap_or(&[]), out);
        true
    }

    /// Appends lengths and bytes.
    pub(crate) fn encode_plain(self, out: &mut Vec<u8>) {
        let mut lengths = [0_u64; VECTOR_ROWS];
        for (slot, value) in lengths.iter_mut().zip(self.iter()) {
            *slot = value.map_or(0, |value| value.len() as u64);
        }
        ints::encode(lengths.get(..self.rows()).unwrap_or(&[]), out);
        for value in self.iter().flatten() {
            out.extend_from_slice(value);
        }
    }
}

/// Looks up the values of codes. `budget` is what may still be expanded, in bytes.
///
/// # Errors
/// `Corrupt` for a code that the dictionary does not have, or values beyond the budget.
pub(crate) fn look_up(codes: &[u64], dictionary: &Values, budget: usize) -> Result<Decoded> {
    let mut offsets = Vec::with_capacity(codes.len() + 1);
    offsets.push(0);
    let mut data = Vec::new();
    for run in codes.chunk_by(|a, b| a == b) {
        let code = run.first().copied().unwrap_or(0);
        let value = usize::try_from(code)
            .ok()
            .and_then(|code| dictionary.get(code));
        let value = value.ok_or_else(|| {
            Error::corrupt(format!(
                "code {code} of a dictionary of {}",
                dictionary.len()
            ))
        })?;
        let begin = data.len();
        let added = value.len().saturating_mul(run.len());
        if added > budget.saturating_sub(begin) || begin + added > i32::MAX as usize {
            return Err(too_large());
        }
        repeat(value, added, &mut data);
        let ends = (1..=run.len()).map(|count| (begin + count * value.len()) as i32);
        offsets.extend(ends);
    }
    Ok(Decoded { offsets, data })
}

/// Appends the value until `added` bytes are, doubling what is there.
fn repeat(value: &[u8], added: usize, data: &mut Vec<u8>) {
    let begin = data.len();
    data.reserve(added);
    data.extend_from_slice(value.get(..added).unwrap_or(value));
    while data.len() < begin + added {
        let more = (data.len() - begin).min(begin + added - data.len());
        data.extend_from_within(begin..begin + more);
    }
}

/// Reads the lengths of `rows` values and then their bytes, of which those of some rows are kept.
///
/// # Errors
/// `Corrupt` where the lengths do not add up to the bytes.
pub(crate) fn decode_plain(
    bytes: &mut Cursor<'_>,
    rows: usize,
    wanted: Range<usize>,
) -> Result<Decoded> {
    let mut lengths: Lanes = [0; VECTOR_ROWS];
    ints::decode(bytes, rows, &mut lengths)?;
    let total = |lengths: &[u64]| {
        let sum = lengths.iter().try_fold(0_u64, |sum, length| {
            sum.checked_add(*length)
                .filter(|sum| *sum <= i32::MAX as u64)
        });
        sum.map(|sum| sum as usize).ok_or_else(too_large)
    };
    let data = bytes.take(total(lengths.get(..rows).unwrap_or(&[]))?)?;
    let start = total(lengths.get(..wanted.start).unwrap_or(&[]))?;
    let mut offsets = Vec::with_capacity(wanted.len() + 1);
    offsets.push(0);
    let mut end = 0;
    for length in lengths.get(wanted).unwrap_or(&[]) {
        end += *length as usize;
        offsets.push(end as i32);
    }
    let data = data.get(start..start + end).unwrap_or(&[]).to_vec();
    Ok(Decoded { offsets, data })
}

/// Reads the lengths of `rows` compressed values and then their codes, and expands some of them.
/// `budget` is what may still be expanded, in bytes.
///
/// # Errors
/// `Corrupt` for codes without symbols, lengths that do not add up, or values beyond the budget.
pub(crate) fn decode_symbols(
    bytes: &mut Cursor<'_>,
    rows: usize,
    wanted: Range<usize>,
    table: &SymbolTable,
    budget: usize,
) -> Result<Decoded> {
    let packed = decode_plain(bytes, rows, wanted)?;
    let mut offsets = Vec::with_capacity(packed.offsets.len());
    offsets.push(0);
    let mut data = Vec::with_capacity(packed.data.len() * 2);
    for pair in packed.offsets.windows(2) {
        let &[start, end] = pair else { continue };
        let codes = packed.data.get(start as usize..end as usize).unwrap_or(&[]);
        table.expand(codes, &mut data)?;
        if data.len() > budget {
            return Err(too_large());
        }
        offsets.push(i32::try_from(data.len()).map_err(|_| too_large())?);
    }
    Ok(Decoded { offsets, data })
}

fn too_large() -> Error {
    Error::corrupt("the values of an encoded column are larger than it can hold")
}
