//! Rows that were made of a body, written: what both line protocol and bulk rows end in, and what they answer.

use activestore_db::Db;
use activestore_ingest::{Parsed, RejectedLine};
use activestore_types::{Error, Result};
use axum::http::StatusCode;
use axum::response::Response;
use serde_json::{Value, json};

use crate::answer::{Refusal, json_body};
use crate::request::Parameters;

/// What a write came to.
pub(super) struct Written {
    pub(super) rows: u64,
    /// Rows that a processor refused.
    pub(super) rejected: u64,
    pub(super) refused: Vec<RejectedLine>,
    pub(super) refused_total: u64,
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

/// An answer that lists refused lines, or plain numbers.
pub(super) fn answer(written: &Written) -> Response {
    json_body(StatusCode::OK, &summary(written))
}
