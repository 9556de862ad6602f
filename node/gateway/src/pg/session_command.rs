//! Commands that are about the session alone, and what a transaction is here.
//!
//! Statements are durable one by one, so a transaction undoes nothing. What only reads, or is committed, goes as clients
//! expect; a ROLLBACK behind a write is answered with an error that says what stays, for who asked for it counts on
//! the opposite.

use arrow::array::{ArrayRef, StringArray};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use bytes::BufMut;
use std::sync::Arc;

use super::answer::{self, Standing};
use super::cell::Cells;
use super::command::{Command, SessionCommand};
use super::extended::no_portal;
use super::fault::{Fault, NO_STATEMENT, NOT_SUPPORTED, TOO_LARGE};
use super::run::{Sent, shown};
use super::session::Session;

/// Savepoints of a transaction.
const SAVEPOINTS_MAX: usize = 1000;

/// Where a session's transaction stands.
#[derive(Clone, Debug, Default)]
pub(super) struct Transaction {
    standing: Standing,
    pub(super) read_only: bool,
    /// Statements of it that wrote.
    written: u64,
    /// Savepoints, with how many statements had written then.
    savepoints: Vec<(String, u64)>,
    /// Whether the client knows that statements are durable one by one.
    warned: bool,
}

impl Transaction {
    pub(super) fn standing(&self) -> Standing {
        self.standing
    }

    /// A statement failed.
    pub(super) fn fail(&mut self) {
        if self.standing == Standing::Open {
            self.standing = Standing::Failed;
        }
    }

    /// A write is about to be made; what the client is told of it, once a session.
    pub(super) fn writing(&mut self) -> Option<Fault> {
        if self.standing != Standing::Open || self.warned {
            return None;
        }
        self.warned = true;
        Some(
            Fault::new(
                NOT_SUPPORTED,
                "each statement is durable on its own, in a transaction too: ROLLBACK takes nothing back",
            )
            .hint("BEGIN BATCH …; …; APPLY BATCH writes several statements as one"),
        )
    }

    /// Rows were written.
    pub(super) fn wrote(&mut self, _rows: u64) {
        if self.standing == Standing::Open {
            self.written += 1;
        }
    }

    /// Remembers this place of it.
    fn savepoint(&mut self, name: String) -> Result<&'static str, Fault> {
        if self.standing != Standing::Open {
            return Err(Fault::new("25P01", "SAVEPOINT is for transactions"));
        }
        if self.savepoints.len() >= SAVEPOINTS_MAX {
            let what = format!("a transaction has at most {SAVEPOINTS_MAX} savepoints");
            return Err(Fault::new(TOO_LARGE, what));
        }
        self.savepoints.push((name, self.written));
        Ok("SAVEPOINT")
    }

    fn place_of(&self, name: &str) -> Result<usize, Fault> {
        let found = self.savepoints.iter().rposition(|(known, _)| known == name);
        found.ok_or_else(|| Fault::new("3B001", format!("there is no savepoint '{name}'")))
    }

    /// Forgets a place and those behind it.
    fn release(&mut self, name: &str) -> Result<&'static str, Fault> {
        let place = self.place_of(name)?;
        self.savepoints.truncate(place);
        Ok("RELEASE")
    }

    /// Goes on from a place, unless something was written behind it, which stays.
    fn back_to(&mut self, name: &str) -> Result<&'static str, Fault> {
        let place = self.place_of(name)?;
        self.savepoints.truncate(place + 1);
        let before = self.savepoints.last().map_or(0, |(_, written)| *written);
        match self.written - before {
            0 => {
                self.standing = Standing::Open;
                Ok("ROLLBACK")
            }
            written => Err(stays(written)),
        }
    }

    /// Ends it; how many statements wrote in it.
    fn end(&mut self) -> u64 {
        let written = self.written;
        *self = Transaction {
            warned: self.warned,
            ..Transaction::default()
        };
        written
    }
}

impl Command {
    /// Whether it may be run where a transaction failed.
    pub(super) fn ends_transaction(&self) -> bool {
        matches!(
            self,
            Command::Session(
                SessionCommand::Commit | SessionCommand::Rollback | SessionCommand::RollbackTo(_)
            ) | Command::Empty
        )
    }

    /// The columns of what it gives, where it is of the session.
    pub(super) fn session_columns(&self) -> Option<SchemaRef> {
        let Command::Session(command) = self else {
            return None;
        };
        let names: &[&str] = match command {
            SessionCommand::Show(name) => &[name.as_str()],
            SessionCommand::ShowAll => &["name", "setting"],
            _ => return None,
        };
        Some(texts(names))
    }
}

/// What a ROLLBACK is answered that would have to take something back.
fn stays(written: u64) -> Fault {
    Fault::new(
        NOT_SUPPORTED,
        format!(
            "{written} statements of the transaction have written and stay: nothing is taken back"
        ),
    )
    .hint("undo them with DELETE or UPDATE; BEGIN BATCH …; …; APPLY BATCH writes several as one")
}

fn texts(names: &[&str]) -> SchemaRef {
    let fields = names
        .iter()
        .map(|name| Field::new(*name, DataType::Utf8, true));
    Arc::new(Schema::new(fields.collect::<Vec<_>>()))
}

