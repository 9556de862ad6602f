//! Text by codes: columns whose values are wanted as places in a dictionary that comes with each batch. A
//! file's own dictionary says where a value changes; so a run of equal values costs one copy of the text.

use std::sync::Arc;

use activestore_sst::SequentialReader;
use activestore_types::{BatchColumn, ColumnId, Error, Result};
use arrow::array::{Array, ArrayRef, AsArray, DictionaryArray, Int32Array, StringArray};
use arrow::array::{NullBufferBuilder, StringBuilder};
use arrow::buffer::OffsetBuffer;
use arrow::datatypes::{DataType as ArrowType, Field, Int32Type, Schema, SchemaRef};

use super::copy::{Span, Stretch, outside};
use super::scan::ScanRequest;

mod column;

pub(crate) use column::{CodedColumn, is_text_type};

/// Rows a run, on average, below which codes save nothing.
const SHORT_RUN: usize = 2;

/// Whether a column of this type comes by codes.
pub(crate) fn is_coded(kind: &ArrowType) -> bool {
    matches!(kind, ArrowType::Dictionary(codes, _) if **codes == ArrowType::Int32)
}

/// Whether both types are text, each as it is or by codes.
pub(super) fn is_text(one: &ArrowType, other: &ArrowType) -> bool {
    let text = |kind: &ArrowType| *kind == ArrowType::Utf8 || is_coded(kind);
    text(one) && text(other)
}

/// The schema of a scan's output with the columns by codes that are asked for so.
pub(super) fn coded_schema(schema: SchemaRef, request: &ScanRequest) -> SchemaRef {
    if request.codes.is_empty() {
        return schema;
    }
    let fields = schema.fields().iter().zip(&request.columns);
    let fields = fields.map(|(field, id)| {
        if !request.codes.contains(id) || *field.data_type() != ArrowType::Utf8 {
            return Arc::clone(field);
        }
        let kind = ArrowType::Dictionary(Box::new(ArrowType::Int32), Box::new(ArrowType::Utf8));
        let field: Field = field.as_ref().clone().with_data_type(kind);
        Arc::new(field)
    });
    Arc::new(Schema::new(fields.collect::<Vec<_>>()))
}

/// The cells of a vector, those of `codes` by their file's dictionary where it has them so.
pub(super) fn read_coded(
    reader: &mut SequentialReader,
    vector: usize,
    wanted: &[ColumnId],
    codes: &[ColumnId],
) -> Result<Vec<BatchColumn>> {
    // Fetched together, since the file is read in stretches.
    reader.fetch(vector, wanted.iter().copied())?;
    let mut columns = Vec::with_capacity(wanted.len());
    let mut plain = Vec::with_capacity(wanted.len());
    for id in wanted {
        let coded = if codes.contains(id) {
            dictionary(reader, vector, *id)?
        } else {
            None
        };
        match coded {
            Some(array) => columns.push(BatchColumn {
                id: *id,
                array,
                set: None,
            }),
            None => plain.push(*id),
        }
    }
    if !plain.is_empty() {
        columns.extend(reader.read(vector, &plain)?.columns);
    }
    Ok(columns)
}

/// The runs of a vector; `None` where codes are not how it is stored, or save nothing.
fn runs(
    reader: &mut SequentialReader,
    vector: usize,
    column: ColumnId,
) -> Result<Option<Vec<(usize, u32)>>> {
    let runs = reader.read_codes(vector, column)?;
    let rows = reader.sst().vector_rows(vector);
    Ok(runs.filter(|runs| runs.len() <= rows / SHORT_RUN))
}

fn dictionary(
    reader: &mut SequentialReader,
    vector: usize,
    column: ColumnId,
) -> Result<Option<ArrayRef>> {
    let Some(runs) = runs(reader, vector, column)? else {
        return Ok(None);
    };
    let rows = reader.sst().vector_rows(vector);
    let codes = reader.codes(column)?;
    let mut values = StringBuilder::with_capacity(runs.len(), 0);
    let mut keys = Vec::with_capacity(rows);
    let ends = runs.iter().skip(1).map(|(start, _)| *start);
    for ((place, (_, code)), end) in (0_i32..).zip(&runs).zip(ends.chain([rows])) {
        let value = std::str::from_utf8(codes.value(*code)?);
        values.append_value(value.map_err(|_| not_text())?);
        keys.resize(end.min(rows), place);
    }
    by_codes(keys, values.finish(), NullBufferBuilder::new(0)).map(Some)
}

