//! `POST /v1/sql`. Statements run on threads of their own. The answer starts once the first megabyte of rows is there, so that most
//! failures still get a status of their own; a larger answer is streamed at the pace of its reader.

use std::sync::Arc;
use std::time::Instant;

use activestore_db::{Db, SqlOutcome};
use activestore_query::{Param, Rows};
use activestore_types::{Error, Result};
use axum::body::Body;
use axum::extract::{Extension, Request, State};
use axum::http::{HeaderMap, StatusCode, header};
use futures::StreamExt;
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::sync::{mpsc, oneshot};

use crate::answer::{Answer, error_value, json_body, typed_body};
use crate::caller::Caller;
use crate::encode::{Encoder, Format};
use crate::first_bytes::Wire;
use crate::request::{Parameters, media_type, parameters, read_body};
use crate::server::{Place, Shared};

/// Bytes of an answer that are held back before its status goes out, and about how large the
/// chunks of a streamed answer are.
const HELD_BACK_BYTES: usize = 1024 * 1024;

/// The largest SQL text with its parameters, in bytes.
const STATEMENT_BYTES_MAX: usize = 4 * 1024 * 1024;

/// Chunks that a query may be ahead of its reader.
const CHUNKS_AHEAD: usize = 2;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Statement {
    sql: String,
    #[serde(default)]
    params: Vec<Value>,
}

pub(super) async fn run(
    State(shared): State<Arc<Shared>>,
    Extension(place): Extension<Place>,
    request: Request,
) -> Answer {
    let started = Instant::now();
    let db = Caller::of(&request)?;
    let (parts, body) = request.into_parts();
    let parameters = parameters(&parts.uri);
    let format = wanted(&parameters, &parts.headers)?;
    let bytes = read_body(&parts.headers, body, STATEMENT_BYTES_MAX).await?;
    let statement = statement(&parts.headers, &bytes)?;
    let (head, first) = oneshot::channel();
    let (chunks, rest) = mpsc::channel(CHUNKS_AHEAD);
    let first_bytes = shared.first_bytes.clone();
    let running = shared.queries.run(async move {
        let mut kind = None;
        let outcome = begin(&db, &statement, format, started, place, &mut kind).await;
        if let Some(kind) = kind {
            first_bytes.add(Wire::Http, kind, started.elapsed());
        }
        let answering = match outcome {
            Ok((begun, answering)) => head.send(Ok(begun)).ok().and(answering),
            // A closed channel means that the client is gone.
            Err(error) => head.send(Err(error)).ok().and(None),
        };
        if let Some(answering) = answering {
            answering.send_rest(&chunks).await;
        }
    })?;
    let begun = first
        .await
        .map_err(|_| Error::internal("running the statement failed"))??;
    Ok(match begun {
        Begun::Done(stats) => json_body(
            StatusCode::OK,
            &json!({ "columns": [], "rows": [], "stats": stats }),
        ),
        Begun::Whole(bytes) => typed_body(StatusCode::OK, format.content_type(), bytes),
        Begun::Part(bytes) => {
            let first = futures::stream::once(async { Ok(bytes) });
            let rest = futures::stream::unfold((rest, running), async |(mut rest, running)| {
                let chunk: std::result::Result<Vec<u8>, Error> = rest.recv().await?;
                Some((chunk, (rest, running)))
            });
            let body = Body::from_stream(first.chain(rest));
            typed_body(StatusCode::OK, format.content_type(), body)
        }
    })
}

/// How an answer begins.
enum Begun {
    /// The statement gives no rows: its stats.
    Done(Value),
    /// All of it.
    Whole(Vec<u8>),
    /// Its first chunk.
    Part(Vec<u8>),
}

