//! Reading encoded bytes front to back. Every step checks what is left; nothing is assumed about
//! where the bytes came from. Integers are little-endian; small ones are LEB128 varints.

use activestore_types::{Error, Result};

/// The unread rest of an encoded buffer.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Cursor<'a> {
    rest: &'a [u8],
}

impl<'a> Cursor<'a> {
    /// Starts at the first byte.
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Cursor { rest: bytes }
    }

    /// Bytes left.
    pub(crate) fn len(&self) -> usize {
        self.rest.len()
    }

    /// The next `count` bytes.
    pub(crate) fn take(&mut self, count: usize) -> Result<&'a [u8]> {
        let (head, tail) = self.rest.split_at_checked(count).ok_or_else(cut_short)?;
        self.rest = tail;
        Ok(head)
    }

    /// Everything that is left.
    pub(crate) fn take_rest(&mut self) -> &'a [u8] {
        std::mem::take(&mut self.rest)
    }

    /// The next byte.
    pub(crate) fn byte(&mut self) -> Result<u8> {
        let (head, tail) = self.rest.split_first().ok_or_else(cut_short)?;
        self.rest = tail;
        Ok(*head)
    }

    /// A fixed number of bytes.
    pub(crate) fn array<const N: usize>(&mut self) -> Result<[u8; N]> {
        let (head, tail) = self.rest.split_first_chunk::<N>().ok_or_else(cut_short)?;
        self.rest = tail;
        Ok(*head)
    }

    /// An unsigned varint.
    pub(crate) fn varint(&mut self) -> Result<u64> {
        let mut value = 0_u64;
        for shift in (0..64).step_by(7) {
            let byte = self.byte()?;
            let bits = u64::from(byte & 0x7f);
            if shift == 63 && bits > 1 {
                break;
            }
            value |= bits << shift;
            if byte & 0x80 == 0 {
                return Ok(value);
            }
        }
        Err(Error::corrupt("an encoded number is longer than 64 bits"))
    }

    /// A varint whose sign is in its lowest bit, as the two's complement bits.
    pub(crate) fn signed(&mut self) -> Result<u64> {
        self.varint().map(unzigzag)
    }

    /// A varint that counts something of which there can be at most `max`.
    pub(crate) fn count(&mut self, what: &str, max: usize) -> Result<usize> {
        let value = self.varint()?;
        usize::try_from(value)
            .ok()
            .filter(|value| *value <= max)
            .ok_or_else(|| Error::corrupt(format!("{value} {what} where at most {max} can be")))
    }

    /// Requires that everything was read.
    pub(crate) fn finish(&self) -> Result<()> {
        if self.rest.is_empty() {
            Ok(())
        } else {
            Err(Error::corrupt(format!(
                "{} bytes follow the end of an encoded column",
                self.rest.len()
            )))
        }
    }
}

/// Appends an unsigned varint.
pub(crate) fn push_varint(mut value: u64, out: &mut Vec<u8>) {
    while value >= 0x80 {
        out.push(value.to_le_bytes().first().map_or(0, |byte| byte | 0x80));
        value >>= 7;
    }
    out.push(value.to_le_bytes().first().copied().unwrap_or(0));
}

/// Appends a varint with its sign in the lowest bit.
pub(crate) fn push_signed(value: u64, out: &mut Vec<u8>) {
    push_varint(zigzag(value), out);
}

/// Small magnitudes of either sign become small numbers.
pub(crate) fn zigzag(value: u64) -> u64 {
    (value << 1) ^ (value.cast_signed() >> 63).cast_unsigned()
}

fn unzigzag(value: u64) -> u64 {
    (value >> 1) ^ (value & 1).wrapping_neg()
}

fn cut_short() -> Error {
    Error::corrupt("an encoded column ends before its values do")
}
