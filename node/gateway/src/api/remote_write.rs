//! Prometheus remote write. 204 means that every sample is durable. What a sender does with an answer is fixed: it
//! sends again after 5xx, and never after 4xx. So what a later attempt could mend is 5xx, overload with `Retry-After`,
//! and a body of which only a part is taken is answered with 400 after that part was stored. Answers are one line of
//! text, for that is what a sender logs.

mod storing;

use std::sync::Arc;

use activestore_ingest::RemoteWrite;
use activestore_ingest::prometheus::{self, ROWS_BYTES_MAX, RemoteWriteOptions, Version};
use activestore_types::{Error, Result};
use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use tokio::sync::OwnedSemaphorePermit;

use crate::answer::{Answer, Refusal, no_content};
use crate::caller::Caller;
use crate::request::{Parameters, media_type, parameters, read_body};
use crate::rows_room::{Ratio, RowsRoom};
use crate::server::Shared;

/// Where samples go that do not say where.
const KEYSPACE: &str = "prometheus";

/// Bytes of rows per byte of a body: the texts of a series stand in each of its rows twice, as one text and by column,
/// and in the body once. A body of any length may hold samples that each have their own labels.
const ROWS: Ratio = Ratio {
    usual: 16,
    kept: true,
    most: 2,
};

/// What the answers of version 2 count, and what of it is kept here.
const WRITTEN: [(&str, bool); 3] = [
    ("x-prometheus-remote-write-samples-written", true),
    ("x-prometheus-remote-write-histograms-written", false),
    ("x-prometheus-remote-write-exemplars-written", false),
];

pub(super) async fn write(State(shared): State<Arc<Shared>>, request: Request) -> Answer {
    let mut samples = 0;
    let done = take(&shared, request, &mut samples).await;
    let mut response = match done {
        Ok(()) => no_content(),
        Err(refusal) => {
            shared.remote_writes.refused();
            refusal.in_plain_text().into_response()
        }
    };
    count_written(&mut response, samples);
    Ok(response)
}

fn count_written(response: &mut Response, samples: u64) {
    for (name, kept) in WRITTEN {
        let count = if kept { samples } else { 0 };
        response
            .headers_mut()
            .insert(name, HeaderValue::from(count));
    }
}

/// Stores what the request brings; `samples` says how many are durable, also where not all are.
async fn take(
    shared: &Shared,
    request: Request,
    samples: &mut u64,
) -> std::result::Result<(), Refusal> {
    let db = Caller::of(&request)?;
    let (mut parts, body) = request.into_parts();
    let version = version(&parts.headers)?;
    let options = options(&parameters(&parts.uri))?;
    // It is said to be snappy, which is unpacked here: to those who read the body it is bytes.
    parts.headers.remove(header::CONTENT_ENCODING);
    let most = shared.options.body_bytes_max;
    let mut room = shared.body_room(&parts.headers).await?;
    let packed = read_body(&parts.headers, body, most).await?;
    let length = prometheus::unpacked_len(&packed)?;
    if length > most {
        return Err(Refusal::with_status(
            StatusCode::PAYLOAD_TOO_LARGE,
            "too_large",
            &format!("the request unpacks to {length} bytes, and {most} are the most"),
            Some(
                "lower max_samples_per_send in the sender's queue_config, or raise limits.request_body",
            ),
        ));
    }
    let mut rows = RowsRoom::of(shared, length, &ROWS)
        .at_most(ROWS_BYTES_MAX)
        .unpacked(packed.len());
    let mut parsed = read(shared, &mut rows, &mut room, packed, version, options).await?;
    rows.settle(&mut room, parsed.rows_bytes);
    let refused = storing::store(&db, &mut parsed, samples, storing::SEARCH_MAX).await?;
    shared.remote_writes.stored(&parsed, length);
    if let Some(error) = refused
        && *samples == 0
    {
        return Err(error.into());
    }
    match parsed.left_out() {
        None => Ok(()),
        Some(sentence) => Err(Refusal::new(&Error::invalid(sentence))),
    }
}

/// Unpacks a body and makes rows of it.
async fn read(
    shared: &Shared,
    rows: &mut RowsRoom,
    room: &mut OwnedSemaphorePermit,
    mut packed: Bytes,
    version: Version,
    mut options: RemoteWriteOptions,
) -> Result<RemoteWrite> {
    let most = rows.most();
    let mut unpacked = None;
    let made = rows.make(shared, room, move |bytes_max| {
        let body = match unpacked.take() {
            Some(body) => body,
            None => prometheus::unpack(&std::mem::take(&mut packed))?,
        };
        options.rows_bytes_max = bytes_max;
        let made = if bytes_max < most {
            prometheus::parse_within(&body, version, &options)?
        } else {
            Some(prometheus::parse(&body, version, &options)?)
        };
        unpacked = Some(body);
        Ok(made)
    });
    made.await?
        .ok_or_else(|| Error::internal("the samples were read, and there are no rows of them"))
}

/// Which message comes, packed as it has to be.
fn version(headers: &HeaderMap) -> std::result::Result<Version, Refusal> {
    let unsupported = |message: &str, hint: Option<&str>| {
        Refusal::with_status(StatusCode::UNSUPPORTED_MEDIA_TYPE, "invalid", message, hint)
    };
    let text = |name| {
        headers
            .get(name)
            .and_then(|value: &HeaderValue| value.to_str().ok())
            .unwrap_or_default()
    };
    if !text(header::CONTENT_ENCODING).eq_ignore_ascii_case("snappy") {
        return Err(unsupported(
            "remote write has to come with Content-Encoding: snappy",
            None,
        ));
    }
    if media_type(headers) != "application/x-protobuf" {
        return Err(unsupported(
            "remote write has to come with Content-Type: application/x-protobuf",
            None,
        ));
    }
    let mut arguments = text(header::CONTENT_TYPE).split(';').skip(1);
    let proto = arguments.find_map(|argument| argument.trim().strip_prefix("proto="));
    let proto = proto.unwrap_or_default().trim_matches('"');
    proto
        .parse()
        .map_err(|error: Error| unsupported(error.message(), error.hint()))
}

fn options(parameters: &Parameters) -> Result<RemoteWriteOptions> {
    let given = |name: &str| parameters.get(name).map(String::as_str);
    if let Some(name) = parameters
        .keys()
        .find(|name| !matches!(name.as_str(), "keyspace" | "table"))
    {
        return Err(
            Error::invalid(format!("the parameter '{name}' is none of remote write"))
                .with_hint("there are keyspace=NAME, and table=NAME for one table of all metrics"),
        );
    }
    let mut options = RemoteWriteOptions::new(given("keyspace").unwrap_or(KEYSPACE));
    options.table = given("table").map(str::to_owned);
    Ok(options)
}
