//! The values that a merge function is tried with: the same on every node.

use std::sync::Arc;

use arrow::array::{
    ArrayRef, BinaryArray, BooleanArray, Date32Array, Float32Array, Float64Array, Int32Array,
    Int64Array, StringArray, TimestampNanosecondArray,
};

use crate::abi::ScalarType;

/// Values that are drawn beside those that are always tried.
const DRAWN: usize = 10;
const SEED: u64 = 0x6163_7469_7665_7374;

/// A fixed sequence of numbers that look random (splitmix64).
struct Draw(u64);

impl Draw {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    fn below(&mut self, end: u64) -> u64 {
        self.next() % end
    }

    /// Letters with repetitions, in no order.
    fn letters(&mut self) -> Vec<char> {
        let count = self.below(5);
        let letter = |byte: u64| char::from(b'a' + (byte % 6) as u8);
        (0..count).map(|_| letter(self.next())).collect()
    }

    /// A text as sets and counters may be written.
    fn text(&mut self) -> String {
        let letters = self.letters();
        let joined = |between: &str| {
            let letters: Vec<String> = letters.iter().map(char::to_string).collect();
            letters.join(between)
        };
        match self.below(4) {
            0 => joined(","),
            1 if letters.is_empty() => "[]".to_owned(),
            1 => format!("[\"{}\"]", joined("\",\"")),
            2 => {
                let mut entries: Vec<(char, u64)> = letters
                    .iter()
                    .map(|letter| (*letter, self.below(100)))
                    .collect();
                entries.sort_by_key(|(letter, _)| *letter);
                entries.dedup_by_key(|(letter, _)| *letter);
                let entries = entries
                    .iter()
                    .map(|(key, value)| format!("\"{key}\":{value}"));
                format!("{{{}}}", entries.collect::<Vec<_>>().join(","))
            }
            _ => joined(""),
        }
    }
}

/// Texts that are always tried.
const TEXTS: [&str; 22] = [
    "",
    "a",
    "b",
    "B",
    "ab",
    "b,a",
    "a, b,,a",
    "9",
    "10",
    "-1",
    "ä",
    "日本語",
    "[]",
    "[\"b\",\"a\",\"b\"]",
    "[2, 10, 1.0, 1, null, true]",
    "[{\"a\":1},[2]]",
    "{}",
    "{\"a\":1}",
    "{\"b\":7,\"a\":0.5}",
    "{\"a\":-3,\"c\":1e3}",
    "null",
    "{\"a\":\"x\"}",
];

/// Values of a kind: the ends of its range, what is special, and some that are drawn.
pub(super) fn candidates(kind: ScalarType) -> ArrayRef {
    let mut draw = Draw(SEED);
    let mut whole = vec![0, 1, -1, 2, 3, 100, i64::MIN, i64::MAX];
    whole.extend((0..DRAWN).map(|_| draw.next().cast_signed() >> (draw.next() % 63)));
    let mut half = vec![0, 1, -1, 2, 3, 100, i32::MIN, i32::MAX];
    half.extend((0..DRAWN).map(|_| (draw.next() as u32).cast_signed() >> (draw.next() % 31)));
    let mut floats = vec![
        0.0,
        1.0,
        -1.0,
        0.5,
        100.0,
        f64::MIN,
        f64::MAX,
        f64::MIN_POSITIVE,
        5e-324,
        f64::INFINITY,
        f64::NEG_INFINITY,
        f64::NAN,
    ];
    floats.extend((0..DRAWN).map(|_| (draw.next().cast_signed() >> 20) as f64 / 1024.0));
    match kind {
        ScalarType::Boolean => Arc::new(BooleanArray::from(vec![false, true])),
        ScalarType::Int32 => Arc::new(Int32Array::from(half)),
        ScalarType::Date => Arc::new(Date32Array::from(half)),
        ScalarType::Int64 => Arc::new(Int64Array::from(whole)),
        ScalarType::Timestamp => Arc::new(TimestampNanosecondArray::from(whole)),
        ScalarType::Float32 => Arc::new(Float32Array::from_iter_values(
            floats.into_iter().map(|value| value as f32),
        )),
        ScalarType::Float64 => Arc::new(Float64Array::from(floats)),
        ScalarType::Text => {
            let drawn = (0..2 * DRAWN).map(|_| draw.text());
            let texts = TEXTS.iter().map(|text| (*text).to_owned());
            Arc::new(StringArray::from_iter_values(texts.chain(drawn)))
        }
        ScalarType::Bytes => {
            let mut values: Vec<Vec<u8>> =
                vec![vec![], vec![0], vec![255], vec![0, 1], vec![1; 300]];
            values.extend((0..DRAWN).map(|_| {
                let bytes = draw.next().to_le_bytes();
                let length = draw.below(9) as usize;
                bytes.into_iter().take(length).collect()
            }));
            Arc::new(BinaryArray::from_iter_values(values))
        }
    }
}
