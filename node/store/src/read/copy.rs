//! Copying: the picked rows of a column, stretch by stretch, into one new array. A stretch is copied as
//! a slice, so what was stored side by side moves at the speed of memory.

use std::sync::Arc;

use activestore_types::{Error, Result};
use arrow::array::{
    Array, ArrayRef, ArrowPrimitiveType, AsArray, BinaryArray, BooleanArray, BooleanBufferBuilder,
    NullBufferBuilder, PrimitiveArray, StringArray, new_null_array,
};
use arrow::buffer::{NullBuffer, OffsetBuffer};
use arrow::datatypes::{
    DataType as ArrowType, Date32Type, Decimal128Type, Float32Type, Float64Type, Int32Type,
    Int64Type, TimeUnit, TimestampNanosecondType,
};

/// Rows that lie side by side in one piece.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Span {
    pub(crate) piece: usize,
    pub(crate) start: usize,
    pub(crate) rows: usize,
    /// Whether they come from the last to the first.
    pub(crate) reverse: bool,
}

impl Span {
    /// All so many rows of a piece, in their order.
    pub(crate) fn all(piece: usize, rows: usize) -> Self {
        Span {
            piece,
            start: 0,
            rows,
            reverse: false,
        }
    }

    /// Whether the other's rows come right behind these.
    pub(crate) fn adjoins(&self, next: &Span) -> bool {
        self.piece == next.piece
            && !self.reverse
            && !next.reverse
            && self.start + self.rows == next.start
    }
}

/// A part of a column to be made.
pub(crate) enum Stretch {
    Cells(Span),
    Nulls(usize),
}

/// Makes a column of `rows` rows; `pieces` holds each piece's array, `None` where it has none of the
/// column.
///
/// # Errors
/// `Corrupt` for a stretch that lies outside its array; `Overloaded` where the text is more than a
/// column can hold.
pub(crate) fn copy_column(
    data_type: &ArrowType,
    rows: usize,
    pieces: &[Option<&ArrayRef>],
    stretches: impl Iterator<Item = Stretch> + Clone,
) -> Result<ArrayRef> {
    match data_type {
        ArrowType::Boolean => booleans(rows, pieces, stretches),
        ArrowType::Int32 => primitives::<Int32Type>(data_type, rows, pieces, stretches),
        ArrowType::Date32 => primitives::<Date32Type>(data_type, rows, pieces, stretches),
        ArrowType::Int64 => primitives::<Int64Type>(data_type, rows, pieces, stretches),
        ArrowType::Timestamp(TimeUnit::Nanosecond, _) => {
            primitives::<TimestampNanosecondType>(data_type, rows, pieces, stretches)
        }
        ArrowType::Float32 => primitives::<Float32Type>(data_type, rows, pieces, stretches),
        ArrowType::Float64 => primitives::<Float64Type>(data_type, rows, pieces, stretches),
        ArrowType::Decimal128(..) => {
            primitives::<Decimal128Type>(data_type, rows, pieces, stretches)
        }
        ArrowType::Utf8 | ArrowType::Binary => texts(data_type, rows, pieces, stretches),
        ArrowType::Null => Ok(new_null_array(data_type, rows)),
        other => Err(Error::corrupt(format!("{other} is not a column type"))),
    }
}

/// Rows one by one: four bytes each, so that a batch of them stays in the nearest cache.
pub(crate) struct Singles {
    /// Piece and row of each.
    rows: Vec<(u16, u16)>,
    /// For each piece how many rows it must have.
    lengths: Vec<usize>,
}

impl Singles {
    /// Of stretches of rows; `None` where a piece or a row has too high a number.
    pub(crate) fn of(spans: impl Iterator<Item = Option<Span>>, rows: usize) -> Option<Self> {
        let mut singles = Vec::with_capacity(rows);
        let mut lengths = Vec::new();
        for span in spans {
            let span = span?;
            let piece = u16::try_from(span.piece).ok()?;
            let start = u16::try_from(span.start).ok()?;
            let end = u16::try_from(span.start + span.rows).ok()?;
            if lengths.len() <= span.piece {
                lengths.resize(span.piece + 1, 0);
            }
            if let Some(length) = lengths.get_mut(span.piece) {
                *length = usize::from(end).max(*length);
            }
            if span.reverse {
                singles.extend((start..end).rev().map(|row| (piece, row)));
            } else {
                singles.extend((start..end).map(|row| (piece, row)));
            }
        }
        Some(Singles {
            rows: singles,
            lengths,
        })
    }
}

