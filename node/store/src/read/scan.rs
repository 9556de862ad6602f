//! The scan: ranges in, record batches of visible rows out, in key order or its reverse.
//!
//! For each range: make the sources; while there is a step, either show a vector as it is (pruned
//! by every predicate), or resolve a key and pick its cells; copy the picked rows together when
//! there are enough of them or the pieces they lie in grow many.

use std::sync::Arc;

use activestore_sst::ZonePredicate;
use activestore_types::{ColumnId, Error, KeyRange, Result, TableSchema};
use arrow::array::UInt32Array;
use arrow::compute::take_record_batch;
use arrow::datatypes::SchemaRef;
use arrow::record_batch::RecordBatch;

use super::Snapshot;
use super::merge::{Merge, Step};
use super::output::{BATCH_ROWS, Coalescer, Picker, output_schema, project, record_batch};
use super::piece::{Fragment, Pieces, VECTORS_HELD_MAX};
use super::point::lower_bound_in;
use super::resolve::Resolver;
use super::source::{FileSource, Plan, Source, ViewSource, Whole};
use crate::memtable::key_arrays;
use crate::memtable::prefix::PrefixShape;

/// What to scan.
#[derive(Clone, Debug, Default)]
pub struct ScanRequest {
    /// The columns of the output, in its order. None gives batches that only count rows.
    pub columns: Vec<ColumnId>,
    /// Which keys: sorted and disjoint; none means all.
    pub ranges: Vec<KeyRange>,
    /// What rows must satisfy. Rows that do not may be left out; the caller checks the rest.
    pub predicates: Vec<ZonePredicate>,
    /// Rows wanted at most.
    pub limit: Option<usize>,
    /// From the last key to the first.
    pub reverse: bool,
    /// The time that decides what has expired, in milliseconds since 1970.
    pub now_ms: u64,
}

/// What a scan did so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ScanStats {
    /// Vectors decoded.
    pub vectors_read: u64,
    /// Of those, shown as they were, without a merge.
    pub vectors_whole: u64,
    /// Vectors skipped by the predicates.
    pub vectors_pruned: u64,
    /// Rows of decoded vectors that came between the rows of other sources and were not resolved.
    pub rows_run: u64,
    /// Keys merged row by row.
    pub keys_merged: u64,
    /// Rows put out.
    pub rows: u64,
}

/// A running scan. It holds its snapshot and a bounded number of decoded vectors, never the table.
pub struct Scan {
    snapshot: Snapshot,
    plan: Arc<Plan>,
    columns: Vec<ColumnId>,
    value_predicates: Vec<ZonePredicate>,
    /// In the order that they are to be read, the next one last.
    ranges: Vec<KeyRange>,
    merge: Option<Merge>,
    pieces: Pieces,
    fragments: Vec<Fragment>,
    resolver: Resolver,
    picker: Picker,
    output: Coalescer,
    schema: SchemaRef,
    left: usize,
    done: bool,
}

/// Splits the predicates into those on key columns, which prune always, and the others, which prune
/// only what nothing else overlaps.
fn split_predicates(
    schema: &TableSchema,
    predicates: Vec<ZonePredicate>,
) -> (Vec<ZonePredicate>, Vec<ZonePredicate>) {
    predicates
        .into_iter()
        .partition(|predicate| schema.is_key(predicate.column))
}

impl Scan {
    pub(crate) fn new(snapshot: Snapshot, request: ScanRequest) -> Result<Self> {
        let table = Arc::clone(snapshot.schema());
        let schema = output_schema(&table, &request.columns)?;
        let mut ranges = request.ranges;
        let ordered = ranges.windows(2).all(|pair| match pair {
            [left, right] => !left.end.is_empty() && left.end <= right.start,
            _ => true,
        });
        if !ordered {
            return Err(Error::invalid(
                "the ranges of a scan are not sorted and disjoint",
            ));
        }
        if ranges.is_empty() {
            ranges.push(KeyRange::all());
        }
        if !request.reverse {
            ranges.reverse();
        }
        let (key_predicates, value_predicates) = split_predicates(&table, request.predicates);
        let plan = Plan {
            read: read_columns(&table, &request.columns),
            schema: Arc::clone(&table),
            key_predicates,
            reverse: request.reverse,
        };
        Ok(Scan {
            resolver: Resolver::new(
                Arc::clone(&snapshot.0.origins),
                &table,
                &request.columns,
                request.now_ms,
            ),
            plan: Arc::new(plan),
            pieces: Pieces::new(request.columns.clone()),
            columns: request.columns,
            value_predicates,
            ranges,
            merge: None,
            fragments: Vec::new(),
            picker: Picker::new(Arc::clone(&schema)),
            output: Coalescer::new(Arc::clone(&schema)),
            schema,
            left: request.limit.unwrap_or(usize::MAX),
            done: false,
            snapshot,
        })
    }

    /// The schema of every batch.
    pub fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    /// What the scan did so far.
    pub fn stats(&self) -> ScanStats {
        self.pieces.stats
    }

