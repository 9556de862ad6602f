//! Joins two values of one cell into the greater or the lesser one. Text is compared byte by byte, false is
//! less than true. NaN says nothing: it stands only where no number does.

use activestore_plugin::scalar::{Date, Timestamp};

macro_rules! floats {
    ($wins:tt, $left:ident, $right:ident) => {
        if $left.is_nan() || $right $wins $left { $right } else { $left }
    };
}

activestore_plugin::merge! {
    /// The greater number.
    fn greatest(left: i64, right: i64) -> i64 { left.max(right) }
    fn greatest_int as greatest(left: i32, right: i32) -> i32 { left.max(right) }
    fn greatest_double as greatest(left: f64, right: f64) -> f64 { floats!(>, left, right) }
    fn greatest_real as greatest(left: f32, right: f32) -> f32 { floats!(>, left, right) }
    fn greatest_text as greatest(left: &str, right: &str) -> String { left.max(right).to_owned() }
    fn greatest_bytes as greatest(left: &[u8], right: &[u8]) -> Vec<u8> { left.max(right).to_owned() }
    fn greatest_timestamp as greatest(left: Timestamp, right: Timestamp) -> Timestamp { left.max(right) }
    fn greatest_date as greatest(left: Date, right: Date) -> Date { left.max(right) }
    fn greatest_boolean as greatest(left: bool, right: bool) -> bool { left || right }

    /// The lesser number.
    fn least(left: i64, right: i64) -> i64 { left.min(right) }
    fn least_int as least(left: i32, right: i32) -> i32 { left.min(right) }
    fn least_double as least(left: f64, right: f64) -> f64 { floats!(<, left, right) }
    fn least_real as least(left: f32, right: f32) -> f32 { floats!(<, left, right) }
    fn least_text as least(left: &str, right: &str) -> String { left.min(right).to_owned() }
    fn least_bytes as least(left: &[u8], right: &[u8]) -> Vec<u8> { left.min(right).to_owned() }
    fn least_timestamp as least(left: Timestamp, right: Timestamp) -> Timestamp { left.min(right) }
    fn least_date as least(left: Date, right: Date) -> Date { left.min(right) }
    fn least_boolean as least(left: bool, right: bool) -> bool { left && right }
}

#[cfg(test)]
mod tests;
