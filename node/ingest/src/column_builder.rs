//! One growing column: typed values, and which rows name the column at all.
//! It does not judge values: [`crate::value`] and the parsers do that before they push.

use std::sync::Arc;

use activestore_types::{DataType, NamedColumn};
use arrow::array::{
    ArrayRef, BinaryArray, BooleanArray, BooleanBufferBuilder, Date32Array, Decimal128Array,
    Float32Array, Float64Array, Int32Array, Int64Array, NullArray, StringArray,
    TimestampNanosecondArray,
};
use arrow::buffer::{BooleanBuffer, Buffer, NullBuffer, OffsetBuffer, ScalarBuffer};

use crate::value::Value;

/// Bits that cost nothing while all of them are true.
#[derive(Default)]
pub(crate) struct Marks {
    bits: Option<BooleanBufferBuilder>,
    len: usize,
}

impl Marks {
    fn push(&mut self, value: bool) {
        if let Some(bits) = &mut self.bits {
            bits.append(value);
        } else if !value {
            let mut bits = BooleanBufferBuilder::new(self.len + 1);
            bits.append_n(self.len, true);
            bits.append(false);
            self.bits = Some(bits);
        }
        self.len += 1;
    }

    fn finish(self) -> Option<BooleanBuffer> {
        self.bits.map(|mut bits| bits.finish())
    }
}

enum Values {
    Unknown,
    Bool(BooleanBufferBuilder),
    I32(Vec<i32>),
    I64(Vec<i64>),
    F32(Vec<f32>),
    F64(Vec<f64>),
    I128(Vec<i128>),
    Var { offsets: Vec<i32>, bytes: Vec<u8> },
}

impl Values {
    fn of(data_type: DataType) -> Self {
        match data_type {
            DataType::Boolean => Values::Bool(BooleanBufferBuilder::new(0)),
            DataType::Int | DataType::Date => Values::I32(Vec::new()),
            DataType::BigInt | DataType::Timestamp => Values::I64(Vec::new()),
            DataType::Real => Values::F32(Vec::new()),
            DataType::Double => Values::F64(Vec::new()),
            DataType::Decimal { .. } => Values::I128(Vec::new()),
            DataType::Text | DataType::Bytes | DataType::Uuid | DataType::Json => Values::Var {
                offsets: vec![0],
                bytes: Vec::new(),
            },
        }
    }

    fn push_default(&mut self, count: usize) {
        match self {
            Values::Unknown => {}
            Values::Bool(values) => values.append_n(count, false),
            Values::I32(values) => values.extend(std::iter::repeat_n(0, count)),
            Values::I64(values) => values.extend(std::iter::repeat_n(0, count)),
            Values::F32(values) => values.extend(std::iter::repeat_n(0.0, count)),
            Values::F64(values) => values.extend(std::iter::repeat_n(0.0, count)),
            Values::I128(values) => values.extend(std::iter::repeat_n(0, count)),
            Values::Var { offsets, .. } => {
                let last = offsets.last().copied().unwrap_or(0);
                offsets.extend(std::iter::repeat_n(last, count));
            }
        }
    }
}

/// A column while a batch is built. Rows are pushed in order; a row that is skipped is absent.
pub(crate) struct ColumnBuilder {
    pub(crate) name: String,
    data_type: Option<DataType>,
    values: Values,
    set: Marks,
    valid: Marks,
    len: usize,
    /// The row count plus one of the last row that named this column: catches a name that stands
    /// twice in one row.
    pub(crate) touched: u64,
    /// Whether every integer so far is exact as a double.
    exact: bool,
}

/// Whether a double carries the integer without loss.
pub(crate) fn exact_as_double(value: i64) -> bool {
    value.unsigned_abs() <= 1 << 53
}

impl ColumnBuilder {
    pub(crate) fn new(name: String, data_type: Option<DataType>) -> Self {
        ColumnBuilder {
            name,
            data_type,
            values: data_type.map_or(Values::Unknown, Values::of),
            set: Marks::default(),
            valid: Marks::default(),
            len: 0,
            touched: 0,
            exact: true,
        }
    }

    /// Whether no row of the batch has named it yet.
    pub(crate) fn is_fresh(&self) -> bool {
        self.len == 0
    }

    /// The type, once one is known.
    pub(crate) fn data_type(&self) -> Option<DataType> {
        self.data_type
    }

    /// Gives an untyped column (only absent and NULL rows so far) its type.
    pub(crate) fn settle(&mut self, data_type: DataType) {
        if self.data_type.is_none() {
            self.data_type = Some(data_type);
            self.values = Values::of(data_type);
            self.values.push_default(self.len);
        }
    }

    /// Whether a BIGINT column can become DOUBLE without loss.
    pub(crate) fn can_widen(&self) -> bool {
        self.exact
    }

    fn widen(&mut self) {
        if let Values::I64(values) = &self.values {
            self.values = Values::F64(values.iter().map(|value| *value as f64).collect());
            self.data_type = Some(DataType::Double);
        }
    }

    fn reach(&mut self, row: usize) {
        while self.len < row {
            self.values.push_default(1);
            self.set.push(false);
            self.valid.push(false);
            self.len += 1;
        }
    }

    fn mark(&mut self, valid: bool) {
        self.set.push(true);
        self.valid.push(valid);
        self.len += 1;
    }

