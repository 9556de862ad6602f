//! Batches of a scan on their way from its thread to their reader. Several go together: to wake a reader who waits
//! takes as long as to read some thousand rows, so more and more of them do, up to a bound.

use std::sync::Arc;
use std::vec;

use arrow::datatypes::SchemaRef;
use arrow::record_batch::RecordBatch;
use datafusion::common::runtime::SpawnedTask;
use datafusion::common::{DataFusionError, Result};
use datafusion::physical_plan::SendableRecordBatchStream;
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use futures::StreamExt;
use futures::stream::unfold;
use tokio::sync::mpsc::{Receiver, Sender, channel};

/// How often the number of batches that go together is doubled: up to 8.
const DOUBLINGS: usize = 3;
/// Sendings before the next are doubled: behind a reader who takes one batch and leaves, little is read in vain.
const SENDINGS_ALIKE: usize = 2;
/// Bytes of batches that wait for others to go with, at most.
const BYTES_TOGETHER: usize = 1 << 20;
/// How many times a scan may be ahead of its reader by what goes together.
const SENDINGS_AHEAD: usize = 1;

type Sending = Vec<Result<RecordBatch>>;

/// The end at the scan.
pub(super) struct Outlet {
    sender: Sender<Sending>,
    held: Sending,
    bytes: usize,
    sent: usize,
}

impl Outlet {
    /// Hands a batch on, perhaps later; whether more are wanted: not after a failure, nor where the reader is gone.
    pub(super) fn push(&mut self, batch: Result<RecordBatch>) -> bool {
        let failed = batch.is_err();
        if let Ok(batch) = &batch {
            self.bytes += batch.get_array_memory_size();
        }
        self.held.push(batch);
        let together = 1 << (self.sent / SENDINGS_ALIKE).min(DOUBLINGS);
        let full = self.held.len() >= together || self.bytes >= BYTES_TOGETHER;
        if (full || failed) && !self.flush() {
            return false;
        }
        !failed
    }

    /// Sends what is held; whether somebody wants it.
    fn flush(&mut self) -> bool {
        self.bytes = 0;
        self.sent += 1;
        let held = std::mem::take(&mut self.held);
        held.is_empty() || self.sender.blocking_send(held).is_ok()
    }
}

/// The end at the reader.
struct Inlet {
    receiver: Receiver<Sending>,
    ready: vec::IntoIter<Result<RecordBatch>>,
    /// Stopped, where it has not begun, when the reader goes.
    scan: Option<SpawnedTask<Result<()>>>,
}

impl Inlet {
    async fn next(&mut self) -> Option<Result<RecordBatch>> {
        loop {
            if let Some(batch) = self.ready.next() {
                return Some(batch);
            }
            if let Some(sending) = self.receiver.recv().await {
                self.ready = sending.into_iter();
                continue;
            }
            // A panic of the scan is one of its reader.
            return match self.scan.take()?.join_unwind().await {
                Ok(Ok(())) => None,
                Ok(Err(error)) => Some(Err(error)),
                Err(stopped) => Some(Err(DataFusionError::ExecutionJoin(Box::new(stopped)))),
            };
        }
    }
}

/// What `scan` hands to its outlet, on a thread where it may block.
pub(super) fn stream(
    schema: &SchemaRef,
    scan: impl FnOnce(&mut Outlet) -> Result<()> + Send + 'static,
) -> SendableRecordBatchStream {
    let (sender, receiver) = channel(SENDINGS_AHEAD);
    let scan = SpawnedTask::spawn_blocking(move || {
        let mut outlet = Outlet {
            sender,
            held: Vec::new(),
            bytes: 0,
            sent: 0,
        };
        let done = scan(&mut outlet);
        // Without a reader nobody wants it.
        let _ = outlet.flush();
        done
    });
    let inlet = Inlet {
        receiver,
        ready: Vec::new().into_iter(),
        scan: Some(scan),
    };
    let batches = unfold(inlet, |mut inlet| async move {
        let batch = inlet.next().await;
        batch.map(|batch| (batch, inlet))
    });
    let batches = batches.fuse();
    Box::pin(RecordBatchStreamAdapter::new(Arc::clone(schema), batches))
}
