//! Statements on the threads of queries: their rows are made into messages there, and no further ahead than their
//! reader allows. What nobody waits for any more is stopped.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use activestore_db::{Db, SqlOutcome};
use activestore_query::{Param, Rows, Statement, parse};
use activestore_types::{Error, Result};
use arrow::datatypes::{Schema, SchemaRef};
use arrow_flight::FlightData;
use arrow_flight::encode::FlightDataEncoderBuilder;
use arrow_flight::error::FlightError;
use futures::{Stream, StreamExt, stream};
use tokio::sync::{mpsc, oneshot};
use tokio::time::{timeout, timeout_at};
use tonic::{Code, Status};

use super::Flight;
use super::door::Place;
use super::fault::{Fault, expired};
use super::prepared::Planned;
use super::tally::{Tally, one};
use super::told::{fitted, told};
use crate::query_threads::Running;

/// The largest SQL text, in bytes: that of HTTP.
pub(super) const STATEMENT_BYTES_MAX: usize = 4 * 1024 * 1024;
/// About how large the messages of an answer are; clients take 4 MiB unless they are told otherwise.
const MESSAGE_BYTES: usize = 1024 * 1024;
/// Messages that a statement may be ahead of its reader.
const MESSAGES_AHEAD: usize = 2;
/// How long a client may take none of what it is sent.
const READER_STALL_MAX: Duration = Duration::from_secs(300);

/// Rows on their way to a client.
pub(super) type Data = Pin<Box<dyn Stream<Item = Result<FlightData, Status>> + Send>>;

/// Where rows come from.
#[expect(
    clippy::large_enum_variant,
    reason = "one is held for each call under way"
)]
pub(super) enum Source {
    Statement(Statement),
    Prepared(Arc<Planned>, Vec<Param>),
    /// Rows that are there already, with columns that need nothing done to them.
    Known(Rows),
}

/// The one statement of a text.
pub(super) fn one_of(sql: &str) -> Result<Statement> {
    check_length(sql)?;
    let mut statements = parse(sql)?;
    match (statements.pop(), statements.is_empty()) {
        (Some(statement), true) => Ok(statement),
        (None, _) => {
            Err(Error::invalid("the text holds no statement")
                .with_hint("send SQL, such as SELECT 1"))
        }
        (Some(_), false) => Err(Error::invalid("the text holds more than one statement")
            .with_hint("send one statement at a time")),
    }
}

pub(super) fn check_length(sql: &str) -> Result<()> {
    if sql.len() <= STATEMENT_BYTES_MAX {
        return Ok(());
    }
    Err(Error::invalid(format!(
        "the statement has {} bytes; at most {STATEMENT_BYTES_MAX} are taken",
        sql.len()
    ))
    .with_hint("bring rows by bulk ingest"))
}

/// A statement under way; counted when it ends, also where its client went away first.
struct Under {
    tally: Arc<Tally>,
    started: Instant,
    /// When it is to be stopped.
    limit: Option<Instant>,
    ended: bool,
}

impl Under {
    /// Its client knows what became of it.
    fn ends(&mut self) {
        self.ended = true;
    }
}

impl Drop for Under {
    fn drop(&mut self) {
        self.tally.statement(self.started.elapsed());
        if !self.ended {
            one(&self.tally.cancelled);
        }
    }
}

impl Flight {
    fn under(&self) -> Under {
        let started = Instant::now();
        let limit = self.options.statement_timeout;
        Under {
            tally: self.tally.clone(),
            started,
            limit: limit.and_then(|limit| started.checked_add(limit)),
            ended: false,
        }
    }

