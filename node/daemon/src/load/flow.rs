//! Pieces of one source on their way to the node. Several lanes take one each, read it, and send it; they enter one after
//! the other, and a piece that shares a key with one that is on its way waits for that. What has come back is noted in
//! order, so that the load goes on from the last piece before which nothing is missing.

use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};

use activestore_types::{Error, Result};
use arrow::json::LineDelimitedWriter;
use parking_lot::{Condvar, Mutex};

use super::fit::fit;
use super::keys::Keys;
use super::ledger::{Done, Ledger};
use super::parse::Parser;
use super::piece::{Content, Piece, Refused};
use super::reader::Reader;
use super::rejects::Rejected;
use super::rows::Rows;
use super::send::{Outcome, Sender};
use super::stop::Stop;
use super::target::Target;

/// Pieces that are read or on their way at once.
const LANES: usize = 3;

/// What a load of one source needs.
pub struct Flow<'a> {
    /// Reads pieces.
    pub parser: &'a Parser,
    /// The table; `None` for line protocol, which names its tables itself.
    pub target: Option<&'a Target>,
    /// Sends rows.
    pub sender: &'a Sender<'a>,
    /// Whether to stop.
    pub stop: &'a Stop,
}

/// Where pieces come from.
pub struct Intake {
    /// The source.
    pub reader: Reader,
    /// A piece that was looked at before.
    pub first: Option<Piece>,
    /// The number of the next piece.
    next: u64,
}

impl Intake {
    /// Pieces of a source.
    pub fn new(reader: Reader, first: Option<Piece>) -> Intake {
        Intake {
            reader,
            first,
            next: 0,
        }
    }
}

/// What is on its way.
struct Window<'l> {
    /// The number of the piece that enters next.
    enters: u64,
    under_way: VecDeque<Entry>,
    ledger: &'l mut Ledger,
    failed: Option<Error>,
}

struct Entry {
    number: u64,
    /// `None` where they are not known, and such a piece is alone; and once it is done.
    keys: Option<Keys>,
    done: Option<Done>,
}

impl Window<'_> {
    fn lets_in(&self, keys: Option<&Keys>) -> bool {
        self.under_way
            .iter()
            .all(|entry| match (&entry.keys, keys) {
                (Some(those), Some(these)) => entry.done.is_some() || !those.meet(these),
                _ => entry.done.is_some(),
            })
    }

    /// Notes all pieces before which nothing is missing.
    fn settle(&mut self) -> Result<()> {
        while let Some(done) = self
            .under_way
            .front_mut()
            .and_then(|entry| entry.done.take())
        {
            self.under_way.pop_front();
            self.ledger.note(&done)?;
        }
        Ok(())
    }
}