/// Makes a column of numbers of 64 bits, none of them NULL, row by row; `None` for any other column.
///
/// # Errors
/// As [`copy_column`].
pub(crate) fn copy_singly(
    data_type: &ArrowType,
    pieces: &[Option<&ArrayRef>],
    rows: &Singles,
) -> Result<Option<ArrayRef>> {
    match data_type {
        ArrowType::Int64 => singly::<Int64Type>(data_type, pieces, rows),
        ArrowType::Timestamp(TimeUnit::Nanosecond, _) => {
            singly::<TimestampNanosecondType>(data_type, pieces, rows)
        }
        ArrowType::Float64 => singly::<Float64Type>(data_type, pieces, rows),
        _ => Ok(None),
    }
}

fn singly<T: ArrowPrimitiveType>(
    data_type: &ArrowType,
    pieces: &[Option<&ArrayRef>],
    rows: &Singles,
) -> Result<Option<ArrayRef>> {
    let mut sources: Vec<&[T::Native]> = Vec::with_capacity(pieces.len());
    for piece in pieces {
        match piece.map(|array| array.as_primitive_opt::<T>()) {
            Some(Some(array)) if array.null_count() == 0 => sources.push(array.values()),
            // Nobody picks from it, or it has none of the column.
            None => sources.push(&[]),
            Some(_) => return Ok(None),
        }
    }
    let needed = rows.lengths.iter().enumerate();
    let mut needed = needed.filter(|(_, length)| **length > 0);
    if !needed.all(|(piece, length)| sources.get(piece).is_some_and(|held| held.len() >= *length)) {
        return Ok(None);
    }
    let picked = rows.rows.iter().map(|(piece, row)| {
        let source = sources.get(usize::from(*piece));
        let value = source.and_then(|source| source.get(usize::from(*row)));
        value.copied().unwrap_or_default()
    });
    let values: Vec<T::Native> = picked.collect();
    let array = PrimitiveArray::<T>::new(values.into(), None);
    Ok(Some(Arc::new(array.with_data_type(data_type.clone()))))
}

pub(super) fn outside() -> Error {
    Error::corrupt("picked rows lie outside their vector")
}

/// Appends the validity of a span.
fn push_nulls(nulls: &mut NullBufferBuilder, source: Option<&NullBuffer>, span: Span) {
    match source {
        None => nulls.append_n_non_nulls(span.rows),
        Some(source) if span.reverse => {
            for row in (span.start..span.start + span.rows).rev() {
                nulls.append(source.is_valid(row));
            }
        }
        Some(source) => nulls.append_buffer(&source.slice(span.start, span.rows)),
    }
}

/// The values of an array, and which are NULL.
type Numbers<'a, T> = (
    &'a [<T as ArrowPrimitiveType>::Native],
    Option<&'a NullBuffer>,
);

fn primitives<T: ArrowPrimitiveType>(
    data_type: &ArrowType,
    rows: usize,
    pieces: &[Option<&ArrayRef>],
    stretches: impl Iterator<Item = Stretch>,
) -> Result<ArrayRef> {
    let sources: Vec<Option<Numbers<'_, T>>> = pieces
        .iter()
        .map(|array| {
            array
                .and_then(|array| array.as_primitive_opt::<T>())
                .map(|array| (array.values().as_ref(), array.nulls()))
        })
        .collect();
    let mut values: Vec<T::Native> = Vec::with_capacity(rows);
    let mut nulls = NullBufferBuilder::new(rows);
    for stretch in stretches {
        let (span, source) = match stretch {
            Stretch::Nulls(rows) => {
                values.resize(values.len() + rows, T::Native::default());
                nulls.append_n_nulls(rows);
                continue;
            }
            Stretch::Cells(span) => (span, sources.get(span.piece).copied().flatten()),
        };
        let Some((source, valid)) = source else {
            values.resize(values.len() + span.rows, T::Native::default());
            nulls.append_n_nulls(span.rows);
            continue;
        };
        let cells = source
            .get(span.start..span.start + span.rows)
            .ok_or_else(outside)?;
        if span.reverse {
            values.extend(cells.iter().rev());
        } else {
            values.extend_from_slice(cells);
        }
        push_nulls(&mut nulls, valid, span);
    }
    let array = PrimitiveArray::<T>::new(values.into(), nulls.finish());
    Ok(Arc::new(array.with_data_type(data_type.clone())))
}

