//! Whole arrays of any length: a header, a dictionary where text repeats, and vectors.
//!
//! Bytes: version, family, varint rows; for text and bytes a flag and, if it is 1, the dictionary;
//! then per vector a varint length and the vector.

use activestore_types::{Error, Result};
use arrow::array::{Array, ArrayRef, new_empty_array};
use arrow::compute::concat;
use arrow::datatypes::DataType as ArrowType;

use super::cursor::{Cursor, push_varint};
use super::dictionary::{DICTIONARY_BYTES_MAX, DICTIONARY_VALUES_MAX, DictionaryBuilder, Values};
use super::text::Strings;
use super::vector::{EXPANSION_BYTES_MAX, VectorEncoder, decode_vector, string_parts};
use super::{Family, VECTOR_ROWS};

const VERSION: u8 = 1;
/// Rows that one encoded array may hold.
pub const ARRAY_ROWS_MAX: usize = 1 << 24;
/// Below this many rows a dictionary is not tried.
const ROWS_FOR_DICTIONARY: usize = 4;

/// Encodes an array of at most [`ARRAY_ROWS_MAX`] rows, of any type that a column has (or `UInt32`
/// or `UInt64`), by looking at the values. Another type gives no bytes at all, which
/// [`decode_array`] refuses.
pub fn encode_array(array: &ArrayRef) -> Vec<u8> {
    let mut out = Vec::new();
    let Ok(family) = Family::of(array.data_type()) else {
        return out;
    };
    out.extend([VERSION, family.tag()]);
    push_varint(array.len() as u64, &mut out);
    let mut encoder = VectorEncoder::default();
    let mut dictionary = None;
    if let Some((offsets, data)) = string_parts(array) {
        let strings = Strings {
            offsets,
            data,
            present: array.nulls(),
        };
        encoder.plain_text = strings.bytes() > EXPANSION_BYTES_MAX;
        dictionary = whole_dictionary(strings);
        out.push(u8::from(dictionary.is_some()));
        if let Some(dictionary) = &dictionary {
            dictionary.values().encode(&mut out);
        }
    }
    let mut vector = Vec::new();
    for start in (0..array.len()).step_by(VECTOR_ROWS) {
        let rows = VECTOR_ROWS.min(array.len() - start);
        vector.clear();
        let part = array.slice(start, rows);
        if encoder
            .encode(&part, None, dictionary.as_mut(), &mut vector)
            .is_err()
        {
            return Vec::new();
        }
        push_varint(vector.len() as u64, &mut out);
        out.extend_from_slice(&vector);
    }
    out
}

/// Decodes what [`encode_array`] wrote for an array of this type.
///
/// # Errors
/// `Corrupt` for any other bytes, `Invalid` for a type that no column has. Allocates in proportion
/// to the bytes given and a fixed bound, whatever they claim.
pub fn decode_array(bytes: &[u8], data_type: &ArrowType) -> Result<ArrayRef> {
    let family = Family::of(data_type)?;
    let mut budget = EXPANSION_BYTES_MAX;
    let mut bytes = Cursor::new(bytes);
    let [version, tag] = bytes.array()?;
    if version != VERSION {
        return Err(Error::corrupt(format!(
            "version {version} of encoded columns is unknown"
        )));
    }
    if tag != family.tag() {
        return Err(Error::corrupt(format!(
            "an encoded column does not hold {data_type}"
        )));
    }
    let rows = bytes.count("rows", ARRAY_ROWS_MAX)?;
    let mut dictionary = None;
    if family.is_string() && bytes.byte()? == 1 {
        dictionary = Some(Values::decode(
            &mut bytes,
            DICTIONARY_VALUES_MAX,
            DICTIONARY_BYTES_MAX,
        )?);
    }
    let mut vectors = Vec::new();
    let mut done = 0;
    while done < rows {
        let part = VECTOR_ROWS.min(rows - done);
        let length = bytes.count("bytes", bytes.len())?;
        let vector = decode_vector(
            bytes.take(length)?,
            part,
            data_type,
            dictionary.as_ref().into(),
            &mut budget,
        )?;
        if vector.set.is_some() {
            return Err(Error::corrupt("an encoded column has absent cells"));
        }
        vectors.push(vector.array);
        done += part;
    }
    bytes.finish()?;
    match vectors.as_slice() {
        [] => Ok(new_empty_array(data_type)),
        [only] => Ok(only.clone()),
        many => {
            let many: Vec<&dyn Array> = many.iter().map(|array| array.as_ref()).collect();
            concat(&many).map_err(|error| Error::corrupt(error.to_string()))
        }
    }
}

/// A dictionary of all values, where they repeat enough to be worth one.
fn whole_dictionary(strings: Strings<'_>) -> Option<DictionaryBuilder> {
    if strings.rows() < ROWS_FOR_DICTIONARY || strings.bytes() > EXPANSION_BYTES_MAX {
        return None;
    }
    let mut dictionary = DictionaryBuilder::default();
    for value in strings.iter().flatten() {
        dictionary.code(value)?;
    }
    let values = dictionary.values();
    (values.len() > 0 && values.len() * 2 <= strings.rows()).then_some(dictionary)
}

#[cfg(test)]
mod tests;