impl Flow<'_> {
    /// Loads what is left of a source, or as much as there is until it is to stop.
    ///
    /// # Errors
    /// The first that stops it; what was noted before stays.
    pub fn run(&self, intake: Intake, ledger: &mut Ledger) -> Result<()> {
        let intake = Mutex::new(intake);
        let window = Mutex::new(Window {
            enters: 0,
            under_way: VecDeque::new(),
            ledger,
            failed: None,
        });
        let changed = Condvar::new();
        // The node reads line protocol itself, in order.
        let lanes = if self.target.is_some() { LANES } else { 1 };
        std::thread::scope(|scope| {
            for _ in 0..lanes {
                scope.spawn(|| {
                    lane(&window, &changed, || self.piece(&intake, &window, &changed));
                });
            }
        });
        match window.into_inner().failed {
            Some(error) => Err(error),
            None => Ok(()),
        }
    }

    /// Takes a piece from its source to the node; false where there is none, or the load is to end.
    fn piece(
        &self,
        intake: &Mutex<Intake>,
        window: &Mutex<Window<'_>>,
        changed: &Condvar,
    ) -> Result<bool> {
        let (number, piece, position) = {
            let mut intake = intake.lock();
            if self.stop.is_asked() || window.lock().failed.is_some() {
                return Ok(false);
            }
            let piece = match intake.first.take() {
                Some(piece) => Some(piece),
                None => intake.reader.next_piece()?,
            };
            let Some(piece) = piece else {
                return Ok(false);
            };
            let number = intake.next;
            intake.next += 1;
            (number, piece, intake.reader.position())
        };
        let (parts, mut refused) = self.read(&piece)?;
        let keys = self.keys(&parts)?;
        {
            let mut window = window.lock();
            while window.failed.is_none()
                && (window.enters != number || !window.lets_in(keys.as_ref()))
            {
                changed.wait(&mut window);
            }
            if window.failed.is_some() {
                return Ok(false);
            }
            window.enters += 1;
            window.under_way.push_back(Entry {
                number,
                keys,
                done: None,
            });
            changed.notify_all();
        }
        let mut outcome = Outcome::default();
        match (&piece.content, self.target) {
            (Content::Text(lines), None) => self.sender.lines(lines, &mut outcome)?,
            _ => {
                for rows in &parts {
                    self.sender.rows(rows, &mut outcome)?;
                }
            }
        }
        refused.extend(outcome.refused);
        let done = Done {
            rows: outcome.rows,
            refused: rejected(&piece, self.parser, refused),
            rejected: outcome.rejected,
            end_offset: piece.end_offset,
            next_line: piece.next_line,
            position,
        };
        let mut window = window.lock();
        let mut entries = window.under_way.iter_mut();
        if let Some(entry) = entries.find(|entry| entry.number == number) {
            entry.done = Some(done);
            entry.keys = None;
        }
        let settled = window.settle();
        changed.notify_all();
        settled.map(|()| true)
    }

    /// The rows of a piece that fit the table, and what does not.
    fn read(&self, piece: &Piece) -> Result<(Vec<Rows>, Vec<Refused>)> {
        let mut refused = piece.refused.clone();
        let Some(target) = self.target else {
            return Ok((Vec::new(), refused));
        };
        let mut parts = Vec::new();
        for rows in self.parser.read(piece, &mut refused)? {
            let fitting = fit(rows, target, &mut refused)?;
            if fitting.batch.rows > 0 {
                parts.push(fitting);
            }
        }
        Ok((parts, refused))
    }

    fn keys(&self, parts: &[Rows]) -> Result<Option<Keys>> {
        let Some(target) = self.target else {
            return Ok(None);
        };
        let mut all = Keys::default();
        for rows in parts {
            all.extend(Keys::of(rows, &target.key)?);
        }
        Ok(Some(all))
    }
}

/// Takes pieces until there are none; what goes wrong with one ends the other lanes too. They wait for each other: a lane
/// that were just gone would leave them waiting.
fn lane(window: &Mutex<Window<'_>>, changed: &Condvar, piece: impl Fn() -> Result<bool>) {
    loop {
        let taken = catch_unwind(AssertUnwindSafe(&piece)).unwrap_or_else(|_| {
            Err(
                Error::internal("the load came upon something in the file that it does not expect")
                    .with_hint("what is loaded stays; please report it with the lines above"),
            )
        });
        match taken {
            Ok(true) => {}
            Ok(false) => return,
            Err(error) => {
                window.lock().failed.get_or_insert(error);
                changed.notify_all();
                return;
            }
        }
    }
}

/// Refused records with their text, by line.
fn rejected(piece: &Piece, parser: &Parser, mut refused: Vec<Refused>) -> Vec<Rejected> {
    refused.sort_by_key(|one| one.line);
    let numbers: Vec<u64> = refused.iter().map(|one| one.line).collect();
    let records: Vec<Vec<u8>> = match &piece.content {
        Content::Text(lines) => {
            let records = lines.records(parser.format, parser.header.1, numbers.into_iter());
            records.map(<[u8]>::to_vec).collect()
        }
        Content::Batch(batch, first) => numbers
            .iter()
            .map(|number| {
                let row = usize::try_from(number.saturating_sub(*first)).unwrap_or(0);
                let mut text = Vec::new();
                if row < batch.num_rows() {
                    // A value that has no JSON leaves the record empty; its number is told.
                    let _ = LineDelimitedWriter::new(&mut text).write(&batch.slice(row, 1));
                }
                text
            })
            .collect(),
    };
    refused
        .into_iter()
        .zip(records)
        .map(|(one, record)| Rejected {
            line: one.line,
            reason: one.reason,
            record,
        })
        .collect()
}

#[cfg(test)]
mod tests;
