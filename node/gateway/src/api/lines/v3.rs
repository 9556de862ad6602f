//! Line protocol as InfluxDB 3 takes it: units with longer names or told by the size of a number, good lines stored
//! beside bad ones unless the client wants it otherwise, and answers that show the bad ones as they came.

use std::sync::Arc;

use activestore_ingest::{Precision, RejectedLine};
use activestore_types::{Error, Result};
use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::response::Response;
use serde_json::{Value, json};

use super::{Lines, options};
use crate::answer::{Answer, Refusal, json_body, no_content};
use crate::api::write::store;
use crate::caller::Caller;
use crate::request::{Parameters, parameters};
use crate::server::Shared;

/// How many refused lines an answer lists.
const REFUSED_MAX: usize = 100;

pub(in crate::api) async fn write(State(shared): State<Arc<Shared>>, request: Request) -> Answer {
    take(&shared, request).await.map_err(Refusal::for_influx_v3)
}

/// `no_sync` is not looked at: an answer before rows are durable is none that this node gives.
async fn take(shared: &Shared, request: Request) -> Answer {
    let db = Caller::of(&request)?;
    let (parts, body) = request.into_parts();
    let parameters = parameters(&parts.uri);
    let partial = accepts_part(&parameters)?;
    let mut options = options(&parameters, "db", precision(&parameters)?)?;
    options.rejected_max = REFUSED_MAX;
    let lines = Lines::read(shared, &parts.headers, body, options, REFUSED_MAX).await?;
    let refused = lines.parsed.rejected.iter().zip(&lines.shown);
    let refused: Vec<Value> = refused.map(|(line, shown)| told(line, shown)).collect();
    if !partial && let Some(first) = refused.first() {
        return Ok(bad_lines("parsing failed for write_lp endpoint", first));
    }
    store(&db, lines.parsed, true).await?;
    if refused.is_empty() {
        return Ok(no_content());
    }
    let refused = Value::Array(refused);
    Ok(bad_lines(
        "partial write of line protocol occurred",
        &refused,
    ))
}

fn bad_lines(sentence: &str, data: &Value) -> Response {
    let body = json!({ "error": sentence, "data": data });
    json_body(StatusCode::BAD_REQUEST, &body)
}

fn told(line: &RejectedLine, shown: &str) -> Value {
    json!({ "original_line": shown, "line_number": line.line, "error_message": line.reason })
}

fn accepts_part(parameters: &Parameters) -> Result<bool> {
    match parameters.get("accept_partial").map(String::as_str) {
        None | Some("true") => Ok(true),
        Some("false") => Ok(false),
        Some(other) => Err(Error::invalid(format!(
            "accept_partial={other} is unknown: true or false expected"
        ))),
    }
}

/// Nothing where each number says by its size what it is.
fn precision(parameters: &Parameters) -> Result<Option<Precision>> {
    let precision = match parameters.get("precision").map(String::as_str) {
        None | Some("auto") => return Ok(None),
        Some("nanosecond" | "ns" | "n") => Precision::Nanoseconds,
        Some("microsecond" | "us" | "u") => Precision::Microseconds,
        Some("millisecond" | "ms") => Precision::Milliseconds,
        Some("second" | "s") => Precision::Seconds,
        Some(other) => {
            return Err(Error::invalid(format!(
                "precision '{other}' is unknown: auto, nanosecond, microsecond, millisecond or second expected"
            )));
        }
    };
    Ok(Some(precision))
}
