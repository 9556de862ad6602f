//! The laws of a join, tried out on values of the host's choice: the same in either order, in any grouping,
//! and once as good as twice. Which values are tried is fixed, so that every node comes to the same verdict.
//! What a function refuses of them is left out.

use std::sync::Arc;

use activestore_types::{Error, Result};
use arrow::array::{
    Array, ArrayRef, BinaryArray, BooleanArray, Date32Array, Float32Array, Float64Array,
    Int32Array, Int64Array, StringArray, TimestampNanosecondArray, UInt32Array,
};
use arrow::compute::{concat, take};
use arrow::util::display::array_value_to_string;

use super::{MergeFunction, settled};
use crate::abi::ScalarType;
use crate::instance::Failure;

/// Values that are drawn beside those that are always tried.
const DRAWN: usize = 10;
/// Values that are tried, each with each and in threes.
const VALUES_MAX: usize = 28;
/// Results that are tried as values again.
const RESULTS_MAX: usize = 6;
/// Characters of a value that a message shows.
const SHOWN_MAX: usize = 60;
const SEED: u64 = 0x6163_7469_7665_7374;

/// For each value what it is joined to with each: `None` where the function refuses them.
type Table = Vec<Vec<Option<ArrayRef>>>;

/// Values by number, and what two of them are joined to.
struct Tried {
    values: ArrayRef,
    joined: Table,
}

impl MergeFunction {
    /// Tries whether the function is commutative, associative and idempotent.
    ///
    /// # Errors
    /// `Invalid` with the values that break a law, or when the function refuses all that it is tried with;
    /// as [`MergeFunction::merge`] for faults.
    pub fn check_laws(&self) -> Result<()> {
        let tried = self.tried()?;
        let count = tried.values.len();
        for left in 0..count {
            for right in 0..count {
                tried.commutes(self, left, right)?;
            }
        }
        self.groups(&tried)
    }

    /// The values that the function takes, in their normal form, joined by two.
    fn tried(&self) -> Result<Tried> {
        let raw = settled(&candidates(self.kind))?;
        let mut values: Vec<ArrayRef> = Vec::new();
        let mut forms: Vec<(ArrayRef, ArrayRef)> = Vec::new();
        for number in 0..raw.len() {
            let value = raw.slice(number, 1);
            if let Some(normal) = self.one(&value, &value)? {
                self.is_normal(&value, &normal)?;
                if values.len() < VALUES_MAX && !values.contains(&normal) {
                    values.push(normal.clone());
                }
                forms.push((value, normal));
            }
        }
        if values.is_empty() {
            return Err(Error::invalid(format!(
                "merge function '{}' refuses every value that it was tried with, so nobody can say whether it is a join",
                self.name()
            ))
            .with_hint("let it take the empty text, [] or {}, which stand for nothing yet"));
        }
        self.ignores_form(&forms)?;
        // What it makes of values is a value again.
        let mut results: Vec<ArrayRef> = Vec::new();
        for result in self.table(&values)?.into_iter().flatten().flatten() {
            if results.len() < RESULTS_MAX
                && !values.contains(&result)
                && !results.contains(&result)
            {
                results.push(result);
            }
        }
        values.extend(results);
        let joined = self.table(&values)?;
        let parts: Vec<&dyn Array> = values.iter().map(AsRef::as_ref).collect();
        Ok(Tried {
            values: concat(&parts)?,
            joined,
        })
    }

    /// Each value joined with each, in one go where the function refuses none of them.
    fn table(&self, values: &[ArrayRef]) -> Result<Table> {
        let pairs = || {
            values
                .iter()
                .flat_map(|left| values.iter().map(move |right| (left, right)))
        };
        let left: Vec<&dyn Array> = pairs().map(|(left, _)| left.as_ref()).collect();
        let right: Vec<&dyn Array> = pairs().map(|(_, right)| right.as_ref()).collect();
        let all = self.whole(&concat(&left)?, &concat(&right)?);
        let rows = values.iter().enumerate().map(|(row, left)| {
            let cells = values.iter().enumerate().map(|(column, right)| match &all {
                Ok(all) => Ok(Some(all.slice(row * values.len() + column, 1))),
                Err(_) => self.one(left, right),
            });
            cells.collect()
        });
        rows.collect()
    }

    /// Joins two values; `None` where the function refuses them.
    fn one(&self, left: &ArrayRef, right: &ArrayRef) -> Result<Option<ArrayRef>> {
        let plugin = &self.callable.plugin;
        plugin.guarded(1, || match self.call(left, right) {
            Ok(array) => Ok(Some(array)),
            Err(Failure::Refused(_)) => Ok(None),
            Err(fault) => Err(fault),
        })
    }

