//! Columns: typed access to what came in, and builders for what goes out.

use crate::bitmap;
use crate::{Column, Error, Field, ScalarType, Values, VarBytes};

impl Column {
    /// A column without nulls.
    pub fn of(values: Values) -> Self {
        Column {
            values,
            validity: None,
        }
    }

    /// A column of floats without nulls.
    pub fn f64s(values: Vec<f64>) -> Self {
        Column::of(Values::F64s(values))
    }

    /// A column of 64-bit integers without nulls.
    pub fn s64s(values: Vec<i64>) -> Self {
        Column::of(Values::S64s(values))
    }

    /// A column of booleans without nulls.
    pub fn bools(values: &[bool]) -> Self {
        Column::of(Values::Bits(bitmap::pack(values)))
    }

    /// A column of text without nulls.
    pub fn text<T: AsRef<str>>(values: impl IntoIterator<Item = T>) -> Self {
        let mut out = VarBytes::with_capacity(0, 0);
        for value in values {
            out.push(value.as_ref().as_bytes());
        }
        Column::of(Values::Utf8(out))
    }

    /// Whether the row has a value.
    pub fn is_valid(&self, row: usize) -> bool {
        match &self.validity {
            Some(bits) => bitmap::get(bits, row),
            None => true,
        }
    }

    /// The values as floats.
    ///
    /// # Errors
    /// `invalid` when the column is of another type.
    pub fn as_f64s(&self) -> Result<&[f64], Error> {
        match &self.values {
            Values::F64s(values) => Ok(values),
            other => Err(other.is_not("float64")),
        }
    }

    /// The values as 64-bit integers or timestamps.
    ///
    /// # Errors
    /// `invalid` when the column is of another type.
    pub fn as_s64s(&self) -> Result<&[i64], Error> {
        match &self.values {
            Values::S64s(values) => Ok(values),
            other => Err(other.is_not("int64")),
        }
    }

    /// The row's value as a float, whatever number or boolean it is; `None` for a null or another
    /// type.
    pub fn number(&self, row: usize) -> Option<f64> {
        if !self.is_valid(row) {
            return None;
        }
        match &self.values {
            Values::F64s(values) => values.get(row).copied(),
            Values::F32s(values) => values.get(row).map(|value| f64::from(*value)),
            Values::S64s(values) => values.get(row).map(|value| *value as f64),
            Values::S32s(values) => values.get(row).map(|value| f64::from(*value)),
            Values::Bits(bits) => Some(f64::from(u8::from(bitmap::get(bits, row)))),
            Values::Utf8(_) | Values::Binary(_) => None,
        }
    }

    /// Appends the row's value to `key`, so that rows with different values give different keys
    /// and the same values give the same; a null differs from every value.
    pub fn push_key(&self, row: usize, key: &mut Vec<u8>) {
        if !self.is_valid(row) {
            key.push(0);
            return;
        }
        key.push(1);
        match &self.values {
            Values::Bits(bits) => key.push(u8::from(bitmap::get(bits, row))),
            Values::S32s(values) => key.extend(values[row].to_le_bytes()),
            Values::S64s(values) => key.extend(values[row].to_le_bytes()),
            Values::F32s(values) => key.extend(values[row].to_le_bytes()),
            Values::F64s(values) => key.extend(values[row].to_le_bytes()),
            Values::Utf8(values) | Values::Binary(values) => {
                let value = values.get(row);
                key.extend((value.len() as u32).to_le_bytes());
                key.extend(value);
            }
        }
    }

    /// Columns of these fields from keys that [`Column::push_key`] made of the same; `None` where a key is
    /// not one of those.
    pub fn from_keys<K: AsRef<[u8]>>(fields: &[Field], keys: &[K]) -> Option<Vec<Column>> {
        let mut columns: Vec<Column> = fields.iter().map(|f| Column::empty(f.kind)).collect();
        let mut valid = vec![Vec::with_capacity(keys.len()); fields.len()];
        let mut bits = vec![Vec::new(); fields.len()];
        for key in keys {
            let mut rest = key.as_ref();
            for ((column, valid), bits) in columns.iter_mut().zip(&mut valid).zip(&mut bits) {
                let (&there, after) = rest.split_first()?;
                valid.push(there == 1);
                rest = column.values.push_from_key(there == 1, bits, after)?;
            }
            if !rest.is_empty() {
                return None;
            }
        }
        for ((column, valid), bits) in columns.iter_mut().zip(valid).zip(bits) {
            if matches!(column.values, Values::Bits(_)) {
                column.values = Values::Bits(bitmap::pack(&bits));
            }
            if valid.contains(&false) {
                column.validity = Some(bitmap::pack(&valid));
            }
        }
        Some(columns)
    }

