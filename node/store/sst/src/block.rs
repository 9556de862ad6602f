//! The codec: column vectors of up to 1,024 cells as few bytes, chosen by looking at the data.
//!
//! A vector is a tag, its bitmaps (`set`, validity; each only where needed) and a payload in the
//! cheapest of the encodings below. Decoding goes straight into Arrow buffers and treats its bytes as hostile:
//! lengths are checked against the rows of a vector before anything is allocated.

use std::sync::atomic::{AtomicU64, Ordering};

use activestore_types::{Error, Result};
use arrow::datatypes::{DataType as ArrowType, TimeUnit};

pub mod array;
pub(crate) mod bitmap;
pub(crate) mod cursor;
pub(crate) mod dictionary;
pub(crate) mod floats;
pub(crate) mod ints;
pub(crate) mod kernel;
pub(crate) mod numbers;
pub(crate) mod pack;
pub(crate) mod stamps;
pub(crate) mod symbols;
pub(crate) mod text;
pub(crate) mod vector;
pub(crate) mod zip;

pub use array::{decode_array, encode_array};

/// Rows of a full vector, the unit of encoding, pruning and reading.
pub const VECTOR_ROWS: usize = 1024;

static MISTAKES: AtomicU64 = AtomicU64::new(0);

/// Counters of the codec since the process started.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CodecStats {
    /// Vectors that did not read back as they were, were found so before they were written, and
    /// were stored plainly instead. Anything but 0 is a defect of the codec; no data is lost.
    pub mistakes: u64,
}

/// Reads the codec's counters.
pub fn stats() -> CodecStats {
    CodecStats {
        mistakes: MISTAKES.load(Ordering::Relaxed),
    }
}

/// How a vector is encoded. Several integer encodings share a tag: the payload says which it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Encoding {
    /// No cell has a value.
    Null,
    /// Booleans, one bit each.
    Bits,
    /// Booleans in runs.
    BitRuns,
    /// Integers, all the same.
    Constant,
    /// Integers in runs.
    RunLength,
    /// Integers as packed distances from the least of them.
    FrameOfReference,
    /// Integers as packed differences.
    Delta,
    /// Floats as integers over a power of ten.
    Decimal,
    /// Floats as ALP integers.
    Alp,
    /// Floats, all of the same bits.
    FloatConstant,
    /// Floats as the integers their bits are.
    FloatBits,
    /// Text or bytes as codes of the file's dictionary.
    Dictionary,
    /// Text or bytes as lengths and bytes.
    Text,
    /// Decimals of 128 bits.
    Wide,
    /// Row stamps as numbers of the file's map.
    Stamps,
    /// Text or bytes as codes of the file's symbol table.
    Symbols,
    /// Floats as codes of their front bits and the rest.
    Split,
    /// Doubles that are 32-bit floats, those as integers over a power of ten.
    Widened,
    /// Floats or integers as codes of the file's dictionary of numbers.
    Numbers,
}

impl Encoding {
    /// The tag in a vector's first byte.
    pub(crate) fn tag(self) -> u8 {
        match self {
            Encoding::Null => 0,
            Encoding::Bits | Encoding::BitRuns => 1,
            Encoding::Constant
            | Encoding::RunLength
            | Encoding::FrameOfReference
            | Encoding::Delta => 2,
            Encoding::Decimal => 3,
            Encoding::Alp => 4,
            Encoding::FloatConstant | Encoding::FloatBits => 5,
            Encoding::Dictionary => 6,
            Encoding::Text => 7,
            Encoding::Wide => 8,
            Encoding::Stamps => 9,
            Encoding::Symbols => 10,
            Encoding::Split => 11,
            Encoding::Widened => 12,
            Encoding::Numbers => 13,
        }
    }

    /// The most general encoding with this tag.
    pub(crate) fn from_tag(tag: u8) -> Result<Self> {
        Ok(match tag {
            0 => Encoding::Null,
            1 => Encoding::Bits,
            2 => Encoding::FrameOfReference,
            3 => Encoding::Decimal,
            4 => Encoding::Alp,
            5 => Encoding::FloatBits,
            6 => Encoding::Dictionary,
            7 => Encoding::Text,
            8 => Encoding::Wide,
            9 => Encoding::Stamps,
            10 => Encoding::Symbols,
            11 => Encoding::Split,
            12 => Encoding::Widened,
            13 => Encoding::Numbers,
            _ => return Err(Error::corrupt(format!("vector encoding {tag} is unknown"))),
        })
    }

    /// The name users see.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Encoding::Null => "null",
            Encoding::Bits => "bits",
            Encoding::Constant | Encoding::FloatConstant => "constant",
            Encoding::BitRuns | Encoding::RunLength => "run_length",
            Encoding::FrameOfReference => "frame_of_reference",
            Encoding::Delta => "delta",
            Encoding::Decimal => "decimal",
            Encoding::Alp => "alp",
            Encoding::FloatBits => "float_bits",
            Encoding::Dictionary => "dictionary",
            Encoding::Text => "text",
            Encoding::Wide => "wide",
            Encoding::Stamps => "stamps",
            Encoding::Symbols => "fsst",
            Encoding::Split => "alp_rd",
            Encoding::Widened => "widened_decimal",
            Encoding::Numbers => "number_dictionary",
        }
    }
}

/// The Arrow types that are encoded, by their shape.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Family {
    Boolean,
    Int,
    BigInt,
    Real,
    Double,
    Decimal,
    Text,
    Bytes,
    Timestamp,
    Date,
    /// `UInt32`: origins.
    Id,
    /// `UInt64`: stamps and expiries.
    Stamp,
}

impl Family {
    /// The family of an Arrow type.
    pub(crate) fn of(data_type: &ArrowType) -> Result<Self> {
        Ok(match data_type {
            ArrowType::Boolean => Family::Boolean,
            ArrowType::Int32 => Family::Int,
            ArrowType::Int64 => Family::BigInt,
            ArrowType::Float32 => Family::Real,
            ArrowType::Float64 => Family::Double,
            ArrowType::Decimal128(_, _) => Family::Decimal,
            ArrowType::Utf8 => Family::Text,
            ArrowType::Binary => Family::Bytes,
            ArrowType::Timestamp(TimeUnit::Nanosecond, _) => Family::Timestamp,
            ArrowType::Date32 => Family::Date,
            ArrowType::UInt32 => Family::Id,
            ArrowType::UInt64 => Family::Stamp,
            other => return Err(Error::invalid(format!("{other} is the type of no column"))),
        })
    }

    /// The byte that stands for it in an encoded array.
    pub(crate) fn tag(self) -> u8 {
        match self {
            Family::Boolean => 1,
            Family::Int => 2,
            Family::BigInt => 3,
            Family::Real => 4,
            Family::Double => 5,
            Family::Decimal => 6,
            Family::Text => 7,
            Family::Bytes => 8,
            Family::Timestamp => 9,
            Family::Date => 10,
            Family::Id => 11,
            Family::Stamp => 12,
        }
    }

    /// Whether values may go by a dictionary of numbers.
    pub(crate) fn has_numbers(self) -> bool {
        matches!(self, Family::BigInt | Family::Double)
    }

    /// Whether values have lengths of their own.
    pub(crate) fn is_string(self) -> bool {
        matches!(self, Family::Text | Family::Bytes)
    }
}
