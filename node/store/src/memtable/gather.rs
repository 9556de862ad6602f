//! Gathering: a new batch of fragments picked from several batches, cell states kept.

use std::ops::Range;

use activestore_types::{BatchColumn, ColumnId, Error, KeyBuffer, Result, RowBatch, TableSchema};
use arrow::array::{Array, new_null_array};
use arrow::buffer::{BooleanBuffer, ScalarBuffer};
use arrow::compute::interleave;
use arrow::datatypes::DataType as ArrowType;

/// One fragment: which batch, which row.
pub(crate) type Pick = (usize, usize);

/// Some neighbouring rows, uncopied, with their keys.
///
/// # Errors
/// `Invalid` for more than 4 GiB of keys.
pub(crate) fn part(
    batch: &RowBatch,
    keys: &KeyBuffer,
    rows: Range<usize>,
) -> Result<(RowBatch, KeyBuffer)> {
    let mut some = KeyBuffer::default();
    some.append(keys, rows.clone())?;
    Ok((batch.slice(rows.start, rows.len()), some))
}

/// Builds the batch of the picked fragments. `trimmed` says for which (column of the schema, pick)
/// a set cell is to become absent. Columns that no picked fragment sets are left out.
pub(crate) fn gather(
    schema: &TableSchema,
    batches: &[&RowBatch],
    picks: &[Pick],
    trimmed: Option<&dyn Fn(usize, usize) -> bool>,
) -> Result<RowBatch> {
    let mut columns = Vec::with_capacity(schema.columns.len());
    for (index, column) in schema.columns.iter().enumerate() {
        let trim = trimmed.map(|trimmed| move |pick: usize| trimmed(index, pick));
        let data_type = column.data_type.arrow();
        if let Some(column) = gather_column(column.id, &data_type, batches, picks, trim)? {
            columns.push(column);
        }
    }
    let expires = batches.iter().any(|batch| batch.expiry_ms.is_some());
    let dies = batches.iter().any(|batch| batch.tombstone.is_some());
    Ok(RowBatch {
        table: schema.id,
        rows: picks.len(),
        columns,
        hlc: pick_numbers(batches, picks, |batch| &batch.hlc).into(),
        origin: pick_numbers(batches, picks, |batch| &batch.origin).into(),
        expiry_ms: expires
            .then(|| {
                pick_numbers(batches, picks, |batch| {
                    batch.expiry_ms.as_ref().map_or(&[], |expiry| expiry)
                })
            })
            .filter(|expiry| expiry.iter().any(|at| *at != 0))
            .map(ScalarBuffer::from),
        tombstone: dies
            .then(|| {
                picks
                    .iter()
                    .map(|(batch, row)| {
                        batches
                            .get(*batch)
                            .is_some_and(|batch| is_tombstone(batch, *row))
                    })
                    .collect::<BooleanBuffer>()
            })
            .filter(|dead| dead.count_set_bits() > 0),
    })
}

/// The picked numbers; 0 where a batch has none.
fn pick_numbers<T: Copy + Default>(
    batches: &[&RowBatch],
    picks: &[Pick],
    of: impl Fn(&RowBatch) -> &[T],
) -> Vec<T> {
    let numbers: Vec<&[T]> = batches.iter().map(|batch| of(batch)).collect();
    let pick = |(batch, row): &Pick| {
        let number = numbers.get(*batch).and_then(|numbers| numbers.get(*row));
        number.copied().unwrap_or_default()
    };
    picks.iter().map(pick).collect()
}

fn gather_column(
    id: ColumnId,
    data_type: &ArrowType,
    batches: &[&RowBatch],
    picks: &[Pick],
    trim: Option<impl Fn(usize) -> bool>,
) -> Result<Option<BatchColumn>> {
    let sources: Vec<Option<&BatchColumn>> = batches.iter().map(|batch| batch.column(id)).collect();
    if sources.iter().all(Option::is_none) {
        return Ok(None);
    }
    if sources
        .iter()
        .flatten()
        .any(|column| column.array.data_type() != data_type)
    {
        return Err(Error::corrupt(format!(
            "a stored batch holds column {} with another type than the table's {data_type}",
            id.0
        )));
    }
    let whole = trim.is_none()
        && sources
            .iter()
            .all(|column| column.is_some_and(|column| column.set.is_none()));
    if whole {
        let arrays: Vec<&dyn Array> = sources
            .iter()
            .flatten()
            .map(|column| column.array.as_ref())
            .collect();
        return Ok(Some(BatchColumn {
            id,
            array: interleave(&arrays, picks)?,
            set: None,
        }));
    }
    // The array at place 0 stands for every absent cell.
    let absent = new_null_array(data_type, 1);
    let mut arrays: Vec<&dyn Array> = vec![absent.as_ref()];
    let mut places = Vec::with_capacity(sources.len());
    for source in &sources {
        places.push(arrays.len());
        if let Some(column) = source {
            arrays.push(column.array.as_ref());
        }
    }
    let mut cells = Vec::with_capacity(picks.len());
    let set: BooleanBuffer = picks
        .iter()
        .enumerate()
        .map(|(pick, (batch, row))| {
            let source = sources.get(*batch).copied().flatten();
            let set = source.is_some_and(|column| {
                column
                    .set
                    .as_ref()
                    .is_none_or(|set| *row < set.len() && set.value(*row))
            }) && !trim.as_ref().is_some_and(|trim| trim(pick));
            let place = places.get(*batch).copied().unwrap_or(0);
            cells.push(if set { (place, *row) } else { (0, 0) });
            set
        })
        .collect();
    match set.count_set_bits() {
        0 => Ok(None),
        count => Ok(Some(BatchColumn {
            id,
            array: interleave(&arrays, &cells)?,
            set: (count < picks.len()).then_some(set),
        })),
    }
}

/// When a fragment expires, in milliseconds since 1970; 0 means never.
pub(crate) fn expiry_of(batch: &RowBatch, row: usize) -> u64 {
    batch
        .expiry_ms
        .as_ref()
        .and_then(|expiry| expiry.get(row).copied())
        .unwrap_or(0)
}

/// Whether a fragment is a row tombstone.
pub(crate) fn is_tombstone(batch: &RowBatch, row: usize) -> bool {
    batch
        .tombstone
        .as_ref()
        .is_some_and(|dead| row < dead.len() && dead.value(row))
}
