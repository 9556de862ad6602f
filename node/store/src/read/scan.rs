//! The scan: ranges in, record batches of visible rows out, in key order or its reverse.
//!
//! For each range: make the sources; while there is a step, either pick a run of rows that nothing
//! is merged with, or resolve a key and pick its cells; copy the picked rows together when there are
//! enough of them or the pieces they lie in grow many. Only then are the cells of the picked
//! vectors decoded.

use std::sync::Arc;

use activestore_sst::{VECTOR_ROWS, ZonePredicate};
use activestore_types::{ColumnId, DataType, Error, KeyRange, Result, TableSchema};
use arrow::datatypes::SchemaRef;
use arrow::record_batch::RecordBatch;

use super::Snapshot;
use super::codes::coded_schema;
use super::copy::Span;
use super::covering::Covering;
use super::keys::KeyShape;
use super::narrowing::{Narrowed, Narrowing};
use super::output::{BATCH_ROWS, Coalescer, Filtered, Picker, RowFilter, output_schema};
use super::piece::Fragment;
use super::resolve::{Cells, Resolver};

mod file;
mod groups;
mod leaving;
pub(super) mod merge;
mod met;
mod pause;
pub(super) mod piece;
pub(super) mod source;
mod stats;
mod strand;
mod view;
mod weave;

pub(super) use groups::single_partition;
use merge::{Merge, Step};
use piece::{Held, Pieces};
use source::{Alone, Plan};
pub use stats::ScanStats;

/// What to scan.
#[derive(Clone, Debug, Default)]
pub struct ScanRequest {
    /// The columns of the output, in its order. None gives batches that only count rows.
    pub columns: Vec<ColumnId>,
    /// Those of the columns, all of TEXT, whose values are to come as codes of a dictionary: for readers that ask
    /// where a value changes, which then costs no text.
    pub codes: Vec<ColumnId>,
    /// Which keys: sorted and disjoint; none means all.
    pub ranges: Vec<KeyRange>,
    /// What rows must satisfy. Rows that do not may be left out; the caller checks the rest.
    pub predicates: Vec<ZonePredicate>,
    /// What rows are looked at for before all of their columns are read. Rows that it does not hold of may be left
    /// out; the caller checks the rest. It is not asked where there is a limit.
    pub filter: Option<Arc<dyn RowFilter>>,
    /// What narrows while the scan runs. Rows that it does not want may be left out; the caller checks the rest. It is
    /// not asked where there is a limit.
    pub narrowing: Vec<Arc<dyn Narrowing>>,
    /// Who takes vectors as a whole by what is known of them. It is not asked where there is a limit or a filter.
    pub covering: Option<Arc<dyn Covering>>,
    /// Rows wanted at most.
    pub limit: Option<usize>,
    /// From the last key to the first.
    pub reverse: bool,
    /// The order does not matter: rows that come in turn from several files need not be put into one, they may come
    /// vector by vector, and files of other times come one after the other. Each row still comes once.
    pub any_order: bool,
    /// The first batches may be as small as a vector: a reader at hand may find out by them that it wants no more.
    pub small_batches: bool,
    /// The time that decides what has expired, in milliseconds since 1970.
    pub now_ms: u64,
}