    /// Runs something on the threads of queries; it is stopped where its client goes, and at its time limit.
    pub(super) async fn run<T: Send + 'static>(
        self: &Arc<Self>,
        work: impl Future<Output = Result<T, Fault>> + Send + 'static,
    ) -> Result<T, Fault> {
        let mut under = self.under();
        let (end, ended) = oneshot::channel();
        let running = self.shared.queries.run(async move {
            // A closed channel means that nobody waits any more.
            let _ = end.send(work.await);
        })?;
        let outcome = self.in_time(under.limit, ended).await;
        under.ends();
        drop(running);
        outcome?.map_err(|_| Error::internal("running the statement failed"))?
    }

    /// Runs a statement; its rows follow as they come.
    pub(super) async fn rows(
        self: &Arc<Self>,
        db: Db,
        source: Source,
        place: Place,
    ) -> Result<Data, Fault> {
        let mut under = self.under();
        let (head, begun) = oneshot::channel();
        let (messages, coming) = mpsc::channel(MESSAGES_AHEAD);
        let flight = self.clone();
        let running = self.shared.queries.run(async move {
            let _place = place;
            match begin(&db, source).await {
                // Closed channels mean that the client is gone.
                Ok((rows, columns)) => {
                    if head.send(Ok(())).is_ok() {
                        flight.send(rows, columns, &messages).await;
                    }
                }
                Err(fault) => drop(head.send(Err(fault))),
            }
        })?;
        let outcome: Result<(), Fault> = match self.in_time(under.limit, begun).await {
            Ok(Ok(outcome)) => outcome,
            Ok(Err(_)) => Err(Error::internal("running the statement failed").into()),
            Err(expired) => Err(expired),
        };
        if let Err(fault) = outcome {
            under.ends();
            return Err(fault);
        }
        let coming = Coming {
            messages: coming,
            _running: running,
            under,
            flight: self.clone(),
        };
        let rows = stream::unfold(Some(coming), async |coming: Option<Coming>| {
            let mut coming = coming?;
            let message = coming.next().await?;
            let left = message.is_ok().then_some(coming);
            Some((message, left))
        });
        Ok(Box::pin(rows))
    }

    /// Waits for something that the threads of queries do, up to a moment. Time is looked at here, since those threads
    /// may compute for long without looking.
    async fn in_time<T>(
        &self,
        limit: Option<Instant>,
        work: impl Future<Output = T>,
    ) -> Result<T, Fault> {
        let Some(limit) = limit else {
            return Ok(work.await);
        };
        timeout_at(limit.into(), work).await.map_err(|_| {
            one(&self.tally.timed_out);
            expired()
        })
    }

    /// Sends rows as far as their reader goes, and that they have ended.
    async fn send(
        &self,
        rows: Rows,
        columns: SchemaRef,
        messages: &mpsc::Sender<Result<Option<FlightData>, Status>>,
    ) {
        let (fit, tally) = (columns.clone(), self.tally.clone());
        let batches = rows.stream.map(move |batch| {
            let batch = batch.and_then(|batch| fitted(&batch, &fit));
            let batch =
                batch.map_err(|error| FlightError::from(Status::from(Fault::from(error))))?;
            let rows = u64::try_from(batch.num_rows()).unwrap_or(u64::MAX);
            tally.rows_sent.fetch_add(rows, Ordering::Relaxed);
            Ok::<_, FlightError>(batch)
        });
        let mut encoder = FlightDataEncoderBuilder::new()
            .with_schema(columns)
            .with_max_flight_data_size(MESSAGE_BYTES)
            .build(batches);
        loop {
            let message = encoder.next().await.transpose();
            let message = message.map_err(|error| Status::from(Fault::from(error)));
            let is_last = !matches!(message, Ok(Some(_)));
            match timeout(READER_STALL_MAX, messages.send(message)).await {
                Ok(Ok(())) if !is_last => {}
                // All is told, or there is nobody to tell.
                Ok(_) => return,
                Err(_) => {
                    one(&self.tally.given_up);
                    return;
                }
            }
        }
    }
}

/// Rows of a statement under way, as their reader takes them.
struct Coming {
    messages: mpsc::Receiver<Result<Option<FlightData>, Status>>,
    /// Stops the statement with its reader.
    _running: Running,
    under: Under,
    flight: Arc<Flight>,
}

impl Coming {
    /// The next message; `None` at the end of all rows, and an error where they end before.
    async fn next(&mut self) -> Option<Result<FlightData, Status>> {
        let limit = self.under.limit;
        let next = self.flight.in_time(limit, self.messages.recv()).await;
        let message = match next {
            Ok(Some(Ok(Some(message)))) => return Some(Ok(message)),
            Ok(Some(Ok(None))) => None,
            Ok(Some(Err(status))) => Some(Err(status)),
            Ok(None) => {
                let cut = Error::closed("the rows end before all were sent")
                    .with_hint("ask again, and take them without a long pause");
                Some(Err(Fault::from(cut).into()))
            }
            Err(expired) => Some(Err(expired.into())),
        };
        if message.is_some() {
            one(&self.flight.tally.calls_failed);
        }
        self.under.ends();
        message
    }
}

/// Runs it; the rows, and their columns as the client gets them.
async fn begin(db: &Db, source: Source) -> Result<(Rows, SchemaRef), Fault> {
    let outcome = match source {
        Source::Known(rows) => {
            let columns = rows.schema.clone();
            return Ok((rows, columns));
        }
        Source::Statement(statement) => db.execute(statement, &[]).await?,
        Source::Prepared(planned, params) => {
            let prepared = &planned.prepared;
            let outcome = db
                .execute_prepared(&planned.statement, prepared, &params)
                .await?;
            if let (SqlOutcome::Rows(rows), Some(columns)) = (&outcome, &prepared.described.columns)
                && told(&rows.schema) != told(columns)
            {
                // A table has other columns since: a client would read the rows by what it was told of them.
                let changed =
                    Error::conflict("the statement gives other columns than when it was prepared")
                        .with_hint("prepare it again: a table has other columns now");
                return Err(Fault::new(Code::FailedPrecondition, &changed));
            }
            outcome
        }
    };
    let rows = match outcome {
        SqlOutcome::Rows(rows) => rows,
        SqlOutcome::Done { .. } => nothing(),
    };
    let columns = told(&rows.schema);
    Ok((rows, columns))
}

/// No columns and no rows.
pub(super) fn nothing() -> Rows {
    Rows::from_batches(Arc::new(Schema::empty()), Vec::new())
}
