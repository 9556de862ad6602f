//! The rows of one row group as slices of the batches they came in, joined column by column.

use std::sync::Arc;

use activestore_types::{BatchColumn, ColumnId, DataType, Result, RowBatch, TableSchema};
use arrow::array::{
    Array, ArrayRef, AsArray, BooleanArray, BooleanBufferBuilder, UInt32Array, UInt64Array,
    new_null_array,
};
use arrow::buffer::{BooleanBuffer, ScalarBuffer};
use arrow::compute::{concat, take};
use arrow::datatypes::{UInt32Type, UInt64Type};

use crate::block::vector::string_parts;
use crate::footer::ColumnKind;

/// Some rows of a batch, uncopied.
pub(crate) fn slice(batch: &RowBatch, start: usize, rows: usize) -> RowBatch {
    if start == 0 && rows == batch.rows {
        return batch.clone();
    }
    let columns = batch.columns.iter().map(|column| {
        let mut column = column.clone();
        column.array = column.array.slice(start, rows);
        column.set = column.set.map(|set| set.slice(start, rows));
        column
    });
    RowBatch {
        table: batch.table,
        rows,
        columns: columns.collect(),
        hlc: batch.hlc.slice(start, rows),
        origin: batch.origin.slice(start, rows),
        expiry_ms: batch
            .expiry_ms
            .as_ref()
            .map(|expiry| expiry.slice(start, rows)),
        tombstone: batch.tombstone.as_ref().map(|bits| bits.slice(start, rows)),
    }
}

/// Some rows of a batch, copied.
pub(crate) fn pick(batch: &RowBatch, rows: &[usize]) -> Result<RowBatch> {
    let places = UInt64Array::from_iter_values(rows.iter().map(|row| *row as u64));
    let bits = |bits: &BooleanBuffer| -> BooleanBuffer {
        let picked = rows.iter().map(|row| *row < bits.len() && bits.value(*row));
        picked.collect()
    };
    let mut columns = Vec::with_capacity(batch.columns.len());
    for column in &batch.columns {
        columns.push(BatchColumn {
            id: column.id,
            array: take(&column.array, &places, None)?,
            set: column.set.as_ref().map(bits),
        });
    }
    let numbers = |of: &ScalarBuffer<u64>| -> ScalarBuffer<u64> {
        let picked = rows.iter().map(|row| of.get(*row).copied().unwrap_or(0));
        picked.collect()
    };
    let origin = rows
        .iter()
        .map(|row| batch.origin.get(*row).copied().unwrap_or(0));
    Ok(RowBatch {
        table: batch.table,
        rows: rows.len(),
        columns,
        hlc: numbers(&batch.hlc),
        origin: origin.collect(),
        expiry_ms: batch.expiry_ms.as_ref().map(numbers),
        tombstone: batch.tombstone.as_ref().map(bits),
    })
}

/// Bytes of all text and byte cells.
pub(crate) fn text_bytes(batch: &RowBatch) -> usize {
    let columns = batch
        .columns
        .iter()
        .filter_map(|column| string_parts(column.array.as_ref()));
    columns
        .map(|(offsets, _)| match (offsets.first(), offsets.last()) {
            (Some(first), Some(last)) => (last - first) as usize,
            _ => 0,
        })
        .sum()
}

/// Pieces of so many rows in all as one batch.
pub(crate) fn join(pieces: &[RowBatch], rows: usize, schema: &TableSchema) -> Result<RowBatch> {
    let mut columns = Vec::with_capacity(schema.columns.len());
    for column in &schema.columns {
        let kind = ColumnKind::Cells(column.id);
        if let Some((array, set)) = gather(pieces, rows, kind, Some(column.data_type))? {
            let id = column.id;
            columns.push(BatchColumn { id, array, set });
        }
    }
    let hidden = |kind| -> Result<Option<ArrayRef>> {
        Ok(gather(pieces, rows, kind, None)?.map(|(array, _)| array))
    };
    let numbers = |array: ArrayRef| array.as_primitive::<UInt64Type>().values().clone();
    let no_numbers = || ScalarBuffer::from(Vec::new());
    let origin = hidden(ColumnKind::Origin)?;
    Ok(RowBatch {
        table: schema.id,
        rows,
        columns,
        hlc: hidden(ColumnKind::Hlc)?.map_or_else(no_numbers, numbers),
        origin: origin.map_or_else(
            || ScalarBuffer::from(Vec::new()),
            |array| array.as_primitive::<UInt32Type>().values().clone(),
        ),
        expiry_ms: hidden(ColumnKind::Expiry)?.map(numbers),
        tombstone: hidden(ColumnKind::Tombstone)?.map(|array| array.as_boolean().values().clone()),
    })
}

