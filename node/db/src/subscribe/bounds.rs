//! A range of encoded keys in the words of its table: from which values of the key's columns on, and up to which.

use std::sync::Arc;

use activestore_types::{DataType, KeyRange, TableSchema, encode_keys};
use arrow::array::{
    ArrayRef, BinaryArray, BooleanArray, Date32Array, Decimal128Array, Float32Array, Float64Array,
    Int32Array, Int64Array, StringArray, TimestampNanosecondArray,
};
use arrow::datatypes::{Field, Schema};
use arrow::record_batch::RecordBatch;

/// A range of keys of which all rows are gone.
#[derive(Clone, Debug)]
pub struct Bounds {
    /// The first key inside, as the values of the key's leading columns in one row; `None` where the range begins
    /// with the table, or where [`Bounds::exact`] is not.
    pub from: Option<RecordBatch>,
    /// The end, in the same way.
    pub to: Option<RecordBatch>,
    /// Whether keys that begin with the values of `to` are inside.
    pub through: bool,
    /// Whether the values say all. If not, only the encoded keys do.
    pub exact: bool,
    /// The range as the store has it.
    pub range: KeyRange,
}

impl Bounds {
    pub(crate) fn of(schema: &TableSchema, range: KeyRange) -> Bounds {
        let mut bounds = Bounds {
            from: None,
            to: None,
            through: false,
            exact: true,
            range,
        };
        if !bounds.range.start.is_empty() {
            match exact(schema, &bounds.range.start) {
                Some(row) => bounds.from = Some(row),
                None => bounds.exact = false,
            }
        }
        if !bounds.range.end.is_empty() {
            match exact(schema, &bounds.range.end) {
                Some(row) => bounds.to = Some(row),
                None => match last_inside(schema, &bounds.range.end) {
                    Some(row) => {
                        bounds.to = Some(row);
                        bounds.through = true;
                    }
                    None => bounds.exact = false,
                },
            }
        }
        if !bounds.exact {
            (bounds.from, bounds.to) = (None, None);
        }
        bounds
    }

    pub(super) fn bytes(&self) -> usize {
        let rows = self.from.iter().chain(&self.to);
        let rows = rows.map(RecordBatch::get_array_memory_size).sum::<usize>();
        size_of::<Bounds>() + self.range.start.len() + self.range.end.len() + rows
    }
}

/// The prefix or key whose successor the end of a range is: a prefix whose last byte was raised, or a whole key with a
/// zero behind it.
fn last_inside(schema: &TableSchema, end: &[u8]) -> Option<RecordBatch> {
    let (last, rest) = end.split_last()?;
    let Some(last) = last.checked_sub(1) else {
        let key = whole(schema, rest)?;
        return (key.num_columns() == schema.key_len()).then_some(key);
    };
    let mut prefix = rest.to_vec();
    prefix.push(last);
    whole(schema, &prefix)
}

/// As [`exact`], of bytes that nothing was cut off from.
fn whole(schema: &TableSchema, bytes: &[u8]) -> Option<RecordBatch> {
    let (row, length) = decoded_row(schema, bytes)?;
    (length == bytes.len()).then_some(row)
}

/// The values of the leading columns that the bytes encode, where they encode some whole ones and nothing more. A
/// number that was cut at its end is the one with zeros there: it sorts as that.
fn exact(schema: &TableSchema, bytes: &[u8]) -> Option<RecordBatch> {
    decoded_row(schema, bytes).map(|(row, _)| row)
}

/// The same, with the length of the values' own key.
fn decoded_row(schema: &TableSchema, bytes: &[u8]) -> Option<(RecordBatch, usize)> {
    let mut rest = bytes;
    let mut fields = Vec::new();
    let mut values: Vec<ArrayRef> = Vec::new();
    for key in schema.key_columns() {
        if rest.is_empty() {
            break;
        }
        let column = schema.column_by_id(key.id)?;
        let (value, left) = decoded(column.data_type, key.descending, rest)?;
        fields.push(Field::clone(&schema.arrow_field(column)));
        values.push(value);
        rest = left;
    }
    if !rest.is_empty() || values.is_empty() {
        return None;
    }
    // The end of a range may be what no value is written as.
    let order = schema.key_columns().map(|key| key.descending);
    let columns: Vec<_> = values.iter().cloned().zip(order).collect();
    let again = encode_keys(&columns).ok()?;
    let (same, cut) = again.key(0).split_at_checked(bytes.len())?;
    if same != bytes || cut.iter().any(|byte| *byte != 0) {
        return None;
    }
    let row = RecordBatch::try_new(Arc::new(Schema::new(fields)), values).ok()?;
    Some((row, again.key(0).len()))
}

