//! Reading a request: its body within a bound, unpacked if it is gzip, its query parameters, and
//! whether a browser page from somewhere else sent it.

use std::collections::BTreeMap;
use std::io::Read;
use std::net::SocketAddr;

use activestore_types::{Error, Result};
use axum::body::{Body, to_bytes};
use axum::extract::Request;
use axum::http::{HeaderMap, StatusCode, Uri, header};
use bytes::Bytes;
use flate2::read::MultiGzDecoder;
use futures::StreamExt;

use crate::answer::Refusal;

/// From this length on a body that says how long it is goes into memory of its own.
const GATHERED_BYTES_MIN: usize = 64 << 10;

/// The query string's parameters by name; a name that is given twice keeps its last value.
pub type Parameters = BTreeMap<String, String>;

/// Reads the whole body, unpacking `Content-Encoding: gzip`; at most `bytes_max` bytes come out.
///
/// # Errors
/// 413 where the body is larger, 415 for another encoding, 400 for a body that breaks off or is
/// not gzip.
pub async fn read_body(
    headers: &HeaderMap,
    body: Body,
    bytes_max: usize,
) -> std::result::Result<Bytes, Refusal> {
    let too_large = || {
        Refusal::with_status(
            StatusCode::PAYLOAD_TOO_LARGE,
            "too_large",
            &format!("the request body is larger than {bytes_max} bytes"),
            Some("send it in smaller requests, or raise limits.request_body"),
        )
    };
    let announced = headers
        .get(header::CONTENT_LENGTH)
        .and_then(|value| value.to_str().ok()?.parse::<usize>().ok());
    if announced.is_some_and(|length| length > bytes_max) {
        return Err(too_large());
    }
    let gathers = announced.filter(|length| *length >= GATHERED_BYTES_MIN);
    let mut room = Vec::new();
    // Where there is no room for all of it at once, there may be for what comes.
    let read = match gathers.filter(|length| room.try_reserve_exact(*length).is_ok()) {
        Some(length) => gathered(body, length, room).await,
        None => to_bytes(body, bytes_max).await,
    };
    let bytes = read.map_err(|error| {
        let mut cause: Option<&dyn std::error::Error> = Some(&error);
        while let Some(inner) = cause {
            if inner.to_string().contains("length limit exceeded") {
                return too_large();
            }
            cause = inner.source();
        }
        Refusal::new(&Error::invalid("the request body broke off"))
    })?;
    match headers
        .get(header::CONTENT_ENCODING)
        .map(|value| value.to_str().unwrap_or("unreadable"))
    {
        None | Some("" | "identity") => Ok(bytes),
        Some("gzip" | "x-gzip") => {
            let unpacked = tokio::task::spawn_blocking(move || unpack(&bytes, bytes_max))
                .await
                .map_err(|_| Refusal::new(&Error::internal("unpacking the body failed")))??;
            unpacked.ok_or_else(too_large)
        }
        Some(other) => Err(Refusal::with_status(
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            "invalid",
            &format!("content encoding '{other}' is not supported"),
            Some("send the body as it is or as gzip"),
        )),
    }
}

/// Puts a body of a known length into one piece of memory while it comes, so that it is not held a second time, and
/// what was read from the connection is used for what comes next.
async fn gathered(
    body: Body,
    length: usize,
    mut bytes: Vec<u8>,
) -> std::result::Result<Bytes, axum::Error> {
    let mut pieces = body.into_data_stream();
    while let Some(piece) = pieces.next().await {
        let piece = piece?;
        if piece.len() > length - bytes.len() {
            return Err(axum::Error::new(Error::invalid(
                "the body is longer than it was said to be",
            )));
        }
        bytes.extend_from_slice(&piece);
    }
    Ok(bytes.into())
}

/// `None` where more than `bytes_max` bytes would come out.
fn unpack(packed: &[u8], bytes_max: usize) -> Result<Option<Bytes>> {
    let mut out = Vec::new();
    MultiGzDecoder::new(packed)
        .take(bytes_max as u64 + 1)
        .read_to_end(&mut out)
        .map_err(|_| Error::invalid("the request body is not valid gzip"))?;
    Ok((out.len() <= bytes_max).then(|| out.into()))
}

/// The media type of the body in lower case, without parameters; empty where none is named.
pub fn media_type(headers: &HeaderMap) -> String {
    headers
        .get(header::CONTENT_TYPE)
        .and_then(|value| value.to_str().ok())
        .and_then(|value| value.split(';').next())
        .unwrap_or_default()
        .trim()
        .to_ascii_lowercase()
}

/// The parameters of the query string.
pub fn parameters(uri: &Uri) -> Parameters {
    uri.query()
        .unwrap_or_default()
        .split('&')
        .filter(|pair| !pair.is_empty())
        .map(|pair| {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            (percent_decoded(name), percent_decoded(value))
        })
        .collect()
}

/// Undoes `%xx` and `+`; a broken escape stays as it is.
fn percent_decoded(text: &str) -> String {
    let mut out = Vec::with_capacity(text.len());
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        match byte {
            b'+' => out.push(b' '),
            b'%' => {
                let rest = bytes.clone();
                let digits: String = rest.take(2).map(char::from).collect();
                match u8::from_str_radix(&digits, 16) {
                    Ok(value) if digits.len() == 2 => {
                        out.push(value);
                        bytes.nth(1);
                    }
                    _ => out.push(byte),
                }
            }
            _ => out.push(byte),
        }
    }
    String::from_utf8_lossy(&out).into_owned()
}

/// Refuses requests that a web page from elsewhere makes through the user's browser: a foreign
/// `Origin`, or, on a loopback listener, a `Host` that is a name other than localhost (DNS
/// rebinding).
///
/// # Errors
/// `Denied`, naming the header.
pub fn check_browser(request: &Request, listener: SocketAddr) -> Result<()> {
    let text = |name| {
        request
            .headers()
            .get(name)
            .and_then(|value: &axum::http::HeaderValue| value.to_str().ok())
    };
    let host = text(header::HOST).unwrap_or_default();
    if let Some(origin) = text(header::ORIGIN) {
        let from = origin.split_once("://").map_or(origin, |(_, rest)| rest);
        if from != host {
            return Err(Error::denied(format!(
                "a page from {origin} may not use this node"
            )));
        }
    }
    if listener.ip().is_loopback() && !host.is_empty() && !is_local_name(host) {
        return Err(
            Error::denied(format!("this node does not answer to the name '{host}'"))
                .with_hint("use localhost or the address"),
        );
    }
    Ok(())
}

fn is_local_name(host: &str) -> bool {
    let name = match host.strip_prefix('[') {
        Some(rest) => rest.split(']').next().unwrap_or_default(),
        None => host.split(':').next().unwrap_or_default(),
    };
    name == "localhost" || name.ends_with(".localhost") || name.parse::<std::net::IpAddr>().is_ok()
}

#[cfg(test)]
mod tests;