/// A column by codes of `rows` rows; `pieces` holds each piece's array, text or by codes.
///
/// # Errors
/// As [`super::copy::copy_column`].
pub(super) fn copy_codes(
    rows: usize,
    pieces: &[Option<&ArrayRef>],
    stretches: impl Iterator<Item = Stretch>,
) -> Result<ArrayRef> {
    let mut out = Coded::new(rows);
    // Where the values of a piece begin among those of the output.
    let mut bases: Vec<Option<i32>> = vec![None; pieces.len()];
    for stretch in stretches {
        let (span, piece) = match stretch {
            Stretch::Nulls(rows) => {
                out.push_nulls(rows);
                continue;
            }
            Stretch::Cells(span) => (span, pieces.get(span.piece).copied().flatten()),
        };
        let Some(piece) = piece else {
            out.push_nulls(span.rows);
            continue;
        };
        if span.start + span.rows > piece.len() {
            return Err(outside());
        }
        if let Some(text) = piece.as_string_opt::<i32>() {
            out.push_text(text, span)?;
        } else if let Some(coded) = piece.as_dictionary_opt::<Int32Type>() {
            let base = bases.get_mut(span.piece).ok_or_else(outside)?;
            let base = match *base {
                Some(base) => base,
                None => *base.insert(out.push_values(coded)?),
            };
            out.push_codes(coded, base, span)?;
        } else {
            return Err(not_text());
        }
    }
    by_codes(out.keys, out.values.finish(), out.nulls)
}

/// A text column of `rows` rows; `pieces` holds each piece's array, text or by codes.
///
/// # Errors
/// As [`super::copy::copy_column`].
pub(super) fn copy_texts(
    rows: usize,
    pieces: &[Option<&ArrayRef>],
    stretches: impl Iterator<Item = Stretch>,
) -> Result<ArrayRef> {
    let mut data: Vec<u8> = Vec::new();
    let mut ends: Vec<i32> = Vec::with_capacity(rows + 1);
    ends.push(0);
    let mut nulls = NullBufferBuilder::new(rows);
    let mut push = |value: Option<&str>| {
        data.extend_from_slice(value.unwrap_or_default().as_bytes());
        let end = i32::try_from(data.len()).map_err(|_| too_long())?;
        ends.push(end);
        nulls.append(value.is_some());
        Ok::<(), Error>(())
    };
    for stretch in stretches {
        let (span, piece) = match stretch {
            Stretch::Nulls(rows) => {
                (0..rows).try_for_each(|_| push(None))?;
                continue;
            }
            Stretch::Cells(span) => (span, pieces.get(span.piece).copied().flatten()),
        };
        let Some(piece) = piece else {
            (0..span.rows).try_for_each(|_| push(None))?;
            continue;
        };
        if span.start + span.rows > piece.len() {
            return Err(outside());
        }
        let row = |place: usize| {
            if span.reverse {
                span.start + span.rows - 1 - place
            } else {
                span.start + place
            }
        };
        if let Some(text) = piece.as_string_opt::<i32>() {
            let value = |row: usize| text.is_valid(row).then(|| text.value(row));
            (0..span.rows).try_for_each(|place| push(value(row(place))))?;
        } else if let Some(coded) = piece.as_dictionary_opt::<Int32Type>() {
            let values = coded.values().as_string_opt::<i32>().ok_or_else(not_text)?;
            let keys = coded.keys().values();
            let value = |row: usize| {
                let code = keys.get(row).and_then(|key| usize::try_from(*key).ok());
                code.filter(|code| *code < values.len())
                    .map(|code| values.value(code))
            };
            (0..span.rows).try_for_each(|place| push(value(row(place))))?;
        } else {
            return Err(not_text());
        }
    }
    let offsets = OffsetBuffer::new(ends.into());
    let array = StringArray::try_new(offsets, data.into(), nulls.finish());
    Ok(Arc::new(array.map_err(|_| not_text())?))
}

