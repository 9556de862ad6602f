//! A relation of the catalog: its columns with what they are where nothing is said, and its rows.

use std::collections::BTreeMap;
use std::sync::Arc;

use activestore_types::Result;
use arrow::array::{
    ArrayRef, BooleanArray, Float32Array, Int64Array, Int64Builder, ListBuilder, StringArray,
};
use arrow::datatypes::{Field, Schema};
use arrow::record_batch::RecordBatch;

/// What a column holds, with what it is where a row does not say.
#[derive(Clone, Copy)]
enum Column {
    Int(i64),
    Flag(bool),
    Text(&'static str),
    /// A text that may be missing, and is where nothing is said.
    Maybe,
    Real(f32),
    /// Numbers; none where nothing is said.
    Ints,
}

impl Column {
    /// As it is written in a list of columns: `7`, `false`, `'text'`, `0.0`, `[]` or `null`.
    fn read(text: &'static str) -> Column {
        let quoted = text
            .strip_prefix('\'')
            .and_then(|text| text.strip_suffix('\''));
        match (text, quoted) {
            (_, Some(text)) => Column::Text(text),
            ("true" | "false", _) => Column::Flag(text == "true"),
            ("[]", _) => Column::Ints,
            _ if text.contains('.') => text.parse().map_or(Column::Maybe, Column::Real),
            _ => text.parse().map_or(Column::Maybe, Column::Int),
        }
    }
}

/// A value of a row.
#[derive(Clone, Debug)]
pub(super) enum Value {
    Int(i64),
    Flag(bool),
    Text(String),
    Ints(Vec<i64>),
}

impl From<i64> for Value {
    fn from(value: i64) -> Self {
        Value::Int(value)
    }
}

impl From<bool> for Value {
    fn from(value: bool) -> Self {
        Value::Flag(value)
    }
}

impl From<&str> for Value {
    fn from(value: &str) -> Self {
        Value::Text(value.to_owned())
    }
}

impl From<String> for Value {
    fn from(value: String) -> Self {
        Value::Text(value)
    }
}

impl From<Vec<i64>> for Value {
    fn from(value: Vec<i64>) -> Self {
        Value::Ints(value)
    }
}

/// A row: what differs from the columns' own values.
pub(super) type Row = BTreeMap<&'static str, Value>;

/// A row of these values.
pub(super) fn row<const N: usize>(values: [(&'static str, Value); N]) -> Row {
    values.into_iter().collect()
}

/// The rows as columns, which are written as `name:value` with what they are where a row does not say.
///
/// # Errors
/// When columns do not go together.
pub(super) fn batch(columns: &'static str, rows: &[Row]) -> Result<RecordBatch> {
    let columns = columns.split_whitespace();
    let columns = columns.filter_map(|column| column.split_once(':'));
    let mut fields = Vec::new();
    let mut arrays: Vec<ArrayRef> = Vec::new();
    for (name, column) in columns {
        let column = &Column::read(column);
        let values = rows.iter().map(|row| row.get(name));
        let array: ArrayRef = match column {
            Column::Int(own) => Arc::new(
                values
                    .map(|value| match value {
                        Some(Value::Int(value)) => Some(*value),
                        _ => Some(*own),
                    })
                    .collect::<Int64Array>(),
            ),
            Column::Flag(own) => Arc::new(
                values
                    .map(|value| match value {
                        Some(Value::Flag(value)) => Some(*value),
                        _ => Some(*own),
                    })
                    .collect::<BooleanArray>(),
            ),
            Column::Text(own) => Arc::new(
                values
                    .map(|value| match value {
                        Some(Value::Text(value)) => Some(value.as_str()),
                        _ => Some(*own),
                    })
                    .collect::<StringArray>(),
            ),
            Column::Maybe => Arc::new(
                values
                    .map(|value| match value {
                        Some(Value::Text(value)) => Some(value.as_str()),
                        _ => None,
                    })
                    .collect::<StringArray>(),
            ),
            Column::Real(own) => Arc::new(values.map(|_| Some(*own)).collect::<Float32Array>()),
            Column::Ints => {
                let mut lists = ListBuilder::new(Int64Builder::new());
                for value in values {
                    match value {
                        Some(Value::Ints(values)) => {
                            lists.append_value(values.iter().copied().map(Some));
                        }
                        _ => lists.append_null(),
                    }
                }
                Arc::new(lists.finish())
            }
        };
        fields.push(Field::new(name, array.data_type().clone(), true));
        arrays.push(array);
    }
    Ok(RecordBatch::try_new(Arc::new(Schema::new(fields)), arrays)?)
}
