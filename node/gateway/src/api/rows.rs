//! Bulk rows for one table: a JSON array, NDJSON, CSV or an Arrow IPC stream. All or nothing,
//! unless the client asked for `partial=accept`.

use std::sync::Arc;

use activestore_formats::ArrowReader;
use activestore_formats::arrow_ipc::apart;
use activestore_ingest::{CsvOptions, JsonOptions, JsonShape, Parsed, csv, json};
use activestore_types::{Error, NamedBatch, NamedColumn, Result, TableName, TableSchema};
use arrow::buffer::Buffer;
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

/// Rows stay where a body of this length lies. A shorter one may be a part of what was read from its connection, which
/// would stay with it.
const SHARED_BYTES_MIN: usize = 1 << 20;

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
    let mut rows = RowsRoom::of(&shared, bytes.len(), &rows_room::TEXT);
    let made = rows.make(&shared, &mut room, move |bytes_max| {
        let parsed = parse(&bytes, format, name.clone(), schema.clone(), bytes_max)?;
        Ok((!parsed.too_large).then_some(parsed))
    });
    let parsed = made.await?.ok_or_else(|| rows.exceeded())?;
    rows.settle(&mut room, rows_room::bytes_of(&parsed.batches));
    Ok(answer(&store(&db, parsed, partial).await?))
}

fn format(parameters: &Parameters, headers: &HeaderMap) -> std::result::Result<Format, Refusal> {
    let unsupported = |message: &str, hint: &str| {
        let status = StatusCode::UNSUPPORTED_MEDIA_TYPE;
        Refusal::with_status(status, "invalid", message, Some(hint))
    };
    let media = media_type(headers);
    let format = match parameters.get("format") {
        Some(name) => Some(name.parse()?),
        None => Format::from_accept(&media),
    };
    match format {
        // What a few bytes of it say of themselves may be more than there is memory.
        Some(Format::Parquet) => Err(unsupported(
            "rows do not come in as Parquet",
            "load the file with activestore load, or send Arrow",
        )),
        Some(format) => Ok(format),
        None => {
            let message = match media.as_str() {
                "" => "the request does not say what its body is".to_owned(),
                _ => format!("rows of type '{media}' are not supported"),
            };
            Err(unsupported(
                &message,
                "set Content-Type to application/json, application/x-ndjson, text/csv or application/vnd.apache.arrow.stream",
            ))
        }
    }
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
            let body = if bytes.len() < SHARED_BYTES_MIN {
                Buffer::from(bytes.as_ref())
            } else {
                Buffer::from(bytes.clone())
            };
            let mut reader = ArrowReader::new(body, name)?.within(rows_bytes_max);
            for batch in reader.by_ref() {
                let batch: NamedBatch = batch?;
                parsed.lines += batch.rows as u64;
                parsed.batches.push(batch);
            }
            parsed.too_large = reader.is_exceeded();
            let kept = parsed
                .batches
                .iter()
                .map(|batch| kept_bytes(batch, &schema));
            if reader.is_loose(kept.sum()) {
                parsed.batches = parsed.batches.into_iter().map(apart).collect();
            }
            Ok(parsed)
        }
        Format::Parquet => Err(Error::internal("rows do not come in as Parquet")),
    }
}

/// Bytes of the columns that are stored where they lie: what the table does not have and is nothing but NULL is let go, and
/// what is of another type than in the table is put into memory of its own.
fn kept_bytes(batch: &NamedBatch, schema: &TableSchema) -> usize {
    let stays = |column: &&NamedColumn| match schema.column(&column.name) {
        Some(defined) => defined.data_type.arrow() == *column.array.data_type(),
        None => column.array.null_count() < column.array.len(),
    };
    let columns = batch.columns.iter().filter(stays);
    let bytes = columns.map(|column| column.array.to_data().get_slice_memory_size());
    bytes.map(|bytes| bytes.unwrap_or(0)).sum()
}
