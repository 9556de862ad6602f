//! `activestore load`: files into a table, piece by piece, over HTTP.
//!
//! 1. Look at the first rows: what columns there are, and where they go. What does not fit is said before a row is sent.
//! 2. Cut the file into pieces of whole records, read them, and send them as columns; a few are on their way at once.
//! 3. Note the refused records in `FILE.rejects`, and how far the load is in `FILE.progress`.
//!
//! A load that breaks off goes on behind the last piece that was acknowledged. Sending a piece twice does no harm: a row is
//! an upsert.

mod batches;
mod create;
mod display;
mod fit;
mod flow;
pub mod format;
mod keys;
mod ledger;
mod parse;
mod piece;
mod preview;
mod progress;
mod reader;
mod rejects;
mod rows;
mod sample;
mod send;
mod source;
mod split;
mod stop;
mod target;

use std::process::ExitCode;
use std::time::{SystemTime, UNIX_EPOCH};

use activestore_ingest::csv::INFER_ROWS;
use activestore_types::{DataType, Error, Result};

use crate::cli::{FileFormat, LoadArgs};
use crate::client::Client;
use crate::figures::{grouped, size};
use create::Wanted;
use display::Display;
use flow::{Flow, Intake};
use ledger::Ledger;
use parse::Parser;
use piece::Piece;
use progress::{Goal, Progress};
use reader::{Place, Reader};
use rejects::Rejects;
use send::Sender;
use source::Source;
use stop::{EXIT_INTERRUPTED, Stop};
use target::{Mapping, Target};

pub use activestore_ingest::definition::quoted;

/// Runs the command; the exit code is 1 when a record was refused, 130 after Ctrl-C.
///
/// # Errors
/// The first that stops the load; what was loaded before stays, and the load can be resumed.
pub fn run(args: &LoadArgs) -> Result<ExitCode> {
    let client = Client::new(&args.node.url)?;
    let sources = Source::all(&args.files)?;
    if args.no_resume && !args.dry_run {
        // Of all of them first: this load may end before it comes to the last.
        for path in sources.iter().filter_map(Source::path) {
            Progress::forget(path)?;
        }
    }
    let mut load = Load {
        client: &client,
        args,
        node: node_of(&client),
        stop: Stop::on_interrupt()?,
        refused: 0,
        sources: 0,
        makes_table: false,
        whole: Vec::new(),
    };
    for source in &sources {
        let whole = load
            .source(source)
            .map_err(|error| error.context(source.shown()))?;
        if !whole {
            return Ok(ExitCode::from(EXIT_INTERRUPTED));
        }
    }
    for progress in &load.whole {
        progress.remove()?;
    }
    Ok(ExitCode::from(u8::from(load.refused > 0)))
}

/// A load of one or more sources.
struct Load<'a> {
    client: &'a Client,
    args: &'a LoadArgs,
    /// Which node it is, whatever its address.
    node: String,
    stop: Stop,
    /// Records and rows refused so far.
    refused: u64,
    /// Sources begun so far.
    sources: u64,
    /// Whether this load has made the table, perhaps before it broke off.
    makes_table: bool,
    /// Of each source that is through; kept until all are, so that a second try leaves out what is done.
    whole: Vec<Progress>,
}

