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
use crate::load::format::of_output;
use crate::load::quoted;

mod parquet;

/// Bytes copied at a time.
const COPY_BYTES: usize = 128 * 1024;

/// Runs the command.
///
/// # Errors
/// What the node says, or where the file cannot be written.
pub fn run(args: &ExportArgs) -> Result<ExitCode> {
    let to_stdout = args.output.as_os_str() == "-";
    let written = of_output(args.format, &args.output)?;
    let format = match written {
        FileFormat::Csv => Format::Csv,
        FileFormat::Json => Format::Json,
        FileFormat::Ndjson => Format::Ndjson,
        // The node sends columns; the file is made of them here.
        FileFormat::Arrow | FileFormat::Parquet => Format::Arrow,
        FileFormat::Lp => {
            return Err(Error::invalid("export does not write this format")
                .with_hint("use csv, json, ndjson, arrow or parquet"));
        }
    };
    if written == FileFormat::Parquet && cfg!(not(feature = "parquet")) {
        return Err(Error::invalid("this build does not write Parquet")
            .with_hint("build it with the feature 'parquet', or use arrow"));
    }
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
    let (content_type, body) = Client::new(&args.node.url)?.sql_body(&sql, format)?;
    if content_type.starts_with("application/json") && format != Format::Json {
        let tag = tag(&read_json(body)?);
        return Err(
            Error::invalid(format!("the statement gives no rows: {tag}"))
                .with_hint("export takes a query"),
        );
    }
    if to_stdout {
        copy(body, &mut std::io::stdout(), written)?;
        return Ok(ExitCode::SUCCESS);
    }
    let bytes = write_file(&args.output, body, written)?;
    println!(
        "{}: {} in {}",
        args.output.display(),
        size(bytes),
        shown(started.elapsed())
    );
    Ok(ExitCode::SUCCESS)
}

fn write_file(path: &Path, body: BodyReader, format: FileFormat) -> Result<u64> {
    let mut part = path.as_os_str().to_owned();
    part.push(".part");
    let part = Path::new(&part);
    let written = File::create(part)
        .map_err(Error::from)
        .and_then(|file| {
            let mut out = BufWriter::new(file);
            let bytes = copy(body, &mut out, format)?;
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

/// Writes the rows as they come; how many bytes the file has.
fn copy(mut body: BodyReader, out: &mut (impl Write + Send), format: FileFormat) -> Result<u64> {
    let spinner = if std::io::stderr().is_terminal() {
        ProgressBar::new_spinner()
    } else {
        ProgressBar::hidden()
    };
    if let Ok(style) = ProgressStyle::with_template("{spinner} {bytes}  {bytes_per_sec}") {
        spinner.set_style(style);
    }
    if format == FileFormat::Parquet {
        let bytes = parquet::write(body, out, &spinner)?;
        spinner.finish_and_clear();
        return Ok(bytes);
    }
    tracing::trace!(?format, "the rows are written as the node sends them");
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
