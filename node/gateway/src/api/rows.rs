//! Bulk rows for one table: a JSON array, NDJSON, CSV, an Arrow IPC stream or Parquet. All or nothing,
//! unless the client asked for `partial=accept`.

use std::sync::Arc;

use activestore_formats::arrow_ipc::plain;
use activestore_formats::{ArrowReader, AtOnce, ParquetReader, values_bytes};
use activestore_ingest::{CsvOptions, JsonOptions, JsonShape, Parsed, csv, json};
use activestore_types::{Error, NamedBatch, Result, TableName, TableSchema};
use axum::extract::{Path, Request, State};
use axum::http::{HeaderMap, StatusCode};
use bytes::Bytes;

use super::write::{accepts_part, answer, store};
use crate::answer::{Answer, Refusal};
use crate::caller::Caller;
use crate::encode::Format;
use crate::request::{Parameters, media_type, parameters, read_body};
use crate::rows_room::{self, RowsRoom};
use crate::server::Shared;

/// Rows of Parquet that are decoded at once.
const PARQUET_AT_ONCE: AtOnce = AtOnce {
    bytes: 8 << 20,
    rows: 64 << 10,
};

/// What the rows of one body of Parquet may come to once they are unpacked, as those of Arrow.
const PARQUET_BYTES_MAX: usize = 256 << 20;

pub(super) async fn insert(
    State(shared): State<Arc<Shared>>,
    Path((keyspace, table)): Path<(String, String)>,
    request: Request,
) -> Answer {
    let db = Caller::of(&request)?;
    let name = TableName::new(keyspace, table);
    db.check_insert(&name)?;
    let (parts, body) = request.into_parts();
    let parameters = parameters(&parts.uri);
    let partial = accepts_part(&parameters)?;
    let format = format(&parameters, &parts.headers)?;
    let schema = db.table_schema(&name).ok_or_else(|| {
        Error::not_found(format!("table {name} does not exist"))
            .with_hint("create it with CREATE TABLE, or load with activestore load --create")
    })?;
    let mut room = shared.body_room(&parts.headers).await?;
    let bytes = read_body(&parts.headers, body, shared.options.body_bytes_max).await?;
    let rows = RowsRoom::of(&shared, bytes.len(), &rows_room::TEXT);
    let parsed = rows.make(&shared, &mut room, move |bytes_max| {
        let parsed = parse(&bytes, format, name.clone(), schema.clone(), bytes_max)?;
        Ok((!parsed.too_large).then_some(parsed))
    });
    let parsed = parsed.await?.ok_or_else(|| rows.exceeded())?;
    Ok(answer(&store(&db, parsed, partial).await?))
}

fn format(parameters: &Parameters, headers: &HeaderMap) -> std::result::Result<Format, Refusal> {
    if let Some(name) = parameters.get("format") {
        return Ok(name.parse()?);
    }
    let media = media_type(headers);
    Format::from_accept(&media).ok_or_else(|| {
        let message = match media.as_str() {
            "" => "the request does not say what its body is".to_owned(),
            _ => format!("rows of type '{media}' are not supported"),
        };
        Refusal::with_status(
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            "invalid",
            &message,
            Some(
                "set Content-Type to application/json, application/x-ndjson, text/csv, application/vnd.apache.arrow.stream or application/vnd.apache.parquet",
            ),
        )
    })
}

fn parse(
    bytes: &Bytes,
    format: Format,
    name: TableName,
    schema: Arc<TableSchema>,
    rows_bytes_max: usize,
) -> Result<Parsed> {
    match format {
        Format::Json | Format::Ndjson => {
            let mut options = JsonOptions::new(name);
            options.schema = Some(schema);
            options.rows_bytes_max = rows_bytes_max;
            options.shape = match format {
                Format::Ndjson => JsonShape::Lines,
                _ => JsonShape::Auto,
            };
            Ok(json::parse(bytes, &options))
        }
        Format::Csv => {
            let mut options = CsvOptions::new(name);
            options.schema = Some(schema);
            csv::parse(bytes, &options)
        }
        Format::Arrow => {
            let mut parsed = Parsed::default();
            for batch in ArrowReader::new(bytes.as_ref(), name)? {
                let batch: NamedBatch = batch?;
                parsed.lines += batch.rows as u64;
                parsed.batches.push(batch);
            }
            Ok(parsed)
        }
        Format::Parquet => parquet(bytes, &name),
    }
}

/// The rows of a Parquet body, with plain columns.
fn parquet(bytes: &Bytes, name: &TableName) -> Result<Parsed> {
    let mut parsed = Parsed::default();
    let mut unpacked = 0_usize;
    for batch in ParquetReader::of_bytes(bytes.clone(), PARQUET_AT_ONCE)? {
        let batch = plain(&batch?)?;
        unpacked = unpacked.saturating_add(values_bytes(&batch));
        if unpacked > PARQUET_BYTES_MAX {
            return Err(Error::invalid(format!(
                "the rows of the body come to more than {PARQUET_BYTES_MAX} bytes when they are unpacked"
            ))
            .with_hint("send them in several requests"));
        }
        parsed.lines += batch.num_rows() as u64;
        let batch = NamedBatch::from_record_batch(name.clone(), &batch);
        parsed.batches.push(batch);
    }
    Ok(parsed)
}