/// The value of a column that the bytes of a key begin with, as an array of one, and the bytes behind it.
pub(crate) fn decoded(
    data_type: DataType,
    descending: bool,
    bytes: &[u8],
) -> Option<(ArrayRef, &[u8])> {
    let flip = if descending { 0xff } else { 0 };
    match data_type {
        DataType::Text | DataType::Uuid | DataType::Json | DataType::Bytes => {
            let (value, left) = text(bytes, flip)?;
            let array: ArrayRef = match data_type {
                DataType::Bytes => Arc::new(BinaryArray::from_vec(vec![&value])),
                _ => Arc::new(StringArray::from(vec![String::from_utf8(value).ok()?])),
            };
            Some((array, left))
        }
        DataType::Boolean => {
            let ([byte], left) = fixed(bytes, flip);
            Some((Arc::new(BooleanArray::from(vec![byte != 0])), left))
        }
        DataType::Int | DataType::Date => {
            let (value, left) = fixed(bytes, flip);
            let value = (u32::from_be_bytes(value) ^ (1 << 31)).cast_signed();
            let array: ArrayRef = match data_type {
                DataType::Date => Arc::new(Date32Array::from(vec![value])),
                _ => Arc::new(Int32Array::from(vec![value])),
            };
            Some((array, left))
        }
        DataType::BigInt | DataType::Timestamp => {
            let (value, left) = fixed(bytes, flip);
            let value = (u64::from_be_bytes(value) ^ (1 << 63)).cast_signed();
            let array: ArrayRef = match data_type {
                DataType::Timestamp => Arc::new(TimestampNanosecondArray::from(vec![value])),
                _ => Arc::new(Int64Array::from(vec![value])),
            };
            Some((array, left))
        }
        DataType::Decimal { .. } => {
            let (value, left) = fixed(bytes, flip);
            let value = (u128::from_be_bytes(value) ^ (1 << 127)).cast_signed();
            let array = Decimal128Array::from(vec![value]);
            let array = array.with_data_type(data_type.arrow());
            Some((Arc::new(array), left))
        }
        DataType::Double => {
            let (value, left) = fixed(bytes, flip);
            Some((Arc::new(Float64Array::from(vec![float(value)])), left))
        }
        DataType::Real => {
            let (value, left) = fixed(bytes, flip);
            let wide = float(value);
            let value = wide as f32;
            // A bound between two of its numbers has no value of the column's type.
            let whole = f64::from(value).to_bits() == wide.to_bits();
            let array: ArrayRef = Arc::new(Float32Array::from(vec![value]));
            whole.then_some((array, left))
        }
    }
}

fn float(bytes: [u8; 8]) -> f64 {
    let bits = u64::from_be_bytes(bytes);
    f64::from_bits(if bits >> 63 == 1 {
        bits & !(1 << 63)
    } else {
        !bits
    })
}

fn fixed<const N: usize>(bytes: &[u8], flip: u8) -> ([u8; N], &[u8]) {
    let mut value = [0; N];
    // What was cut off are zeros in the key, before a descending column is read.
    let given = bytes.iter().copied().chain(std::iter::repeat(0));
    for (to, from) in value.iter_mut().zip(given) {
        *to = from ^ flip;
    }
    (value, bytes.get(N..).unwrap_or_default())
}

fn text(bytes: &[u8], flip: u8) -> Option<(Vec<u8>, &[u8])> {
    let mut value = Vec::new();
    let mut rest = bytes;
    loop {
        let (first, left) = rest.split_first()?;
        rest = left;
        if first ^ flip != 0 {
            value.push(first ^ flip);
            continue;
        }
        let (second, left) = rest.split_first()?;
        rest = left;
        match second ^ flip {
            0 => return Some((value, rest)),
            0xff => value.push(0),
            _ => return None,
        }
    }
}

#[cfg(test)]
mod tests;