/// A column in the making.
struct Coded {
    keys: Vec<i32>,
    values: StringBuilder,
    /// Of the values.
    bytes: usize,
    /// Where the last value begins.
    last: usize,
    nulls: NullBufferBuilder,
    count: i32,
}

impl Coded {
    fn new(rows: usize) -> Self {
        Coded {
            keys: Vec::with_capacity(rows),
            values: StringBuilder::new(),
            bytes: 0,
            last: 0,
            nulls: NullBufferBuilder::new(rows),
            count: 0,
        }
    }

    /// Adds rows of one value.
    fn push_run(&mut self, value: &[u8], rows: usize) -> Result<()> {
        let key = if self.count > 0 && self.last() == value {
            self.count - 1
        } else {
            self.push_value(std::str::from_utf8(value).map_err(|_| not_text())?)?
        };
        self.keys.resize(self.keys.len() + rows, key);
        self.nulls.append_n_non_nulls(rows);
        Ok(())
    }

    fn push_nulls(&mut self, rows: usize) {
        self.keys.resize(self.keys.len() + rows, 0);
        self.nulls.append_n_nulls(rows);
    }

    /// The value that was added last.
    fn last(&self) -> &[u8] {
        self.values.values_slice().get(self.last..).unwrap_or(&[])
    }

    fn push_value(&mut self, value: &str) -> Result<i32> {
        self.last = self.bytes;
        self.bytes += value.len();
        if i32::try_from(self.bytes).is_err() {
            return Err(too_long());
        }
        self.values.append_value(value);
        self.count += 1;
        Ok(self.count - 1)
    }

    /// Adds the values of a piece; where they begin.
    fn push_values(&mut self, coded: &DictionaryArray<Int32Type>) -> Result<i32> {
        let base = self.count;
        let values = coded.values().as_string_opt::<i32>().ok_or_else(not_text)?;
        for value in values {
            self.push_value(value.unwrap_or_default())?;
        }
        Ok(base)
    }

    fn push_codes(
        &mut self,
        coded: &DictionaryArray<Int32Type>,
        base: i32,
        span: Span,
    ) -> Result<()> {
        let keys = coded
            .keys()
            .values()
            .get(span.start..span.start + span.rows);
        let keys = keys.ok_or_else(outside)?.iter().map(|key| key + base);
        if span.reverse {
            self.keys.extend(keys.rev());
        } else {
            self.keys.extend(keys);
        }
        self.nulls.append_n_non_nulls(span.rows);
        Ok(())
    }

    fn push_text(&mut self, text: &StringArray, span: Span) -> Result<()> {
        for place in 0..span.rows {
            let row = if span.reverse {
                span.start + span.rows - 1 - place
            } else {
                span.start + place
            };
            if text.is_null(row) {
                self.push_nulls(1);
                continue;
            }
            let value = text.value(row);
            let key = if self.count > 0 && self.last() == value.as_bytes() {
                self.count - 1
            } else {
                self.push_value(value)?
            };
            self.keys.push(key);
            self.nulls.append_non_null();
        }
        Ok(())
    }
}

fn by_codes(keys: Vec<i32>, values: StringArray, mut nulls: NullBufferBuilder) -> Result<ArrayRef> {
    // One look at the greatest, as which a negative one counts too, is a fraction of what Arrow's own, key by key, takes.
    let greatest = keys.iter().map(|key| key.cast_unsigned());
    let greatest = greatest.fold(0, u32::max);
    let fits = usize::try_from(greatest).is_ok_and(|greatest| greatest < values.len().max(1));
    let keys = Int32Array::new(keys.into(), nulls.finish());
    let any = keys.null_count() < keys.len();
    if !fits || any && values.is_empty() {
        return Err(Error::internal("codes without their values"));
    }
    #[expect(
        unsafe_code,
        reason = "what Arrow would look at for each key was looked at"
    )]
    // SAFETY: every key is a place among the values.
    let array = unsafe { DictionaryArray::new_unchecked(keys, Arc::new(values)) };
    Ok(Arc::new(array))
}

fn too_long() -> Error {
    Error::overloaded("the text of a batch is more than one column can hold")
        .with_hint("read fewer columns or smaller ranges")
}

fn not_text() -> Error {
    Error::corrupt("a text column holds bytes that are not UTF-8")
}