    fn advance(&mut self) -> Result<Option<RecordBatch>> {
        loop {
            if let Some(batch) = self.output.pop() {
                self.pieces.stats.rows += batch.num_rows() as u64;
                return Ok(Some(batch));
            }
            if self.done {
                return Ok(None);
            }
            if self.left == 0 {
                self.finish()?;
                continue;
            }
            let Some(merge) = &mut self.merge else {
                match self.ranges.pop() {
                    Some(range) => {
                        self.merge = self.snapshot.merge(&range, &self.plan, &mut self.pieces)
                    }
                    None => self.finish()?,
                }
                continue;
            };
            self.fragments.clear();
            let room = (BATCH_ROWS - self.picker.rows()).min(self.left);
            let alone = Some((self.snapshot.tombstones(), room));
            match merge.step(alone, &mut self.pieces, &mut self.fragments)? {
                Step::End => self.merge = None,
                Step::Whole(whole) => self.show(&whole)?,
                Step::Run(run) => {
                    self.pieces.stats.rows_run += run.rows.len() as u64;
                    self.left -= run.rows.len();
                    self.picker.push_run(&run, &self.pieces);
                    self.copy_out_if_full()?;
                }
                Step::Key => self.pick()?,
            }
        }
    }

    fn finish(&mut self) -> Result<()> {
        self.copy_out()?;
        self.merge = None;
        self.done = true;
        self.output.flush()
    }

    /// Resolves the key whose fragments were found and picks its row.
    fn pick(&mut self) -> Result<()> {
        self.pieces.stats.keys_merged += 1;
        let tombstones = self.snapshot.tombstones();
        let barrier = match self.fragments.first() {
            Some(fragment) if !tombstones.is_empty() => {
                tombstones.covering(self.pieces.key(fragment))
            }
            _ => None,
        };
        if self
            .resolver
            .resolve(&self.pieces, &mut self.fragments, barrier)?
        {
            self.picker.push(&self.fragments, &self.resolver.winners);
            self.left -= 1;
        }
        self.copy_out_if_full()
    }

    fn copy_out_if_full(&mut self) -> Result<()> {
        if self.picker.rows() >= BATCH_ROWS || self.pieces.vectors() > VECTORS_HELD_MAX {
            self.copy_out()?;
        }
        Ok(())
    }

    /// Copies the picked rows into the output and lets the pieces go.
    fn copy_out(&mut self) -> Result<()> {
        if self.picker.rows() > 0 {
            let batch = self.picker.finish(&self.pieces)?;
            self.output.push(batch)?;
        }
        self.pieces.clear();
        Ok(())
    }

    /// Puts a vector out as it is.
    fn show(&mut self, whole: &Whole) -> Result<()> {
        let sst = &whole.sst;
        if !self
            .value_predicates
            .iter()
            .all(|predicate| sst.may_match(whole.index, predicate))
        {
            self.pieces.stats.vectors_pruned += 1;
            return Ok(());
        }
        self.copy_out()?;
        let mut batch = if whole.inside && self.columns.is_empty() {
            record_batch(&self.schema, Vec::new(), sst.vector_rows(whole.index))?
        } else {
            self.pieces.stats.vectors_read += 1;
            self.pieces.stats.vectors_whole += 1;
            if whole.inside {
                project(
                    &self.schema,
                    &self.columns,
                    &sst.read(whole.index, &self.columns)?,
                )?
            } else {
                let rows = sst.read(whole.index, &self.plan.read)?;
                let keys = key_arrays(&self.plan.schema, &rows)?;
                let range = &whole.range;
                let low = lower_bound_in(&keys, rows.rows, &range.start)?;
                let high = if range.end.is_empty() {
                    rows.rows
                } else {
                    lower_bound_in(&keys, rows.rows, &range.end)?
                };
                project(&self.schema, &self.columns, &rows)?.slice(low, high.saturating_sub(low))
            }
        };
        if self.plan.reverse && !self.columns.is_empty() {
            let rows = u32::try_from(batch.num_rows()).unwrap_or(u32::MAX);
            batch = take_record_batch(&batch, &UInt32Array::from_iter_values((0..rows).rev()))?;
        }
        if batch.num_rows() > self.left {
            batch = batch.slice(0, self.left);
        }
        self.left -= batch.num_rows();
        self.output.push(batch)
    }
}

impl Iterator for Scan {
    type Item = Result<RecordBatch>;

    fn next(&mut self) -> Option<Self::Item> {
        let next = self.advance();
        if next.is_err() {
            // What comes after a failure would have a hole.
            self.done = true;
            self.merge = None;
        }
        next.transpose()
    }
}

/// The wanted columns and those of the key, each once.
pub(crate) fn read_columns(schema: &TableSchema, wanted: &[ColumnId]) -> Vec<ColumnId> {
    let mut read: Vec<ColumnId> = schema.key_columns().map(|key| key.id).collect();
    for id in wanted {
        if !read.contains(id) {
            read.push(*id);
        }
    }
    read
}

impl Snapshot {
    /// The sources of a range, ready to be merged; `None` where there is nothing.
    pub(super) fn merge(
        &self,
        range: &KeyRange,
        plan: &Arc<Plan>,
        pieces: &mut Pieces,
    ) -> Option<Merge> {
        if !range.end.is_empty() && range.start >= range.end {
            return None;
        }
        let prefix = single_partition(&self.0.schema, range);
        let views = self.0.views.iter();
        let mut sources: Vec<Source> = views
            .filter_map(|view| ViewSource::new(view, range, plan.reverse).map(Source::View))
            .collect();
        for file in &self.0.files {
            if prefix.is_none_or(|prefix| file.sst.may_hold_partition(prefix)) {
                sources.extend(FileSource::new(&file.sst, plan, range, pieces).map(Source::File));
            }
        }
        (!sources.is_empty()).then(|| Merge::new(sources, plan.reverse))
    }
}

/// The partition prefix that every key of the range has, if the range lies in one partition.
pub(super) fn single_partition<'a>(schema: &TableSchema, range: &'a KeyRange) -> Option<&'a [u8]> {
    PrefixShape::of(schema).single_partition(range)
}
