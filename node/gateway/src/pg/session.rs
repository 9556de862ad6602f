//! A session: messages one after the other, each answered before the next is looked at.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use activestore_db::{Db, Prepared};
use activestore_query::parse::MAX_STATEMENTS;
use activestore_query::{Param, Statement};
use activestore_types::Error;
use tokio::sync::OwnedSemaphorePermit;

use super::answer::{self, Standing};
use super::cancel::Seat;
use super::command::{Command, read};
use super::extended::{Planned, Portal};
use super::fault::{Fault, IN_FAILED_TRANSACTION, PROTOCOL_VIOLATION, READ_ONLY, TOO_LARGE};
use super::message::Message;
use super::run::{Cursor, Ended, Reach, Sent, Source};
use super::session_command::Transaction;
use super::settings::Settings;
use super::split::{Piece, split};
use super::tally::one;
use super::wire::{Gone, Wire};
use super::{Pg, going};

/// The largest SQL text, in bytes: that of HTTP.
pub(super) const STATEMENT_BYTES_MAX: usize = 4 * 1024 * 1024;
/// Messages above this ask for room among what all clients make the node hold.
const LARGE_BYTES: usize = 64 * 1024;
/// What is gathered of small answers before it is sent.
const GATHERED_BYTES: usize = 64 * 1024;

/// Why something is not answered as it should be.
pub(super) enum Failure {
    /// The client is told.
    Fault(Fault),
    /// There is nobody to tell.
    Gone,
}

impl From<Fault> for Failure {
    fn from(fault: Fault) -> Self {
        Failure::Fault(fault)
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Failure::Fault(error.into())
    }
}

impl From<Gone> for Failure {
    fn from(_: Gone) -> Self {
        Failure::Gone
    }
}

pub(super) struct Session {
    pub(super) pg: Arc<Pg>,
    pub(super) wire: Wire,
    pub(super) db: Db,
    pub(super) settings: Settings,
    pub(super) transaction: Transaction,
    pub(super) prepared: HashMap<String, Arc<Planned>>,
    pub(super) portals: HashMap<String, Portal>,
    pub(super) seat: Seat,
    /// After an error of the extended protocol nothing is answered until Sync.
    skipping: bool,
    /// The room of a large message while it is answered.
    pub(super) room: Option<OwnedSemaphorePermit>,
}

impl Session {
    pub(super) fn new(pg: Arc<Pg>, wire: Wire, db: Db, settings: Settings, seat: Seat) -> Self {
        Session {
            pg,
            wire,
            db,
            settings,
            transaction: Transaction::default(),
            prepared: HashMap::new(),
            portals: HashMap::new(),
            seat,
            skipping: false,
            room: None,
        }
    }

    /// Answers until the client or the node goes.
    pub(super) async fn serve(mut self) {
        let ended = loop {
            let message = match self.message().await {
                Ok(Some(Message::Terminate) | None) => return,
                Ok(Some(message)) => message,
                Err(failure) => break failure,
            };
            // What a statement takes is not kept by sessions that wait for their next.
            if let Err(failure) = Box::pin(self.answer(message)).await {
                break failure;
            }
            self.room = None;
        };
        match ended {
            Failure::Gone => one(&self.pg.tally.given_up),
            Failure::Fault(fault) => {
                if matches!(fault.code, PROTOCOL_VIOLATION | TOO_LARGE) {
                    one(&self.pg.tally.protocol_violations);
                }
                answer::fault(&mut self.wire.out, &fault.fatal(), false);
                self.wire.close().await;
            }
        }
    }

    /// The next message; `None` at the end.
    pub(super) async fn message(&mut self) -> Result<Option<Message>, Failure> {
        let most = self.pg.options.message_bytes_max;
        let mut stopping = self.pg.stopping.clone();
        loop {
            if let Some((tag, body)) = self.wire.taken(most)? {
                let message = Message::read(tag, &body);
                return Ok(Some(message.map_err(|error| Fault::protocol(&error))?));
            }
            let announced = self.wire.announced(most)?.unwrap_or(0);
            if announced > LARGE_BYTES && self.room.is_none() {
                self.room = Some(self.pg.shared.room(announced).await?);
            }
            tokio::select! {
                read = self.wire.fill() => if !read? {
                    return Ok(None);
                },
                _ = stopping.wait_for(|stopping| *stopping) => return Err(going().into()),
            }
        }
    }

    async fn answer(&mut self, message: Message) -> Result<(), Failure> {
        match message {
            Message::Sync => {
                self.skipping = false;
                self.ready().await?;
            }
            _ if self.skipping => {}
            Message::Query(text) => {
                if let Err(failure) = self.simple(&text).await {
                    self.failed(failure)?;
                }
                self.ready().await?;
            }
            Message::Flush => self.wire.flush().await?,
            // What is left of a COPY that failed.
            Message::CopyData(_) | Message::CopyDone | Message::CopyFail(_) => {}
            Message::Login(_) | Message::Terminate => {
                let error = Error::invalid("a password was not asked for");
                return Err(Fault::protocol(&error).into());
            }
            message => {
                if let Err(failure) = self.extended(message).await {
                    self.failed(failure)?;
                    self.skipping = true;
                    // Who asked for answers so far by a Flush waits for this one.
                    self.wire.flush().await?;
                }
            }
        }
        if self.wire.out.len() > GATHERED_BYTES {
            self.wire.flush().await?;
        }
        Ok(())
    }

    /// Tells the client of a failure that the session outlives.
    fn failed(&mut self, failure: Failure) -> Result<(), Failure> {
        match failure {
            Failure::Fault(fault) if !fault.fatal => {
                one(&self.pg.tally.failed);
                self.transaction.fail();
                answer::fault(&mut self.wire.out, &fault, false);
                Ok(())
            }
            failure => Err(failure),
        }
    }

