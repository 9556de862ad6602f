//! FSST (Boncz, Neumann and Leis, VLDB 2020): text as codes of up to 255 short byte strings that a
//! sample of the column chose. Each value is compressed by itself, so that one is read without the
//! others. The table is built by the `fsst` crate; reading is here, since it must not trust its bytes.

use activestore_types::{Error, Result};
use fsst::Compressor;

use super::cursor::Cursor;
use super::text::Strings;
use super::{VECTOR_ROWS, ints};

/// The code before a byte that stands for itself.
const ESCAPE: u8 = 255;
/// Bytes of a symbol at most.
const SYMBOL_BYTES: usize = 8;
/// Bytes of a column below which no table is made.
const SAMPLE_BYTES_MIN: usize = 1024;
/// Bytes that a table is chosen by.
const SAMPLE_BYTES_MAX: usize = 64 << 10;
/// Vectors that are left alone after one did not take it.
const PAUSE: u32 = 15;

/// Compresses the values of one column of one file.
#[derive(Default)]
pub(crate) struct SymbolsBuilder {
    compressor: Option<Compressor>,
    pause: u32,
    /// Whether any vector was encoded with it.
    pub(crate) used: bool,
}

impl SymbolsBuilder {
    /// The payload of a vector: the codes' lengths, and the codes; `None` where it is not tried.
    pub(crate) fn encode(&mut self, strings: Strings<'_>) -> Option<Vec<u8>> {
        if self.pause > 0 {
            self.pause -= 1;
            return None;
        }
        if self.compressor.is_none() {
            let mut sample = Vec::new();
            let mut bytes = 0;
            for value in strings.iter().flatten() {
                let value = value.get(..value.len().min(SAMPLE_BYTES_MAX - bytes))?;
                bytes += value.len();
                sample.push(value);
                if bytes >= SAMPLE_BYTES_MAX {
                    break;
                }
            }
            if bytes < SAMPLE_BYTES_MIN {
                return None;
            }
            self.compressor = Some(Compressor::train(&sample));
        }
        let compressor = self.compressor.as_ref()?;
        let mut lengths = [0_u64; VECTOR_ROWS];
        let mut codes = Vec::with_capacity(strings.bytes() / 2);
        for (length, value) in lengths.iter_mut().zip(strings.iter()) {
            let before = codes.len();
            if let Some(value) = value.filter(|value| !value.is_empty()) {
                codes.extend(compressor.compress(value));
            }
            *length = (codes.len() - before) as u64;
        }
        let mut out = Vec::with_capacity(codes.len() + VECTOR_ROWS);
        ints::encode(lengths.get(..strings.rows())?, &mut out);
        out.append(&mut codes);
        Some(out)
    }

    /// Says whether the last payload was taken.
    pub(crate) fn taken(&mut self, taken: bool) {
        self.used |= taken;
        self.pause = if taken { 0 } else { PAUSE };
    }

    /// Appends the table: the number of symbols, their lengths, their bytes; 0 where none is used.
    pub(crate) fn encode_table(&self, out: &mut Vec<u8>) {
        let Some(compressor) = self.compressor.as_ref().filter(|_| self.used) else {
            out.push(0);
            return;
        };
        let lengths = compressor.symbol_lengths();
        out.push(lengths.len() as u8);
        out.extend_from_slice(lengths);
        for (symbol, length) in compressor.symbol_table().iter().zip(lengths) {
            let bytes = symbol.to_u64().to_le_bytes();
            out.extend(bytes.iter().take(usize::from(*length)));
        }
    }
}

/// The symbols of a column.
#[derive(Debug)]
pub(crate) struct SymbolTable {
    symbols: Vec<([u8; SYMBOL_BYTES], usize)>,
}

impl SymbolTable {
    /// Memory that it takes.
    pub(crate) fn bytes(&self) -> usize {
        self.symbols.len() * size_of::<([u8; SYMBOL_BYTES], usize)>()
    }

    /// Reads a table; `None` for the mark that there is none.
    ///
    /// # Errors
    /// `Corrupt` for bytes that [`SymbolsBuilder::encode_table`] does not write.
    pub(crate) fn decode(bytes: &mut Cursor<'_>) -> Result<Option<Self>> {
        let count = usize::from(bytes.byte()?);
        if count == 0 {
            return Ok(None);
        }
        let mut symbols = Vec::with_capacity(count);
        for length in bytes.take(count)? {
            let length = usize::from(*length);
            if !(1..=SYMBOL_BYTES).contains(&length) {
                return Err(Error::corrupt(format!("a symbol of {length} bytes")));
            }
            symbols.push(([0; SYMBOL_BYTES], length));
        }
        for (symbol, length) in &mut symbols {
            let from = bytes.take(*length)?;
            for (to, from) in symbol.iter_mut().zip(from) {
                *to = *from;
            }
        }
        Ok(Some(SymbolTable { symbols }))
    }

    /// Appends the value that codes stand for.
    ///
    /// # Errors
    /// `Corrupt` for a code that has no symbol.
    pub(crate) fn expand(&self, codes: &[u8], out: &mut Vec<u8>) -> Result<()> {
        // Whole symbols are written, of which the next one covers what is too much.
        let start = out.len();
        out.resize(start + (codes.len() + 1) * SYMBOL_BYTES, 0);
        let mut at = start;
        let mut codes = codes.iter();
        while let Some(code) = codes.next() {
            let (symbol, length) = if *code == ESCAPE {
                let byte = codes
                    .next()
                    .ok_or_else(|| Error::corrupt("compressed text ends inside a byte"))?;
                (&[*byte, 0, 0, 0, 0, 0, 0, 0], 1)
            } else {
                let symbol = self.symbols.get(usize::from(*code));
                let (symbol, length) =
                    symbol.ok_or_else(|| Error::corrupt(format!("code {code} has no symbol")))?;
                (symbol, *length)
            };
            if let Some(slot) = out.get_mut(at..at + SYMBOL_BYTES) {
                slot.copy_from_slice(symbol);
            }
            at += length;
        }
        out.truncate(at);
        Ok(())
    }
}

#[cfg(test)]
mod tests;