impl Session {
    /// Carries it out and answers it.
    pub(super) fn session_command(
        &mut self,
        command: SessionCommand,
        sent: &Sent,
    ) -> Result<(), Fault> {
        let tag = match command {
            SessionCommand::Begin { read_only, tag } => {
                if self.transaction.standing == Standing::Open {
                    let warning = Fault::new("25001", "there is a transaction in progress already");
                    answer::fault(&mut self.wire.out, &warning, true);
                } else {
                    self.transaction.standing = Standing::Open;
                    self.transaction.read_only = self.settings.read_only();
                }
                if let Some(read_only) = read_only {
                    self.transaction.read_only = read_only;
                }
                tag
            }
            SessionCommand::Commit => {
                let failed = self.transaction.standing == Standing::Failed;
                self.end_transaction(!failed)?
            }
            SessionCommand::Rollback => self.end_transaction(false)?,
            SessionCommand::CloseAll => {
                self.portals.clear();
                "CLOSE CURSOR ALL"
            }
            SessionCommand::CloseCursor(name) => {
                let closed = self.portals.remove(&name);
                closed.ok_or_else(|| no_portal(&name))?;
                "CLOSE CURSOR"
            }
            SessionCommand::Savepoint(name) => self.transaction.savepoint(name)?,
            SessionCommand::Release(name) => self.transaction.release(&name)?,
            SessionCommand::RollbackTo(name) => self.transaction.back_to(&name)?,
            SessionCommand::SetTransaction(read_only) => {
                if let Some(read_only) = read_only {
                    self.transaction.read_only =
                        read_only && self.transaction.standing == Standing::Open;
                }
                "SET"
            }
            SessionCommand::Set(name, value) => {
                self.set(&name, value.as_deref())?;
                "SET"
            }
            SessionCommand::Reset(name) => {
                self.settings.reset(name.as_deref())?;
                self.tell_settings();
                "RESET"
            }
            SessionCommand::Show(name) => {
                let (shown, value) = self.settings.get(&name)?;
                self.show(&[shown.as_str()], &[vec![value]], sent)?;
                "SHOW"
            }
            SessionCommand::ShowAll => {
                let rows: Vec<Vec<String>> = self
                    .settings
                    .all()
                    .into_iter()
                    .map(|(name, value)| vec![name, value])
                    .collect();
                self.show(&["name", "setting"], &rows, sent)?;
                "SHOW"
            }
            SessionCommand::DiscardAll => {
                if self.transaction.standing != Standing::Idle {
                    return Err(Fault::new(
                        "25001",
                        "DISCARD ALL cannot be within a transaction",
                    ));
                }
                self.settings.reset(None)?;
                self.prepared.clear();
                self.portals.clear();
                self.tell_settings();
                "DISCARD ALL"
            }
            SessionCommand::Nothing(tag) => tag,
            SessionCommand::Deallocate(None) => {
                self.prepared.clear();
                "DEALLOCATE ALL"
            }
            SessionCommand::Deallocate(Some(name)) => {
                self.prepared.remove(&name).ok_or_else(|| {
                    Fault::new(
                        NO_STATEMENT,
                        format!("there is no prepared statement '{name}'"),
                    )
                })?;
                "DEALLOCATE"
            }
        };
        answer::complete(&mut self.wire.out, tag);
        Ok(())
    }

    fn end_transaction(&mut self, committed: bool) -> Result<&'static str, Fault> {
        if self.transaction.standing == Standing::Idle {
            let warning = Fault::new("25P01", "there is no transaction in progress");
            answer::fault(&mut self.wire.out, &warning, true);
        }
        self.portals.clear();
        let written = self.transaction.end();
        if committed {
            return Ok("COMMIT");
        }
        if written == 0 {
            return Ok("ROLLBACK");
        }
        Err(stays(written))
    }

    fn set(&mut self, name: &str, value: Option<&str>) -> Result<(), Fault> {
        let told = match value {
            Some(value) => self.settings.set(name, value)?,
            None => {
                self.settings.reset(Some(name))?;
                None
            }
        };
        if let Some(shown) = told {
            let (shown, value) = self.settings.get(shown)?;
            answer::parameter_status(&mut self.wire.out, &shown, &value);
        }
        Ok(())
    }

    fn tell_settings(&mut self) {
        for (name, value) in self.settings.told() {
            answer::parameter_status(&mut self.wire.out, &name, &value);
        }
    }

    fn show(&mut self, names: &[&str], rows: &[Vec<String>], sent: &Sent) -> Result<(), Fault> {
        let formats: &[i16] = match sent {
            Sent::Rows(formats) => formats,
            _ => &[],
        };
        let columns = shown(&texts(names), formats);
        let out = &mut self.wire.out;
        if matches!(sent, Sent::Described) {
            answer::columns(out, &columns);
        }
        let mut cells = Vec::with_capacity(columns.len());
        for (place, column) in columns.iter().enumerate() {
            let values = rows.iter().map(|row| row.get(place).map(String::as_str));
            let array: ArrayRef = Arc::new(values.collect::<StringArray>());
            cells.push(Cells::new(&array, column)?);
        }
        for row in 0..rows.len() {
            let mut written = Ok(());
            answer::message(out, b'D', |out| {
                out.put_u16(u16::try_from(cells.len()).unwrap_or(u16::MAX));
                written = cells.iter().try_for_each(|cells| cells.write(row, out));
            });
            written?;
        }
        Ok(())
    }
}
