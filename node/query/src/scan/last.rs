//! The last rows of partitions, read side by side where a table is large.

use activestore_store::LastRequest;
use activestore_types::KeyRange;
use datafusion::physical_plan::SendableRecordBatchStream;
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use futures::{StreamExt, stream};

use super::counters::Counters;
use super::{ScanExec, labelled_or_failed, outlet};
use crate::error::to_datafusion;

/// Rows of a table whose last rows are worth more than one thread.
const LARGE_ROWS: u64 = 65_536;

impl ScanExec {
    /// The last rows of these partitions, or of all: those of a large table on so many threads, each of which is a few
    /// batches ahead while those before it are read.
    pub(super) fn read_last(
        &self,
        partitions: Option<Vec<Vec<u8>>>,
        threads: usize,
        counters: &Counters,
    ) -> SendableRecordBatchStream {
        let large = partitions.is_none() && self.snapshot.row_count_estimate() >= LARGE_ROWS;
        let ranges = match large {
            true => self.snapshot.split_partitions(threads),
            false => vec![KeyRange::all()],
        };
        let streams = ranges.into_iter().map(|range| {
            let request = LastRequest {
                columns: self.columns.clone(),
                partitions: partitions.clone(),
                range,
                now_ms: self.now_ms,
            };
            self.execute_last(request, counters.clone())
        });
        let streams: Vec<SendableRecordBatchStream> = streams.collect();
        match <[SendableRecordBatchStream; 1]>::try_from(streams) {
            Ok([only]) => only,
            Err(streams) => Box::pin(RecordBatchStreamAdapter::new(
                self.schema.clone(),
                stream::iter(streams).flatten(),
            )),
        }
    }

    fn execute_last(&self, request: LastRequest, counters: Counters) -> SendableRecordBatchStream {
        let (snapshot, schema) = (self.snapshot.clone(), self.schema.clone());
        outlet::stream(&self.schema, move |outlet| {
            let mut rows = snapshot.last_rows(request).map_err(to_datafusion)?;
            for batch in rows.by_ref() {
                if let Ok(batch) = &batch {
                    counters.rows.add(batch.num_rows());
                }
                if !outlet.push(labelled_or_failed(batch, &schema)) {
                    break;
                }
            }
            let vectors = usize::try_from(rows.vectors_read()).unwrap_or(usize::MAX);
            counters.vectors_read.add(vectors);
            Ok(())
        })
    }
}
