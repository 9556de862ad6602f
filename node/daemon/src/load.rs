//! `activestore load`: files into a table, piece by piece, over HTTP.
//!
//! 1. Cut the file into pieces of whole records (the node parses them, it knows the types).
//! 2. Send a piece; the node stores the good records and lists the refused ones by line.
//! 3. Note the refused ones in `FILE.rejects`, and how far the load is in `FILE.progress`.
//!
//! A load that breaks off resumes after the last piece that was acknowledged. Sending a piece twice
//! does no harm: a row is an upsert.

mod create;
mod piece;
mod progress;
mod rejects;
mod send;
mod split;

use std::path::Path;
use std::process::ExitCode;
use std::time::Instant;

use activestore_types::{Error, Result};
use indicatif::{ProgressBar, ProgressStyle};

use crate::cli::{FileFormat, LoadArgs};
use crate::client::Client;
use crate::figures::{grouped, shown};
use progress::Progress;
use rejects::Rejects;
use send::Sender;
use split::Splitter;

pub use activestore_ingest::definition::quoted;
pub use piece::Piece;

/// Runs the command; the exit code is 1 when a record was refused.
///
/// # Errors
/// The first that stops the load; what was loaded before stays, and the load can be resumed.
pub fn run(args: &LoadArgs) -> Result<ExitCode> {
    let client = Client::new(&args.node.url)?;
    let mut refused = 0;
    let mut may_create = args.create;
    for file in &args.files {
        refused +=
            load(&client, args, file, may_create).map_err(|error| error.context(file.display()))?;
        may_create = false;
    }
    Ok(ExitCode::from(u8::from(refused > 0)))
}

/// The format by flag or by name.
///
/// # Errors
/// `Invalid` where neither says it, and for Parquet.
pub fn file_format(format: Option<FileFormat>, path: &Path) -> Result<FileFormat> {
    let extension = path
        .extension()
        .and_then(|extension| extension.to_str())
        .unwrap_or_default();
    let format = match (format, extension) {
        (Some(format), _) => format,
        (None, "csv") => FileFormat::Csv,
        (None, "json") => FileFormat::Json,
        (None, "ndjson" | "jsonl") => FileFormat::Ndjson,
        (None, "lp" | "line") => FileFormat::Lp,
        (None, "arrow" | "arrows" | "ipc") => FileFormat::Arrow,
        (None, "parquet") => FileFormat::Parquet,
        (None, _) => {
            return Err(Error::invalid(format!(
                "the name {} does not say the format",
                path.display()
            ))
            .with_hint("add --format csv, json, ndjson, lp or arrow"));
        }
    };
    if format == FileFormat::Parquet {
        return Err(Error::invalid("this build does not read or write Parquet")
            .with_hint("use csv, ndjson or arrow"));
    }
    Ok(format)
}

/// Loads one file and gives how many records were refused.
fn load(client: &Client, args: &LoadArgs, path: &Path, may_create: bool) -> Result<u64> {
    let format = file_format(args.format, path)?;
    if may_create {
        create::table(client, args, path, format)?;
    }
    let mut progress = Progress::of(path, &args.table, format)?;
    let mut rejects = Rejects::open(path, progress.offset > 0)?;
    let mut splitter = Splitter::open(path, format, &progress)?;
    let bar = bar(progress.size);
    if progress.offset > 0 {
        bar.println(format!(
            "resuming {} after {} rows",
            path.display(),
            grouped(progress.rows)
        ));
    }
    bar.set_position(progress.offset);
    let started = Instant::now();
    let before = progress.rows;
    let mut sender = Sender::new(client, &args.table, format);
    while let Some(piece) = splitter.next_piece()? {
        let outcome = sender.send(&piece)?;
        rejects.note(&piece, &outcome.refused)?;
        progress.rows += outcome.rows;
        progress.refused += outcome.refused.len() as u64;
        progress.offset = piece.end_offset;
        progress.next_line = piece.next_line;
        progress.save()?;
        bar.set_position(splitter.position());
        let rate = (progress.rows - before) as f64 / started.elapsed().as_secs_f64().max(1e-3);
        bar.set_message(format!("{} rows/s", grouped(rate as u64)));
    }
    bar.finish_and_clear();
    progress.remove()?;
    rejects.close(progress.refused)?;
    let took = started.elapsed();
    let rate = (progress.rows - before) as f64 / took.as_secs_f64().max(1e-3);
    print!(
        "{}: {} rows in {} ({} rows/s)",
        path.display(),
        grouped(progress.rows),
        shown(took),
        grouped(rate as u64)
    );
    if progress.refused > 0 {
        print!(
            "; {} refused, see {}",
            grouped(progress.refused),
            rejects.path().display()
        );
    }
    println!();
    Ok(progress.refused)
}

fn bar(size: u64) -> ProgressBar {
    let bar = ProgressBar::new(size);
    if let Ok(style) = ProgressStyle::with_template(
        "{bar:32.cyan/dim} {percent:>3}%  {bytes} of {total_bytes}  {msg}  {eta} left",
    ) {
        bar.set_style(style.progress_chars("━━─"));
    }
    bar
}

#[cfg(test)]
mod tests;
