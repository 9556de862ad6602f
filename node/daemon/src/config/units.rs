//! Sizes such as `64MiB` and times such as `90d`, as the file and the command line write them.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use activestore_types::Error;
use serde::Deserialize;
use serde::de::{self, Deserializer, Visitor};

/// A number of bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ByteSize(pub u64);

/// A length of time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span(pub Duration);

impl FromStr for ByteSize {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        let wrong = || {
            Error::invalid(format!("'{text}' is not a size"))
                .with_hint("write 64MiB, 8GiB or 500MB")
        };
        let (count, unit) = split(text).ok_or_else(wrong)?;
        let factor: u64 = match unit.to_ascii_lowercase().as_str() {
            "" | "b" => 1,
            "kib" | "k" => 1 << 10,
            "mib" | "m" => 1 << 20,
            "gib" | "g" => 1 << 30,
            "tib" | "t" => 1 << 40,
            "kb" => 1_000,
            "mb" => 1_000_000,
            "gb" => 1_000_000_000,
            "tb" => 1_000_000_000_000,
            _ => return Err(wrong()),
        };
        scaled(count, factor).map(ByteSize).ok_or_else(wrong)
    }
}

impl FromStr for Span {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        let wrong = || {
            Error::invalid(format!("'{text}' is not a length of time"))
                .with_hint("write 250ms, 10s, 5m, 12h or 90d")
        };
        let (count, unit) = split(text).ok_or_else(wrong)?;
        let factor_ms: u64 = match unit {
            "ms" => 1,
            "s" => 1_000,
            "m" | "min" => 60_000,
            "h" => 3_600_000,
            "d" => 86_400_000,
            "w" => 7 * 86_400_000,
            _ => return Err(wrong()),
        };
        scaled(count, factor_ms)
            .map(|ms| Span(Duration::from_millis(ms)))
            .ok_or_else(wrong)
    }
}

/// The number and the unit after it.
fn split(text: &str) -> Option<(&str, &str)> {
    let text = text.trim();
    let at = text
        .find(|letter: char| !letter.is_ascii_digit() && letter != '.')
        .unwrap_or(text.len());
    let (count, unit) = text.split_at_checked(at)?;
    (!count.is_empty()).then_some((count, unit.trim()))
}

/// `count * factor`; whole numbers stay exact.
fn scaled(count: &str, factor: u64) -> Option<u64> {
    if let Ok(whole) = count.parse::<u64>() {
        return whole.checked_mul(factor);
    }
    let part: f64 = count.parse().ok()?;
    let product = part * factor as f64;
    (product.is_finite() && (0.0..9e15).contains(&product)).then_some(product as u64)
}

struct Text<T>(std::marker::PhantomData<T>, &'static str);

impl<T: FromStr<Err = Error>> Visitor<'_> for Text<T> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.1)
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<T, E> {
        text.parse().map_err(|error: Error| E::custom(error))
    }
}

impl<'de> Deserialize<'de> for ByteSize {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_str(Text(std::marker::PhantomData, "a size such as \"64MiB\""))
    }
}

impl<'de> Deserialize<'de> for Span {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_str(Text(std::marker::PhantomData, "a time such as \"90d\""))
    }
}
