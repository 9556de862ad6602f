//! The flush: a frozen memtable written to one SSTable, in key order, newest fragment first; the rows
//! of a partition that has a data key of its own to one for them alone.

use std::sync::Arc;

use activestore_sst::{SstOptions, SstWriter};
use activestore_types::{KeyBuffer, KeyRange, Result, RowBatch, TableSchema};

use super::gather::{Pick, gather, part};
use super::{Chunk, Chunks, Memtable, MemtableView};
use crate::disks::SstDisks;
use crate::version::NewFile;
use crate::version::OwnKeys;

/// Rows handed to the SSTable's writer at once; the fragments of one key are not divided.
const FLUSH_ROWS: usize = if cfg!(test) { 100 } else { 8 * 1024 };

/// Writes the memtable's fragments to new files, whose paths `next_path` names, with the newest
/// schema. Range tombstones are left to the caller. No file is made where there is no fragment.
///
/// # Errors
/// As the disk and the SSTable's writer; files that were begun are removed.
pub fn flush(
    memtable: &Arc<Memtable>,
    schema: &Arc<TableSchema>,
    own: &OwnKeys,
    disks: &SstDisks,
    next_path: &mut dyn FnMut() -> String,
    options: &SstOptions,
) -> Result<Vec<NewFile>> {
    let view = memtable.view();
    let mut begun = Vec::new();
    let mut named = || {
        let path = next_path();
        begun.push(path.clone());
        path
    };
    let written = write(&view, schema, own, disks, &mut named, options);
    if written.is_err() {
        disks.remove_begun(&begun);
    }
    written
}

/// A file that is being written.
struct Output {
    path: String,
    writer: SstWriter,
}

fn write(
    view: &MemtableView,
    schema: &Arc<TableSchema>,
    own: &OwnKeys,
    disks: &SstDisks,
    next_path: &mut dyn FnMut() -> String,
    options: &SstOptions,
) -> Result<Vec<NewFile>> {
    let mut files = Vec::new();
    let mut common: Option<Output> = None;
    // The rows come by key: those of a partition are together.
    let mut apart: Option<(usize, Output)> = None;
    let mut begin = |key: Option<u32>| {
        let path = next_path();
        let disk = disks.under(key);
        let writer = SstWriter::create(&disk, &path, Arc::clone(schema), options.clone())?;
        Ok::<_, activestore_types::Error>(Output { path, writer })
    };
    for rows in sorted_batches(view, schema) {
        let (batch, keys) = rows?;
        for (place, rows) in own.split(&keys) {
            let output = match place {
                None => match &mut common {
                    Some(output) => output,
                    None => common.insert(begin(None)?),
                },
                Some(at) => {
                    if apart.as_ref().is_some_and(|(last, _)| *last != at)
                        && let Some((_, full)) = apart.take()
                    {
                        files.push(full.finish()?);
                    }
                    let (_, output) = match &mut apart {
                        Some(open) => open,
                        None => apart.insert((at, begin(own.key_at(place))?)),
                    };
                    output
                }
            };
            if rows.len() == batch.rows {
                output.writer.append(&batch, &keys)?;
            } else {
                let (batch, keys) = part(&batch, &keys, rows)?;
                output.writer.append(&batch, &keys)?;
            }
        }
    }
    for output in apart.map(|(_, output)| output).into_iter().chain(common) {
        files.push(output.finish()?);
    }
    Ok(files)
}

impl Output {
    fn finish(self) -> Result<NewFile> {
        Ok(NewFile {
            meta: self.writer.finish()?,
            path: self.path,
        })
    }
}

/// All fragments of a view by (key, stamp descending) with their keys, in batches of about
/// [`FLUSH_ROWS`] rows.
pub(crate) fn sorted_batches<'a>(
    view: &'a MemtableView,
    schema: &'a TableSchema,
) -> impl Iterator<Item = Result<(RowBatch, KeyBuffer)>> + 'a {
    let (order, may_repeat) = view.select(&KeyRange::all());
    let finder = Finder::new(view.chunks());
    let mut next = 0;
    std::iter::from_fn(move || {
        let rows = order.get(next..).filter(|rows| !rows.is_empty())?;
        let mut sorted = Sorted::new(view.chunks(), may_repeat);
        for row in rows {
            let (chunk, at) = finder.find(*row);
            if !sorted.push(chunk, at) {
                break;
            }
            next += 1;
        }
        Some(sorted.finish(schema))
    })
}

