//! The last row of each partition, without a scan: the fences of a file say in which vector a
//! partition ends, so of each file only the vectors in which one does are looked at.
//!
//! 1. Every source names the end of its next partition: the key, and where it lies.
//! 2. Of the ends of one partition the newest is taken. If it is one fragment that lives, it is the row.
//! 3. Otherwise (it was deleted, it has expired, other sources hold the key too) a scan of that
//!    partition, from its end, finds the row.

use std::sync::Arc;

use activestore_types::{ColumnId, Error, KeyRange, Result};
use arrow::datatypes::SchemaRef;
use arrow::record_batch::RecordBatch;

use super::Snapshot;
use super::copy::Span;
use super::ends::{End, FileEnds, Place, ViewEnds};
use super::keys::KeyShape;
use super::output::{BATCH_ROWS, Coalescer, Picker, output_schema};
use super::piece::{Fragment, VECTORS_HELD_MAX};
use super::resolve::{Cells, Resolver};
use super::scan::ScanRequest;
use super::scan::piece::{Held, Pieces};
use crate::version::Stamp;

/// The last rows of up to this many partitions in one vector are decoded one by one.
const FEW_PARTITIONS: usize = 16;

/// Which last rows are wanted.
#[derive(Clone, Debug, Default)]
pub struct LastRequest {
    /// The columns of the output, in its order.
    pub columns: Vec<ColumnId>,
    /// The encoded prefixes of the partitions, ascending, none twice; `None` means all.
    pub partitions: Option<Vec<Vec<u8>>>,
    /// Of all partitions only those whose prefixes lie in this range.
    pub range: KeyRange,
    /// The time that decides what has expired, in milliseconds since 1970.
    pub now_ms: u64,
}

/// The running read of last rows: an iterator of batches with one row a partition, in key order.
pub struct LastRows {
    snapshot: Snapshot,
    request: LastRequest,
    /// The partitions that are asked for and not yet looked at, the next one last.
    asked: Option<Vec<Vec<u8>>>,
    /// Whether the newest row has the greatest key, not the least.
    last: bool,
    sources: Vec<Ends>,
    pieces: Pieces,
    resolver: Resolver,
    picker: Picker,
    output: Coalescer,
    schema: SchemaRef,
    done: bool,
}

/// The ends of the partitions of one source.
enum Ends {
    View(ViewEnds),
    File(Box<FileEnds>),
}

impl Ends {
    fn head(&self) -> Option<&End> {
        match self {
            Ends::View(view) => view.head(),
            Ends::File(file) => file.head(),
        }
    }

    fn advance(&mut self) -> Result<()> {
        match self {
            Ends::View(view) => {
                view.advance();
                Ok(())
            }
            Ends::File(file) => file.advance(),
        }
    }

    /// Makes the end of this partition the head, if the source has the partition.
    fn seek(&mut self, prefix: &[u8]) -> Result<()> {
        match self {
            Ends::View(view) => {
                view.seek(prefix);
                Ok(())
            }
            Ends::File(file) => file.seek(prefix),
        }
    }
}

impl Snapshot {
    /// The newest visible row of each partition by its clustering key: the last one in key order, or
    /// the first where the first clustering column descends. A partition without a visible row
    /// gives none.
    ///
    /// # Errors
    /// `Invalid` for a column that the table does not have and for partitions that are not encoded
    /// prefixes in ascending order; `Corrupt` from a damaged file.
    pub fn last_rows(&self, request: LastRequest) -> Result<LastRows> {
        let table = self.schema();
        let schema = output_schema(table, &request.columns)?;
        let shape = Arc::new(KeyShape::of(table));
        let mut request = request;
        let mut asked = request.partitions.take();
        if let Some(asked) = &mut asked {
            let whole = |prefix: &Vec<u8>| shape.prefix.prefix_len(prefix) == Some(prefix.len());
            if !asked.iter().all(whole) || !asked.is_sorted_by(|left, right| left < right) {
                return Err(Error::invalid(
                    "the partitions of a read are not encoded prefixes in ascending order",
                ));
            }
            asked.reverse();
        }
        let last = table
            .clustering_key
            .first()
            .is_none_or(|column| !column.descending);
        let mut sources: Vec<Ends> = Vec::new();
        for view in &self.0.views {
            let all = asked.is_none().then_some(&request.range);
            sources.push(Ends::View(ViewEnds::new(view, last, all)));
        }
        for file in &self.0.files {
            if file.sst.meta().rows > 0 {
                let all = asked.is_none().then_some(&request.range);
                let ends = FileEnds::new(&file.sst, &shape, last, all)?;
                sources.push(Ends::File(Box::new(ends)));
            }
        }
        Ok(LastRows {
            resolver: Resolver::new(
                Arc::clone(&self.0.origins),
                table,
                &request.columns,
                request.now_ms,
            ),
            pieces: Pieces::new(request.columns.clone()),
            picker: Picker::new(Arc::clone(&schema)),
            output: Coalescer::new(Arc::clone(&schema)),
            snapshot: self.clone(),
            request,
            asked,
            last,
            sources,
            schema,
            done: false,
        })
    }
}

impl LastRows {
    /// The schema of every batch.
    pub fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    /// Vectors looked at so far, each counted once for its keys and once for its cells.
    pub fn vectors_read(&self) -> u64 {
        let files = self.sources.iter().map(|source| match source {
            Ends::View(_) => 0,
            Ends::File(file) => file.vectors_read,
        });
        files.sum::<u64>() + self.pieces.stats.vectors_read
    }