/// Runs the statements; what is left to send of the last one's rows comes beside the beginning. `kind` says what the
/// last one that ran is.
async fn begin(
    db: &Db,
    statement: &Statement,
    format: Format,
    started: Instant,
    place: Place,
    kind: &mut Option<&'static str>,
) -> Result<(Begun, Option<Answering>)> {
    let statements = db.parse(&statement.sql)?;
    let params = Param::all(&statement.params);
    let count = statements.len();
    let mut last = None;
    for statement in statements {
        *kind = Some(statement.kind());
        last = Some(db.execute(statement, &params).await?);
    }
    match last {
        None => Err(Error::invalid("the request holds no statement")
            .with_hint("send SQL, such as SELECT 1")),
        Some(SqlOutcome::Done { tag, affected }) => {
            let stats = json!({
                "tag": tag, "affected": affected, "rows": 0, "statements": count,
                "elapsed_ms": elapsed_ms(started),
            });
            Ok((Begun::Done(stats), None))
        }
        Some(SqlOutcome::Rows(rows)) => {
            let mut answering = Answering::new(rows, format, started, place)?;
            answering.fill().await?;
            let chunk = answering.encoder.take();
            Ok(if answering.ended {
                (Begun::Whole(chunk), None)
            } else {
                (Begun::Part(chunk), Some(answering))
            })
        }
    }
}

fn wanted(parameters: &Parameters, headers: &HeaderMap) -> Result<Format> {
    if let Some(name) = parameters.get("format") {
        return name.parse();
    }
    let accept = headers
        .get(header::ACCEPT)
        .and_then(|value| value.to_str().ok());
    Ok(accept.and_then(Format::from_accept).unwrap_or(Format::Json))
}

fn statement(headers: &HeaderMap, bytes: &[u8]) -> Result<Statement> {
    let text = std::str::from_utf8(bytes)
        .map_err(|_| Error::invalid("the request body is not UTF-8 text"))?;
    if media_type(headers) == "application/json" {
        return serde_json::from_str(text).map_err(|error| {
            Error::invalid(format!(
                "the request body is not the JSON expected: {error}"
            ))
            .with_hint("send {\"sql\": \"SELECT 1\", \"params\": []}, or SQL as text/plain")
        });
    }
    Ok(Statement {
        sql: text.to_owned(),
        params: Vec::new(),
    })
}

fn elapsed_ms(started: Instant) -> f64 {
    (started.elapsed().as_secs_f64() * 1e6).round() / 1e3
}

struct Answering {
    encoder: Encoder,
    rows: Rows,
    started: Instant,
    ended: bool,
    _place: Place,
}

impl Answering {
    fn new(rows: Rows, format: Format, started: Instant, place: Place) -> Result<Self> {
        Ok(Answering {
            encoder: Encoder::new(format, rows.schema.clone())?,
            rows,
            started,
            ended: false,
            _place: place,
        })
    }

    fn stats(&self) -> Value {
        let scanned = self.rows.stats.read();
        json!({
            "rows": self.encoder.rows(),
            "elapsed_ms": elapsed_ms(self.started),
            "rows_scanned": scanned.rows_scanned,
            "vectors_read": scanned.vectors_read,
            "vectors_pruned": scanned.vectors_pruned,
        })
    }

    /// Encodes until a chunk is full or the rows end.
    async fn fill(&mut self) -> Result<()> {
        while !self.ended && self.encoder.pending() < HELD_BACK_BYTES {
            match self.rows.stream.next().await {
                Some(batch) => self.encoder.batch(&batch?)?,
                None => {
                    self.ended = true;
                    let stats = self.stats();
                    self.encoder.finish(&stats)?;
                }
            }
        }
        Ok(())
    }

    /// Sends the chunks that follow the first, at the pace of their reader. After a failure the
    /// answer says so or the connection is broken off: nobody takes a part for the whole.
    async fn send_rest(mut self, chunks: &mpsc::Sender<std::result::Result<Vec<u8>, Error>>) {
        while !self.ended {
            let filled = self.fill().await;
            let mut chunk = Ok(self.encoder.take());
            if let Err(error) = filled {
                tracing::warn!(%error, "a query failed while its rows were being sent");
                self.ended = true;
                chunk = if self.encoder.fail(&error_value(&error)) {
                    Ok(self.encoder.take())
                } else {
                    Err(error)
                };
            }
            if chunks.send(chunk).await.is_err() {
                return;
            }
        }
    }
}
