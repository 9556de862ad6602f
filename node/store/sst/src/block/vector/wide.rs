//! Reading cells of 64 bits into memory that is there: the buffer of an array that they are a part of.

use std::ops::Range;

use activestore_types::{Error, Result};
use arrow::buffer::NullBuffer;

use super::read::{Opened, Shared, open};
use crate::block::cursor::Cursor;
use crate::block::floats::Floats;
use crate::block::ints::Ints;
use crate::block::numbers::Numbers;
use crate::block::pack::{CHAIN, Lanes};
use crate::block::{Encoding, Family, VECTOR_ROWS};

/// Up to so many rows are decoded apart, where they lie in few stretches; of more the whole vector is.
const FEW_ROWS: usize = 64;

/// Up to so many quarters of a vector are decoded apart, in less time than all of it.
const FEW_QUARTERS: usize = 2;

/// Whether values of a family are 64 bits each, as an array holds them.
pub(crate) fn is_wide(family: Family) -> bool {
    matches!(family, Family::BigInt | Family::Double | Family::Timestamp)
}

/// Reads all cells of a vector of as many as `out` holds, as their bits, and says which have a value; `None` means all.
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
    match Cells::of(&opened, rows, family, shared)? {
        None => {
            out.fill(0);
            return Ok(Some(NullBuffer::new_null(rows)));
        }
        Some(cells) => match <&mut Lanes>::try_from(&mut *out) {
            Ok(lanes) => cells.decode(rows, lanes)?,
            Err(_) => {
                // The last of its row group.
                let mut lanes: Lanes = [0; VECTOR_ROWS];
                cells.decode(rows, &mut lanes)?;
                pick(&lanes, std::slice::from_ref(&(0..rows)), out)?;
            }
        },
    }
    Ok(opened.present.map(NullBuffer::new))
}

/// Reads some cells of a vector of `rows`: those of the ranges, one behind the other. Says of all cells of the vector
/// which have a value.
///
/// # Errors
/// As [`decode_wide`]; `Internal` for rows that the vector does not have, or that `out` does not hold.
pub(crate) fn decode_wide_rows(
    bytes: &[u8],
    rows: usize,
    wanted: &[Range<usize>],
    family: Family,
    shared: Shared<'_>,
    out: &mut [u64],
) -> Result<Option<NullBuffer>> {
    let opened = open(bytes, rows)?;
    let Some(cells) = Cells::of(&opened, rows, family, shared)? else {
        out.fill(0);
        return Ok(Some(NullBuffer::new_null(rows)));
    };
    if wanted.len() <= cells.few_stretches() && out.len() <= FEW_ROWS {
        let mut rest = out;
        for rows in wanted {
            let (head, tail) = rest.split_at_mut_checked(rows.len()).ok_or_else(beyond)?;
            cells.read(rows.start, head)?;
            rest = tail;
        }
    } else {
        let mut lanes: Lanes = [0; VECTOR_ROWS];
        if !cells.decode_quarters(rows, wanted, &mut lanes)? {
            cells.decode(rows, &mut lanes)?;
        }
        pick(lanes.get(..rows).unwrap_or(&[]), wanted, out)?;
    }
    Ok(opened.present.map(NullBuffer::new))
}

/// Puts the values of the ranges one behind the other.
///
/// # Errors
/// `Internal` for rows that there are not, or that `out` does not hold.
pub(crate) fn pick(values: &[u64], wanted: &[Range<usize>], out: &mut [u64]) -> Result<()> {
    let mut to = 0;
    for rows in wanted {
        let values = values.get(rows.clone()).ok_or_else(beyond)?;
        let out = out.get_mut(to..to + values.len()).ok_or_else(beyond)?;
        out.copy_from_slice(values);
        to += values.len();
    }
    Ok(())
}

fn beyond() -> Error {
    Error::internal("rows beyond those of a vector are read")
}

