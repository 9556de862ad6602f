//! The few rules of protobuf that messages of remote write need: fields one by one, borrowed from the body.
//!
//! A library would first build the whole message, and a series without anything, of two bytes on the wire, takes a
//! hundred there. Here nothing is held but what a row is made of.

use std::result::Result;

/// Why bytes are no message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Malformed {
    /// They end within a field.
    CutOff,
    /// A number is longer than a number can be.
    Number,
    /// A field is none, or of a kind that no message has any more.
    Field,
    /// A field that is known is of another kind.
    Kind,
}

impl Malformed {
    /// As a part of a sentence.
    pub(super) fn reason(self) -> &'static str {
        match self {
            Malformed::CutOff => "it ends within a field",
            Malformed::Number => "a number in it is too long",
            Malformed::Field => "it holds a field that is none",
            Malformed::Kind => "a field in it is of the wrong kind",
        }
    }
}

/// What a field holds.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Content<'a> {
    Number(u64),
    Fixed64(u64),
    Bytes(&'a [u8]),
    Fixed32(u32),
}

impl<'a> Content<'a> {
    pub(super) fn bytes(self) -> Result<&'a [u8], Malformed> {
        match self {
            Content::Bytes(bytes) => Ok(bytes),
            _ => Err(Malformed::Kind),
        }
    }

    /// A signed number, as `int64` travels.
    pub(super) fn int64(self) -> Result<i64, Malformed> {
        match self {
            Content::Number(number) => Ok(number.cast_signed()),
            _ => Err(Malformed::Kind),
        }
    }

    pub(super) fn double(self) -> Result<f64, Malformed> {
        match self {
            Content::Fixed64(bits) => Ok(f64::from_bits(bits)),
            _ => Err(Malformed::Kind),
        }
    }
}

/// The fields of a message in the order in which they stand.
#[derive(Clone, Copy, Debug)]
pub(super) struct Fields<'a>(&'a [u8]);

impl<'a> Fields<'a> {
    pub(super) fn of(message: &'a [u8]) -> Self {
        Fields(message)
    }

    /// The next field's number and what it holds; `None` at the end.
    pub(super) fn next(&mut self) -> Result<Option<(u64, Content<'a>)>, Malformed> {
        if self.0.is_empty() {
            return Ok(None);
        }
        let tag = self.number()?;
        let field = tag >> 3;
        if field == 0 {
            return Err(Malformed::Field);
        }
        let content = match tag & 7 {
            0 => Content::Number(self.number()?),
            1 => Content::Fixed64(u64::from_le_bytes(self.array()?)),
            2 => {
                let length = self.number()?;
                let length = usize::try_from(length).map_err(|_| Malformed::CutOff)?;
                Content::Bytes(self.take(length)?)
            }
            5 => Content::Fixed32(u32::from_le_bytes(self.array()?)),
            _ => return Err(Malformed::Field),
        };
        Ok(Some((field, content)))
    }

    /// A number of seven bits a byte, the lowest first.
    pub(super) fn number(&mut self) -> Result<u64, Malformed> {
        let mut number = 0_u64;
        for place in 0..10_u32 {
            let [byte] = self.array()?;
            let bits = u64::from(byte & 0x7f);
            // The tenth byte has room for one bit.
            if place == 9 && bits > 1 {
                return Err(Malformed::Number);
            }
            number |= bits << (7 * place);
            if byte < 0x80 {
                return Ok(number);
            }
        }
        Err(Malformed::Number)
    }

    /// Whether all was read.
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    fn take(&mut self, length: usize) -> Result<&'a [u8], Malformed> {
        let (taken, rest) = self.0.split_at_checked(length).ok_or(Malformed::CutOff)?;
        self.0 = rest;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], Malformed> {
        let (taken, rest) = self.0.split_first_chunk().ok_or(Malformed::CutOff)?;
        self.0 = rest;
        Ok(*taken)
    }
}
