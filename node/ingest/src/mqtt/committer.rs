//! Turns messages that arrive together into one write: while a write is under way the next
//! messages gather (bounded), and go out as one.

use std::sync::Arc;

use activestore_types::{Error, ErrorKind, NamedBatch};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot};

use super::listener::WAITING_BYTES_MAX;
use super::merge::merge;
use crate::sink::RowSink;

/// Messages that may wait for their write before their connections are held back.
const QUEUE_MESSAGES: usize = 4_096;

/// Rows of one write at most, but for a single larger message.
const WRITE_ROWS_MAX: usize = 16_384;

/// What became of a message's rows.
#[derive(Debug)]
pub(super) enum Outcome {
    /// Durable.
    Written,
    /// They can never be written.
    Refused(String),
    /// They could not be written for now.
    Failed(Error),
}

struct Job {
    batches: Vec<NamedBatch>,
    done: oneshot::Sender<Outcome>,
    /// Counts the message's bytes as waiting until the job is dropped.
    _bytes: Option<OwnedSemaphorePermit>,
}

/// A handle to the writing task; the task ends when the last handle is dropped.
#[derive(Clone)]
pub(super) struct Committer {
    jobs: mpsc::Sender<Job>,
}

impl Committer {
    pub(super) fn start(sink: Arc<dyn RowSink>) -> Committer {
        let (jobs, queue) = mpsc::channel(QUEUE_MESSAGES);
        tokio::spawn(run(queue, sink));
        Committer { jobs }
    }

    /// Queues the rows; waits while the queue, or the bytes that may wait, are full. The receiver gets the outcome; a dropped
    /// sender means that the writing task is gone.
    pub(super) async fn submit(
        &self,
        batches: Vec<NamedBatch>,
        waiting_bytes: &Arc<Semaphore>,
        payload_bytes: usize,
    ) -> oneshot::Receiver<Outcome> {
        let (done, outcome) = oneshot::channel();
        let bytes = u32::try_from(payload_bytes.clamp(1, WAITING_BYTES_MAX)).unwrap_or(u32::MAX);
        let bytes = waiting_bytes.clone().acquire_many_owned(bytes).await.ok();
        let job = Job {
            batches,
            done,
            _bytes: bytes,
        };
        // A send that fails drops `done`, which the receiver sees.
        let _ = self.jobs.send(job).await;
        outcome
    }
}

async fn run(mut queue: mpsc::Receiver<Job>, sink: Arc<dyn RowSink>) {
    while let Some(first) = queue.recv().await {
        let mut rows = rows_of(&first.batches);
        let mut jobs = vec![first];
        while rows < WRITE_ROWS_MAX
            && let Ok(job) = queue.try_recv()
        {
            rows += rows_of(&job.batches);
            jobs.push(job);
        }
        let all = jobs.iter().flat_map(|job| job.batches.clone()).collect();
        match sink.write(merge(all)).await {
            Ok(()) => {
                for job in jobs {
                    let _ = job.done.send(Outcome::Written);
                }
            }
            // One message's rows may be at fault: each by itself, so that the others are written.
            Err(error) if for_good(&error) && jobs.len() > 1 => {
                for job in jobs {
                    let outcome = outcome_of(sink.write(job.batches).await);
                    let _ = job.done.send(outcome);
                }
            }
            Err(error) => {
                for job in jobs {
                    let _ = job.done.send(outcome_of(Err(error.clone())));
                }
            }
        }
    }
}

fn rows_of(batches: &[NamedBatch]) -> usize {
    batches.iter().map(|batch| batch.rows).sum()
}

fn outcome_of(result: activestore_types::Result<()>) -> Outcome {
    match result {
        Ok(()) => Outcome::Written,
        Err(error) if for_good(&error) => Outcome::Refused(error.to_string()),
        Err(error) => Outcome::Failed(error),
    }
}

fn for_good(error: &Error) -> bool {
    matches!(
        error.kind(),
        ErrorKind::Invalid | ErrorKind::NotFound | ErrorKind::Conflict | ErrorKind::Denied
    )
}
