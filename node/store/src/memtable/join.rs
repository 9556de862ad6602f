//! Joining small batches of a table into larger ones, cell states kept, so that many small writes do
//! not leave many small batches. The order of the rows stays.

use std::sync::Arc;

use activestore_types::{BatchColumn, ColumnId, RowBatch};
use arrow::array::{Array, ArrayRef, BooleanBufferBuilder, new_null_array};
use arrow::buffer::BooleanBuffer;
use arrow::compute::concat;

use super::gather::{expiry_of, is_tombstone};
use super::{Chunk, Chunks, RowKeys};

/// Batches are joined up to this many rows.
const JOIN_ROWS_MAX: usize = 1024;

/// Adds a chunk, joining it with a small neighbour. Row numbers stay what they are, so the index
/// and every reader's list stay right.
pub(super) fn push_chunk(chunks: &mut Chunks, chunk: Chunk) {
    let list = Arc::make_mut(&mut chunks.0);
    list.push(Arc::new(chunk));
    // As a binary counter carries: neighbours of like size are joined, so a row is copied at most
    // log2(JOIN_ROWS_MAX) times.
    while let [.., left, right] = list.as_slice() {
        if right.batch.rows < left.batch.rows || left.batch.rows + right.batch.rows > JOIN_ROWS_MAX
        {
            break;
        }
        let Some(joined) = join_chunks(left, right) else {
            break;
        };
        list.truncate(list.len() - 2);
        list.push(Arc::new(joined));
    }
}

/// Two neighbouring chunks as one; `None` where they cannot be joined.
fn join_chunks(left: &Chunk, right: &Chunk) -> Option<Chunk> {
    let mut keys = left.keys.clone();
    keys.extend(&right.keys).ok()?;
    let batch = join(&[&left.batch, &right.batch])?;
    Some(Chunk::new(left.first, batch, keys))
}

/// Batches that came together, small neighbours joined at once: each row is copied once, however
/// many batches there are.
pub(super) fn join_small(batches: Vec<(RowBatch, RowKeys)>) -> Vec<(RowBatch, RowKeys)> {
    if batches.len() < 2 {
        return batches;
    }
    let mut out = Vec::new();
    let mut run = Vec::new();
    let mut rows = 0;
    for (batch, keys) in batches {
        if rows + batch.rows > JOIN_ROWS_MAX {
            join_run(&mut run, &mut out);
            rows = 0;
        }
        rows += batch.rows;
        run.push((batch, keys));
    }
    join_run(&mut run, &mut out);
    out
}

/// Moves the run to `out`, as one batch if it can be one.
fn join_run(run: &mut Vec<(RowBatch, RowKeys)>, out: &mut Vec<(RowBatch, RowKeys)>) {
    let joined = if run.len() > 1 {
        let batches: Vec<&RowBatch> = run.iter().map(|(batch, _)| batch).collect();
        let mut keys = RowKeys::default();
        let fits = run.iter().all(|(_, more)| keys.extend(more).is_ok());
        fits.then(|| join(&batches))
            .flatten()
            .map(|batch| (batch, keys))
    } else {
        None
    };
    match joined {
        Some(joined) => {
            run.clear();
            out.push(joined);
        }
        None => out.append(run),
    }
}

/// Batches of one table, one after the other, as one; `None` where they cannot be joined.
fn join(batches: &[&RowBatch]) -> Option<RowBatch> {
    let (first, rest) = batches.split_first()?;
    let rows = batches.iter().map(|batch| batch.rows).sum();
    let mut ids: Vec<ColumnId> = first.columns.iter().map(|column| column.id).collect();
    for column in rest.iter().flat_map(|batch| &batch.columns) {
        if !ids.contains(&column.id) {
            ids.push(column.id);
        }
    }
    let columns = ids.into_iter().map(|id| join_column(batches, id, rows));
    let both = |of: &dyn Fn(&RowBatch, usize) -> u64| -> Vec<u64> {
        batches
            .iter()
            .flat_map(|batch| (0..batch.rows).map(|row| of(batch, row)))
            .collect()
    };
    let expires = batches.iter().any(|batch| batch.expiry_ms.is_some());
    let dies = batches.iter().any(|batch| batch.tombstone.is_some());
    let mut hlc = Vec::with_capacity(rows);
    let mut origin = Vec::with_capacity(rows);
    for batch in batches {
        hlc.extend_from_slice(&batch.hlc);
        origin.extend_from_slice(&batch.origin);
    }
    Some(RowBatch {
        table: first.table,
        rows,
        columns: columns.collect::<Option<_>>()?,
        hlc: hlc.into(),
        origin: origin.into(),
        expiry_ms: expires.then(|| both(&expiry_of).into()),
        tombstone: dies.then(|| {
            batches
                .iter()
                .flat_map(|batch| (0..batch.rows).map(|row| is_tombstone(batch, row)))
                .collect()
        }),
    })
}

fn join_column(batches: &[&RowBatch], id: ColumnId, rows: usize) -> Option<BatchColumn> {
    let sources: Vec<Option<&BatchColumn>> = batches.iter().map(|batch| batch.column(id)).collect();
    let known = sources.iter().flatten().next()?;
    let absent: Vec<ArrayRef> = sources
        .iter()
        .zip(batches)
        .filter(|(source, _)| source.is_none())
        .map(|(_, batch)| new_null_array(known.array.data_type(), batch.rows))
        .collect();
    let mut absent = absent.iter();
    let arrays: Vec<&dyn Array> = sources
        .iter()
        .filter_map(|source| match source {
            Some(column) => Some(column.array.as_ref()),
            None => absent.next().map(AsRef::as_ref),
        })
        .collect();
    let partial = |source: &Option<&BatchColumn>| source.is_none_or(|column| column.set.is_some());
    let set = sources.iter().any(partial).then(|| -> BooleanBuffer {
        let mut bits = BooleanBufferBuilder::new(rows);
        for (source, batch) in sources.iter().zip(batches) {
            match source.map(|column| &column.set) {
                None => bits.append_n(batch.rows, false),
                Some(None) => bits.append_n(batch.rows, true),
                Some(Some(set)) => bits.append_buffer(set),
            }
        }
        bits.finish()
    });
    Some(BatchColumn {
        id,
        array: concat(&arrays).ok()?,
        set,
    })
}
