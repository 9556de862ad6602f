//! Reading floats, whole or for a few rows. What comes out are bit patterns: those of doubles, or
//! of 32-bit floats in the lower half.

use std::ops::Range;

use activestore_types::{Error, Result};

use super::Real;
use super::alp::{Exponents, decode_alp};
use super::decimal::{Exact, POWERS, decimal_bits, short_decimal_bits};
use super::split::is_rest;
use crate::block::cursor::Cursor;
use crate::block::ints::Ints;
use crate::block::pack::{CHAIN, Lanes, Packed, decimals, short_decimals};
use crate::block::{Encoding, VECTOR_ROWS};

/// A parsed payload.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Floats<'a> {
    rows: usize,
    /// Of a pattern.
    bytes: usize,
    /// Whether the patterns are those of 32-bit floats, and doubles are wanted.
    widened: bool,
    form: Form<'a>,
    integers: Ints<'a>,
    positions: &'a [[u8; 2]],
    patterns: &'a [u8],
}

#[derive(Clone, Copy, Debug)]
enum Form<'a> {
    /// The integers are the patterns.
    Bits,
    /// The integers over a power of ten.
    Decimal(f64),
    Alp(Exponents),
    /// The integers are codes of front bits; the rest lies beside them.
    Split {
        fronts: &'a [[u8; 2]],
        remains: Packed<'a>,
        rest: u32,
    },
}

impl<'a> Floats<'a> {
    /// Takes a payload of `rows` values.
    ///
    /// # Errors
    /// `Corrupt` for bytes that [`super::encode`] does not write.
    pub(crate) fn parse<T: Real>(
        bytes: &mut Cursor<'a>,
        encoding: Encoding,
        rows: usize,
    ) -> Result<Self> {
        let form = match encoding {
            Encoding::FloatConstant | Encoding::FloatBits => Form::Bits,
            Encoding::Widened if T::BYTES != 8 => {
                return Err(Error::corrupt("floats of 32 bits are no wider ones"));
            }
            Encoding::Decimal | Encoding::Widened => {
                let digits = usize::from(bytes.byte()?);
                let power = POWERS.get(digits);
                Form::Decimal(
                    *power
                        .ok_or_else(|| Error::corrupt(format!("a decimal of {digits} digits")))?,
                )
            }
            Encoding::Alp => {
                let [e, f] = bytes.array()?;
                let exponents = Exponents::new(e, f).filter(|_| T::BYTES == 8);
                Form::Alp(
                    exponents
                        .ok_or_else(|| Error::corrupt(format!("ALP exponents {e} and {f}")))?,
                )
            }
            Encoding::Split => {
                let [rest, last] = bytes.array()?;
                let rest = u32::from(rest);
                if !is_rest(rest, T::BYTES) {
                    return Err(Error::corrupt(format!("floats split at bit {rest}")));
                }
                let fronts = bytes.take((usize::from(last) + 1) * 2)?.as_chunks::<2>().0;
                let remains = Packed::take(bytes, rows, rest)?;
                Form::Split {
                    fronts,
                    remains,
                    rest,
                }
            }
            other => {
                let name = other.name();
                return Err(Error::corrupt(format!("{name} is no encoding of floats")));
            }
        };
        let integers = Ints::parse(bytes, rows)?;
        let widened = encoding == Encoding::Widened;
        let pattern_bytes = if widened { f32::BYTES } else { T::BYTES };
        let (mut positions, mut patterns): (_, &[u8]) = (&[][..], &[]);
        if !matches!(form, Form::Bits | Form::Split { .. }) {
            let exceptions = bytes.count("exceptions", rows)?;
            positions = bytes.take(exceptions * 2)?.as_chunks::<2>().0;
            patterns = bytes.take(exceptions * pattern_bytes)?;
        }
        Ok(Floats {
            rows,
            bytes: pattern_bytes,
            widened,
            form,
            integers,
            positions,
            patterns,
        })
    }

