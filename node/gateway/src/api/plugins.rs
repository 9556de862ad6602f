//! Deploying, listing and removing plugins, and uploading the files that models are made from.

use std::sync::Arc;

use activestore_types::Error;
use axum::extract::{Path, Request, State};
use axum::http::StatusCode;
use axum::response::Response;
use chrono::{DateTime, SecondsFormat};
use serde_json::{Value, json};

use super::node::value;
use crate::answer::{Answer, json_body, no_content};
use crate::request::{parameters, read_body};
use crate::server::Shared;

/// Components and model files may be larger than a write.
const FILE_BYTES_MAX: usize = 64 * 1024 * 1024;

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
    let info = shared.db.put_plugin(name, version, wasm.into()).await?;
    Ok(json_body(StatusCode::CREATED, &value(&info)?))
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

pub(super) async fn logs(State(shared): State<Arc<Shared>>, Path(name): Path<String>) -> Answer {
    let lines: Vec<Value> = shared
        .db
        .plugin_logs(&name)?
        .iter()
        .map(|line| {
            let at = i64::try_from(line.at_ms).unwrap_or(i64::MAX);
            let time = DateTime::from_timestamp_millis(at)
                .map(|time| time.to_rfc3339_opts(SecondsFormat::Millis, true));
            json!({ "time": time, "level": line.level.name(), "message": line.message })
        })
        .collect();
    Ok(json_body(StatusCode::OK, &json!({ "logs": lines })))
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
