//! Line protocol on its three addresses. 204 means that every line is durable; a body with a bad
//! line is refused whole unless the client asked for `partial=accept`.

use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use activestore_db::Db;
use activestore_ingest::{LineProtocolOptions, Parsed, RejectedLine, line_protocol};
use activestore_types::{Error, Result};
use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::response::Response;
use serde_json::{Value, json};

use crate::answer::{Answer, Refusal, json_body, no_content};
use crate::caller::Caller;
use crate::request::{Parameters, parameters, read_body};
use crate::rows_room::{self, RowsRoom};
use crate::server::Shared;

/// What a write came to.
pub(super) struct Written {
    pub(super) rows: u64,
    /// Rows that a processor refused.
    pub(super) rejected: u64,
    pub(super) refused: Vec<RejectedLine>,
    pub(super) refused_total: u64,
}

pub(super) async fn native(State(shared): State<Arc<Shared>>, request: Request) -> Answer {
    let written = write(&shared, request, "keyspace").await?;
    if written.refused_total == 0 && written.rejected == 0 {
        return Ok(no_content());
    }
    Ok(json_body(StatusCode::OK, &summary(&written)))
}

pub(super) async fn influx_v2(State(shared): State<Arc<Shared>>, request: Request) -> Answer {
    influx(write(&shared, request, "bucket").await)
}

pub(super) async fn influx_v1(State(shared): State<Arc<Shared>>, request: Request) -> Answer {
    influx(write(&shared, request, "db").await)
}

/// InfluxDB answers 400 where some lines were dropped, and its clients then do not send again.
fn influx(outcome: std::result::Result<Written, Refusal>) -> Answer {
    let written = outcome.map_err(Refusal::for_influx)?;
    match written.refused.first() {
        None => Ok(no_content()),
        Some(first) => Err(Refusal::new(&Error::invalid(format!(
            "partial write: line {}: {} dropped={}",
            first.line, first.reason, written.refused_total
        )))
        .for_influx()),
    }
}

async fn write(
    shared: &Shared,
    request: Request,
    keyspace_parameter: &str,
) -> std::result::Result<Written, Refusal> {
    let db = Caller::of(&request)?;
    let (parts, body) = request.into_parts();
    let parameters = parameters(&parts.uri);
    let mut options = options(&parameters, keyspace_parameter)?;
    let mut room = shared.body_room(&parts.headers).await?;
    let bytes = read_body(&parts.headers, body, shared.options.body_bytes_max).await?;
    let mut rows = RowsRoom::of(shared, bytes.len(), &rows_room::TEXT);
    let made = rows.make(shared, &mut room, move |bytes_max| {
        options.rows_bytes_max = bytes_max;
        let parsed = line_protocol::parse(&bytes, &options);
        Ok((!parsed.too_large).then_some(parsed))
    });
    let parsed = made.await?.ok_or_else(|| rows.exceeded())?;
    rows.settle(&mut room, rows_room::bytes_of(&parsed.batches));
    store(&db, parsed, accepts_part(&parameters)?).await
}

/// Writes what was parsed: all of it, or with `partial` what is good.
pub(super) async fn store(
    db: &Db,
    parsed: Parsed,
    partial: bool,
) -> std::result::Result<Written, Refusal> {
    if !partial && parsed.rejected_total > 0 {
        let refused = refused_lines(&parsed.rejected);
        return Err(match parsed.strict() {
            Err(error) => Refusal::new(&error).with("refused", refused),
            Ok(_) => Refusal::new(&Error::internal("refused lines without a reason")),
        });
    }
    let (refused, refused_total) = (parsed.rejected, parsed.rejected_total);
    let receipt = db.write(parsed.batches).await?;
    Ok(Written {
        rows: receipt.rows,
        rejected: receipt.rejected,
        refused,
        refused_total,
    })
}

/// `{"rows", "rejected", "refused", "refused_total"}`: `rejected` counts what a processor refused and what is no row,
/// `refused` names the first of the latter, of which there are `refused_total`.
pub(super) fn summary(written: &Written) -> Value {
    json!({
        "rows": written.rows,
        "rejected": written.rejected + written.refused_total,
        "refused": refused_lines(&written.refused),
        "refused_total": written.refused_total,
    })
}

fn refused_lines(lines: &[RejectedLine]) -> Value {
    lines
        .iter()
        .map(|refused| json!({ "line": refused.line, "reason": refused.reason }))
        .collect()
}

pub(super) fn accepts_part(parameters: &Parameters) -> Result<bool> {
    match parameters.get("partial").map(String::as_str) {
        None => Ok(false),
        Some("accept") => Ok(true),
        Some(other) => Err(Error::invalid(format!(
            "partial={other} is unknown: only partial=accept is"
        ))),
    }
}

fn options(parameters: &Parameters, keyspace_parameter: &str) -> Result<LineProtocolOptions> {
    let keyspace = parameters
        .get(keyspace_parameter)
        // InfluxDB 2 maps a bucket to DATABASE/RETENTION-POLICY; the keyspace is the first part.
        .and_then(|text| text.split('/').next())
        .filter(|text| !text.is_empty())
        .ok_or_else(|| {
            Error::invalid("the request does not say which keyspace to write to")
                .with_hint(format!("add ?{keyspace_parameter}=NAME"))
        })?;
    let mut options = LineProtocolOptions::new(keyspace, now_ns());
    if let Some(precision) = parameters.get("precision") {
        options.precision = precision.parse()?;
    }
    if let Some(text) = parameters.get("now") {
        options.now_ns = text.parse().map_err(|_| {
            Error::invalid(format!("now={text} is not a moment"))
                .with_hint("give nanoseconds since 1970, for lines without a time")
        })?;
    }
    Ok(options)
}

/// The time given to lines that carry none, unless the request says which: who sends lines again says the same.
fn now_ns() -> i64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |since| {
            i64::try_from(since.as_nanos()).unwrap_or(i64::MAX)
        })
}

/// An answer that lists refused lines, or plain numbers.
pub(super) fn answer(written: &Written) -> Response {
    json_body(StatusCode::OK, &summary(written))
}
