//! `GET /v1/subscribe?sql=…`: rows as they are written, as server-sent events, as lines of JSON, or over a WebSocket
//! where the request asks for one.
//!
//! Statements are planned, and what a table holds is read, on the threads of queries; from then on a subscription
//! costs a task that waits.

mod told;

use std::sync::Arc;
use std::time::Duration;

use activestore_db::{Db, Subscription, Told};
use activestore_types::{Error, Result};
use axum::body::Body;
use axum::extract::ws::{CloseFrame, Message, WebSocket, WebSocketUpgrade, close_code};
use axum::extract::{FromRequestParts, Request, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use serde_json::Value;
use tokio::runtime::Handle;
use tokio::sync::{mpsc, oneshot, watch};

use crate::answer::{Answer, Refusal, typed_body};
use crate::caller::{Caller, Ticket};
use crate::query_threads::Running;
use crate::request::{Parameters, parameters};
use crate::server::Shared;
use told::{Framing, Words};

/// Chunks that are written ahead of the connection; behind them the bounded buffer of the subscription fills.
const CHUNKS_AHEAD: usize = 2;
/// How long a connection may take nothing.
const STALLED_MAX: Duration = Duration::from_secs(300);
/// How long the last word of a subscription is waited for.
const LAST_WORD_MAX: Duration = Duration::from_secs(1);
/// The largest message that a WebSocket client may send: it has nothing to say.
const CLIENT_MESSAGE_BYTES_MAX: usize = 4096;
/// The longest statement in an address, in bytes.
const STATEMENT_BYTES_MAX: usize = 16 * 1024;

/// What is asked for.
struct Asked {
    sql: String,
    params: Vec<Value>,
    from: Option<String>,
}

pub(super) async fn run(State(shared): State<Arc<Shared>>, request: Request) -> Answer {
    let db = Caller::of(&request)?;
    let ticket = Ticket::of(&request);
    let (mut parts, _) = request.into_parts();
    let parameters = parameters(&parts.uri);
    let asked = asked(&parameters, &parts.headers)?;
    if wants_socket(&parts.headers) {
        let upgrade = WebSocketUpgrade::from_request_parts(&mut parts, &shared).await;
        let upgrade = upgrade.map_err(|refused| {
            Refusal::new(&Error::invalid(format!(
                "this is no WebSocket handshake: {refused}"
            )))
        })?;
        let (chunks, running) = begin(&shared, db, asked, ticket, Framing::Socket).await?;
        let upgrade = upgrade
            .max_message_size(CLIENT_MESSAGE_BYTES_MAX)
            .max_frame_size(CLIENT_MESSAGE_BYTES_MAX);
        return Ok(upgrade.on_upgrade(move |socket| send_over(socket, chunks, running)));
    }
    let framing = framing(&parameters, &parts.headers)?;
    let (chunks, running) = begin(&shared, db, asked, ticket, framing).await?;
    let stream = futures::stream::unfold((chunks, running), async |(mut chunks, running)| {
        let chunk: Chunk = chunks.recv().await?;
        Some((Ok::<_, Error>(chunk.into_bytes()), (chunks, running)))
    });
    let mut response = typed_body(
        StatusCode::OK,
        framing.content_type(),
        Body::from_stream(stream),
    );
    let headers = response.headers_mut();
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    // A proxy that gathers an answer before it passes it on would hold up every event.
    headers.insert("x-accel-buffering", HeaderValue::from_static("no"));
    Ok(response)
}

/// A piece of the answer.
enum Chunk {
    Bytes(Vec<u8>),
    /// The messages of a WebSocket.
    Messages(Vec<String>),
    /// Nothing but that the node is there.
    Ping,
}

impl Chunk {
    fn into_bytes(self) -> Vec<u8> {
        match self {
            Chunk::Bytes(bytes) => bytes,
            Chunk::Messages(_) | Chunk::Ping => Vec::new(),
        }
    }
}

fn asked(parameters: &Parameters, headers: &HeaderMap) -> Result<Asked> {
    let sql = parameters.get("sql").filter(|sql| !sql.trim().is_empty());
    let sql = sql.ok_or_else(|| {
        Error::invalid("the request does not say what to subscribe to")
            .with_hint("GET /v1/subscribe?sql=SELECT+*+FROM+plant.readings")
    })?;
    if sql.len() > STATEMENT_BYTES_MAX {
        return Err(Error::invalid(format!(
            "the statement is longer than {STATEMENT_BYTES_MAX} bytes"
        )));
    }
    let params = match parameters.get("params") {
        None => Vec::new(),
        Some(text) => serde_json::from_str(text).map_err(|error| {
            Error::invalid(format!("params is no JSON array: {error}"))
                .with_hint("params=[80,\"p1\"], percent-encoded")
        })?,
    };
    let again = headers.get("last-event-id");
    let again = again.and_then(|value| value.to_str().ok());
    // A browser that connects again has seen more than the address says.
    let from = again.or(parameters.get("from").map(String::as_str));
    Ok(Asked {
        sql: sql.clone(),
        params,
        from: from.filter(|from| !from.is_empty()).map(str::to_owned),
    })
}

fn framing(parameters: &Parameters, headers: &HeaderMap) -> Result<Framing> {
    match parameters.get("format").map(String::as_str) {
        Some("ndjson") => return Ok(Framing::Lines),
        Some("sse" | "json") => return Ok(Framing::Events),
        Some(other) => {
            return Err(
                Error::invalid(format!("a subscription has no format '{other}'"))
                    .with_hint("use sse or ndjson, or ask for a WebSocket"),
            );
        }
        None => {}
    }
    let accept = headers.get(header::ACCEPT);
    let accept = accept.and_then(|value| value.to_str().ok());
    Ok(match accept {
        Some(accept) if accept.contains("application/x-ndjson") => Framing::Lines,
        _ => Framing::Events,
    })
}

fn wants_socket(headers: &HeaderMap) -> bool {
    let upgrade = headers.get(header::UPGRADE);
    let upgrade = upgrade.and_then(|value| value.to_str().ok());
    upgrade.is_some_and(|value| value.eq_ignore_ascii_case("websocket"))
}

/// Subscribes, and starts what sends.
async fn begin(
    shared: &Arc<Shared>,
    db: Db,
    asked: Asked,
    ticket: Option<Ticket>,
    framing: Framing,
) -> std::result::Result<(mpsc::Receiver<Chunk>, Running), Refusal> {
    let (head, begun) = oneshot::channel();
    let (chunks, rest) = mpsc::channel(CHUNKS_AHEAD);
    let (here, stopping) = (Handle::current(), shared.stopping());
    let heartbeat = shared.options.heartbeat;
    let running = shared.queries.run(async move {
        let subscription = db
            .subscribe(&asked.sql, &asked.params, asked.from.as_deref())
            .await;
        let (answer, subscription) = match subscription {
            Ok(subscription) => (Ok(()), Some(subscription)),
            Err(error) => (Err(error), None),
        };
        if head.send(answer).is_err() {
            return;
        }
        let Some(subscription) = subscription else {
            return;
        };
        let mut sender = Sender {
            words: Words::new(framing, &subscription),
            subscription,
            chunks,
            stopping,
            db,
            ticket,
            heartbeat,
        };
        while sender.subscription.reads_table() {
            if !sender.step().await {
                return;
            }
        }
        // Events are not to wait for a thread that computes a query.
        here.spawn(async move { while sender.step().await {} });
    })?;
    begun
        .await
        .map_err(|_| Refusal::new(&Error::internal("subscribing failed")))??;
    Ok((rest, running))
}

/// Takes from the subscription and hands on to the connection.
struct Sender {
    subscription: Subscription,
    words: Words,
    chunks: mpsc::Sender<Chunk>,
    stopping: watch::Receiver<bool>,
    db: Db,
    ticket: Option<Ticket>,
    /// How often it is said that the node is there; so it is noticed too where the other end is gone.
    heartbeat: Duration,
}

impl Sender {
    /// Sends what comes next; whether to go on.
    async fn step(&mut self) -> bool {
        let told = tokio::select! {
            () = self.chunks.closed() => return false,
            _ = self.stopping.wait_for(|stopping| *stopping) => {
                Ok(Some(Err(shutting_down())))
            }
            told = tokio::time::timeout(self.heartbeat, self.subscription.next()) => told,
        };
        let Ok(told) = told else {
            return self.beat().await;
        };
        match told {
            Some(Ok(told)) => self.send(&told).await,
            Some(Err(error)) => {
                let words = self.words.ended(&error);
                self.last_word(words).await;
                false
            }
            None => false,
        }
    }

    /// Says why it ends, where the other end still listens.
    async fn last_word(&mut self, words: Chunk) {
        let sending = self.chunks.send(words);
        // Nobody who takes it is nobody who wants to know.
        let _gone = tokio::time::timeout(LAST_WORD_MAX, sending).await;
    }

    /// Gives the connection something to send; whether it took it. One whose other end reads nothing for long is given up:
    /// its seat and what waits for it are others' too.
    async fn hand_on(&mut self, chunk: Chunk) -> bool {
        let handed_on = tokio::select! {
            sent = self.chunks.send(chunk) => Some(sent.is_ok()),
            () = tokio::time::sleep(STALLED_MAX) => Some(false),
            _ = self.stopping.wait_for(|stopping| *stopping) => None,
        };
        match handed_on {
            Some(handed_on) => handed_on,
            None => {
                let words = self.words.ended(&shutting_down());
                self.last_word(words).await;
                false
            }
        }
    }

    async fn send(&mut self, told: &Told) -> bool {
        match self.words.told(told) {
            Ok(chunk) => self.hand_on(chunk).await,
            Err(error) => {
                let words = self.words.ended(&error);
                self.last_word(words).await;
                false
            }
        }
    }

    /// Says that the node is there, and up to where there was nothing. Who came with a token needs one that still
    /// stands.
    async fn beat(&mut self) -> bool {
        if let Some(ticket) = &self.ticket
            && let Err(error) = ticket.check(&self.db).await
        {
            let words = self.words.ended(&error);
            self.last_word(words).await;
            return false;
        }
        let words = self.words.beat(self.subscription.position());
        self.hand_on(words).await
    }
}

fn shutting_down() -> Error {
    Error::closed("the node is shutting down")
        .with_hint("go on from the id of the last event once it is back")
}

/// Sends over a WebSocket until either end has enough.
async fn send_over(mut socket: WebSocket, mut chunks: mpsc::Receiver<Chunk>, running: Running) {
    let mut ended = false;
    while !ended {
        tokio::select! {
            chunk = chunks.recv() => {
                let messages = match chunk {
                    Some(Chunk::Messages(messages)) => messages,
                    Some(Chunk::Ping) => {
                        ended = socket.send(Message::Ping(Vec::new().into())).await.is_err();
                        continue;
                    }
                    Some(Chunk::Bytes(_)) => continue,
                    None => break,
                };
                for message in messages {
                    if socket.send(Message::Text(message.into())).await.is_err() {
                        ended = true;
                        break;
                    }
                }
            }
            said = socket.recv() => {
                // Pings are answered by the protocol itself; what else a client says means nothing here.
                ended = matches!(said, None | Some(Err(_) | Ok(Message::Close(_))));
            }
        }
    }
    drop(running);
    if !ended {
        let close = CloseFrame {
            code: close_code::NORMAL,
            reason: "the subscription has ended".into(),
        };
        let _gone = socket.send(Message::Close(Some(close))).await;
    }
}
