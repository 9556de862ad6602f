//! A statement under way, from its begin to the end of its rows.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use activestore_query::{BatchStream, Rows, Sketch, Statement, StatsHandle};
use activestore_types::Result;
use arrow::record_batch::RecordBatch;
use futures::Stream;
use tracing::Span;

use super::{Slow, Statements};
use crate::sql::SqlOutcome;

/// What a statement came to whose rows nobody read to the end.
const ABANDONED: &str = "abandoned";

/// Tells of the statement when it is dropped, if that took long.
pub(crate) struct Watch {
    all: Arc<Statements>,
    sketch: Sketch,
    who: String,
    begun: Duration,
    first: Option<Duration>,
    /// When the reader was given the last rows, and what it took with those before.
    given: Option<Duration>,
    reader_took: Duration,
    rows: u64,
    stats: Option<StatsHandle>,
    outcome: &'static str,
    /// For traces.
    pub(crate) span: Span,
}

impl Watch {
    pub(super) fn begin(all: &Arc<Statements>, statement: &Statement, who: &str) -> Self {
        let sketch = Sketch::of(statement);
        Watch {
            span: tracing::debug_span!("statement", kind = sketch.kind(), who),
            sketch,
            who: who.to_owned(),
            begun: all.clock.monotonic(),
            all: all.clone(),
            first: None,
            given: None,
            reader_took: Duration::ZERO,
            rows: 0,
            stats: None,
            outcome: ABANDONED,
        }
    }

    /// It was run: what it came to, or its rows, which are watched on.
    pub(crate) fn ran(mut self, outcome: Result<SqlOutcome>) -> Result<SqlOutcome> {
        match outcome {
            Ok(SqlOutcome::Rows(rows)) => {
                self.stats = Some(rows.stats.clone());
                Ok(SqlOutcome::Rows(Rows {
                    schema: rows.schema,
                    stats: rows.stats,
                    stream: Box::pin(Watched {
                        rows: rows.stream,
                        watch: self,
                    }),
                }))
            }
            Ok(SqlOutcome::Done { tag, affected }) => {
                self.rows = affected;
                self.outcome = "done";
                Ok(SqlOutcome::Done { tag, affected })
            }
            Err(error) => {
                self.outcome = error.kind().code();
                Err(error)
            }
        }
    }

    fn since(&self, moment: Duration) -> Duration {
        self.all.clock.monotonic().saturating_sub(moment)
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        let Some(slow_after) = self.all.slow_after else {
            return;
        };
        let waiting = self.given.map_or(Duration::ZERO, |given| self.since(given));
        let reader_took = self.reader_took + waiting;
        let took = self.since(self.begun).saturating_sub(reader_took);
        if took < slow_after {
            return;
        }
        self.all.keep(Slow {
            number: 0,
            ended_ms: self.all.clock.wall_ms(),
            who: std::mem::take(&mut self.who),
            kind: self.sketch.kind(),
            text: self.sketch.told(),
            took,
            first: self.first,
            rows: self.rows,
            scanned: self
                .stats
                .as_ref()
                .map(StatsHandle::read)
                .unwrap_or_default(),
            outcome: self.outcome,
        });
    }
}

/// Rows on their way, watched.
struct Watched {
    rows: BatchStream,
    watch: Watch,
}

impl Stream for Watched {
    type Item = Result<RecordBatch>;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let watched = self.get_mut();
        let watch = &mut watched.watch;
        if let Some(given) = watch.given.take() {
            watch.reader_took += watch.since(given);
        }
        let polled = {
            let _in_span = watch.span.enter();
            watched.rows.as_mut().poll_next(cx)
        };
        match &polled {
            Poll::Pending => return polled,
            Poll::Ready(None) => watch.outcome = "done",
            Poll::Ready(Some(Ok(batch))) => watch.rows += batch.num_rows() as u64,
            Poll::Ready(Some(Err(error))) => watch.outcome = error.kind().code(),
        }
        if watch.first.is_none() {
            watch.first = Some(watch.since(watch.begun));
        }
        watch.given = Some(watch.all.clock.monotonic());
        polled
    }
}
