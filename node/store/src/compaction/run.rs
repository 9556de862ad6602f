//! Carrying out a merge: the chosen files as one stream of runs and keys, written in batches.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

use activestore_sst::{SstMeta, SstOptions, SstWriter, VECTOR_ROWS};
use activestore_types::{ColumnId, Error, Hlc, KeyBuffer, Result, RowBatch, TableSchema};
use arrow::array::AsArray;
use arrow::datatypes::TimestampNanosecondType;

use super::copy::{Spans, copy, copy_keys};
use super::merge::{Merge, Step};
use super::reduce::Reducer;
use super::source::{Columns, FileSource};
use super::{Choice, Outcome, Reason, shadow};
use crate::disks::SstDisks;
use crate::memtable::gather::{Pick, gather, part};
use crate::memtable::row_keys;
use crate::read::{Pieces, VECTORS_HELD_MAX, bad_keys};
use crate::version::{NewFile, Origins, OwnKeys, TableFile, TableVersion, TombstoneMap};

/// Rows handed to the SSTable's writer at once.
const WRITE_ROWS: usize = 8192;
/// The same, of tables of very many columns.
const WRITE_ROWS_MIN: usize = 256;

/// Merges the chosen files of the version into new ones, whose paths `next_path` names; expired
/// and evicted ones leave nothing and are not read. `pace` is told of the bytes written since the last call, and may
/// wait or end the merge. On failure the files that were begun are removed.
///
/// # Errors
/// `Internal` if the version lacks a chosen file; `Corrupt` from a damaged one; as the disk and as
/// `pace`.
pub fn run(
    version: &TableVersion,
    choice: &Choice,
    origins: &Origins,
    disks: &SstDisks,
    options: SstOptions,
    next_path: &mut dyn FnMut() -> String,
    pace: &mut dyn FnMut(u64) -> Result<()>,
) -> Result<Outcome> {
    let inputs = choice
        .inputs
        .iter()
        .map(|id| {
            let found = version.files.iter().find(|file| file.id == *id);
            found.map(AsRef::as_ref).ok_or_else(|| {
                Error::internal(format!("file {id} is to be merged but not in the version"))
            })
        })
        .collect::<Result<Vec<&TableFile>>>()?;
    if matches!(choice.reason, Reason::Expired | Reason::Evicted) {
        return Ok(Outcome {
            dropped_tombstones: shadow::spent_tombstones(version, choice.settled, &choice.inputs),
            ..Outcome::default()
        });
    }
    let mut begun = Vec::new();
    let mut named = || {
        let path = next_path();
        begun.push(path.clone());
        path
    };
    let target = Target {
        disks,
        options,
        next_path: &mut named,
        pace,
    };
    let mut writer = Writer::new(version, choice, &inputs, target);
    let merged =
        merge(version, choice, origins, &inputs, &mut writer).and_then(|()| writer.finish());
    match merged {
        Ok(mut outcome) => {
            outcome.dropped_tombstones =
                shadow::spent_tombstones(version, choice.settled, &choice.inputs);
            Ok(outcome)
        }
        Err(error) => {
            disks.remove_begun(&begun);
            Err(error)
        }
    }
}

