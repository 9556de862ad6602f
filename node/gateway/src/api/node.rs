//! The node itself: status, metrics, probes, the API's description and the console page.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use activestore_types::Error;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use serde_json::Value;

use crate::answer::{Answer, Refusal, json_body, typed_body};
use crate::metrics;
use crate::server::Shared;

const OPENAPI: &str = include_str!("../../assets/openapi.json");

/// What stands where the console would.
#[cfg(not(feature = "console"))]
pub(super) async fn no_console() -> Response {
    let text = "activestore. This program was built without its console.\nGET /openapi.json describes the API.\n";
    typed_body(StatusCode::OK, "text/plain; charset=utf-8", text)
}

pub(super) async fn openapi() -> Response {
    typed_body(StatusCode::OK, "application/json", OPENAPI)
}

pub(super) async fn live() -> Response {
    typed_body(StatusCode::OK, "text/plain; charset=utf-8", "live\n")
}

pub(super) async fn ready(State(shared): State<Arc<Shared>>) -> Answer {
    if shared.draining.load(Ordering::Acquire) {
        return Err(Refusal::new(&Error::closed("the node is shutting down")));
    }
    Ok(typed_body(
        StatusCode::OK,
        "text/plain; charset=utf-8",
        "ready\n",
    ))
}

pub(super) async fn metrics(State(shared): State<Arc<Shared>>) -> Response {
    let mut counters = shared.db.counters();
    counters.extend(shared.hooks.counters());
    #[cfg(feature = "prometheus")]
    counters.extend(shared.remote_writes.counters());
    let page = metrics::page(&shared.metrics, &shared.first_bytes, &counters);
    #[cfg(feature = "flight")]
    let page = match shared.flight.get() {
        Some(tally) => page + &tally.page(),
        None => page,
    };
    #[cfg(feature = "pgwire")]
    let page = match shared.pg.get() {
        Some(tally) => page + &tally.page(),
        None => page,
    };
    typed_body(
        StatusCode::OK,
        "text/plain; version=0.0.4; charset=utf-8",
        page,
    )
}

pub(super) async fn status(State(shared): State<Arc<Shared>>) -> Answer {
    Ok(json_body(StatusCode::OK, &value(&shared.db.status())?))
}

/// Anything that serialises, as a JSON value.
pub(super) fn value(from: &impl serde::Serialize) -> Result<Value, Refusal> {
    serde_json::to_value(from)
        .map_err(|error| Refusal::new(&Error::internal(format!("the answer has no JSON: {error}"))))
}
