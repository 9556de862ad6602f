//! Copying: fragments that stay as they are, moved in runs of neighbouring rows.
//!
//! A run is one copy a column, so that its cost is that of the memory moved and not of the rows.

use std::ops::Range;

use activestore_types::{BatchColumn, ColumnId, Error, KeyBuffer, Result, RowBatch, TableSchema};
use arrow::array::{Array, BooleanBufferBuilder, MutableArrayData, make_array};
use arrow::buffer::ScalarBuffer;
use arrow::datatypes::DataType as ArrowType;

use crate::read::Pieces;

/// Neighbouring rows of one piece.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Span {
    pub(super) piece: usize,
    pub(super) rows: Range<usize>,
}

/// The rows of one batch to be written, in order.
#[derive(Default)]
pub(super) struct Spans {
    list: Vec<Span>,
    rows: usize,
}

impl Spans {
    /// Adds rows; those that follow on the last span lengthen it.
    pub(super) fn push(&mut self, piece: usize, rows: Range<usize>) {
        self.rows += rows.len();
        match self.list.last_mut() {
            Some(last) if last.piece == piece && last.rows.end == rows.start => {
                last.rows.end = rows.end;
            }
            _ => self.list.push(Span { piece, rows }),
        }
    }

    pub(super) fn rows(&self) -> usize {
        self.rows
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Span> {
        self.list.iter()
    }

    /// Whether there are so many short ones that picking row by row is no slower.
    pub(super) fn are_short(&self) -> bool {
        self.list.len() * 4 > self.rows
    }

    pub(super) fn clear(&mut self) {
        self.list.clear();
        self.rows = 0;
    }
}

/// The keys of the rows.
///
/// # Errors
/// `Invalid` for more than 4 GiB of keys.
pub(super) fn copy_keys(pieces: &Pieces, spans: &Spans) -> Result<KeyBuffer> {
    let mut keys = KeyBuffer::default();
    for span in spans.iter() {
        if let Some(from) = pieces.keys(span.piece) {
            keys.append(from, span.rows.clone())?;
        }
    }
    Ok(keys)
}

/// The rows as a batch, cell states kept. Columns that none of the pieces has are left out.
///
/// # Errors
/// `Corrupt` where a column has another type than the table's.
pub(super) fn copy(schema: &TableSchema, pieces: &Pieces, spans: &Spans) -> Result<RowBatch> {
    let batches = pieces.batches();
    let mut used: Vec<usize> = spans.iter().map(|span| span.piece).collect();
    used.sort_unstable();
    used.dedup();
    let mut columns = Vec::with_capacity(schema.columns.len());
    for column in &schema.columns {
        let data_type = column.data_type.arrow();
        columns.extend(copy_column(column.id, &data_type, &batches, &used, spans)?);
    }
    let of = |span: &Span| batches.get(span.piece).copied();
    let mut hlc: Vec<u64> = Vec::with_capacity(spans.rows);
    let mut origin: Vec<u32> = Vec::with_capacity(spans.rows);
    for span in spans.iter() {
        if let Some(batch) = of(span) {
            hlc.extend_from_slice(batch.hlc.get(span.rows.clone()).unwrap_or(&[]));
            origin.extend_from_slice(batch.origin.get(span.rows.clone()).unwrap_or(&[]));
        }
    }
    let any = |has: &dyn Fn(&RowBatch) -> bool| spans.iter().filter_map(of).any(has);
    let expiry = any(&|batch| batch.expiry_ms.is_some()).then(|| {
        let mut expiry: Vec<u64> = Vec::with_capacity(spans.rows);
        for span in spans.iter() {
            let from = of(span).and_then(|batch| batch.expiry_ms.as_ref());
            match from.and_then(|from| from.get(span.rows.clone())) {
                Some(from) => expiry.extend_from_slice(from),
                None => expiry.resize(expiry.len() + span.rows.len(), 0),
            }
        }
        ScalarBuffer::from(expiry)
    });
    let tombstone = any(&|batch| batch.tombstone.is_some()).then(|| {
        let mut dead = BooleanBufferBuilder::new(spans.rows);
        for span in spans.iter() {
            match of(span).and_then(|batch| batch.tombstone.as_ref()) {
                Some(from) => dead.append_buffer(&from.slice(span.rows.start, span.rows.len())),
                None => dead.append_n(span.rows.len(), false),
            }
        }
        dead.finish()
    });
    Ok(RowBatch {
        table: schema.id,
        rows: spans.rows,
        columns,
        hlc: hlc.into(),
        origin: origin.into(),
        expiry_ms: expiry.filter(|expiry| expiry.iter().any(|at| *at != 0)),
        tombstone: tombstone.filter(|dead| dead.count_set_bits() > 0),
    })
}

fn copy_column(
    id: ColumnId,
    data_type: &ArrowType,
    batches: &[&RowBatch],
    used: &[usize],
    spans: &Spans,
) -> Result<Option<BatchColumn>> {
    let sources: Vec<Option<&BatchColumn>> = used
        .iter()
        .map(|piece| batches.get(*piece).and_then(|batch| batch.column(id)))
        .collect();
    if sources.iter().all(Option::is_none) {
        return Ok(None);
    }
    // For each source the place of its array among those that are there.
    let mut arrays = Vec::with_capacity(sources.len());
    let mut places = Vec::with_capacity(sources.len());
    for column in &sources {
        places.push(column.map(|_| arrays.len()));
        if let Some(column) = column {
            if column.array.data_type() != data_type {
                return Err(Error::corrupt(format!(
                    "a stored batch holds column {} as {} where the table has {data_type}",
                    id.0,
                    column.array.data_type()
                )));
            }
            arrays.push(column.array.to_data());
        }
    }
    let partial = sources
        .iter()
        .any(|column| column.is_none_or(|column| column.set.is_some()));
    let mut out = MutableArrayData::new(arrays.iter().collect(), partial, spans.rows);
    let mut set = partial.then(|| BooleanBufferBuilder::new(spans.rows));
    for span in spans.iter() {
        let Ok(at) = used.binary_search(&span.piece) else {
            continue;
        };
        let count = span.rows.len();
        match places.get(at).copied().flatten() {
            Some(place) => out.try_extend(place, span.rows.start, span.rows.end)?,
            None => out.try_extend_nulls(count)?,
        }
        let Some(set) = &mut set else {
            continue;
        };
        match sources.get(at).copied().flatten().map(|column| &column.set) {
            Some(Some(bits)) => set.append_buffer(&bits.slice(span.rows.start, count)),
            Some(None) => set.append_n(count, true),
            None => set.append_n(count, false),
        }
    }
    let set = set.map(|mut set| set.finish());
    Ok(Some(BatchColumn {
        id,
        array: make_array(out.freeze()),
        set: set.filter(|set| set.count_set_bits() < spans.rows),
    }))
}

#[cfg(test)]
mod tests;
