//! The column types of SQL and the Arrow type that carries each.

use std::fmt;
use std::str::FromStr;

use arrow::datatypes::{DataType as ArrowType, TimeUnit};
use serde::{Deserialize, Serialize};

use crate::error::Error;

/// A column's type. Timestamps are nanoseconds since 1970 in UTC; UUID and JSON are kept as text
/// in canonical form and carry their name as Arrow field metadata.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum DataType {
    /// `BOOLEAN`.
    Boolean,
    /// `INT`, 32 bits.
    Int,
    /// `BIGINT`, 64 bits.
    BigInt,
    /// `REAL`, 32-bit float.
    Real,
    /// `DOUBLE`, 64-bit float.
    Double,
    /// `DECIMAL(precision, scale)`, precision 1..=38, scale 0..=precision.
    Decimal {
        /// Digits in all.
        precision: u8,
        /// Digits after the point.
        scale: u8,
    },
    /// `TEXT`, UTF-8.
    Text,
    /// `BYTES`.
    Bytes,
    /// `TIMESTAMP`, nanoseconds, UTC.
    Timestamp,
    /// `DATE`, days since 1970.
    Date,
    /// `UUID`, 36 characters, lower case.
    Uuid,
    /// `JSON` text.
    Json,
}

impl DataType {
    /// The Arrow type of this column's arrays, everywhere in the program.
    pub fn arrow(self) -> ArrowType {
        match self {
            DataType::Boolean => ArrowType::Boolean,
            DataType::Int => ArrowType::Int32,
            DataType::BigInt => ArrowType::Int64,
            DataType::Real => ArrowType::Float32,
            DataType::Double => ArrowType::Float64,
            DataType::Decimal { precision, scale } => {
                ArrowType::Decimal128(precision, scale.cast_signed())
            }
            DataType::Text | DataType::Uuid | DataType::Json => ArrowType::Utf8,
            DataType::Bytes => ArrowType::Binary,
            DataType::Timestamp => ArrowType::Timestamp(TimeUnit::Nanosecond, None),
            DataType::Date => ArrowType::Date32,
        }
    }

    /// The type a flexible table gives to a new column whose first values have this Arrow type;
    /// `None` where no column type carries it without loss.
    pub fn from_arrow(arrow: &ArrowType) -> Option<Self> {
        Some(match arrow {
            ArrowType::Boolean => DataType::Boolean,
            ArrowType::Int8
            | ArrowType::Int16
            | ArrowType::Int32
            | ArrowType::UInt8
            | ArrowType::UInt16 => DataType::Int,
            ArrowType::Int64 | ArrowType::UInt32 => DataType::BigInt,
            ArrowType::Float16 | ArrowType::Float32 => DataType::Real,
            ArrowType::Float64 => DataType::Double,
            ArrowType::Decimal128(precision, scale) if *scale >= 0 => DataType::Decimal {
                precision: *precision,
                scale: scale.cast_unsigned(),
            },
            ArrowType::Utf8 | ArrowType::LargeUtf8 | ArrowType::Utf8View => DataType::Text,
            ArrowType::Binary
            | ArrowType::LargeBinary
            | ArrowType::BinaryView
            | ArrowType::FixedSizeBinary(_) => DataType::Bytes,
            ArrowType::Timestamp(_, _) => DataType::Timestamp,
            ArrowType::Date32 => DataType::Date,
            ArrowType::Dictionary(_, values) => return DataType::from_arrow(values),
            _ => return None,
        })
    }
}

impl fmt::Display for DataType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            DataType::Boolean => "BOOLEAN",
            DataType::Int => "INT",
            DataType::BigInt => "BIGINT",
            DataType::Real => "REAL",
            DataType::Double => "DOUBLE",
            DataType::Decimal { precision, scale } => {
                return write!(f, "DECIMAL({precision},{scale})");
            }
            DataType::Text => "TEXT",
            DataType::Bytes => "BYTES",
            DataType::Timestamp => "TIMESTAMP",
            DataType::Date => "DATE",
            DataType::Uuid => "UUID",
            DataType::Json => "JSON",
        })
    }
}

impl FromStr for DataType {
    type Err = Error;

    /// Reads a SQL type name, PostgreSQL's aliases included, in any case.
    fn from_str(text: &str) -> Result<Self, Error> {
        let name = text.trim().to_ascii_uppercase();
        if let Some(arguments) = name
            .strip_prefix("DECIMAL")
            .or_else(|| name.strip_prefix("NUMERIC"))
        {
            return decimal(arguments.trim()).ok_or_else(|| {
                Error::invalid(format!(
                    "'{text}' is not a decimal type: DECIMAL(precision 1..38, scale 0..precision) expected"
                ))
            });
        }
        Ok(match name.as_str() {
            "BOOLEAN" | "BOOL" => DataType::Boolean,
            "INT" | "INTEGER" | "INT4" | "SMALLINT" => DataType::Int,
            "BIGINT" | "INT8" => DataType::BigInt,
            "REAL" | "FLOAT4" => DataType::Real,
            "DOUBLE" | "DOUBLE PRECISION" | "FLOAT8" | "FLOAT" => DataType::Double,
            "TEXT" | "VARCHAR" | "STRING" | "CHAR" => DataType::Text,
            "BYTES" | "BYTEA" | "BLOB" => DataType::Bytes,
            "TIMESTAMP"
            | "TIMESTAMPTZ"
            | "TIMESTAMP WITHOUT TIME ZONE"
            | "TIMESTAMP WITH TIME ZONE" => DataType::Timestamp,
            "DATE" => DataType::Date,
            "UUID" => DataType::Uuid,
            "JSON" | "JSONB" => DataType::Json,
            _ => {
                return Err(Error::invalid(format!("'{text}' is not a column type")).with_hint(
                    "use BOOLEAN, INT, BIGINT, REAL, DOUBLE, DECIMAL(p,s), TEXT, BYTES, TIMESTAMP, DATE, UUID or JSON",
                ));
            }
        })
    }
}

fn decimal(arguments: &str) -> Option<DataType> {
    if arguments.is_empty() {
        return Some(DataType::Decimal {
            precision: 38,
            scale: 10,
        });
    }
    let inner = arguments.strip_prefix('(')?.strip_suffix(')')?;
    let (precision, scale) = inner.split_once(',').unwrap_or((inner, "0"));
    let (precision, scale) = (precision.trim().parse().ok()?, scale.trim().parse().ok()?);
    ((1..=38).contains(&precision) && scale <= precision)
        .then_some(DataType::Decimal { precision, scale })
}