/// The steps of a merge: what no other input shares its keys with goes over in runs; the fragments
/// of a key that several inputs hold, or that may have to go, are reduced together.
fn merge(
    version: &TableVersion,
    choice: &Choice,
    origins: &Origins,
    inputs: &[&TableFile],
    writer: &mut Writer<'_>,
) -> Result<()> {
    let schema = &version.schema;
    let columns: Vec<ColumnId> = schema.columns.iter().map(|column| column.id).collect();
    let keys = columns.iter().map(|id| schema.is_key(*id)).collect();
    let tombstones = TombstoneMap::build(&version.all_tombstones(), origins.as_ref());
    let mut reducer = Reducer::new(Arc::clone(origins), keys, choice.drop_below, choice.now_ms);
    let mut pieces = Pieces::new(columns.clone());
    let shared = Arc::new(Columns {
        schema: Arc::clone(schema),
        all: columns.clone(),
    });
    let sources = inputs.iter().map(|file| {
        let dropping = may_drop(file.sst.meta(), choice);
        FileSource::new(&file.sst, &shared, dropping)
    });
    let mut merge = Merge::new(sources.collect::<Result<_>>()?);
    let row_bytes = schema.row_bytes_estimate();
    let vectors_max = choice.memory_bytes_max / 2 / (row_bytes * VECTOR_ROWS);
    let vectors_max = vectors_max.min(VECTORS_HELD_MAX);
    let rows_max = (choice.memory_bytes_max / 8 / row_bytes).clamp(WRITE_ROWS_MIN, WRITE_ROWS);
    let mut fragments = Vec::new();
    loop {
        fragments.clear();
        match merge.step(&tombstones, rows_max, &mut pieces, &mut fragments)? {
            Step::End => break,
            Step::Whole(whole) => {
                writer.write(&pieces)?;
                pieces.clear();
                let batch = whole.sst.read_stamped(whole.index, &columns)?;
                let keys =
                    row_keys(schema, &batch).map_err(|error| bad_keys(&whole.sst, &error))?;
                writer.outcome.fragments_in += batch.rows as u64;
                writer.append(&batch, &keys)?;
                continue;
            }
            Step::Run(run) => {
                writer.outcome.fragments_in += run.rows.len() as u64;
                writer.spans.push(run.piece, run.rows);
            }
            Step::Key => {
                writer.outcome.fragments_in += fragments.len() as u64;
                let barrier = tombstones.covering(merge.key());
                reducer.reduce(&pieces, &mut fragments, barrier);
                let first = writer.spans.rows();
                for (place, column) in &reducer.trimmed {
                    writer.trimmed.insert((*column, first + place));
                }
                for fragment in &fragments {
                    let row = fragment.row;
                    writer.spans.push(fragment.piece, row..row + 1);
                }
            }
        }
        if writer.spans.rows() >= rows_max || pieces.vectors() > vectors_max {
            writer.write(&pieces)?;
            pieces.clear();
        }
    }
    writer.write(&pieces)
}

/// Whether the merge may leave out fragments of a file that nothing newer shadows.
fn may_drop(meta: &SstMeta, choice: &Choice) -> bool {
    let expired = meta
        .min_expiry_ms
        .is_some_and(|first| first <= choice.now_ms);
    let old = |below: Hlc| meta.min_hlc < below;
    choice.drop_below.is_some_and(old) && (meta.tombstones > 0 || expired)
}

/// Where and how a merge writes.
struct Target<'a> {
    disks: &'a SstDisks,
    options: SstOptions,
    next_path: &'a mut dyn FnMut() -> String,
    pace: &'a mut dyn FnMut(u64) -> Result<()>,
}

/// A file being written.
struct Output {
    path: String,
    writer: SstWriter,
    rows: u64,
}

/// Which of a merge's streams of rows: of which partition with a key of its own, by its place in the
/// table's list, if any, and which side of a time.
type Stream = (Option<usize>, Side);

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Side {
    /// The window of the merged files, and all rows where nothing is split.
    Window,
    /// What is about a time before it.
    Late,
}

struct Writer<'a> {
    schema: &'a Arc<TableSchema>,
    own: &'a OwnKeys,
    target: Target<'a>,
    open: BTreeMap<Stream, Output>,
    /// The column and the time by which rows are split.
    split: Option<(ColumnId, i64)>,
    /// Rows that make a file of about the largest size wanted.
    file_rows_max: u64,
    /// The fragments to write next.
    spans: Spans,
    /// (column, place among them) of cells to clear.
    trimmed: HashSet<(usize, usize)>,
    outcome: Outcome,
}

impl<'a> Writer<'a> {
    fn new(
        version: &'a TableVersion,
        choice: &Choice,
        inputs: &[&TableFile],
        target: Target<'a>,
    ) -> Self {
        let rows: u64 = inputs.iter().map(|file| file.sst.meta().rows).sum();
        let bytes: u64 = inputs.iter().map(|file| file.sst.meta().bytes).sum();
        let rows_max =
            u128::from(choice.file_bytes_max) * u128::from(rows) / u128::from(bytes.max(1));
        let schema = &version.schema;
        Writer {
            schema,
            own: &version.own,
            target,
            open: BTreeMap::new(),
            split: schema.time_column().zip(choice.split_time_ns),
            file_rows_max: u64::try_from(rows_max).unwrap_or(u64::MAX).max(1),
            spans: Spans::default(),
            trimmed: HashSet::new(),
            outcome: Outcome::default(),
        }
    }

