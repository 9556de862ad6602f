//! Line protocol on its addresses. 204 means that every line is durable; a body with a bad line is
//! refused whole unless the client asked for `partial=accept`.

pub(super) mod ping;
pub(super) mod v3;

use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use activestore_ingest::{LineProtocolOptions, Parsed, Precision, RejectedLine, line_protocol};
use activestore_types::{Error, Result};
use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, StatusCode};
use tokio::sync::OwnedSemaphorePermit;

use super::write::{Written, accepts_part, store, summary};
use crate::answer::{Answer, Refusal, json_body, no_content};
use crate::caller::Caller;
use crate::request::{Parameters, parameters, read_body};
use crate::rows_room::{self, RowsRoom};
use crate::server::Shared;

/// The longest piece of a refused line that is shown to who sent it.
const SHOWN_BYTES_MAX: usize = 512;

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
    let precision = match parameters.get("precision") {
        Some(text) => text.parse()?,
        None => Precision::Nanoseconds,
    };
    let options = options(&parameters, keyspace_parameter, Some(precision))?;
    let lines = Lines::read(shared, &parts.headers, body, options, 0).await?;
    store(&db, lines.parsed, accepts_part(&parameters)?).await
}

/// The lines of a body.
struct Lines {
    parsed: Parsed,
    /// The first refused ones as they came, where somebody wants to see them.
    shown: Vec<String>,
    /// What the rows take, for as long as they are held.
    _room: (OwnedSemaphorePermit, RowsRoom),
}

impl Lines {
    /// Reads them, and keeps up to so many refused ones.
    async fn read(
        shared: &Shared,
        headers: &HeaderMap,
        body: Body,
        mut options: LineProtocolOptions,
        shown_max: usize,
    ) -> std::result::Result<Lines, Refusal> {
        let mut room = shared.body_room(headers).await?;
        let bytes = read_body(headers, body, shared.options.body_bytes_max).await?;
        let mut rows = RowsRoom::of(shared, bytes.len(), &rows_room::TEXT);
        let made = rows.make(shared, &mut room, move |bytes_max| {
            options.rows_bytes_max = bytes_max;
            let parsed = line_protocol::parse(&bytes, &options);
            if parsed.too_large {
                return Ok(None);
            }
            let refused = parsed.rejected.iter().take(shown_max);
            let shown = shown(&bytes, refused);
            Ok(Some((parsed, shown)))
        });
        let (parsed, shown) = made.await?.ok_or_else(|| rows.exceeded())?;
        rows.settle(&mut room, rows_room::bytes_of(&parsed.batches));
        Ok(Lines {
            parsed,
            shown,
            _room: (room, rows),
        })
    }
}

/// These lines of a body, each as far as it is shown. They come in the order of their numbers.
fn shown<'l>(body: &[u8], refused: impl Iterator<Item = &'l RejectedLine>) -> Vec<String> {
    let mut lines = (1..).zip(body.split(|byte| *byte == b'\n'));
    refused
        .map(|refused| {
            let line = lines.find(|(number, _)| *number == refused.line);
            line.map_or_else(String::new, |(_, line)| beginning(line))
        })
        .collect()
}

fn beginning(line: &[u8]) -> String {
    let line = line.strip_suffix(b"\r").unwrap_or(line);
    // A character that begins before the end of what is shown ends at most three bytes behind it.
    let piece = line.get(..SHOWN_BYTES_MAX + 3).unwrap_or(line);
    let mut text = String::from_utf8_lossy(piece).into_owned();
    text.truncate(text.floor_char_boundary(SHOWN_BYTES_MAX));
    text
}

fn options(
    parameters: &Parameters,
    keyspace_parameter: &str,
    precision: Option<Precision>,
) -> Result<LineProtocolOptions> {
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
    options.precision = precision;
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

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(line: u64) -> RejectedLine {
        RejectedLine {
            line,
            reason: String::new(),
        }
    }

    #[test]
    fn refused_lines_are_shown_as_they_came() {
        let lines = [refused(2), refused(4), refused(9)];
        let found = shown(b"a\nbad \r\n\n\xffz", lines.iter());
        assert_eq!(found, ["bad ", "\u{fffd}z", ""]);
    }

    #[test]
    fn a_long_line_is_cut_between_characters() {
        for before in 0..4 {
            let line = "x".repeat(before) + &"€".repeat(SHOWN_BYTES_MAX);
            let cut = beginning(line.as_bytes());
            assert!(line.starts_with(&cut), "{cut}");
            assert!(cut.len() <= SHOWN_BYTES_MAX && cut.len() > SHOWN_BYTES_MAX - 3);
        }
        let short = "x".repeat(SHOWN_BYTES_MAX);
        assert_eq!(beginning(short.as_bytes()), short);
    }
}