    fn advance(&mut self) -> Result<Option<RecordBatch>> {
        loop {
            if let Some(batch) = self.output.pop() {
                return Ok(Some(batch));
            }
            if self.done {
                return Ok(None);
            }
            match self.next_partition()? {
                Some(prefix) => self.partition(&prefix)?,
                None => {
                    self.copy_out()?;
                    self.output.flush()?;
                    self.done = true;
                }
            }
            if self.picker.rows() >= BATCH_ROWS || self.pieces.vectors() > VECTORS_HELD_MAX {
                self.copy_out()?;
            }
        }
    }

    /// The next partition that any source holds, or that is asked for.
    fn next_partition(&mut self) -> Result<Option<Vec<u8>>> {
        if let Some(asked) = &mut self.asked {
            let Some(prefix) = asked.pop() else {
                return Ok(None);
            };
            for source in &mut self.sources {
                source.seek(&prefix)?;
            }
            return Ok(Some(prefix));
        }
        let heads = self.sources.iter().filter_map(Ends::head);
        let (start, end) = (&self.request.range.start, &self.request.range.end);
        let next = heads.map(|end| end.prefix()).min();
        if next.is_some_and(|prefix| prefix < start.as_slice()) {
            return Err(Error::internal("a partition before those that are read"));
        }
        let next = next.filter(|prefix| end.is_empty() || *prefix < end.as_slice());
        Ok(next.map(<[u8]>::to_vec))
    }

    fn partition(&mut self, prefix: &[u8]) -> Result<()> {
        let mut best: Option<(usize, &End)> = None;
        let mut shared = false;
        for (index, source) in self.sources.iter().enumerate() {
            let Some(end) = source.head().filter(|end| end.prefix() == prefix) else {
                continue;
            };
            match best {
                Some((_, other)) if end.key == other.key => shared = true,
                Some((_, other)) if (end.key > other.key) != self.last => {}
                _ => {
                    best = Some((index, end));
                    shared = false;
                }
            }
        }
        let Some((index, end)) = best.filter(|(_, end)| end.alone && !shared) else {
            return self.finish_partition(prefix, best.is_some());
        };
        let barrier = self.snapshot.tombstones().covering(&end.key);
        let found = match &end.place {
            Place::Chunk(chunk, row) => {
                let piece = self.pieces.push(Held::Chunk(Arc::clone(chunk)));
                let mut fragments = vec![self.pieces.fragment(piece, *row)?];
                self.take_resolved(&mut fragments, barrier)?
            }
            Place::Vector(vector, row) => {
                let (vector, row) = (*vector, *row);
                let Some(Ends::File(file)) = self.sources.get_mut(index) else {
                    return Ok(());
                };
                let stamps = file.sst().stamps(vector)?;
                let lives = stamps.all_live(self.request.now_ms)
                    && barrier.is_none_or(|barrier| barrier.hlc < stamps.min_hlc);
                if lives && file.partitions(vector)? <= FEW_PARTITIONS {
                    let held = Held::Vector(file.row(vector, row));
                    let piece = self.pieces.push(held);
                    self.picker.push_rows(Span {
                        piece,
                        start: 0,
                        rows: 1,
                        reverse: false,
                    });
                    return self.finish_partition(prefix, false);
                }
                let epoch = self.pieces.epoch();
                let held = file.piece.filter(|(held, _)| *held == (vector, epoch));
                let piece = match held {
                    Some((_, piece)) => piece,
                    None => {
                        let piece = self.pieces.push(Held::Vector(file.vector(vector)));
                        file.piece = Some(((vector, epoch), piece));
                        piece
                    }
                };
                if lives {
                    self.picker.push_rows(Span {
                        piece,
                        start: row,
                        rows: 1,
                        reverse: false,
                    });
                    return self.finish_partition(prefix, false);
                }
                // Some rows of the vector are dead, perhaps others than this one.
                self.pieces.load(piece)?;
                let mut fragments = vec![self.pieces.fragment(piece, row)?];
                self.take_resolved(&mut fragments, barrier)?
            }
        };
        self.finish_partition(prefix, !found)
    }

    /// Picks what the fragments of a key resolve to; whether that shows.
    fn take_resolved(
        &mut self,
        fragments: &mut Vec<Fragment>,
        barrier: Option<Stamp>,
    ) -> Result<bool> {
        let shows = self.resolver.resolve(&self.pieces, fragments, barrier)?;
        if shows {
            self.picker.push(fragments, &self.resolver.winners);
        }
        Ok(shows)
    }

    /// Moves past a partition, whose row is looked for by a scan if it is still to be found.
    fn finish_partition(&mut self, prefix: &[u8], search: bool) -> Result<()> {
        if search {
            self.copy_out()?;
            let scan = self.snapshot.scan(ScanRequest {
                columns: self.request.columns.clone(),
                ranges: vec![KeyRange::prefix(prefix)],
                limit: Some(1),
                reverse: self.last,
                now_ms: self.request.now_ms,
                ..ScanRequest::default()
            })?;
            for batch in scan {
                self.output.push(batch?)?;
            }
        }
        if self.asked.is_none() {
            for source in &mut self.sources {
                if source.head().is_some_and(|end| end.prefix() == prefix) {
                    source.advance()?;
                }
            }
        }
        Ok(())
    }

    fn copy_out(&mut self) -> Result<()> {
        self.output
            .push_picked(&mut self.picker, &mut self.pieces, false)?;
        self.pieces.clear();
        Ok(())
    }
}

impl Iterator for LastRows {
    type Item = Result<RecordBatch>;

    fn next(&mut self) -> Option<Self::Item> {
        let next = self.advance();
        if next.is_err() {
            // What comes after a failure would have a hole.
            self.done = true;
        }
        next.transpose()
    }
}