/// A parsed payload.
pub(super) enum Cells<'a, 'n> {
    Ints(Ints<'a>),
    Numbers(Ints<'a>, &'n Numbers),
    Floats(Floats<'a>),
}

impl<'a, 'n> Cells<'a, 'n> {
    /// Of a vector; `None` where no cell has a value.
    fn of(
        opened: &'a Opened<'_>,
        rows: usize,
        family: Family,
        shared: Shared<'n>,
    ) -> Result<Option<Self>> {
        let mut bytes = Cursor::new(&opened.payload);
        let cells = match opened.encoding {
            Encoding::Null => None,
            encoding => Some(Cells::parse(&mut bytes, encoding, rows, family, shared)?),
        };
        bytes.finish()?;
        Ok(cells)
    }

    /// Takes a payload of `rows` cells.
    ///
    /// # Errors
    /// `Corrupt` for bytes that no encoder of such cells writes; `Internal` for a family that is not [`is_wide`].
    pub(super) fn parse(
        bytes: &mut Cursor<'a>,
        encoding: Encoding,
        rows: usize,
        family: Family,
        shared: Shared<'n>,
    ) -> Result<Self> {
        match (family, encoding) {
            (Family::BigInt | Family::Double, Encoding::Numbers) => {
                let numbers = shared
                    .numbers
                    .ok_or_else(|| Error::corrupt("a column's dictionary of numbers is missing"))?;
                Ok(Cells::Numbers(Ints::parse(bytes, rows)?, numbers))
            }
            (Family::BigInt | Family::Timestamp, Encoding::FrameOfReference) => {
                Ok(Cells::Ints(Ints::parse(bytes, rows)?))
            }
            (Family::Double, encoding) => {
                let floats = Floats::parse::<f64>(bytes, encoding, rows)?;
                Ok(Cells::Floats(floats))
            }
            (Family::BigInt | Family::Timestamp, other) => {
                let name = other.name();
                Err(Error::corrupt(format!("{name} is no encoding of integers")))
            }
            _ => Err(Error::internal("cells that are not of 64 bits")),
        }
    }

    /// All cells' bits, into the front of `lanes`.
    ///
    /// # Errors
    /// As [`Ints::decode`].
    pub(super) fn decode(&self, rows: usize, lanes: &mut Lanes) -> Result<()> {
        match self {
            Cells::Ints(ints) => ints.decode(lanes),
            Cells::Numbers(codes, numbers) => {
                codes.decode(lanes)?;
                numbers.look_up(lanes.get_mut(..rows).unwrap_or_default())
            }
            Cells::Floats(floats) => floats.decode(lanes),
        }
    }

    /// The bits of the cells in those quarters of a full vector that wanted rows lie in, where these are few and can be had
    /// without the others; whether that was so, else `lanes` is unspecified.
    ///
    /// # Errors
    /// As [`Ints::decode`].
    fn decode_quarters(
        &self,
        rows: usize,
        wanted: &[Range<usize>],
        lanes: &mut Lanes,
    ) -> Result<bool> {
        let mut is_wanted = [false; VECTOR_ROWS / CHAIN];
        for rows in wanted {
            let quarters = is_wanted.get_mut(rows.start / CHAIN..rows.end.div_ceil(CHAIN));
            quarters.ok_or_else(beyond)?.fill(true);
        }
        let count = is_wanted.iter().filter(|wanted| **wanted).count();
        if rows < VECTOR_ROWS || count > FEW_QUARTERS {
            return Ok(false);
        }
        let quarters = lanes.as_chunks_mut::<CHAIN>().0.iter_mut();
        for ((chain, quarter), wanted) in quarters.enumerate().zip(is_wanted) {
            let is_read = match self {
                _ if !wanted => continue,
                Cells::Ints(ints) => ints.decode_chain(chain, quarter)?,
                Cells::Floats(floats) => floats.decode_chain(chain, quarter)?,
                Cells::Numbers(..) => false,
            };
            if !is_read {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// As [`Ints::few_stretches`].
    fn few_stretches(&self) -> usize {
        match self {
            Cells::Ints(ints) | Cells::Numbers(ints, _) => ints.few_stretches(),
            Cells::Floats(floats) => floats.few_stretches(),
        }
    }

    /// The bits of some cells, as many as `out` holds, from `first` on.
    ///
    /// # Errors
    /// As [`Ints::read`].
    pub(super) fn read(&self, first: usize, out: &mut [u64]) -> Result<()> {
        match self {
            Cells::Ints(ints) => ints.read(first, out),
            Cells::Numbers(codes, numbers) => {
                codes.read(first, out)?;
                numbers.look_up(out)
            }
            Cells::Floats(floats) => floats.read(first, out),
        }
    }
}