    /// The rows named, in that order.
    pub fn take(&self, rows: &[usize]) -> Column {
        let pick = |bits: &[u8]| {
            let picked: Vec<bool> = rows.iter().map(|row| bitmap::get(bits, *row)).collect();
            bitmap::pack(&picked)
        };
        let take_bytes = |values: &VarBytes| VarBytes::of(rows.iter().map(|row| values.get(*row)));
        Column {
            values: match &self.values {
                Values::Bits(bits) => Values::Bits(pick(bits)),
                Values::S32s(values) => Values::S32s(rows.iter().map(|row| values[*row]).collect()),
                Values::S64s(values) => Values::S64s(rows.iter().map(|row| values[*row]).collect()),
                Values::F32s(values) => Values::F32s(rows.iter().map(|row| values[*row]).collect()),
                Values::F64s(values) => Values::F64s(rows.iter().map(|row| values[*row]).collect()),
                Values::Utf8(values) => Values::Utf8(take_bytes(values)),
                Values::Binary(values) => Values::Binary(take_bytes(values)),
            },
            validity: self.validity.as_deref().map(pick),
        }
    }

    /// A column of the type without rows.
    pub fn empty(kind: ScalarType) -> Column {
        Column::of(match kind {
            ScalarType::Boolean => Values::Bits(Vec::new()),
            ScalarType::Int32 | ScalarType::Date => Values::S32s(Vec::new()),
            ScalarType::Int64 | ScalarType::Timestamp => Values::S64s(Vec::new()),
            ScalarType::Float32 => Values::F32s(Vec::new()),
            ScalarType::Float64 => Values::F64s(Vec::new()),
            ScalarType::Text => Values::Utf8(VarBytes::of(Vec::<Vec<u8>>::new())),
            ScalarType::Bytes => Values::Binary(VarBytes::of(Vec::<Vec<u8>>::new())),
        })
    }
}

impl VarBytes {
    /// From values in order.
    pub fn of<T: AsRef<[u8]>>(values: impl IntoIterator<Item = T>) -> Self {
        let mut out = VarBytes::with_capacity(0, 0);
        for value in values {
            out.push(value.as_ref());
        }
        out
    }

    /// No values yet, with room for so many of so many bytes together.
    pub fn with_capacity(values: usize, bytes: usize) -> Self {
        let mut offsets: Vec<i32> = Vec::with_capacity(values + 1);
        offsets.push(0);
        VarBytes {
            offsets,
            data: Vec::with_capacity(bytes),
        }
    }

    /// Appends a value; the first offset must be there.
    pub fn push(&mut self, value: &[u8]) {
        self.data.extend_from_slice(value);
        self.end();
    }

    /// Ends a value that was appended to `data` piece by piece.
    pub fn end(&mut self) {
        self.offsets.push(self.data.len() as i32);
    }

    /// Takes all values out; the room for them stays.
    pub fn clear(&mut self) {
        self.data.clear();
        self.offsets.truncate(1);
    }

    /// How many values there are.
    pub fn len(&self) -> usize {
        self.offsets.len().saturating_sub(1)
    }

    /// Whether there are no values.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The row's bytes.
    pub fn get(&self, row: usize) -> &[u8] {
        &self.data[self.offsets[row] as usize..self.offsets[row + 1] as usize]
    }

    /// The row's text. The host guarantees UTF-8 in text columns; a plugin that asks for the text of
    /// a bytes column gets an empty one where it is not.
    pub fn text(&self, row: usize) -> &str {
        std::str::from_utf8(self.get(row)).unwrap_or_default()
    }
}

