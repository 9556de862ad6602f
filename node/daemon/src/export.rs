//! `activestore export`: a table or a query's result into a file. The file appears under its name
//! only when it is whole.

use std::fs::File;
use std::io::{BufWriter, IsTerminal, Read, Write};
use std::path::Path;
use std::process::ExitCode;
use std::time::Instant;

use activestore_gateway::Format;
use activestore_types::{Error, Result};
use indicatif::{ProgressBar, ProgressStyle};

use crate::cli::{ExportArgs, FileFormat};
use crate::client::{BodyReader, Client, read_json, tag};
use crate::figures::{shown, size};
use crate::load::{file_format, quoted};

/// Bytes copied at a time.
const COPY_BYTES: usize = 128 * 1024;

/// Runs the command.
///
/// # Errors
/// What the node says, or where the file cannot be written.
pub fn run(args: &ExportArgs) -> Result<ExitCode> {
    let to_stdout = args.output.as_os_str() == "-";
    let format = match file_format(args.format, &args.output)? {
        FileFormat::Csv => Format::Csv,
        FileFormat::Json => Format::Json,
        FileFormat::Ndjson => Format::Ndjson,
        FileFormat::Arrow => Format::Arrow,
        FileFormat::Lp | FileFormat::Parquet => {
            return Err(Error::invalid("export does not write this format")
                .with_hint("use csv, json, ndjson or arrow"));
        }
    };
    let sql = match (&args.sql, &args.table) {
        (Some(sql), _) => sql.clone(),
        (None, Some(table)) => format!(
            "SELECT * FROM {}.{}",
            quoted(&table.keyspace),
            quoted(&table.table)
        ),
        (None, None) => return Err(Error::invalid("neither --table nor --sql is given")),
    };
    let started = Instant::now();
    let (content_type, mut body) = Client::new(&args.node.url)?.sql_body(&sql, format)?;
    if content_type.starts_with("application/json") && format != Format::Json {
        let tag = tag(&read_json(body)?);
        return Err(
            Error::invalid(format!("the statement gives no rows: {tag}"))
                .with_hint("export takes a query"),
        );
    }
    if to_stdout {
        let mut out = std::io::stdout().lock();
        copy(&mut body, &mut out)?;
        return Ok(ExitCode::SUCCESS);
    }
    let bytes = write_file(&args.output, &mut body)?;
    println!(
        "{}: {} in {}",
        args.output.display(),
        size(bytes),
        shown(started.elapsed())
    );
    Ok(ExitCode::SUCCESS)
}

fn write_file(path: &Path, body: &mut BodyReader) -> Result<u64> {
    let mut part = path.as_os_str().to_owned();
    part.push(".part");
    let part = Path::new(&part);
    let written = File::create(part)
        .map_err(Error::from)
        .and_then(|file| {
            let mut out = BufWriter::new(file);
            let bytes = copy(body, &mut out)?;
            let file = out
                .into_inner()
                .map_err(|error| Error::from(error.into_error()))?;
            file.sync_all()?;
            std::fs::rename(part, path)?;
            Ok(bytes)
        })
        .map_err(|error| error.context(format!("writing {}", path.display())));
    if written.is_err() {
        // What is left of it helps nobody; the first error is the one to report.
        let _ = std::fs::remove_file(part);
    }
    written
}

fn copy(body: &mut BodyReader, out: &mut impl Write) -> Result<u64> {
    let spinner = if std::io::stderr().is_terminal() {
        ProgressBar::new_spinner()
    } else {
        ProgressBar::hidden()
    };
    if let Ok(style) = ProgressStyle::with_template("{spinner} {bytes}  {bytes_per_sec}") {
        spinner.set_style(style);
    }
    let mut buffer = vec![0; COPY_BYTES];
    let mut total = 0;
    loop {
        let read = body.read(&mut buffer).map_err(|error| {
            Error::internal(format!(
                "the answer broke off after {}: {error}",
                size(total)
            ))
        })?;
        if read == 0 {
            break;
        }
        out.write_all(buffer.get(..read).unwrap_or_default())?;
        total += read as u64;
        spinner.set_position(total);
    }
    out.flush()?;
    spinner.finish_and_clear();
    Ok(total)
}
