//! What one query may take: memory, of that of all queries, and time of its own.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use activestore_types::{Error, ErrorKind, Result};
use arrow::record_batch::RecordBatch;
use datafusion::common::{Result as DataFusionResult, resources_err};
use datafusion::execution::memory_pool::{
    MemoryConsumer, MemoryLimit, MemoryPool, MemoryReservation,
};
use futures::{Stream, StreamExt, stream};

/// Memory of one query, out of the memory of all.
#[derive(Debug)]
pub(crate) struct Share {
    all: Arc<dyn MemoryPool>,
    limit: usize,
    used: AtomicUsize,
}

impl Share {
    pub(crate) fn of(all: Arc<dyn MemoryPool>, limit: usize) -> Arc<dyn MemoryPool> {
        Arc::new(Share {
            all,
            limit,
            used: AtomicUsize::new(0),
        })
    }
}

impl fmt::Display for Share {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "share of {} bytes", self.limit)
    }
}

impl MemoryPool for Share {
    fn name(&self) -> &'static str {
        "share"
    }

    fn register(&self, consumer: &MemoryConsumer) {
        self.all.register(consumer);
    }

    fn unregister(&self, consumer: &MemoryConsumer) {
        self.all.unregister(consumer);
    }

    fn grow(&self, reservation: &MemoryReservation, additional: usize) {
        self.used.fetch_add(additional, Ordering::Relaxed);
        self.all.grow(reservation, additional);
    }

    fn shrink(&self, reservation: &MemoryReservation, shrink: usize) {
        self.used.fetch_sub(shrink, Ordering::Relaxed);
        self.all.shrink(reservation, shrink);
    }

    fn try_grow(&self, reservation: &MemoryReservation, additional: usize) -> DataFusionResult<()> {
        let within = |used: usize| {
            let grown = used.checked_add(additional)?;
            (grown <= self.limit).then_some(grown)
        };
        let taken = self
            .used
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, within);
        if taken.is_err() {
            return resources_err!(
                "one query may take {} bytes, and {} wants {additional} more",
                self.limit,
                reservation.consumer().name()
            );
        }
        self.all.try_grow(reservation, additional).inspect_err(|_| {
            self.used.fetch_sub(additional, Ordering::Relaxed);
        })
    }

    fn reserved(&self) -> usize {
        self.used.load(Ordering::Relaxed)
    }

    fn memory_limit(&self) -> MemoryLimit {
        MemoryLimit::Finite(self.limit)
    }
}

/// The time that a query has for its own work.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Time {
    limit: Duration,
    left: Duration,
}

impl Time {
    pub(crate) fn new(limit: Duration) -> Self {
        Time { limit, left: limit }
    }

    /// Waits for a part of the work.
    ///
    /// # Errors
    /// `Overloaded` once the time is used up; the work is let go of.
    pub(crate) async fn spend<T>(&mut self, work: impl Future<Output = T>) -> Result<T> {
        let began = Instant::now();
        let done = tokio::time::timeout(self.left, work).await;
        self.left = self.left.saturating_sub(began.elapsed());
        done.map_err(|_| {
            Error::new(
                ErrorKind::Overloaded,
                format!("the query took longer than {:?}", self.limit),
            )
            .with_hint("narrow it with WHERE or LIMIT, or raise limits.query_time")
        })
    }
}

/// The same batches, for as long as there is time. Only what the query works counts: how slowly its rows are taken
/// is no fault of it.
pub(crate) fn timed<S>(stream: S, time: Time) -> impl Stream<Item = Result<RecordBatch>> + Send
where
    S: Stream<Item = Result<RecordBatch>> + Send + Unpin + 'static,
{
    stream::unfold(Some((stream, time)), |state| async move {
        let (mut stream, mut time) = state?;
        match time.spend(stream.next()).await {
            Ok(Some(batch)) => Some((batch, Some((stream, time)))),
            Ok(None) => None,
            Err(error) => Some((Err(error), None)),
        }
    })
}