    async fn ready(&mut self) -> Result<(), Failure> {
        let standing = self.transaction.standing();
        if standing == Standing::Idle {
            // Portals last as long as their transaction.
            self.portals.clear();
        }
        answer::ready(&mut self.wire.out, standing);
        Ok(self.wire.flush().await?)
    }

    /// Statements of a text; those behind one that fails are not run.
    async fn simple(&mut self, text: &str) -> Result<(), Failure> {
        check_length(text)?;
        self.portals.remove("");
        let pieces = split(text);
        if pieces.is_empty() {
            answer::empty(&mut self.wire.out, b'I');
        }
        if pieces.len() > MAX_STATEMENTS {
            let what = format!("the text holds more than {MAX_STATEMENTS} statements");
            return Err(Fault::new(TOO_LARGE, what).into());
        }
        for piece in pieces {
            self.piece(text, piece).await?;
        }
        Ok(())
    }

    async fn piece(&mut self, text: &str, piece: Piece<'_>) -> Result<(), Failure> {
        let command = match self.db.known(piece.text) {
            Some(query) => Command::Statement(query),
            None => read(text, piece)?,
        };
        let performed = self
            .perform(command, Vec::new(), None, Sent::Described, 0)
            .await;
        match performed {
            Err(Failure::Fault(fault)) => Err(fault.within(text, piece.start).into()),
            performed => performed.map(drop),
        }
    }

    /// Carries a command out; rows that are left where a limit was reached come back.
    pub(super) async fn perform(
        &mut self,
        command: Command,
        params: Vec<Param>,
        prepared: Option<Arc<Prepared>>,
        sent: Sent,
        most: usize,
    ) -> Result<Option<Box<Cursor>>, Failure> {
        if self.transaction.standing() == Standing::Failed && !command.ends_transaction() {
            return Err(Fault::new(
                IN_FAILED_TRANSACTION,
                "the transaction failed: nothing is run until its end",
            )
            .hint("send ROLLBACK")
            .into());
        }
        match command {
            Command::Empty => answer::empty(&mut self.wire.out, b'I'),
            Command::Session(command) => self.session_command(command, &sent)?,
            Command::Copy(copy) => self.copy(copy).await?,
            Command::Declare(declare) => self.declare(declare, params, prepared).await?,
            Command::Fetch(fetch) => self.fetch(fetch, sent).await?,
            Command::Statement(statement) => {
                let verb = verb(&statement);
                if writes(&statement) {
                    self.admit_write()?;
                }
                let source = match prepared {
                    Some(prepared) => Source::Prepared(statement, prepared, params),
                    None => Source::Statement(statement, params),
                };
                let ended = self.drive(source, sent, Reach::of(most)).await?;
                return self.tell(ended, verb);
            }
        }
        Ok(None)
    }

    /// A write is allowed here; the first of a transaction is told what that means.
    pub(super) fn admit_write(&mut self) -> Result<(), Fault> {
        if self.transaction.read_only {
            return Err(Fault::new(READ_ONLY, "the transaction reads only")
                .hint("begin it with BEGIN READ WRITE"));
        }
        if let Some(warning) = self.transaction.writing() {
            answer::fault(&mut self.wire.out, &warning, true);
        }
        Ok(())
    }

    /// Tells how a statement ended.
    pub(super) fn tell(
        &mut self,
        ended: Ended,
        verb: &str,
    ) -> Result<Option<Box<Cursor>>, Failure> {
        let out = &mut self.wire.out;
        match ended {
            Ended::Done { tag, affected } => {
                self.transaction.wrote(affected);
                answer::complete(out, &tag_of(&tag, affected));
                Ok(None)
            }
            Ended::Rows { count, last, left } => {
                self.pg.tally.rows_sent.fetch_add(count, Ordering::Relaxed);
                out.unsplit(last);
                match left {
                    Some(cursor) => {
                        answer::empty(out, b's');
                        Ok(Some(cursor))
                    }
                    None => {
                        answer::complete(out, &format!("{verb} {count}"));
                        Ok(None)
                    }
                }
            }
        }
    }
}

/// Whether a text is short enough.
pub(super) fn check_length(text: &str) -> Result<(), Fault> {
    if text.len() <= STATEMENT_BYTES_MAX {
        return Ok(());
    }
    let what = format!(
        "the text is {} bytes long; at most {STATEMENT_BYTES_MAX} are read",
        text.len()
    );
    Err(Fault::new(TOO_LARGE, what).hint("send rows with COPY … FROM STDIN, or as parameters"))
}

/// Whether a statement changes anything.
pub(super) fn writes(statement: &Statement) -> bool {
    !matches!(
        statement,
        Statement::Query { .. }
            | Statement::Explain { .. }
            | Statement::Subscribe(_)
            | Statement::Show(_)
            | Statement::Describe { .. }
    )
}

/// What the end of a statement's rows is called.
pub(super) fn verb(statement: &Statement) -> &'static str {
    match statement {
        Statement::Explain { .. } => "EXPLAIN",
        Statement::Subscribe(_) => "SUBSCRIBE",
        Statement::Show(_) | Statement::Describe { .. } => "SHOW",
        _ => "SELECT",
    }
}

/// The tag as PostgreSQL writes it.
fn tag_of(tag: &str, affected: u64) -> String {
    match tag.split_whitespace().next() {
        // A number that no row has any more stands between.
        Some("INSERT") => format!("INSERT 0 {affected}"),
        Some("DELETE") if tag == "DELETE" => "DELETE 0".to_owned(),
        _ => tag.to_owned(),
    }
}
