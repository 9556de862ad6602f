//! Carrying out a merge: the chosen files as one stream of keys, each reduced, written in batches.

use std::collections::HashSet;
use std::sync::Arc;

use activestore_env::Disk;
use activestore_sst::{SstOptions, SstWriter};
use activestore_types::{ColumnId, Error, KeyRange, RangeTombstone, Result, TableSchema};

use super::reduce::Reducer;
use super::{Choice, NewFile, Outcome};
use crate::memtable::gather::{Pick, gather};
use crate::memtable::row_keys;
use crate::read::{FileSource, Merge, Pieces, Plan, Source, Step, VECTORS_HELD_MAX};
use crate::version::{Origins, TableFile, TableVersion, TombstoneMap};

/// Rows handed to the SSTable's writer at once.
const WRITE_ROWS: usize = 8192;

/// Merges the chosen files of the version into new ones, whose paths `next_path` names. On failure
/// the files that were begun are removed.
///
/// # Errors
/// `Internal` if the version lacks a chosen file; `Corrupt` from a damaged one; as the disk.
pub fn run(
    version: &TableVersion,
    choice: &Choice,
    origins: &Origins,
    disk: &Arc<dyn Disk>,
    options: SstOptions,
    next_path: &mut dyn FnMut() -> String,
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
    let mut begun = Vec::new();
    let mut named = || {
        let path = next_path();
        begun.push(path.clone());
        path
    };
    let mut writer = Writer::new(&version.schema, choice, &inputs, disk, options, &mut named);
    let merged =
        merge(version, choice, origins, &inputs, &mut writer).and_then(|()| writer.finish());
    match merged {
        Ok(mut outcome) => {
            outcome.dropped_tombstones = dropped_tombstones(version, choice);
            Ok(outcome)
        }
        Err(error) => {
            for path in begun.iter().filter(|path| disk.exists(path)) {
                // The failure that matters is the first; start-up removes what no version names.
                let _ = disk.remove(path);
            }
            Err(error)
        }
    }
}

/// The manifest's range tombstones that can shadow nothing any more once the merge is published.
fn dropped_tombstones(version: &TableVersion, choice: &Choice) -> Vec<RangeTombstone> {
    let Some(below) = choice.drop_below else {
        return Vec::new();
    };
    let tombstones = version.tombstones.iter();
    tombstones
        .filter(|tombstone| tombstone.hlc < below)
        .cloned()
        .collect()
}

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
    let plan = Arc::new(Plan {
        schema: Arc::clone(schema),
        read: columns.clone(),
        key_predicates: Vec::new(),
        reverse: false,
    });
    let mut pieces = Pieces::new(columns);
    let all = KeyRange::all();
    let mut sources = Vec::with_capacity(inputs.len());
    for file in inputs {
        sources.extend(FileSource::new(&file.sst, &plan, &all, &mut pieces).map(Source::File));
    }
    let mut merge = Merge::new(sources, false);
    let mut fragments = Vec::new();
    loop {
        fragments.clear();
        match merge.step(None, &mut pieces, &mut fragments)? {
            Step::End => break,
            Step::Whole(_) | Step::Run(_) => continue,
            Step::Key => {}
        }
        writer.outcome.fragments_in += fragments.len() as u64;
        let barrier = match fragments.first() {
            Some(first) if !tombstones.is_empty() => tombstones.covering(pieces.key(first)),
            _ => None,
        };
        reducer.reduce(&pieces, &mut fragments, barrier);
        for (place, column) in &reducer.trimmed {
            writer.trimmed.insert((*column, writer.picks.len() + place));
        }
        writer.picks.extend(
            fragments
                .iter()
                .map(|fragment| (fragment.piece, fragment.row)),
        );
        if writer.picks.len() >= WRITE_ROWS || pieces.vectors() > VECTORS_HELD_MAX {
            writer.write(&pieces)?;
            pieces.clear();
        }
    }
    writer.write(&pieces)
}

struct Writer<'a> {
    schema: &'a Arc<TableSchema>,
    disk: &'a Arc<dyn Disk>,
    options: SstOptions,
    next_path: &'a mut dyn FnMut() -> String,
    file: Option<(String, SstWriter, u64)>,
    /// Rows that make a file of about the largest size wanted.
    file_rows_max: u64,
    picks: Vec<Pick>,
    /// (column, pick) of cells to clear.
    trimmed: HashSet<(usize, usize)>,
    outcome: Outcome,
}

impl<'a> Writer<'a> {
    fn new(
        schema: &'a Arc<TableSchema>,
        choice: &Choice,
        inputs: &[&TableFile],
        disk: &'a Arc<dyn Disk>,
        options: SstOptions,
        next_path: &'a mut dyn FnMut() -> String,
    ) -> Self {
        let rows: u64 = inputs.iter().map(|file| file.sst.meta().rows).sum();
        let bytes: u64 = inputs.iter().map(|file| file.sst.meta().bytes).sum();
        let rows_max =
            u128::from(choice.file_bytes_max) * u128::from(rows) / u128::from(bytes.max(1));
        Writer {
            schema,
            disk,
            options,
            next_path,
            file: None,
            file_rows_max: u64::try_from(rows_max).unwrap_or(u64::MAX).max(1),
            picks: Vec::new(),
            trimmed: HashSet::new(),
            outcome: Outcome::default(),
        }
    }

    /// Writes the picked fragments; the keys that they belong to are complete.
    fn write(&mut self, pieces: &Pieces) -> Result<()> {
        if self.picks.is_empty() {
            return Ok(());
        }
        let trims = |column: usize, pick: usize| self.trimmed.contains(&(column, pick));
        let trimmed: Option<&dyn Fn(usize, usize) -> bool> = if self.trimmed.is_empty() {
            None
        } else {
            Some(&trims)
        };
        let batch = gather(self.schema, &pieces.batches(), &self.picks, trimmed)?;
        let keys = row_keys(self.schema, &batch)?;
        let rows = batch.rows as u64;
        if self.file.is_none() {
            let path = (self.next_path)();
            let writer = SstWriter::create(
                self.disk,
                &path,
                Arc::clone(self.schema),
                self.options.clone(),
            )?;
            self.file = Some((path, writer, 0));
        }
        if let Some((_, writer, written)) = &mut self.file {
            writer.append(&batch, &keys)?;
            *written += rows;
        }
        self.outcome.fragments_out += rows;
        self.picks.clear();
        self.trimmed.clear();
        if self
            .file
            .as_ref()
            .is_some_and(|(_, _, written)| *written >= self.file_rows_max)
        {
            self.close()?;
        }
        Ok(())
    }

    fn close(&mut self) -> Result<()> {
        if let Some((path, writer, _)) = self.file.take() {
            let meta = writer.finish()?;
            self.outcome.files.push(NewFile { path, meta });
        }
        Ok(())
    }

    fn finish(mut self) -> Result<Outcome> {
        self.close()?;
        Ok(self.outcome)
    }
}
