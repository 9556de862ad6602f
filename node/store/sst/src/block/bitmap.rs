//! Bitmaps of a vector: validity, `set`, tombstones and booleans. Runs where those are shorter than
//! plain bits.

use activestore_types::{Error, Result};
use arrow::array::BooleanBufferBuilder;
use arrow::buffer::BooleanBuffer;

use super::cursor::{Cursor, push_varint};

const PLAIN: u8 = 0;
/// Runs of alternating bits, the first run of zeros (perhaps empty).
const RUNS: u8 = 1;

/// Appends the bits; their number is not stored. Says whether they took the form of runs.
pub(crate) fn encode(bits: &BooleanBuffer, out: &mut Vec<u8>) -> bool {
    let plain = bits.len().div_ceil(8);
    let start = out.len();
    out.push(RUNS);
    let mut end = 0;
    for (from, to) in bits.set_slices() {
        push_varint((from - end) as u64, out);
        push_varint((to - from) as u64, out);
        end = to;
        if out.len() - start > plain {
            break;
        }
    }
    push_varint((bits.len() - end) as u64, out);
    if out.len() - start <= plain {
        return true;
    }
    out.truncate(start);
    out.push(PLAIN);
    // A sliced buffer may begin inside a byte; its own copy does not.
    let aligned = bits.sliced();
    out.extend(aligned.as_slice().iter().take(plain));
    let used = bits.len() % 8;
    if used > 0
        && let Some(last) = out.last_mut()
    {
        *last &= (1_u8 << used) - 1;
    }
    false
}

/// Reads `rows` bits.
///
/// # Errors
/// `Corrupt` for bytes that [`encode`] does not write.
pub(crate) fn decode(bytes: &mut Cursor<'_>, rows: usize) -> Result<BooleanBuffer> {
    match bytes.byte()? {
        PLAIN => {
            let bits = bytes.take(rows.div_ceil(8))?;
            Ok(BooleanBuffer::new(bits.to_vec().into(), 0, rows))
        }
        RUNS => {
            let mut bits = BooleanBufferBuilder::new(rows);
            let mut value = false;
            while bits.len() < rows {
                let run = bytes.count("bits", rows - bits.len())?;
                // Only the first run, of zeros, may be empty.
                if run == 0 && (value || !bits.is_empty()) {
                    return Err(Error::corrupt("an empty run inside a bitmap"));
                }
                bits.append_n(run, value);
                value = !value;
            }
            // A run of ones is always followed by one of zeros; at the end that one is empty.
            if !value && bytes.varint()? != 0 {
                return Err(Error::corrupt("a bitmap runs past its rows"));
            }
            Ok(bits.finish())
        }
        other => Err(Error::corrupt(format!(
            "bitmap encoding {other} is unknown"
        ))),
    }
}

#[cfg(test)]
mod tests;
