//! The unit of a timestamp given as a number.

use std::str::FromStr;

use activestore_types::Error;
use serde::{Deserialize, Serialize};

/// Unit of an epoch timestamp.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default, Serialize, Deserialize)]
pub enum Precision {
    /// Nanoseconds since 1970.
    #[default]
    #[serde(rename = "ns")]
    Nanoseconds,
    /// Microseconds since 1970.
    #[serde(rename = "us")]
    Microseconds,
    /// Milliseconds since 1970.
    #[serde(rename = "ms")]
    Milliseconds,
    /// Seconds since 1970.
    #[serde(rename = "s")]
    Seconds,
}

impl Precision {
    /// Nanoseconds in one unit.
    pub fn nanoseconds(self) -> i64 {
        match self {
            Precision::Nanoseconds => 1,
            Precision::Microseconds => 1_000,
            Precision::Milliseconds => 1_000_000,
            Precision::Seconds => 1_000_000_000,
        }
    }

    /// `value` units since 1970 as nanoseconds; `None` where 64 bits do not hold them.
    pub fn to_ns(self, value: i64) -> Option<i64> {
        value.checked_mul(self.nanoseconds())
    }

    /// The unit that a bare number most likely has, by its size: below 10^11 seconds, below 10^14
    /// milliseconds, below 10^17 microseconds, else nanoseconds.
    pub fn guess(value: i64) -> Self {
        match value.unsigned_abs() {
            0..100_000_000_000 => Precision::Seconds,
            100_000_000_000..100_000_000_000_000 => Precision::Milliseconds,
            100_000_000_000_000..100_000_000_000_000_000 => Precision::Microseconds,
            _ => Precision::Nanoseconds,
        }
    }
}

impl FromStr for Precision {
    type Err = Error;

    /// `ns`, `us` (also `u`, `µs`), `ms` or `s`; InfluxDB 1's `n` too.
    fn from_str(text: &str) -> Result<Self, Error> {
        match text {
            "ns" | "n" => Ok(Precision::Nanoseconds),
            "us" | "u" | "µs" => Ok(Precision::Microseconds),
            "ms" => Ok(Precision::Milliseconds),
            "s" => Ok(Precision::Seconds),
            _ => Err(Error::invalid(format!(
                "precision '{text}' is unknown: ns, us, ms or s expected"
            ))),
        }
    }
}