impl Values {
    /// Appends the value at the front of a key, or what stands for null; booleans go to `bits`. Gives the
    /// rest of the key.
    fn push_from_key<'a>(
        &mut self,
        there: bool,
        bits: &mut Vec<bool>,
        key: &'a [u8],
    ) -> Option<&'a [u8]> {
        macro_rules! number {
            ($values:expr, $number:ty) => {{
                if !there {
                    $values.push(Default::default());
                    return Some(key);
                }
                let (value, rest) = key.split_first_chunk()?;
                $values.push(<$number>::from_le_bytes(*value));
                Some(rest)
            }};
        }
        match self {
            Values::Bits(_) => {
                let (value, rest) = if there { key.split_first()? } else { (&0, key) };
                bits.push(*value == 1);
                Some(rest)
            }
            Values::S32s(values) => number!(values, i32),
            Values::S64s(values) => number!(values, i64),
            Values::F32s(values) => number!(values, f32),
            Values::F64s(values) => number!(values, f64),
            Values::Utf8(values) | Values::Binary(values) => {
                if !there {
                    values.push(&[]);
                    return Some(key);
                }
                let (length, rest) = key.split_first_chunk()?;
                let length = u32::from_le_bytes(*length) as usize;
                let (value, rest) = rest.split_at_checked(length)?;
                values.push(value);
                Some(rest)
            }
        }
    }

    /// The error for values of another type than `wanted`.
    pub fn is_not(&self, wanted: &str) -> Error {
        let name = match self {
            Values::Bits(_) => "boolean",
            Values::S32s(_) => "int32",
            Values::S64s(_) => "int64",
            Values::F32s(_) => "float32",
            Values::F64s(_) => "float64",
            Values::Utf8(_) => "text",
            Values::Binary(_) => "bytes",
        };
        Error::Invalid(format!("a column is {name} where {wanted} is needed"))
    }
}

#[cfg(test)]
mod tests {
    use crate::{Column, Field, ScalarType, Values, VarBytes};

    #[test]
    fn keys_of_different_values_differ() {
        let text = Column::text(["a", "ab", ""]);
        let keys: Vec<Vec<u8>> = (0..3)
            .map(|row| {
                let mut key = Vec::new();
                text.push_key(row, &mut key);
                key
            })
            .collect();
        assert!(keys[0] != keys[1] && keys[1] != keys[2] && keys[0] != keys[2]);
    }

    #[test]
    fn columns_come_back_from_their_keys() {
        let columns = [
            Column::text(["a", "", "c"]),
            Column::s64s(vec![1, -2, 3]),
            Column::bools(&[true, false, true]),
            Column {
                values: Values::F64s(vec![0.5, 0.0, 2.5]),
                validity: Some(vec![0b101]),
            },
        ];
        let kinds = [
            ScalarType::Text,
            ScalarType::Int64,
            ScalarType::Boolean,
            ScalarType::Float64,
        ];
        let fields = kinds.map(|kind| Field {
            name: String::new(),
            kind,
            nullable: true,
        });
        let keys: Vec<Vec<u8>> = (0..3)
            .map(|row| {
                let mut key = Vec::new();
                columns
                    .iter()
                    .for_each(|column| column.push_key(row, &mut key));
                key
            })
            .collect();
        let back = Column::from_keys(&fields, &keys).unwrap();
        let text = |columns: &[Column]| format!("{columns:?}");
        assert_eq!(text(&back), text(&columns));
        assert!(Column::from_keys(&fields, &[&keys[0][1..]]).is_none());
        assert!(Column::from_keys(&fields[..2], &keys).is_none());
    }

    #[test]
    fn taken_rows_keep_their_nulls() {
        let column = Column {
            values: Values::Utf8(VarBytes::of(["a", "", "c"])),
            validity: Some(vec![0b101]),
        };
        let taken = column.take(&[2, 1]);
        assert_eq!(taken.validity, Some(vec![0b01]));
        let Values::Utf8(values) = &taken.values else {
            panic!("text stays text")
        };
        assert_eq!((values.text(0), values.text(1)), ("c", ""));
    }

    #[test]
    fn numbers_of_every_type_are_read() {
        assert_eq!(Column::bools(&[true]).number(0), Some(1.0));
        assert_eq!(Column::s64s(vec![7]).number(0), Some(7.0));
        assert_eq!(Column::f64s(vec![1.5]).number(0), Some(1.5));
        assert_eq!(Column::text(["1"]).number(0), None);
    }
}
