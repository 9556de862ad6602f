//! The values that rows are grouped by: where they change, and how one is written down to be looked up.

use arrow::array::{Array, AsArray, StringArray};
use arrow::buffer::NullBuffer;
use arrow::datatypes::{
    DataType as ArrowType, Date32Type, Int32Type, Int64Type, TimeUnit, TimestampNanosecondType,
};
use datafusion::common::{Result, internal_err};

use super::grouped::Grouped;
use crate::bucket::Buckets;

/// Rows that are looked at together: mostly all of them have one value.
const TOGETHER: usize = 32;

/// Text by codes, as scans give it on request.
pub(crate) fn codes() -> ArrowType {
    ArrowType::Dictionary(Box::new(ArrowType::Int32), Box::new(ArrowType::Utf8))
}

/// Whether values of this type are understood. Floats are not: what is equal among them is for others to say.
pub(super) fn is_known(kind: &ArrowType) -> bool {
    matches!(
        kind,
        ArrowType::Int32
            | ArrowType::Int64
            | ArrowType::Date32
            | ArrowType::Utf8
            | ArrowType::Timestamp(TimeUnit::Nanosecond, _)
    )
}

/// One column of a batch that is grouped by.
pub(super) enum Keys<'a> {
    Long(&'a [i64], Option<&'a NullBuffer>),
    /// Moments, by the buckets that they lie in.
    Bucket(&'a [i64], &'a Buckets),
    Int(&'a [i32], Option<&'a NullBuffer>),
    Text(&'a StringArray),
    Codes(&'a [i32], Option<&'a NullBuffer>, &'a StringArray),
}

impl<'a> Keys<'a> {
    pub(super) fn of(grouped: &'a Grouped) -> Result<Self> {
        let array = grouped.array();
        let nulls = array.nulls();
        Ok(match array.data_type() {
            ArrowType::Int64 => Keys::Long(array.as_primitive::<Int64Type>().values(), nulls),
            ArrowType::Timestamp(TimeUnit::Nanosecond, _) => {
                let moments = array.as_primitive::<TimestampNanosecondType>();
                match grouped.buckets() {
                    Some(buckets) => Keys::Bucket(moments.values(), buckets),
                    None => Keys::Long(moments.values(), nulls),
                }
            }
            ArrowType::Int32 => Keys::Int(array.as_primitive::<Int32Type>().values(), nulls),
            ArrowType::Date32 => Keys::Int(array.as_primitive::<Date32Type>().values(), nulls),
            ArrowType::Utf8 => Keys::Text(array.as_string::<i32>()),
            kind if *kind == codes() => {
                let coded = array.as_dictionary::<Int32Type>();
                let values = coded.values().as_string::<i32>();
                Keys::Codes(coded.keys().values(), nulls, values)
            }
            other => return internal_err!("rows are not grouped by {other} in runs"),
        })
    }

    /// Appends the rows whose value is not that of the row before, the first left out. Rows of equal values may be among
    /// them, and in any order.
    pub(super) fn changes(&self, changes: &mut Vec<usize>) {
        let nulls = match self {
            Keys::Long(values, nulls) => {
                push_changes(values, changes);
                *nulls
            }
            Keys::Bucket(moments, buckets) => {
                push_steps(moments, buckets, changes);
                None
            }
            Keys::Int(values, nulls) | Keys::Codes(values, nulls, _) => {
                push_changes(values, changes);
                *nulls
            }
            Keys::Text(text) => {
                let (offsets, data) = (text.value_offsets(), text.value_data());
                let mut before: &[u8] = &[];
                for (row, pair) in offsets.windows(2).enumerate() {
                    let [from, to] = pair else { continue };
                    let range =
                        usize::try_from(*from).unwrap_or(0)..usize::try_from(*to).unwrap_or(0);
                    let value = data.get(range).unwrap_or(&[]);
                    if row > 0 && value != before {
                        changes.push(row);
                    }
                    before = value;
                }
                text.nulls()
            }
        };
        if let Some(nulls) = nulls.filter(|nulls| nulls.null_count() > 0) {
            let pairs = nulls.iter().zip(nulls.iter().skip(1));
            let differ = |(row, (before, valid))| (before != valid).then_some(row);
            changes.extend((1..).zip(pairs).filter_map(differ));
        }
    }

    /// Writes a row's value down: equal values give equal bytes, others give others, also one behind the other.
    pub(super) fn push(&self, row: usize, out: &mut Vec<u8>) {
        let valid = |nulls: &Option<&NullBuffer>| nulls.is_none_or(|nulls| nulls.is_valid(row));
        let text = match self {
            Keys::Long(values, nulls) => {
                if let Some(value) = values.get(row).filter(|_| valid(nulls)) {
                    out.push(1);
                    out.extend_from_slice(&value.to_le_bytes());
                    return;
                }
                None
            }
            Keys::Bucket(moments, buckets) => {
                if let Some(moment) = moments.get(row) {
                    out.push(1);
                    out.extend_from_slice(&buckets.start_of(*moment).to_le_bytes());
                    return;
                }
                None
            }
            Keys::Int(values, nulls) => {
                if let Some(value) = values.get(row).filter(|_| valid(nulls)) {
                    out.push(1);
                    out.extend_from_slice(&value.to_le_bytes());
                    return;
                }
                None
            }
            Keys::Text(text) => text.is_valid(row).then(|| text.value(row)),
            Keys::Codes(codes, nulls, values) => {
                let code = codes.get(row).filter(|_| valid(nulls));
                let code = code.and_then(|code| usize::try_from(*code).ok());
                let code = code.filter(|code| *code < values.len() && values.is_valid(*code));
                code.map(|code| values.value(code))
            }
        };
        match text {
            Some(text) => {
                out.push(1);
                out.extend_from_slice(&text.len().to_le_bytes());
                out.extend_from_slice(text.as_bytes());
            }
            None => out.push(0),
        }
    }
}

/// Appends the rows whose value is not that of the row before.
fn push_changes<T: Copy + PartialEq>(values: &[T], changes: &mut Vec<usize>) {
    let behind = values.get(1..).unwrap_or(&[]);
    let pairs = values.chunks(TOGETHER).zip(behind.chunks(TOGETHER));
    for (chunk, (before, values)) in pairs.enumerate() {
        let pairs = before.iter().zip(values);
        // Without a way out in the midst, which takes several at once.
        if !pairs
            .clone()
            .fold(false, |any, (before, value)| any | (before != value))
        {
            continue;
        }
        let first = chunk * TOGETHER + 1;
        let differ = |(row, (before, value))| (before != value).then_some(row);
        changes.extend((first..).zip(pairs).filter_map(differ));
    }
}

/// Appends the moments that lie in another bucket than the one before.
fn push_steps(moments: &[i64], buckets: &Buckets, changes: &mut Vec<usize>) {
    // Of no bucket, so that the first moment is looked up.
    let (mut start, mut next) = (0_i64, 0_i64);
    for (chunk, together) in moments.chunks(TOGETHER).enumerate() {
        // A difference is below zero for a moment outside, and where one is too large for 64 bits the other is; signs are
        // gathered several at once where comparisons are not.
        let last = next.wrapping_sub(1);
        let outside = |moment: &i64| moment.wrapping_sub(start) | last.wrapping_sub(*moment);
        if together.iter().fold(0, |any, moment| any | outside(moment)) >= 0 {
            continue;
        }
        for (row, moment) in (chunk * TOGETHER..).zip(together) {
            if (start..next).contains(moment) {
                continue;
            }
            start = buckets.start_of(*moment);
            next = buckets.next(start);
            if row > 0 {
                changes.push(row);
            }
        }
    }
}