    /// Writes the fragments that were picked; the keys that they belong to are complete.
    fn write(&mut self, pieces: &Pieces) -> Result<()> {
        if self.spans.rows() == 0 {
            return Ok(());
        }
        let keys = copy_keys(pieces, &self.spans)?;
        let batch = if self.trimmed.is_empty() && !self.spans.are_short() {
            copy(self.schema, pieces, &self.spans)?
        } else {
            let spans = self.spans.iter();
            let picks: Vec<Pick> = spans
                .flat_map(|span| span.rows.clone().map(|row| (span.piece, row)))
                .collect();
            let trims = |column: usize, pick: usize| self.trimmed.contains(&(column, pick));
            let trimmed: Option<&dyn Fn(usize, usize) -> bool> = if self.trimmed.is_empty() {
                None
            } else {
                Some(&trims)
            };
            gather(self.schema, &pieces.batches(), &picks, trimmed)?
        };
        self.spans.clear();
        self.trimmed.clear();
        self.append(&batch, &keys)
    }

    /// Adds rows, those of a partition with a key of its own to a file for them alone.
    fn append(&mut self, batch: &RowBatch, keys: &KeyBuffer) -> Result<()> {
        for (place, rows) in self.own.split(keys) {
            if place.is_some() {
                self.end_others(place)?;
            }
            if rows.len() == batch.rows {
                return self.append_timed(place, batch, keys);
            }
            let (batch, keys) = part(batch, keys, rows)?;
            self.append_timed(place, &batch, &keys)?;
        }
        Ok(())
    }

    /// Ends the files of other partitions: the rows come by key, so these are complete.
    fn end_others(&mut self, place: Option<usize>) -> Result<()> {
        let over = |(of, _): &Stream| of.is_some() && *of != place;
        while let Some(stream) = self.open.keys().copied().find(over) {
            if let Some(output) = self.open.remove(&stream) {
                self.close(output)?;
            }
        }
        Ok(())
    }

    /// Adds rows, those about an earlier time to the file of the late ones.
    fn append_timed(
        &mut self,
        place: Option<usize>,
        batch: &RowBatch,
        keys: &KeyBuffer,
    ) -> Result<()> {
        let times = self.split.and_then(|(id, start_ns)| {
            let array = batch
                .column(id)?
                .array
                .as_primitive_opt::<TimestampNanosecondType>()?;
            Some((array.values().clone(), start_ns))
        });
        let Some((times, start_ns)) = times else {
            return self.append_to((place, Side::Window), batch, keys);
        };
        let side = |time: i64| {
            if time < start_ns {
                Side::Late
            } else {
                Side::Window
            }
        };
        let mut first = 0;
        for same in times.chunk_by(|left, right| side(*left) == side(*right)) {
            let to = same.first().map_or(Side::Window, |time| side(*time));
            if same.len() == batch.rows {
                return self.append_to((place, to), batch, keys);
            }
            let (some, keys) = part(batch, keys, first..first + same.len())?;
            self.append_to((place, to), &some, &keys)?;
            first += same.len();
        }
        Ok(())
    }

    /// Adds rows to a file, begins one where none is open and ends one that is full.
    fn append_to(&mut self, stream: Stream, batch: &RowBatch, keys: &KeyBuffer) -> Result<()> {
        let mut output = match self.open.remove(&stream) {
            Some(output) => output,
            None => {
                let path = (self.target.next_path)();
                let (schema, options) = (Arc::clone(self.schema), self.target.options.clone());
                let disk = self.target.disks.under(self.own.key_at(stream.0));
                let writer = SstWriter::create(&disk, &path, schema, options)?;
                Output {
                    path,
                    writer,
                    rows: 0,
                }
            }
        };
        let before = output.writer.bytes();
        output.writer.append(batch, keys)?;
        let bytes = output.writer.bytes() - before;
        output.rows += batch.rows as u64;
        self.outcome.fragments_out += batch.rows as u64;
        if output.rows >= self.file_rows_max {
            self.close(output)?;
        } else {
            self.open.insert(stream, output);
        }
        if bytes == 0 {
            return Ok(());
        }
        (self.target.pace)(bytes)
    }

    fn close(&mut self, output: Output) -> Result<()> {
        let meta = output.writer.finish()?;
        let path = output.path;
        self.outcome.files.push(NewFile { path, meta });
        Ok(())
    }

    fn finish(mut self) -> Result<Outcome> {
        while let Some((_, output)) = self.open.pop_first() {
            self.close(output)?;
        }
        Ok(self.outcome)
    }
}