fn booleans(
    rows: usize,
    pieces: &[Option<&ArrayRef>],
    stretches: impl Iterator<Item = Stretch>,
) -> Result<ArrayRef> {
    let mut values = BooleanBufferBuilder::new(rows);
    let mut nulls = NullBufferBuilder::new(rows);
    for stretch in stretches {
        let (span, source) = match stretch {
            Stretch::Nulls(rows) => {
                values.append_n(rows, false);
                nulls.append_n_nulls(rows);
                continue;
            }
            Stretch::Cells(span) => (span, pieces.get(span.piece).copied().flatten()),
        };
        let Some(source) = source.and_then(|array| array.as_boolean_opt()) else {
            values.append_n(span.rows, false);
            nulls.append_n_nulls(span.rows);
            continue;
        };
        if span.start + span.rows > source.len() {
            return Err(outside());
        }
        if span.reverse {
            for row in (span.start..span.start + span.rows).rev() {
                values.append(source.value(row));
            }
        } else {
            values.append_buffer(&source.values().slice(span.start, span.rows));
        }
        push_nulls(&mut nulls, source.nulls(), span);
    }
    Ok(Arc::new(BooleanArray::new(values.finish(), nulls.finish())))
}

/// A text or byte array's parts.
struct Text<'a> {
    offsets: &'a [i32],
    data: &'a [u8],
    valid: Option<&'a NullBuffer>,
}

impl<'a> Text<'a> {
    fn of(array: &'a ArrayRef) -> Option<Self> {
        if let Some(text) = array.as_string_opt::<i32>() {
            return Some(Text {
                offsets: text.value_offsets(),
                data: text.value_data(),
                valid: text.nulls(),
            });
        }
        array.as_binary_opt::<i32>().map(|bytes| Text {
            offsets: bytes.value_offsets(),
            data: bytes.value_data(),
            valid: bytes.nulls(),
        })
    }

    /// The offsets around a span's rows.
    fn offsets(&self, span: Span) -> Result<&'a [i32]> {
        self.offsets
            .get(span.start..=span.start + span.rows)
            .ok_or_else(outside)
    }
}

fn texts(
    data_type: &ArrowType,
    rows: usize,
    pieces: &[Option<&ArrayRef>],
    stretches: impl Iterator<Item = Stretch> + Clone,
) -> Result<ArrayRef> {
    let sources: Vec<Option<Text<'_>>> = pieces
        .iter()
        .map(|array| array.and_then(Text::of))
        .collect();
    let source = |piece: usize| sources.get(piece).and_then(Option::as_ref);
    let mut bytes = 0_usize;
    for stretch in stretches.clone() {
        if let Stretch::Cells(span) = stretch
            && let Some(text) = source(span.piece)
        {
            let offsets = text.offsets(span)?;
            if let (Some(first), Some(last)) = (offsets.first(), offsets.last()) {
                bytes += last.saturating_sub(*first).max(0) as usize;
            }
        }
    }
    if i32::try_from(bytes).is_err() {
        return Err(
            Error::overloaded("the text of a batch is more than one column can hold")
                .with_hint("read fewer columns or smaller ranges"),
        );
    }
    let mut data: Vec<u8> = Vec::with_capacity(bytes);
    let mut ends: Vec<i32> = Vec::with_capacity(rows + 1);
    ends.push(0);
    let mut nulls = NullBufferBuilder::new(rows);
    for stretch in stretches {
        let end = data.len() as i32;
        let (span, text) = match stretch {
            Stretch::Nulls(rows) => {
                ends.extend(std::iter::repeat_n(end, rows));
                nulls.append_n_nulls(rows);
                continue;
            }
            Stretch::Cells(span) => (span, source(span.piece)),
        };
        let Some(text) = text else {
            ends.extend(std::iter::repeat_n(end, span.rows));
            nulls.append_n_nulls(span.rows);
            continue;
        };
        let offsets = text.offsets(span)?;
        if span.reverse {
            for pair in offsets.windows(2).rev() {
                if let [from, to] = pair {
                    let value = text.data.get(*from as usize..*to as usize);
                    data.extend_from_slice(value.ok_or_else(outside)?);
                    ends.push(data.len() as i32);
                }
            }
        } else if let (Some(first), Some(last)) = (offsets.first(), offsets.last()) {
            let value = text.data.get(*first as usize..*last as usize);
            data.extend_from_slice(value.ok_or_else(outside)?);
            ends.extend(offsets.iter().skip(1).map(|offset| offset - first + end));
        }
        push_nulls(&mut nulls, text.valid, span);
    }
    let offsets = OffsetBuffer::new(ends.into());
    if *data_type == ArrowType::Binary {
        return Ok(Arc::new(BinaryArray::new(
            offsets,
            data.into(),
            nulls.finish(),
        )));
    }
    let array = StringArray::try_new(offsets, data.into(), nulls.finish())
        .map_err(|_| Error::corrupt("a text column holds bytes that are not UTF-8"))?;
    Ok(Arc::new(array))
}
