//! Backups on request: `POST /v1/backup` with `{"to": PLACE}`. The answer is one JSON object a line:
//! how far the backup is, and at the end its outcome.

use std::sync::Arc;

use activestore_types::Error;
use axum::body::Body;
use axum::extract::{ConnectInfo, Request, State};
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::Response;
use futures::StreamExt;
use serde_json::Value;

use crate::answer::Answer;
use crate::listener::Peer;
use crate::request::read_body;
use crate::server::Shared;

/// More than any place's name takes.
const REQUEST_BYTES_MAX: usize = 64 * 1024;

/// Only for clients on the node's own machine: the place may be one of its directories.
pub(super) async fn create(
    State(shared): State<Arc<Shared>>,
    ConnectInfo(peer): ConnectInfo<Peer>,
    http: Request,
) -> Answer {
    if !peer.address.ip().to_canonical().is_loopback() {
        return Err(
            Error::denied("backups are made only for clients on the node's own machine")
                .with_hint("run activestore backup create there")
                .into(),
        );
    }
    let expected =
        || Error::invalid("the body names no place").with_hint("send {\"to\": \"/mnt/backups\"}");
    let (parts, body) = http.into_parts();
    let bytes = read_body(&parts.headers, body, REQUEST_BYTES_MAX).await?;
    let request: Value = serde_json::from_slice(&bytes).map_err(|_| expected())?;
    let to = request
        .get("to")
        .and_then(Value::as_str)
        .ok_or_else(expected)?;
    let steps = shared.hooks.backup(to)?;
    let lines = steps.map(|step| Ok::<_, std::convert::Infallible>(format!("{step}\n")));
    let mut response = Response::new(Body::from_stream(lines));
    *response.status_mut() = StatusCode::OK;
    response.headers_mut().insert(
        header::CONTENT_TYPE,
        HeaderValue::from_static("application/x-ndjson"),
    );
    Ok(response)
}
