//! What concerns other nodes: how far the shipping is, whether both ends hold the same, and tokens
//! that admit an edge.

use std::sync::Arc;
use std::time::Duration;

use activestore_db::{RefusedRow, RetryReport};
use activestore_ingest::{JsonOptions, JsonShape};
use activestore_types::{Error, Labels, NamedBatch, NodeId, Result, TableName};
use axum::extract::{ConnectInfo, Path, Request, State};
use axum::http::StatusCode;
use serde_json::json;

use super::node::value;
use crate::answer::{Answer, json_body};
use crate::hooks::TokenRequest;
use crate::listener::Peer;
use crate::request::parameters;
use crate::server::Shared;

/// How long a token is valid unless the request says otherwise.
const TOKEN_TTL: Duration = Duration::from_secs(3600);

/// The longest a token may be valid.
const TOKEN_TTL_MAX: Duration = Duration::from_secs(30 * 24 * 3600);

pub(super) async fn status(State(shared): State<Arc<Shared>>, http: Request) -> Answer {
    let mut status = value(&shared.db.sync_status())?;
    if let Some(members) = status.as_object_mut() {
        members.insert("connections".to_owned(), shared.hooks.connections());
        if let Some(admission) = shared.hooks.admission() {
            members.insert("admission".to_owned(), admission);
        }
        if parameters(http.uri()).contains_key("tables") {
            members.insert("tables".to_owned(), value(&shared.db.sync_tables())?);
        }
    }
    Ok(json_body(StatusCode::OK, &status))
}

/// The receipts that this node holds or issued, each whole: the file that `sync receipt verify` reads.
pub(super) async fn receipts(State(shared): State<Arc<Shared>>, http: Request) -> Answer {
    let parameters = parameters(http.uri());
    let cloud = parameters.get("cloud").map(String::as_str);
    let receipts = json!({ "receipts": shared.db.receipts(cloud)? });
    Ok(json_body(StatusCode::OK, &receipts))
}

/// What happened to the sync, after a number.
pub(super) async fn events(State(shared): State<Arc<Shared>>, http: Request) -> Answer {
    let parameters = parameters(http.uri());
    let after = parameters.get("after").map_or(Ok(0), |text| {
        text.parse::<u64>().map_err(|_| {
            Error::invalid(format!("after is '{text}'")).with_hint("write the number of an event")
        })
    });
    let events = shared.db.sync_events(after?);
    Ok(json_body(StatusCode::OK, &value(&events)?))
}

pub(super) async fn verify(State(shared): State<Arc<Shared>>, http: Request) -> Answer {
    let parameters = parameters(http.uri());
    let repair = match parameters.get("repair").map(String::as_str) {
        None | Some("false") => false,
        Some("" | "true") => true,
        Some(other) => {
            return Err(Error::invalid(format!("repair is '{other}'"))
                .with_hint("write repair=true to mend what differs")
                .into());
        }
    };
    let cloud = parameters.get("cloud").map(String::as_str);
    let report = shared.hooks.verify(repair, cloud).await?;
    Ok(json_body(StatusCode::OK, &report))
}

/// Writes rows again that processors refused.
async fn retry_refused(shared: &Shared, table: Option<&TableName>, report: &mut RetryReport) {
    for refused in shared.db.refused_rows(table) {
        let written = match named(shared, &refused) {
            Ok(batches) => shared.db.write_refused(refused.number, batches).await,
            Err(error) => Err(error),
        };
        let reason = match written {
            Ok(written) if written.rejected == 0 => {
                report.rows += written.rows;
                continue;
            }
            Ok(_) => format!("a processor refuses rows of {} again", refused.table),
            Err(error) => error.to_string(),
        };
        report.left += 1;
        if !report.reasons.contains(&reason) {
            report.reasons.push(reason);
        }
    }
}

/// A row that is kept as JSON, as it is written.
fn named(shared: &Shared, refused: &RefusedRow) -> Result<Vec<NamedBatch>> {
    let table: TableName = refused.table.parse()?;
    let mut options = JsonOptions::new(table.clone());
    options.schema = shared.db.table_schema(&table);
    options.shape = JsonShape::Lines;
    activestore_ingest::json::parse(refused.row.as_bytes(), &options).strict()
}

/// Tries rows again that other nodes sent and that did not fit, and those that processors refused, or lets go of them.
pub(super) async fn rejected(State(shared): State<Arc<Shared>>, http: Request) -> Answer {
    let parameters = parameters(http.uri());
    let table = parameters
        .get("table")
        .map(|name| name.parse::<TableName>())
        .transpose()?;
    let report = match parameters.get("act").map(String::as_str) {
        None | Some("retry") => {
            let mut report = shared.db.retry_rejected(table.clone()).await?;
            retry_refused(&shared, table.as_ref(), &mut report).await;
            report
        }
        Some("discard") => shared.db.discard_rejected(table).await?,
        Some(other) => {
            return Err(Error::invalid(format!("act is '{other}'"))
                .with_hint("write act=retry or act=discard")
                .into());
        }
    };
    Ok(json_body(StatusCode::OK, &value(&report)?))
}

pub(super) async fn create_token(
    State(shared): State<Arc<Shared>>,
    ConnectInfo(peer): ConnectInfo<Peer>,
    http: Request,
) -> Answer {
    if !peer.address.ip().to_canonical().is_loopback() {
        return Err(
            Error::denied("tokens are made only for clients on the node's own machine")
                .with_hint("run activestore token create there")
                .into(),
        );
    }
    let parameters = parameters(http.uri());
    let ttl = match parameters.get("ttl") {
        Some(text) => token_ttl(text)?,
        None => TOKEN_TTL,
    };
    let request = TokenRequest {
        ttl,
        label: parameters.get("label").cloned().unwrap_or_default(),
        labels: match parameters.get("labels") {
            Some(text) => text.parse()?,
            None => Labels::default(),
        },
        addresses: parameters
            .get("address")
            .map(|list| list.split(',').map(str::to_owned).collect())
            .unwrap_or_default(),
    };
    let token = shared.hooks.create_token(request).await?;
    Ok(json_body(StatusCode::CREATED, &json!(token)))
}

pub(super) async fn label_edge(
    State(shared): State<Arc<Shared>>,
    Path(node): Path<String>,
    request: Request,
) -> Answer {
    let node: NodeId = node.parse()?;
    let parameters = parameters(request.uri());
    let labels: Labels = parameters
        .get("labels")
        .map_or(Ok(Labels::default()), |text| text.parse())?;
    shared.hooks.label_edge(node, labels.clone()).await?;
    let answer = json!({ "node": node.to_string(), "labels": labels.to_string() });
    Ok(json_body(StatusCode::OK, &answer))
}

fn token_ttl(text: &str) -> Result<Duration> {
    let wrong = || {
        Error::invalid(format!("'{text}' is not a time from 1s to 30d"))
            .with_hint("write 15m, 1h or 7d")
    };
    let split = text
        .find(|byte: char| !byte.is_ascii_digit())
        .ok_or_else(wrong)?;
    let (digits, unit) = text.split_at_checked(split).ok_or_else(wrong)?;
    let count: u64 = digits.parse().map_err(|_| wrong())?;
    let unit_s = match unit.trim() {
        "s" => 1,
        "m" | "min" => 60,
        "h" => 3600,
        "d" => 24 * 3600,
        _ => return Err(wrong()),
    };
    let ttl = Duration::from_secs(count.checked_mul(unit_s).ok_or_else(wrong)?);
    if ttl.is_zero() || ttl > TOKEN_TTL_MAX {
        return Err(wrong());
    }
    Ok(ttl)
}