/// The cells of a column and which of them are set; `None` means all.
pub(crate) type Cells = (ArrayRef, Option<BooleanBuffer>);

/// One column of a row group in one piece; `None` where no row has anything of it.
pub(crate) fn gather(
    pieces: &[RowBatch],
    rows: usize,
    kind: ColumnKind,
    data_type: Option<DataType>,
) -> Result<Option<Cells>> {
    let hidden: Vec<ArrayRef> = match kind {
        ColumnKind::Cells(id) => {
            return data_type.map_or(Ok(None), |data_type| {
                gather_cells(pieces, rows, id, data_type)
            });
        }
        ColumnKind::Hlc => pieces.iter().map(|piece| stamps(&piece.hlc)).collect(),
        ColumnKind::Origin => pieces
            .iter()
            .map(|piece| Arc::new(UInt32Array::new(piece.origin.clone(), None)) as ArrayRef)
            .collect(),
        ColumnKind::Expiry => {
            let expires = |piece: &RowBatch| {
                piece
                    .expiry_ms
                    .as_ref()
                    .is_some_and(|expiry| expiry.iter().any(|e| *e > 0))
            };
            if !pieces.iter().any(expires) {
                return Ok(None);
            }
            let expiry = |piece: &RowBatch| {
                let never = || std::iter::repeat_n(0, piece.rows).collect();
                stamps(&piece.expiry_ms.clone().unwrap_or_else(never))
            };
            pieces.iter().map(expiry).collect()
        }
        ColumnKind::Tombstone => {
            let deletes = |piece: &RowBatch| {
                piece
                    .tombstone
                    .as_ref()
                    .is_some_and(|bits| bits.count_set_bits() > 0)
            };
            if !pieces.iter().any(deletes) {
                return Ok(None);
            }
            let bits = |piece: &RowBatch| {
                let none = || BooleanBuffer::new_unset(piece.rows);
                let bits = piece.tombstone.clone().unwrap_or_else(none);
                Arc::new(BooleanArray::new(bits, None)) as ArrayRef
            };
            pieces.iter().map(bits).collect()
        }
    };
    Ok(Some((concatenated(&hidden)?, None)))
}

fn gather_cells(
    pieces: &[RowBatch],
    rows: usize,
    id: ColumnId,
    data_type: DataType,
) -> Result<Option<Cells>> {
    let columns: Vec<_> = pieces
        .iter()
        .map(|piece| (piece.rows, piece.column(id)))
        .collect();
    if columns.iter().all(|(_, column)| column.is_none()) {
        return Ok(None);
    }
    let arrow = data_type.arrow();
    let arrays: Vec<ArrayRef> = columns
        .iter()
        .map(|(rows, column)| match column {
            Some(column) => column.array.clone(),
            None => new_null_array(&arrow, *rows),
        })
        .collect();
    let partial = |(_, column): &(usize, Option<&BatchColumn>)| {
        column.is_none_or(|column| column.set.is_some())
    };
    let set = columns.iter().any(partial).then(|| {
        let mut bits = BooleanBufferBuilder::new(rows);
        for (rows, column) in &columns {
            match column {
                None => bits.append_n(*rows, false),
                Some(column) => match &column.set {
                    None => bits.append_n(*rows, true),
                    Some(set) => bits.append_buffer(set),
                },
            }
        }
        bits.finish()
    });
    if set.as_ref().is_some_and(|set| set.count_set_bits() == 0) {
        return Ok(None);
    }
    Ok(Some((concatenated(&arrays)?, set)))
}

fn stamps(values: &ScalarBuffer<u64>) -> ArrayRef {
    Arc::new(UInt64Array::new(values.clone(), None))
}

fn concatenated(arrays: &[ArrayRef]) -> Result<ArrayRef> {
    match arrays {
        [only] => Ok(only.clone()),
        many => {
            let many: Vec<&dyn Array> = many.iter().map(|array| array.as_ref()).collect();
            Ok(concat(&many)?)
        }
    }
}
