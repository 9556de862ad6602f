//! A scan that is done by whoever asks for its rows, on a thread that may take its time.

use std::pin::Pin;
use std::task::{Context, Poll};

use activestore_store::{Scan, ScanRequest, ScanStats, Snapshot};
use arrow::datatypes::SchemaRef;
use arrow::record_batch::RecordBatch;
use datafusion::common::Result;
use datafusion::execution::RecordBatchStream;
use futures::Stream;

use super::counters::Counters;
use super::labelled;
use crate::error::to_datafusion;

pub(super) struct Inline {
    /// Until the first rows are asked for.
    asked: Option<(Snapshot, ScanRequest)>,
    scan: Option<Scan>,
    schema: SchemaRef,
    counters: Counters,
    before: ScanStats,
    /// Whether others had a look since the last batch: nothing else here ever waits.
    gave_way: bool,
}

impl Inline {
    pub(super) fn new(
        snapshot: Snapshot,
        request: ScanRequest,
        schema: SchemaRef,
        counters: Counters,
    ) -> Self {
        Inline {
            asked: Some((snapshot, request)),
            scan: None,
            schema,
            counters,
            before: ScanStats::default(),
            gave_way: true,
        }
    }

    fn advance(&mut self) -> Result<Option<RecordBatch>> {
        if let Some((snapshot, request)) = self.asked.take() {
            self.scan = Some(snapshot.scan(request).map_err(to_datafusion)?);
        }
        let Some(scan) = &mut self.scan else {
            return Ok(None);
        };
        let next = scan.next();
        let now = scan.stats();
        self.counters.add(&self.before, &now);
        self.before = now;
        match next {
            Some(batch) => labelled(batch.map_err(to_datafusion)?, &self.schema).map(Some),
            None => Ok(None),
        }
    }
}

impl Stream for Inline {
    type Item = Result<RecordBatch>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        if !self.gave_way {
            self.gave_way = true;
            context.waker().wake_by_ref();
            return Poll::Pending;
        }
        self.gave_way = false;
        let next = self.advance().transpose();
        if !matches!(next, Some(Ok(_))) {
            // Neither behind the end nor behind a failure is there more.
            self.scan = None;
        }
        Poll::Ready(next)
    }
}

impl RecordBatchStream for Inline {
    fn schema(&self) -> SchemaRef {
        self.schema.clone()
    }
}
