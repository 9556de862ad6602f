//! A statement of a session under way: sent as it comes, and stopped where its client cancels or goes, or it takes too
//! long.

use std::time::{Duration, Instant};

use activestore_types::Error;
use futures::FutureExt;
use tokio::runtime::Handle;
use tokio::sync::{mpsc, oneshot};

use super::fault::{CANCELLED, Fault};
use super::run::{CHUNKS_AHEAD, Ended, Reach, Sent, Source, Work};
use super::session::{Failure, Session};
use super::tally::one;
use crate::first_bytes::Wire;

impl Session {
    /// Runs something on the threads of queries, and sends its rows as they come. It ends early where its client
    /// cancels or goes, and at its time limit.
    pub(super) async fn drive(
        &mut self,
        source: Source,
        sent: Sent,
        reach: Reach,
    ) -> Result<Ended, Failure> {
        let started = Instant::now();
        let endless = source.is_endless();
        let limit = self.time_limit(endless);
        let mut beginning = source.kind();
        let (chunks, mut coming) = mpsc::channel(CHUNKS_AHEAD);
        let (end, ended) = oneshot::channel();
        let mut stopped = self.seat.begin();
        let (follows, is_short) = (source.follows(), source.is_short(&self.db));
        let work = Work {
            pg: self.pg.clone(),
            db: self.db.clone(),
            source,
            sent,
            reach,
            chunks,
            here: Handle::current(),
        };
        let running = if follows {
            // Events are not to wait for a thread that computes a query. It ends where nobody takes its chunks.
            tokio::spawn(work.run(end));
            None
        } else {
            let mut work = Box::pin(work.run(end));
            // What reads one row is done sooner than another thread wakes up.
            if is_short && work.as_mut().now_or_never().is_some() {
                None
            } else {
                Some(self.pg.shared.queries.run(work)?)
            }
        };
        let expiry = async {
            match limit {
                Some(limit) => tokio::time::sleep(limit).await,
                None => std::future::pending().await,
            }
        };
        tokio::pin!(expiry);
        let outcome: Result<(), Failure> = loop {
            tokio::select! {
                biased;
                chunk = coming.recv() => match chunk {
                    None => break Ok(()),
                    Some(chunk) => {
                        self.begins(&mut beginning, started);
                        self.wire.out.unsplit(chunk);
                        tokio::select! {
                            sent = self.wire.flush() => if let Err(gone) = sent {
                                break Err(gone.into());
                            },
                            _ = &mut stopped => break Err(self.cancelled().into()),
                            () = &mut expiry => break Err(self.expired().into()),
                        }
                    }
                },
                _ = &mut stopped => break Err(self.cancelled().into()),
                () = &mut expiry => break Err(self.expired().into()),
                () = self.wire.gone() => {
                    one(&self.pg.tally.cancelled);
                    break Err(Failure::Gone);
                }
            }
        };
        self.seat.end();
        self.begins(&mut beginning, started);
        if !endless {
            self.pg.tally.statement(started.elapsed());
        }
        outcome?;
        let ended = ended.await;
        drop(running);
        Ok(ended.map_err(|_| Error::internal("running the statement failed"))??)
    }

    /// The first byte of the answer is there, unless it was before.
    fn begins(&self, beginning: &mut Option<&'static str>, started: Instant) {
        if let Some(kind) = beginning.take() {
            let first_bytes = &self.pg.shared.first_bytes;
            first_bytes.add(Wire::Pg, kind, started.elapsed());
        }
    }

    /// What has no end is limited by its session alone.
    fn time_limit(&self, endless: bool) -> Option<Duration> {
        let own = self.settings.statement_timeout();
        if endless {
            return own;
        }
        match (own, self.pg.options.statement_timeout) {
            (Some(own), Some(most)) => Some(own.min(most)),
            (own, most) => own.or(most),
        }
    }

    fn cancelled(&self) -> Fault {
        one(&self.pg.tally.cancelled);
        Fault::new(
            CANCELLED,
            "the statement was cancelled at its client's request",
        )
    }

    fn expired(&self) -> Fault {
        one(&self.pg.tally.timed_out);
        Fault::new(CANCELLED, "the statement took longer than its time limit")
            .hint("narrow it, or raise statement_timeout")
    }
}
