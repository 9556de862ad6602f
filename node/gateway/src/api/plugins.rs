//! Deploying, listing, fetching and removing plugins, what they say, and uploading the files that models are made from.

use std::sync::Arc;

use activestore_db::LogLevel;
use activestore_types::Error;
use axum::body::Body;
use axum::extract::{Extension, Path, Request, State};
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::Response;
use bytes::Bytes;
use chrono::{DateTime, SecondsFormat};
use serde_json::{Value, json};

use super::node::value;
use super::rollouts;
use crate::answer::{Answer, json_body, no_content, typed_body};
use crate::request::{parameters, read_body};
use crate::server::{Place, Shared};

/// Components and model files may be larger than a write.
const FILE_BYTES_MAX: usize = 64 * 1024 * 1024;

/// Bytes of a component that go out at a time.
const PIECE_BYTES: usize = 64 * 1024;

pub(super) async fn list(State(shared): State<Arc<Shared>>) -> Answer {
    let plugins = value(&shared.db.plugins())?;
    Ok(json_body(StatusCode::OK, &json!({ "plugins": plugins })))
}

pub(super) async fn deploy(State(shared): State<Arc<Shared>>, request: Request) -> Answer {
    let (parts, body) = request.into_parts();
    let parameters = parameters(&parts.uri);
    let name = parameters.get("name").ok_or_else(|| {
        Error::invalid("the request does not name the plugin").with_hint("add ?name=NAME")
    })?;
    let wasm = read_body(&parts.headers, body, FILE_BYTES_MAX).await?;
    if wasm.is_empty() {
        return Err(Error::invalid("the request body is empty")
            .with_hint("send the WebAssembly component as the body")
            .into());
    }
    let version = parameters.get("version").map(String::as_str);
    let grants = parameters.get("grant").map(|grants| {
        let grants = grants.split(',').filter(|grant| !grant.is_empty());
        grants.map(str::to_owned).collect()
    });
    let body = match rollouts::plan(&parameters)? {
        None => {
            let deployed = shared
                .db
                .put_granted_plugin(name, version, grants, wasm.into());
            value(&deployed.await?)?
        }
        Some(plan) => {
            let begun = shared
                .db
                .roll_out_plugin(name, version, grants, wasm.into(), plan);
            value(&begun.await?)?
        }
    };
    Ok(json_body(StatusCode::CREATED, &body))
}

pub(super) async fn rollback(
    State(shared): State<Arc<Shared>>,
    Path(name): Path<String>,
    request: Request,
) -> Answer {
    let parameters = parameters(request.uri());
    let version = parameters.get("version").map(String::as_str);
    let info = shared.db.roll_back_plugin(&name, version).await?;
    Ok(json_body(StatusCode::OK, &value(&info)?))
}

pub(super) async fn remove(State(shared): State<Arc<Shared>>, Path(name): Path<String>) -> Answer {
    shared.db.remove_plugin(&name).await?;
    Ok(no_content())
}

/// The component as it was deployed. It is held whole, since its hash is compared before the first byte
/// goes out; the bound on bodies counts it until the last byte is gone.
pub(super) async fn component(
    State(shared): State<Arc<Shared>>,
    Extension(place): Extension<Place>,
    Path(name): Path<String>,
    request: Request,
) -> Answer {
    let parameters = parameters(request.uri());
    let version = parameters.get("version").map(String::as_str);
    let version = shared.db.plugin_version(&name, version)?;
    let room = shared
        .room(usize::try_from(version.size_bytes).unwrap_or(usize::MAX))
        .await?;
    let bytes = Bytes::from(shared.db.plugin_component(&version).await?);
    let length = bytes.len();
    let pieces = futures::stream::unfold((bytes, place, room), async |(mut rest, place, room)| {
        if rest.is_empty() {
            return None;
        }
        let piece = rest.split_to(rest.len().min(PIECE_BYTES));
        Some((Ok::<_, Error>(piece), (rest, place, room)))
    });
    let mut response = typed_body(
        StatusCode::OK,
        "application/wasm",
        Body::from_stream(pieces),
    );
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_LENGTH, HeaderValue::from(length));
    Ok(response)
}

pub(super) async fn logs(
    State(shared): State<Arc<Shared>>,
    Path(name): Path<String>,
    request: Request,
) -> Answer {
    let parameters = parameters(request.uri());
    let after = match parameters.get("after") {
        Some(text) => text.parse::<u64>().map_err(|_| {
            Error::invalid(format!("after={text} is not a number"))
                .with_hint("give the last that an earlier answer named")
        })?,
        None => 0,
    };
    let least = match parameters.get("level") {
        Some(text) => text.parse()?,
        None => LogLevel::Debug,
    };
    let read = shared.db.plugin_logs(&name, after)?;
    // What is left out by its level is read all the same.
    let last = read.lines.last().map_or(after, |(_, line)| line.seq);
    let wanted = read.lines.iter().filter(|(_, line)| line.level >= least);
    let lines: Vec<Value> = wanted
        .map(|(version, line)| {
            let at = i64::try_from(line.at_ms).unwrap_or(i64::MAX);
            let time = DateTime::from_timestamp_millis(at)
                .map(|time| time.to_rfc3339_opts(SecondsFormat::Millis, true));
            json!({
                "seq": line.seq, "time": time, "level": line.level.name(),
                "version": version, "message": line.message,
            })
        })
        .collect();
    let gap = after > 0 && read.gap;
    Ok(json_body(
        StatusCode::OK,
        &json!({ "logs": lines, "last": last, "gap": gap }),
    ))
}

pub(super) async fn put_file(
    State(shared): State<Arc<Shared>>,
    Path(name): Path<String>,
    request: Request,
) -> Answer {
    let (parts, body) = request.into_parts();
    let bytes = read_body(&parts.headers, body, FILE_BYTES_MAX).await?;
    let size = bytes.len();
    shared.db.put_file(&name, bytes.into()).await?;
    let response: Response = json_body(
        StatusCode::CREATED,
        &json!({ "name": name, "size_bytes": size }),
    );
    Ok(response)
}
