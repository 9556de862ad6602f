//! The answer of a query while it runs. Dropping it stops the work.

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;

use activestore_types::Result;
use arrow::datatypes::SchemaRef;
use arrow::record_batch::RecordBatch;
use datafusion::physical_plan::ExecutionPlan;
use futures::{Stream, TryStreamExt};

use crate::scan::ScanExec;

/// Batches as they come, or the error that ends them.
pub type BatchStream = Pin<Box<dyn Stream<Item = Result<RecordBatch>> + Send>>;

/// Rows on their way. Pull from `stream`; drop it to stop the query.
pub struct Rows {
    /// The columns of every batch.
    pub schema: SchemaRef,
    /// The batches.
    pub stream: BatchStream,
    /// What the query did so far; complete when the stream has ended.
    pub stats: StatsHandle,
}

impl Rows {
    /// Rows that are there already.
    pub fn from_batches(schema: SchemaRef, batches: Vec<RecordBatch>) -> Self {
        Rows {
            schema,
            stream: Box::pin(futures::stream::iter(batches.into_iter().map(Ok))),
            stats: StatsHandle {
                plan: None,
                points: 0,
            },
        }
    }

    /// The same, so many of them read by their keys.
    #[must_use]
    pub(crate) fn of_points(mut self, points: u64) -> Self {
        self.stats.points = points;
        self
    }

    /// All batches at once, for answers known to be small.
    ///
    /// # Errors
    /// The error that ended the query.
    pub async fn collect(self) -> Result<Vec<RecordBatch>> {
        self.stream.try_collect().await
    }
}

impl fmt::Debug for Rows {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Rows({:?})", self.schema.fields())
    }
}

/// What the scans of a query did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct QueryStats {
    /// Rows that the store gave out.
    pub rows_scanned: u64,
    /// Vectors decoded.
    pub vectors_read: u64,
    /// Vectors skipped by their minimum and maximum.
    pub vectors_pruned: u64,
    /// Keys merged row by row.
    pub keys_merged: u64,
    /// Bytes of the rows that the store gave out, decoded.
    pub bytes_decoded: u64,
}

/// Reads a query's statistics while it runs and after.
#[derive(Clone)]
pub struct StatsHandle {
    pub(crate) plan: Option<Arc<dyn ExecutionPlan>>,
    /// Rows that were read by their keys, without a plan.
    pub(crate) points: u64,
}

impl StatsHandle {
    /// The sums over all scans of the query.
    pub fn read(&self) -> QueryStats {
        let mut stats = QueryStats {
            rows_scanned: self.points,
            ..QueryStats::default()
        };
        let mut left: Vec<&Arc<dyn ExecutionPlan>> = self.plan.iter().collect();
        while let Some(plan) = left.pop() {
            if let Some(scan) = plan.downcast_ref::<ScanExec>() {
                scan.add_to(&mut stats);
            }
            left.extend(plan.children());
        }
        stats
    }
}

impl fmt::Debug for StatsHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.read().fmt(f)
    }
}
