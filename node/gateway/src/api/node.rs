//! The node itself: status, metrics, probes, the API's description and the console page.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use activestore_types::Error;
use axum::extract::State;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::Response;
use serde_json::Value;

use crate::answer::{Answer, Refusal, json_body, typed_body};
use crate::metrics;
use crate::server::Shared;

const CONSOLE: &str = include_str!("../../assets/console.html");
const OPENAPI: &str = include_str!("../../assets/openapi.json");

/// The page may talk to its own node and to nothing else.
const CONSOLE_POLICY: &str = "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; connect-src 'self'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'";

pub(super) async fn console() -> Response {
    let mut response = typed_body(StatusCode::OK, "text/html; charset=utf-8", CONSOLE);
    response.headers_mut().insert(
        header::CONTENT_SECURITY_POLICY,
        HeaderValue::from_static(CONSOLE_POLICY),
    );
    response
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
    let page = metrics::page(&shared.metrics, &counters);
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