    /// All values' patterns, into the front of `out`; what lies behind them is unspecified.
    ///
    /// # Errors
    /// `Corrupt` for exceptions or runs outside the rows.
    pub(crate) fn decode(&self, out: &mut Lanes) -> Result<()> {
        match (self.form, self.integers.as_plain_frame()) {
            (Form::Decimal(power), Some((packed, reference))) if self.bytes == 8 => {
                packed.unpack_decimals(reference, power, out);
            }
            (form, _) => {
                self.integers.decode(out)?;
                match form {
                    Form::Bits => {}
                    Form::Decimal(power) if self.bytes == 8 => decimals(power, out),
                    Form::Decimal(power) => short_decimals(power, out),
                    Form::Alp(exponents) => {
                        for slot in out.iter_mut() {
                            *slot = decode_alp(*slot, exponents);
                        }
                    }
                    Form::Split {
                        fronts,
                        remains,
                        rest,
                    } => {
                        let mut unpacked: Lanes = [0; VECTOR_ROWS];
                        remains.unpack(0, &mut unpacked);
                        for (slot, remain) in out.iter_mut().zip(unpacked).take(self.rows) {
                            *slot = front(fronts, *slot)? << rest | remain;
                        }
                    }
                }
            }
        }
        self.patch(0..self.rows, out)?;
        self.widen(out);
        Ok(())
    }

    /// The patterns of one quarter of a vector; whether they could be had without the others, else `out` is unspecified.
    ///
    /// # Errors
    /// As [`Floats::decode`].
    pub(crate) fn decode_chain(&self, chain: usize, out: &mut [u64; CHAIN]) -> Result<bool> {
        let power = match self.form {
            Form::Bits => None,
            Form::Decimal(power) if self.bytes == 8 => Some(power),
            _ => return Ok(false),
        };
        if !self.integers.decode_chain(chain, out)? {
            return Ok(false);
        }
        if let Some(power) = power {
            decimals(power, out);
        }
        let start = chain * CHAIN;
        self.patch(start..start + CHAIN, out)?;
        self.widen(out);
        Ok(true)
    }

    /// Makes doubles of patterns of 32-bit floats, where doubles are wanted.
    fn widen(&self, patterns: &mut [u64]) {
        if self.widened {
            for pattern in patterns {
                *pattern = f64::from(f32::from_bits(*pattern as u32)).to_bits();
            }
        }
    }

    /// As [`Ints::few_stretches`].
    pub(crate) fn few_stretches(&self) -> usize {
        self.integers.few_stretches()
    }

    /// The patterns of some rows, as many as `out` holds, from `first` on.
    ///
    /// # Errors
    /// As [`Ints::read`].
    pub(crate) fn read(&self, first: usize, out: &mut [u64]) -> Result<()> {
        self.integers.read(first, out)?;
        match self.form {
            Form::Bits => {}
            Form::Decimal(power) => {
                for slot in out.iter_mut() {
                    *slot = if self.bytes == 8 {
                        decimal_bits::<Exact>(*slot, power, 1.0)
                    } else {
                        short_decimal_bits::<Exact>(*slot, power, 1.0)
                    };
                }
            }
            Form::Alp(exponents) => {
                for slot in out.iter_mut() {
                    *slot = decode_alp(*slot, exponents);
                }
            }
            Form::Split {
                fronts,
                remains,
                rest,
            } => {
                for (row, slot) in (first..).zip(out.iter_mut()) {
                    *slot = front(fronts, *slot)? << rest | remains.get(row);
                }
            }
        }
        self.patch(first..first + out.len(), out)?;
        self.widen(out);
        Ok(())
    }

    /// Writes the exceptions whose rows lie in the range.
    fn patch(&self, range: Range<usize>, out: &mut [u64]) -> Result<()> {
        let patterns = self.patterns.chunks_exact(self.bytes);
        for (position, pattern) in self.positions.iter().zip(patterns) {
            let row = usize::from(u16::from_le_bytes(*position));
            if row >= self.rows {
                let rows = self.rows;
                return Err(Error::corrupt(format!(
                    "an exception at row {row} of {rows}"
                )));
            }
            let place = row.checked_sub(range.start).filter(|_| row < range.end);
            if let Some(slot) = place.and_then(|place| out.get_mut(place)) {
                let mut wide = [0_u8; 8];
                for (to, from) in wide.iter_mut().zip(pattern) {
                    *to = *from;
                }
                *slot = u64::from_le_bytes(wide);
            }
        }
        Ok(())
    }
}

/// The front bits of a code.
fn front(fronts: &[[u8; 2]], code: u64) -> Result<u64> {
    let front = usize::try_from(code).ok().and_then(|code| fronts.get(code));
    front
        .map(|front| u64::from(u16::from_le_bytes(*front)))
        .ok_or_else(|| Error::corrupt(format!("code {code} of {} front bits", fronts.len())))
}