/// Finds the chunk of a row without a search.
struct Finder {
    /// The first row of each chunk.
    firsts: Vec<u32>,
    /// For each stretch of [`Finder::STRETCH`] rows the chunk that holds its first one.
    stretches: Vec<u32>,
}

impl Finder {
    const STRETCH: u32 = 256;

    fn new(chunks: &Chunks) -> Self {
        let mut finder = Finder {
            firsts: Vec::with_capacity(chunks.len()),
            stretches: Vec::new(),
        };
        for (number, chunk) in (0..).zip(chunks.iter()) {
            // The stretches that start before this chunk belong to the one before it.
            let begun = chunk.first.div_ceil(Finder::STRETCH) as usize;
            if number > 0 {
                finder.stretches.resize(begun, number - 1);
            }
            finder.firsts.push(chunk.first);
        }
        let rows = chunks
            .iter()
            .last()
            .map_or(0, |chunk| chunk.first as usize + chunk.batch.rows);
        let last = finder.firsts.len().saturating_sub(1);
        finder.stretches.resize(
            rows.div_ceil(Finder::STRETCH as usize),
            u32::try_from(last).unwrap_or(u32::MAX),
        );
        finder
    }

    /// Which chunk holds the row, and where in it.
    fn find(&self, row: u32) -> (usize, usize) {
        let start = self.stretches.get((row / Finder::STRETCH) as usize);
        let mut chunk = start.map_or(0, |start| *start as usize);
        while self
            .firsts
            .get(chunk + 1)
            .is_some_and(|first| *first <= row)
        {
            chunk += 1;
        }
        let first = self.firsts.get(chunk).copied().unwrap_or(0);
        (chunk, row.saturating_sub(first) as usize)
    }
}

/// One batch in the making: rows by key, those of one key from the highest stamp to the lowest.
struct Sorted<'a> {
    chunks: &'a Chunks,
    /// Only the chunks that the rows lie in, so that the gather's cost follows the rows.
    used: Vec<&'a Chunk>,
    /// The place of each chunk in `used`.
    places: Vec<usize>,
    picks: Vec<Pick>,
    /// Whether two rows may have one key.
    may_repeat: bool,
    last_key: &'a [u8],
    /// Where the rows of the last key start in `picks`.
    run: usize,
}

impl<'a> Sorted<'a> {
    fn new(chunks: &'a Chunks, may_repeat: bool) -> Self {
        Sorted {
            chunks,
            may_repeat,
            used: Vec::new(),
            places: vec![usize::MAX; chunks.len()],
            picks: Vec::with_capacity(FLUSH_ROWS),
            last_key: &[],
            run: 0,
        }
    }

    /// Takes the next row by key; false where the batch is full, which it is not between two rows
    /// of one key.
    fn push(&mut self, chunk: usize, row: usize) -> bool {
        let Some(held) = self.chunks.get(chunk) else {
            return true;
        };
        // Where no key comes twice, none need be looked at.
        let key = if self.may_repeat {
            held.keys.key(row)
        } else {
            &[]
        };
        if !self.may_repeat || key != self.last_key || self.picks.is_empty() {
            if self.picks.len() >= FLUSH_ROWS {
                return false;
            }
            self.end_run();
            self.last_key = key;
        }
        if let Some(place) = self.places.get_mut(chunk) {
            if *place == usize::MAX {
                *place = self.used.len();
                self.used.push(held);
            }
            self.picks.push((*place, row));
        }
        true
    }

    fn end_run(&mut self) {
        let run = self.picks.get_mut(self.run..).unwrap_or_default();
        if run.len() > 1 {
            let used = &self.used;
            let hlc = |(place, row): &Pick| {
                let chunk = used.get(*place);
                chunk.and_then(|chunk| chunk.batch.hlc.get(*row).copied())
            };
            run.sort_by_key(|pick| std::cmp::Reverse(hlc(pick)));
        }
        self.run = self.picks.len();
    }

    fn finish(mut self, schema: &TableSchema) -> Result<(RowBatch, KeyBuffer)> {
        self.end_run();
        let batches: Vec<&RowBatch> = self.used.iter().map(|chunk| &chunk.batch).collect();
        let keys: Vec<&KeyBuffer> = self.used.iter().map(|chunk| &chunk.keys).collect();
        Ok((
            gather(schema, &batches, &self.picks, None)?,
            KeyBuffer::gather(&keys, &self.picks)?,
        ))
    }
}
