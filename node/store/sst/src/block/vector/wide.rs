//! Reading a vector of 64-bit cells into memory that is there: the buffer of a longer array, of which it is a part.

use activestore_types::{Error, Result};
use arrow::buffer::NullBuffer;

use super::read::{Opened, Shared, open};
use crate::block::cursor::Cursor;
use crate::block::floats::Floats;
use crate::block::ints::Ints;
use crate::block::pack::Lanes;
use crate::block::{Encoding, Family, VECTOR_ROWS};

/// Whether values of a family are 64 bits each, as an array holds them.
pub(crate) fn is_wide(family: Family) -> bool {
    matches!(family, Family::BigInt | Family::Double | Family::Timestamp)
}

/// Reads the cells of a vector of as many as `out` holds, as their bits, and says which have a value; `None` means all.
/// What stands in the place of one without is unspecified.
///
/// # Errors
/// As [`super::decode_vector`]; `Internal` for a family that is not [`is_wide`].
pub(crate) fn decode_wide(
    bytes: &[u8],
    family: Family,
    shared: Shared<'_>,
    out: &mut [u64],
) -> Result<Option<NullBuffer>> {
    let rows = out.len();
    let opened = open(bytes, rows)?;
    if opened.encoding == Encoding::Null {
        out.fill(0);
        return Ok(Some(NullBuffer::new_null(rows)));
    }
    if let Ok(lanes) = <&mut Lanes>::try_from(&mut *out) {
        decode(&opened, rows, family, shared, lanes)?;
    } else {
        // The last of its row group.
        let mut lanes: Lanes = [0; VECTOR_ROWS];
        decode(&opened, rows, family, shared, &mut lanes)?;
        for (to, from) in out.iter_mut().zip(lanes) {
            *to = from;
        }
    }
    Ok(opened.present.map(NullBuffer::new))
}

fn decode(
    opened: &Opened<'_>,
    rows: usize,
    family: Family,
    shared: Shared<'_>,
    lanes: &mut Lanes,
) -> Result<()> {
    let mut bytes = Cursor::new(&opened.payload);
    match (family, opened.encoding) {
        (Family::BigInt | Family::Double, Encoding::Numbers) => {
            let numbers = shared
                .numbers
                .ok_or_else(|| Error::corrupt("a column's dictionary of numbers is missing"))?;
            Ints::parse(&mut bytes, rows)?.decode(lanes)?;
            numbers.look_up(lanes.get_mut(..rows).unwrap_or_default())?;
        }
        (Family::BigInt | Family::Timestamp, Encoding::FrameOfReference) => {
            Ints::parse(&mut bytes, rows)?.decode(lanes)?;
        }
        (Family::Double, encoding) => {
            Floats::parse::<f64>(&mut bytes, encoding, rows)?.decode(lanes)?;
        }
        (Family::BigInt | Family::Timestamp, other) => {
            let name = other.name();
            return Err(Error::corrupt(format!("{name} is no encoding of integers")));
        }
        _ => return Err(Error::internal("cells that are not of 64 bits")),
    }
    bytes.finish()
}