/// A running scan. It holds its snapshot and a bounded number of decoded vectors, never the table.
pub struct Scan {
    snapshot: Snapshot,
    plan: Arc<Plan>,
    value_predicates: Vec<ZonePredicate>,
    narrowed: Narrowed,
    covering: Option<Arc<dyn Covering>>,
    /// In the order that they are to be read, the next one last.
    ranges: Vec<KeyRange>,
    merge: Option<Merge>,
    /// What of the range comes after it, the next one last.
    merges: Vec<Merge>,
    pieces: Pieces,
    fragments: Vec<Fragment>,
    spans: Vec<Span>,
    now_ms: u64,
    resolver: Resolver,
    filter: Option<Arc<dyn RowFilter>>,
    filtered: Filtered,
    picker: Picker,
    output: Coalescer,
    /// Whether rows leave vector by vector, since their order does not matter.
    by_vector: bool,
    schema: SchemaRef,
    left: usize,
    /// Rows that are enough for a batch; more and more, so that whoever takes one batch and leaves has little read in vain.
    enough_rows: usize,
    /// Rows that are waited for, where fewer were looked at in vain.
    awaited_rows: usize,
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
        let schema = coded_schema(output_schema(&table, &request.columns)?, &request);
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
        let free = request.limit.is_none();
        let by_vector = free && request.any_order && !request.reverse;
        let filter = request.filter.filter(|_| free);
        let covering = request.covering.filter(|_| free && filter.is_none());
        let narrowed = Narrowed(if free { request.narrowing } else { Vec::new() });
        let ahead = filter.as_ref().map_or(&[][..], |filter| filter.columns());
        let (key_predicates, value_predicates) = split_predicates(&table, request.predicates);
        // Text is put together once, from codes, whether or not it leaves as codes.
        let is_text = |id: &&ColumnId| {
            let column = table.column_by_id(**id);
            column.is_some_and(|column| column.data_type == DataType::Text)
        };
        let texts = request.columns.iter().filter(is_text).copied().collect();
        let plan = Plan {
            shape: Arc::new(KeyShape::of(&table)),
            key_predicates,
            narrowed: narrowed.clone(),
            reverse: request.reverse,
            any_order: request.any_order,
        };
        Ok(Scan {
            resolver: Resolver::new(
                Arc::clone(&snapshot.0.origins),
                &table,
                &request.columns,
                request.now_ms,
            ),
            plan: Arc::new(plan),
            pieces: Pieces::new(request.columns)
                .with_codes(texts)
                .with_ahead(ahead),
            filter,
            filtered: Filtered::default(),
            now_ms: request.now_ms,
            value_predicates,
            narrowed,
            covering,
            ranges,
            merge: None,
            merges: Vec::new(),
            fragments: Vec::new(),
            spans: Vec::new(),
            picker: Picker::new(Arc::clone(&schema)),
            output: match by_vector {
                true => Coalescer::new(Arc::clone(&schema)).in_any_order(),
                false => Coalescer::new(Arc::clone(&schema)),
            },
            by_vector,
            schema,
            left: request.limit.unwrap_or(usize::MAX),
            enough_rows: if request.small_batches {
                VECTOR_ROWS
            } else {
                BATCH_ROWS
            },
            awaited_rows: 0,
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
                self.merge = self.merges.pop();
                if self.merge.is_none() {
                    match self.ranges.pop() {
                        Some(range) => {
                            let snapshot = &self.snapshot;
                            self.merges =
                                snapshot.scan_groups(&range, &self.plan, &mut self.pieces)?;
                        }
                        None => self.finish()?,
                    }
                }
                continue;
            };
            self.fragments.clear();
            let alone = Alone {
                tombstones: self.snapshot.tombstones(),
                origins: &self.snapshot.0.origins,
                now_ms: self.now_ms,
                room: BATCH_ROWS.saturating_sub(self.picker.rows()).min(self.left),
                predicates: &self.value_predicates,
                narrowed: &self.narrowed,
                covering: self.covering.as_deref(),
            };
            let (pieces, fragments) = (&mut self.pieces, &mut self.fragments);
            match merge.step(&alone, pieces, fragments, &mut self.spans)? {
                Step::End => self.merge = None,
                Step::Run => {
                    self.pick_run()?;
                    self.copy_out_early()?;
                }
                Step::Key => self.pick()?,
            }
        }
    }

    fn finish(&mut self) -> Result<()> {
        self.copy_out()?;
        self.merge = None;
        self.merges.clear();
        self.done = true;
        self.output.flush()
    }

    /// Picks rows as they are.
    fn pick_run(&mut self) -> Result<()> {
        if self.by_vector {
            for span in self.spans.drain(..) {
                self.pieces.stats.rows_run += span.rows as u64;
                self.picker.push_rows(span);
            }
            return self.copy_out_if_full();
        }
        let mut next = 0;
        while self.left > 0
            && let Some(span) = self.spans.get(next).copied()
        {
            let room = BATCH_ROWS.saturating_sub(self.picker.rows());
            if room == 0 {
                // The batch is full; what is left goes into the next.
                self.copy_out_before(next)?;
                continue;
            }
            let rows = span.rows.min(self.left).min(room);
            let start = if span.reverse {
                span.start + span.rows - rows
            } else {
                span.start
            };
            self.picker.push_rows(Span {
                start,
                rows,
                ..span
            });
            self.pieces.stats.rows_run += rows as u64;
            self.left -= rows;
            if let Some(span) = self.spans.get_mut(next).filter(|span| span.rows > rows) {
                span.rows -= rows;
                if !span.reverse {
                    span.start += rows;
                }
            } else {
                next += 1;
            }
        }
        self.spans.clear();
        self.copy_out_if_full()
    }

    /// Copies out what is picked and goes on holding the pieces of the spans from the `next`-th on.
    fn copy_out_before(&mut self, next: usize) -> Result<()> {
        let spans = self.spans.get(next..).unwrap_or(&[]);
        let mut held: Vec<(usize, Option<Held>)> = Vec::new();
        for span in spans {
            if held.iter().all(|(piece, _)| *piece != span.piece) {
                held.push((span.piece, self.pieces.held(span.piece)));
            }
        }
        self.copy_out()?;
        let mut numbers = Vec::with_capacity(held.len());
        for (piece, held) in held {
            numbers.push((piece, held.map(|held| self.pieces.push(held))));
        }
        for span in self.spans.iter_mut().skip(next) {
            let number = numbers.iter().find(|(piece, _)| *piece == span.piece);
            if let Some((_, Some(number))) = number {
                span.piece = *number;
            }
        }
        Ok(())
    }

    /// Resolves the key whose fragments were found and picks its row.
    fn pick(&mut self) -> Result<()> {
        self.pieces.stats.keys_merged += 1;
        let tombstones = self.snapshot.tombstones();
        let key = self.merge.as_ref().map_or(&[][..], Merge::key);
        let barrier = tombstones.covering(key);
        for fragment in &self.fragments {
            // A newer fragment that sets everything needs no look at the older ones.
            if !self.pieces.plain(fragment.piece) {
                self.pieces.load(fragment.piece)?;
            }
        }
        if self
            .resolver
            .resolve(&self.pieces, &mut self.fragments, barrier)?
        {
            self.picker.push(&self.fragments, &self.resolver.winners);
            self.left -= 1;
        }
        self.copy_out_if_full()
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
            self.merges.clear();
        }
        next.transpose()
    }
}
