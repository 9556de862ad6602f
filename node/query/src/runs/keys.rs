//! The values that rows are grouped by: where they change, and how one is written down to be looked up.

use arrow::array::{Array, ArrayRef, AsArray, StringArray};
use arrow::buffer::NullBuffer;
use arrow::datatypes::{
    DataType as ArrowType, Date32Type, Int32Type, Int64Type, TimeUnit, TimestampNanosecondType,
};
use datafusion::common::{Result, internal_err};

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
    Int(&'a [i32], Option<&'a NullBuffer>),
    Text(&'a StringArray),
    Codes(&'a [i32], Option<&'a NullBuffer>, &'a StringArray),
}

impl<'a> Keys<'a> {
    pub(super) fn of(array: &'a ArrayRef) -> Result<Self> {
        let nulls = array.nulls();
        Ok(match array.data_type() {
            ArrowType::Int64 => Keys::Long(array.as_primitive::<Int64Type>().values(), nulls),
            ArrowType::Timestamp(TimeUnit::Nanosecond, _) => {
                let moments = array.as_primitive::<TimestampNanosecondType>();
                Keys::Long(moments.values(), nulls)
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

    /// Marks the rows whose value is not that of the row before. Equal values may be marked, too.
    pub(super) fn mark(&self, marks: &mut [bool]) {
        let nulls = match self {
            Keys::Long(values, nulls) => {
                mark_changes(values, marks);
                *nulls
            }
            Keys::Int(values, nulls) | Keys::Codes(values, nulls, _) => {
                mark_changes(values, marks);
                *nulls
            }
            Keys::Text(text) => {
                let (offsets, data) = (text.value_offsets(), text.value_data());
                let mut before: &[u8] = &[];
                for (mark, pair) in marks.iter_mut().zip(offsets.windows(2)) {
                    let [from, to] = pair else { continue };
                    let range =
                        usize::try_from(*from).unwrap_or(0)..usize::try_from(*to).unwrap_or(0);
                    let value = data.get(range).unwrap_or(&[]);
                    *mark |= value != before;
                    before = value;
                }
                text.nulls()
            }
        };
        if let Some(nulls) = nulls.filter(|nulls| nulls.null_count() > 0) {
            let mut before = false;
            for (mark, valid) in marks.iter_mut().zip(nulls) {
                *mark |= valid != before;
                before = valid;
            }
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

fn mark_changes<T: PartialEq>(values: &[T], marks: &mut [bool]) {
    let pairs = values.iter().zip(values.iter().skip(1));
    for (mark, (before, value)) in marks.iter_mut().skip(1).zip(pairs) {
        *mark |= before != value;
    }
}