impl Load<'_> {
    /// Loads one source; false where Ctrl-C came first.
    fn source(&mut self, source: &Source) -> Result<bool> {
        let args = self.args;
        let mut reader = Reader::open(source, args.format, args.delimiter, Place::default())?;
        let format = reader.format;
        let mut first = reader.next_piece()?;
        let mut parser = Parser {
            format,
            table: args.table.clone(),
            header: reader.header(),
            types: Vec::new(),
            inferred: Vec::new(),
            infer_rows: INFER_ROWS,
            mapping: Mapping::of(args),
        };
        let target = match format {
            FileFormat::Lp => self.line_protocol()?,
            _ => match self.target(source, &mut parser, first.as_ref())? {
                Some(target) => Some(target),
                None => {
                    return Err(
                        Error::invalid("the table is not created, and nothing is loaded")
                            .with_hint("name key and columns with --key, --time, --map and --skip"),
                    );
                }
            },
        };
        let mut progress = self.progress(source, &reader, target.as_ref())?;
        self.makes_table |= progress.makes_table;
        let now_ns = match format {
            FileFormat::Lp => Some(*progress.now_ns.get_or_insert_with(now_ns)),
            _ => None,
        };
        if self.makes_table {
            // Nobody has said that these are numbers: a later file may hold identifiers as well.
            let names = parser.types.iter().map(|(name, _)| name.clone());
            parser.inferred = names.collect();
            progress.makes_table = true;
        }
        // Before the first row: an answer may be lost.
        if self.makes_table || now_ns.is_some() {
            progress.save()?;
        }
        if progress.offset > 0 {
            eprintln!(
                "resuming {} after {} rows",
                source.shown(),
                grouped(progress.rows)
            );
            let place = Place {
                offset: progress.offset,
                line: progress.next_line,
            };
            reader = Reader::open(source, Some(format), args.delimiter, place)?;
            first = None;
        }
        let rejects = Rejects::open(
            source,
            args.rejects.as_deref(),
            progress.rejects_bytes,
            self.sources == 0,
        );
        let keeps_rejects = !args.dry_run || args.rejects.is_some();
        if keeps_rejects && progress.offset == 0 {
            rejects.clear()?;
        }
        self.sources += 1;
        let position = if progress.offset > 0 {
            reader.position()
        } else {
            0
        };
        let mut ledger = Ledger {
            display: Display::begin(&source.shown(), reader.size(), progress.rows, position),
            rejects,
            rejected: 0,
            refusals_left: args
                .max_rejects
                .map(|most| most.saturating_sub(self.refused + progress.refused)),
            keeps_rejects,
            progress,
        };
        let flow = Flow {
            parser: &parser,
            target: target.as_ref(),
            sender: &Sender::new((!args.dry_run).then_some(self.client), &args.table, now_ns),
            stop: &self.stop,
        };
        let outcome = flow.run(Intake::new(reader, first), &mut ledger);
        ledger.display.end();
        self.refused += ledger.progress.refused + ledger.rejected;
        if let Err(error) = outcome {
            return Err(broken_off(error, &ledger.progress));
        }
        let stopped = self.stop.is_asked();
        self.report(source, &ledger, stopped);
        self.whole.push(ledger.progress);
        Ok(!stopped)
    }

    /// Line protocol names its tables and columns itself.
    fn line_protocol(&self) -> Result<Option<Target>> {
        let args = self.args;
        if args.create {
            return Err(Error::invalid("line protocol makes its tables itself")
                .with_hint("leave out --create"));
        }
        if !args.map.is_empty() || !args.skip.is_empty() {
            return Err(Error::invalid(
                "--map and --skip are not for line protocol, which names its columns itself",
            ));
        }
        Ok(None)
    }

    /// The table that the first rows go to, made where that is asked for; `None` where somebody has said no.
    fn target(
        &mut self,
        source: &Source,
        parser: &mut Parser,
        first: Option<&Piece>,
    ) -> Result<Option<Target>> {
        let args = self.args;
        let existing = Target::of(self.client, &args.table)?;
        if existing.is_none() && !args.create {
            return Err(
                Error::not_found(format!("table {} does not exist", args.table)).with_hint(
                    "create it with CREATE TABLE, or from what the file holds with --create",
                ),
            );
        }
        if let Some(target) = &existing {
            let named = |(column, data_type): (&String, &DataType)| {
                (parser.mapping.file_name(column).to_owned(), *data_type)
            };
            parser.types = target.columns.iter().map(named).collect();
        } else if let Some(time) = &args.time {
            let name = parser.mapping.file_name(time).to_owned();
            parser.types.push((name, DataType::Timestamp));
        }
        let Some(sample) = sample::of(parser, first)? else {
            return match existing {
                Some(target) => Ok(Some(target)),
                None => Err(Error::invalid(
                    "the file holds no rows that types could be told from",
                )),
            };
        };
        let (target, wanted) = match existing {
            Some(target) => (target, None),
            None => {
                let wanted = Wanted::of(args, &sample.batch)?;
                (wanted.target(), Some(wanted))
            }
        };
        if wanted.is_some() || args.dry_run {
            let packed = source.path().and_then(|path| path.metadata().ok());
            let bytes = packed.map_or_else(String::new, |meta| format!(", {}", size(meta.len())));
            eprintln!(
                "{}: {}{bytes}\n{}",
                source.shown(),
                format::shown(parser.format),
                preview::table(&sample.batch, &target, &parser.mapping)?
            );
        }
        target.check(&sample.batch, &parser.mapping)?;
        if let Some(wanted) = wanted {
            eprintln!("{};", wanted.statement());
            if !args.yes && !args.dry_run && !preview::agreed("Create this table and load?")? {
                return Ok(None);
            }
            if !args.dry_run {
                self.client.sql(&format!(
                    "CREATE KEYSPACE IF NOT EXISTS {}",
                    quoted(&args.table.keyspace)
                ))?;
                self.client.sql(&wanted.statement())?;
                self.makes_table = true;
                return Target::of(self.client, &args.table);
            }
        }
        Ok(Some(target))
    }

    /// What an earlier load has left, where this one can go on with it: what it loaded is still there.
    fn progress(
        &self,
        source: &Source,
        reader: &Reader,
        target: Option<&Target>,
    ) -> Result<Progress> {
        let (args, client) = (self.args, self.client);
        let stamp = target.map_or_else(String::new, |target| target.stamp.clone());
        let goal = Goal::of(args, &self.node, stamp, reader.format);
        match source.path() {
            Some(path) if reader.size().is_some() && !args.no_resume && !args.dry_run => {
                let kept = Progress::of(path, goal.clone())?;
                let is_gone = kept.rows > 0
                    && match target {
                        Some(target) => target.is_empty(client),
                        None => target::is_bare(client, &args.table.keyspace),
                    };
                if is_gone {
                    return Progress::fresh(path, goal);
                }
                Ok(kept)
            }
            _ => Ok(Progress::forgotten(goal)),
        }
    }

    fn report(&self, source: &Source, ledger: &Ledger, stopped: bool) {
        let progress = &ledger.progress;
        let mut text = format!(
            "{}: {} rows {}in {}",
            source.shown(),
            grouped(progress.rows),
            if self.args.dry_run { "read " } else { "" },
            ledger.display.summary()
        );
        if progress.refused > 0 {
            text.push_str(&format!("; {} refused", grouped(progress.refused)));
            if ledger.keeps_rejects {
                text.push_str(&format!(", see {}", ledger.rejects.path().display()));
            }
        }
        if ledger.rejected > 0 {
            text.push_str(&format!(
                "; {} refused by a processor, see system.rejected_writes",
                grouped(ledger.rejected)
            ));
        }
        if stopped {
            text.push_str(if progress.is_kept() {
                "; stopped: the same command goes on from here"
            } else {
                "; stopped: the same command begins anew, which does no harm"
            });
        }
        println!("{text}");
    }
}

fn now_ns() -> i64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |since| {
            i64::try_from(since.as_nanos()).unwrap_or(i64::MAX)
        })
}

/// The node's identity; who may not ask for it knows the node by its address.
fn node_of(client: &Client) -> String {
    let status = client.get("/v1/status").unwrap_or_default();
    let node = status.get("node").and_then(|node| node.as_str());
    node.unwrap_or_else(|| client.url()).to_owned()
}

/// An error that stops a load, with how to go on.
fn broken_off(error: Error, progress: &Progress) -> Error {
    let hint = match (progress.is_kept(), error.hint()) {
        (_, Some(hint)) => hint.to_owned(),
        (true, None) => "the same command goes on from here".to_owned(),
        (false, None) => "the same command begins anew, which does no harm".to_owned(),
    };
    error
        .context(format!("after {} rows", grouped(progress.rows)))
        .with_hint(hint)
}

#[cfg(test)]
mod tests;
