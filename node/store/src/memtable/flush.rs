//! The flush: a frozen memtable written to one SSTable, in key order, newest fragment first.

use std::sync::Arc;

use activestore_env::Disk;
use activestore_sst::{SstMeta, SstOptions, SstWriter};
use activestore_types::{KeyRange, Result, RowBatch, TableSchema};

use super::gather::{Pick, gather};
use super::{Memtable, MemtableView, row_keys};

/// Rows handed to the SSTable's writer at once.
const FLUSH_ROWS: usize = 16 * 1024;

/// Writes the memtable's fragments to a new file at `path` with the newest schema. Range tombstones
/// are left to the caller. Returns `None`, and makes no file, where there is no fragment.
///
/// # Errors
/// As the disk and the SSTable's writer; a file that was begun is removed.
pub fn flush(
    memtable: &Arc<Memtable>,
    schema: &Arc<TableSchema>,
    disk: &Arc<dyn Disk>,
    path: &str,
    options: SstOptions,
) -> Result<Option<SstMeta>> {
    let view = memtable.view();
    if view.rows() == 0 {
        return Ok(None);
    }
    let written = write(&view, schema, disk, path, options);
    if written.is_err() && disk.exists(path) {
        // The error that matters is the first one; a left-over file is found again at start-up.
        let _ = disk.remove(path);
    }
    written.map(Some)
}

fn write(
    view: &MemtableView,
    schema: &Arc<TableSchema>,
    disk: &Arc<dyn Disk>,
    path: &str,
    options: SstOptions,
) -> Result<SstMeta> {
    let mut writer = SstWriter::create(disk, path, Arc::clone(schema), options)?;
    for batch in sorted_batches(view, schema) {
        let batch = batch?;
        writer.append(&batch, &row_keys(schema, &batch)?)?;
    }
    writer.finish()
}

/// All fragments of a view by (key, stamp descending), in batches of at most [`FLUSH_ROWS`] rows.
pub(crate) fn sorted_batches<'a>(
    view: &'a MemtableView,
    schema: &'a TableSchema,
) -> impl Iterator<Item = Result<RowBatch>> + 'a {
    let chunks = view.chunks();
    let mut order = view.order(&KeyRange::all());
    newest_first(view, &mut order);
    let mut batches = Vec::with_capacity(chunks.len());
    for chunk in 0..chunks.len() {
        batches.extend(chunks.get(chunk).map(|chunk| &chunk.batch));
    }
    let mut next = 0;
    std::iter::from_fn(move || {
        let rows = order.get(next..)?;
        let rows = rows.get(..FLUSH_ROWS).unwrap_or(rows);
        if rows.is_empty() {
            return None;
        }
        next += rows.len();
        // Only the batches that these rows lie in, so that the gather's cost follows the rows.
        let mut places = vec![usize::MAX; batches.len()];
        let mut used: Vec<&RowBatch> = Vec::new();
        let mut picks: Vec<Pick> = Vec::with_capacity(rows.len());
        for row in rows {
            let (chunk, at) = chunks.locate(*row);
            let (Some(place), Some(batch)) = (places.get_mut(chunk), batches.get(chunk)) else {
                continue;
            };
            if *place == usize::MAX {
                *place = used.len();
                used.push(batch);
            }
            picks.push((*place, at));
        }
        Some(gather(schema, &used, &picks, None))
    })
}

/// Puts the fragments of each key from the highest stamp to the lowest.
fn newest_first(view: &MemtableView, order: &mut [u32]) {
    let chunks = view.chunks();
    let hlc = |row: u32| {
        let (chunk, at) = chunks.locate(row);
        chunks
            .get(chunk)
            .and_then(|chunk| chunk.batch.hlc.get(at).copied())
            .unwrap_or(0)
    };
    for run in order.chunk_by_mut(|left, right| chunks.key(*left) == chunks.key(*right)) {
        if run.len() > 1 {
            run.sort_by_key(|row| std::cmp::Reverse(hlc(*row)));
        }
    }
}
