//! Thrift's compact protocol, which the heads of Parquet are written in, as far as it takes to look at them. Nothing
//! is kept of what is read.

use activestore_types::{Error, Result};

/// How deep structs lie in each other. The heads of Parquet have six.
const DEPTH_MAX: usize = 16;

/// Types of fields.
pub(super) const STRUCT: u8 = 12;
pub(super) const LIST: u8 = 9;
const STOP: u8 = 0;
const BOOLEANS: [u8; 2] = [1, 2];
const BYTE: u8 = 3;
const NUMBERS: [u8; 3] = [4, 5, 6];
const DOUBLE: u8 = 7;
const BINARY: u8 = 8;
const SET: u8 = 10;

/// A field of a struct.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Field {
    pub(super) id: i16,
    pub(super) kind: u8,
}

/// Bytes that are read from their beginning.
#[derive(Clone, Copy)]
pub(super) struct Compact<'a> {
    left: &'a [u8],
}

impl<'a> Compact<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Compact { left: bytes }
    }

    /// How many bytes are not read.
    pub(super) fn left(&self) -> usize {
        self.left.len()
    }

    fn byte(&mut self) -> Result<u8> {
        let (byte, left) = self.left.split_first().ok_or_else(cut)?;
        self.left = left;
        Ok(*byte)
    }

    fn pass(&mut self, bytes: u64) -> Result<()> {
        let bytes = usize::try_from(bytes).map_err(|_| cut())?;
        self.left = self.left.get(bytes..).ok_or_else(cut)?;
        Ok(())
    }

    fn varint(&mut self) -> Result<u64> {
        let mut value = 0_u64;
        for shift in (0..u64::BITS).step_by(7) {
            let byte = self.byte()?;
            value |= u64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return Ok(value);
            }
        }
        Err(broken("a number has no end"))
    }

    /// A number of a field.
    pub(super) fn number(&mut self) -> Result<i64> {
        let zigzag = self.varint()?;
        Ok((zigzag >> 1).cast_signed() ^ -(zigzag & 1).cast_signed())
    }

    /// The next field of a struct, behind the field `last`; `None` at its end.
    pub(super) fn field(&mut self, last: &mut i16) -> Result<Option<Field>> {
        let head = self.byte()?;
        let kind = head & 0x0f;
        if kind == STOP {
            return Ok(None);
        }
        let id = match i16::from(head >> 4) {
            0 => i16::try_from(self.number()?).map_err(|_| broken("a field has no number"))?,
            step => last
                .checked_add(step)
                .ok_or_else(|| broken("a field has no number"))?,
        };
        *last = id;
        Ok(Some(Field { id, kind }))
    }

    /// The type of a list's elements, and how many there are: no more than bytes are left, of which each takes one.
    pub(super) fn list(&mut self) -> Result<(u8, usize)> {
        let head = self.byte()?;
        let count = match head >> 4 {
            15 => self.varint()?,
            count => u64::from(count),
        };
        let count = usize::try_from(count).map_err(|_| cut())?;
        if count > self.left.len() {
            return Err(cut());
        }
        Ok((head & 0x0f, count))
    }

    /// Passes a value.
    pub(super) fn skip(&mut self, kind: u8) -> Result<()> {
        self.skip_within(kind, DEPTH_MAX)
    }

    fn skip_within(&mut self, kind: u8, depth: usize) -> Result<()> {
        let depth = depth
            .checked_sub(1)
            .ok_or_else(|| broken("its head is nested too deep"))?;
        match kind {
            _ if BOOLEANS.contains(&kind) => Ok(()),
            BYTE => self.pass(1),
            _ if NUMBERS.contains(&kind) => self.varint().map(drop),
            DOUBLE => self.pass(8),
            BINARY => {
                let length = self.varint()?;
                self.pass(length)
            }
            LIST | SET => {
                let (kind, count) = self.list()?;
                // Booleans of a list take a byte each.
                let kind = if BOOLEANS.contains(&kind) { BYTE } else { kind };
                (0..count).try_for_each(|_| self.skip_within(kind, depth))
            }
            STRUCT => {
                let mut last = 0;
                while let Some(field) = self.field(&mut last)? {
                    self.skip_within(field.kind, depth)?;
                }
                Ok(())
            }
            // Parquet has no maps.
            _ => Err(broken("its head holds what Parquet does not have")),
        }
    }
}

pub(super) fn cut() -> Error {
    broken("it is cut off")
}

pub(super) fn broken(what: &str) -> Error {
    Error::invalid(format!("the bytes are not whole Parquet: {what}"))
}