    /// Pushes the value of `row`; the caller has checked that the type fits.
    pub(crate) fn push(&mut self, row: usize, value: &Value<'_>) {
        self.reach(row);
        if let Some(data_type) = value.natural_type() {
            self.settle(data_type);
        }
        if matches!((&self.values, value), (Values::I64(_), Value::Double(_))) {
            self.widen();
        }
        match (&mut self.values, value) {
            (Values::Bool(values), Value::Boolean(value)) => values.append(*value),
            (Values::I32(values), Value::Int(value) | Value::Date(value)) => values.push(*value),
            (Values::I64(values), Value::BigInt(value) | Value::Timestamp(value)) => {
                self.exact &= exact_as_double(*value);
                values.push(*value);
            }
            (Values::F32(values), Value::Real(value)) => values.push(*value),
            (Values::F64(values), Value::Double(value)) => values.push(*value),
            (Values::F64(values), Value::BigInt(value)) => values.push(*value as f64),
            (Values::I128(values), Value::Decimal(value)) => values.push(*value),
            (Values::Var { offsets, bytes }, Value::Text(value)) => {
                push_var(offsets, bytes, value.as_bytes());
            }
            (Values::Var { offsets, bytes }, Value::Bytes(value)) => {
                push_var(offsets, bytes, value);
            }
            (values, _) => {
                values.push_default(1);
                return self.mark(false);
            }
        }
        self.mark(true);
    }

    /// Pushes UTF-8 text into a TEXT column.
    pub(crate) fn push_text(&mut self, row: usize, text: &[u8]) {
        self.reach(row);
        if let Values::Var { offsets, bytes } = &mut self.values {
            push_var(offsets, bytes, text);
        }
        self.mark(true);
    }

    /// Pushes text with backslash escapes resolved: a backslash before one of `escapable` is
    /// dropped, any other stays.
    pub(crate) fn push_unescaped(&mut self, row: usize, text: &[u8], escapable: &[u8]) {
        self.reach(row);
        if let Values::Var { offsets, bytes } = &mut self.values {
            crate::line_protocol::unescape_into(text, escapable, bytes);
            offsets.push(i32::try_from(bytes.len()).unwrap_or(i32::MAX));
        }
        self.mark(true);
    }

    /// Pushes into a DOUBLE column.
    pub(crate) fn push_double(&mut self, row: usize, value: f64) {
        self.reach(row);
        if let Values::F64(values) = &mut self.values {
            values.push(value);
        }
        self.mark(true);
    }

    /// Pushes into a BIGINT or TIMESTAMP column.
    pub(crate) fn push_i64(&mut self, row: usize, value: i64) {
        self.reach(row);
        if let Values::I64(values) = &mut self.values {
            values.push(value);
        }
        self.mark(true);
    }

    /// Pushes into a BOOLEAN column.
    pub(crate) fn push_bool(&mut self, row: usize, value: bool) {
        self.reach(row);
        if let Values::Bool(values) = &mut self.values {
            values.append(value);
        }
        self.mark(true);
    }

    /// Hands out what has been built and goes on as an empty column of the same name and type.
    pub(crate) fn restart(&mut self) -> ColumnBuilder {
        let fresh = ColumnBuilder {
            exact: self.exact,
            ..ColumnBuilder::new(self.name.clone(), self.data_type)
        };
        std::mem::replace(self, fresh)
    }

    /// The column, `rows` long; `None` where no row names it. Absent and NULL rows are null in the array. A column that never met
    /// a value and has no declared type has Arrow's Null type.
    pub(crate) fn finish(mut self, rows: usize) -> Option<NamedColumn> {
        if self.len == 0 {
            return None;
        }
        self.reach(rows);
        let nulls = self.valid.finish().map(NullBuffer::new);
        let array: ArrayRef = match self.values {
            Values::Unknown => Arc::new(NullArray::new(rows)),
            Values::Bool(mut values) => Arc::new(BooleanArray::new(values.finish(), nulls)),
            Values::I32(values) if self.data_type == Some(DataType::Date) => {
                Arc::new(Date32Array::new(values.into(), nulls))
            }
            Values::I32(values) => Arc::new(Int32Array::new(values.into(), nulls)),
            Values::I64(values) if self.data_type == Some(DataType::Timestamp) => {
                Arc::new(TimestampNanosecondArray::new(values.into(), nulls))
            }
            Values::I64(values) => Arc::new(Int64Array::new(values.into(), nulls)),
            Values::F32(values) => Arc::new(Float32Array::new(values.into(), nulls)),
            Values::F64(values) => Arc::new(Float64Array::new(values.into(), nulls)),
            Values::I128(values) => {
                let array = Decimal128Array::new(values.into(), nulls);
                match self.data_type.map(DataType::arrow) {
                    Some(arrow) => Arc::new(array.with_data_type(arrow)),
                    None => Arc::new(array),
                }
            }
            Values::Var { offsets, bytes } => {
                let offsets = OffsetBuffer::new(ScalarBuffer::from(offsets));
                let bytes = Buffer::from_vec(bytes);
                if self.data_type == Some(DataType::Bytes) {
                    Arc::new(BinaryArray::new(offsets, bytes, nulls))
                } else {
                    Arc::new(StringArray::new(offsets, bytes, nulls))
                }
            }
        };
        Some(NamedColumn {
            name: self.name,
            array,
            set: self.set.finish(),
            declared: self
                .data_type
                .filter(|data_type| matches!(data_type, DataType::Json | DataType::Uuid)),
        })
    }
}

fn push_var(offsets: &mut Vec<i32>, bytes: &mut Vec<u8>, value: &[u8]) {
    bytes.extend_from_slice(value);
    offsets.push(i32::try_from(bytes.len()).unwrap_or(i32::MAX));
}
