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
    /// Minutes since 1970.
    #[serde(rename = "m")]
    Minutes,
    /// Hours since 1970.
    #[serde(rename = "h")]
    Hours,
}

impl Precision {
    /// Nanoseconds in one unit.
    pub fn nanoseconds(self) -> i64 {
        match self {
            Precision::Nanoseconds => 1,
            Precision::Microseconds => 1_000,
            Precision::Milliseconds => 1_000_000,
            Precision::Seconds => 1_000_000_000,
            Precision::Minutes => 60_000_000_000,
            Precision::Hours => 3_600_000_000_000,
        }
    }

    /// `value` units since 1970 as nanoseconds; `None` where 64 bits do not hold them.
    pub fn to_ns(self, value: i64) -> Option<i64> {
        value.checked_mul(self.nanoseconds())
    }

    /// The unit that InfluxDB 3 takes a number for, where a writer leaves it to the number: below 5·10^9 seconds, below
    /// 5·10^12 milliseconds, below 5·10^15 microseconds, else nanoseconds.
    pub fn guess_as_influx(value: i64) -> Self {
        match value.unsigned_abs() {
            0..5_000_000_000 => Precision::Seconds,
            5_000_000_000..5_000_000_000_000 => Precision::Milliseconds,
            5_000_000_000_000..5_000_000_000_000_000 => Precision::Microseconds,
            _ => Precision::Nanoseconds,
        }
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

    /// `ns`, `us` (also `u`, `µs`), `ms`, `s`, `m` or `h`; InfluxDB 1's `n` too.
    fn from_str(text: &str) -> Result<Self, Error> {
        match text {
            "ns" | "n" => Ok(Precision::Nanoseconds),
            "us" | "u" | "µs" => Ok(Precision::Microseconds),
            "ms" => Ok(Precision::Milliseconds),
            "s" => Ok(Precision::Seconds),
            "m" => Ok(Precision::Minutes),
            "h" => Ok(Precision::Hours),
            _ => Err(Error::invalid(format!(
                "precision '{text}' is unknown: ns, us, ms, s, m or h expected"
            ))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_unit_is_called_the_same_wherever_it_is_named() {
        for (name, ns) in [
            ("ns", 1),
            ("us", 1_000),
            ("ms", 1_000_000),
            ("s", 1_000_000_000),
            ("m", 60_000_000_000),
            ("h", 3_600_000_000_000),
        ] {
            let unit: Precision = name.parse().unwrap();
            assert_eq!(unit.nanoseconds(), ns, "{name}");
            let text = format!("\"{name}\"");
            assert_eq!(serde_json::from_str::<Precision>(&text).unwrap(), unit);
        }
        assert!("d".parse::<Precision>().is_err());
        assert_eq!(Precision::Hours.to_ns(i64::MAX / 1_000), None);
    }

    #[test]
    fn influx_tells_units_by_size() {
        for (value, unit) in [
            (4_999_999_999, Precision::Seconds),
            (-5_000_000_000, Precision::Milliseconds),
            (4_999_999_999_999, Precision::Milliseconds),
            (5_000_000_000_000, Precision::Microseconds),
            (4_999_999_999_999_999, Precision::Microseconds),
            (5_000_000_000_000_000, Precision::Nanoseconds),
            (i64::MIN, Precision::Nanoseconds),
        ] {
            assert_eq!(Precision::guess_as_influx(value), unit, "{value}");
        }
    }
}