    /// A normal form is the normal form of itself: idempotence.
    fn is_normal(&self, value: &ArrayRef, normal: &ArrayRef) -> Result<()> {
        match self.one(normal, normal)? {
            Some(again) if again.as_ref() == normal.as_ref() => Ok(()),
            again => Err(self.broken(
                "idempotent",
                format!("merge(x, x) of {} is {}", shown(value, 0), shown(normal, 0)),
                format!("that of this one {}", outcome(again.as_ref())),
            )),
        }
    }

    /// Two values give the same as their normal forms.
    fn ignores_form(&self, forms: &[(ArrayRef, ArrayRef)]) -> Result<()> {
        for pair in forms.windows(2) {
            let [(left, left_normal), (right, right_normal)] = pair else {
                continue;
            };
            let as_given = self.one(left, right)?;
            let as_kept = self.one(left_normal, right_normal)?;
            if as_given != as_kept {
                return Err(self.broken(
                    "idempotent",
                    format!(
                        "merge({}, {}) {}",
                        shown(left, 0),
                        shown(right, 0),
                        outcome(as_given.as_ref())
                    ),
                    format!(
                        "of the same two as they are kept, merge({}, {}) {}",
                        shown(left_normal, 0),
                        shown(right_normal, 0),
                        outcome(as_kept.as_ref())
                    ),
                ));
            }
        }
        Ok(())
    }

    /// Associativity, of all threes that the function takes, in one go where it can be.
    fn groups(&self, tried: &Tried) -> Result<()> {
        let count = tried.values.len();
        let mut threes = Vec::new();
        let mut left_parts = Vec::new();
        let mut right_parts = Vec::new();
        for a in 0..count {
            for b in 0..count {
                for c in 0..count {
                    if let (Some(left), Some(right)) = (tried.pair(a, b), tried.pair(b, c)) {
                        threes.push((a, b, c));
                        left_parts.push(left.as_ref());
                        right_parts.push(right.as_ref());
                    }
                }
            }
        }
        if threes.is_empty() {
            return Ok(());
        }
        let numbers = |pick: fn(&(usize, usize, usize)) -> usize| -> Result<ArrayRef> {
            let places: UInt32Array = threes
                .iter()
                .map(|three| Some(pick(three) as u32))
                .collect();
            Ok(take(&tried.values, &places, None)?)
        };
        let (first, last) = (numbers(|three| three.0)?, numbers(|three| three.2)?);
        let (left, right) = (concat(&left_parts)?, concat(&right_parts)?);
        let whole = (self.whole(&left, &last), self.whole(&first, &right));
        for (row, (a, b, c)) in threes.into_iter().enumerate() {
            let (left, right) = match &whole {
                (Ok(left), Ok(right)) => (Some(left.slice(row, 1)), Some(right.slice(row, 1))),
                // It refuses some of them: one by one, then.
                _ => (
                    self.one(&left.slice(row, 1), &last.slice(row, 1))?,
                    self.one(&first.slice(row, 1), &right.slice(row, 1))?,
                ),
            };
            if left != right {
                let value = |number| shown(&tried.values, number);
                return Err(self.broken(
                    "associative",
                    format!(
                        "merge(merge({}, {}), {}) {}",
                        value(a),
                        value(b),
                        value(c),
                        outcome(left.as_ref())
                    ),
                    format!(
                        "merge({}, merge({}, {})) {}",
                        value(a),
                        value(b),
                        value(c),
                        outcome(right.as_ref())
                    ),
                ));
            }
        }
        Ok(())
    }

    fn broken(&self, law: &str, one: String, other: String) -> Error {
        Error::invalid(format!(
            "merge function '{}' is not {law}: {one}, and {other}",
            self.name()
        ))
        .with_hint("nodes that hear the same writes in another order would keep other values")
    }
}

impl Tried {
    fn pair(&self, left: usize, right: usize) -> Option<&ArrayRef> {
        self.joined.get(left)?.get(right)?.as_ref()
    }

    fn commutes(&self, function: &MergeFunction, left: usize, right: usize) -> Result<()> {
        let (one, other) = (self.pair(left, right), self.pair(right, left));
        if one == other {
            return Ok(());
        }
        let value = |number| shown(&self.values, number);
        Err(function.broken(
            "commutative",
            format!("merge({}, {}) {}", value(left), value(right), outcome(one)),
            format!(
                "merge({}, {}) {}",
                value(right),
                value(left),
                outcome(other)
            ),
        ))
    }
}

fn outcome(result: Option<&ArrayRef>) -> String {
    match result {
        Some(array) => format!("is {}", shown(array, 0)),
        None => "is refused".to_owned(),
    }
}

fn shown(array: &ArrayRef, row: usize) -> String {
    let text = array_value_to_string(array, row).unwrap_or_default();
    let cut: String = text.chars().take(SHOWN_MAX).collect();
    let dots = if cut.len() < text.len() { "…" } else { "" };
    match array.data_type() {
        arrow::datatypes::DataType::Utf8 => format!("'{cut}{dots}'"),
        _ => format!("{cut}{dots}"),
    }
}

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
fn candidates(kind: ScalarType) -> ArrayRef {
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
