//! The extended protocol: statements are prepared, given their values, described and run in steps of their own.

use std::sync::Arc;

use activestore_db::Prepared;
use activestore_query::{Param, ParamTypes, Statement};
use activestore_types::Error;
use arrow::datatypes::SchemaRef;
use bytes::Bytes;
use tokio::sync::{OwnedSemaphorePermit, oneshot};

use super::answer::{self, Standing};
use super::bounds::check_name;
use super::command::{Command, read};
use super::cursor::Declare;
use super::fault::{
    DUPLICATE_PORTAL, DUPLICATE_STATEMENT, Fault, IN_FAILED_TRANSACTION, NO_PORTAL, NO_STATEMENT,
    PROTOCOL_VIOLATION, SYNTAX, TOO_LARGE,
};
use super::feed;
use super::kind::{Kind, OPEN_TYPES, known};
use super::message::{Message, Named};
use super::param::{is_binary, params};
use super::run::{Cursor, Reach, Sent, Source, shown};
use super::session::{Failure, Session, check_length, verb};
use super::split::split;

/// Prepared statements that a session keeps, and the bytes of their texts.
const PREPARED_MAX: usize = 1000;
const PREPARED_BYTES_MAX: usize = 8 * 1024 * 1024;
/// A prepared statement.
pub(super) struct Planned {
    command: Command,
    kinds: Vec<Kind>,
    /// The numbers of the parameters' types: what the client said, or what the statement tells.
    oids: Vec<u32>,
    columns: Option<SchemaRef>,
    /// What the database knows of it.
    prepared: Option<Arc<Prepared>>,
    bytes: usize,
}

/// A statement with its values.
pub(super) struct Portal {
    planned: Arc<Planned>,
    params: Vec<Param>,
    formats: Vec<i16>,
    pub(super) state: State,
    /// The room of large values, among what all clients make the node hold.
    _room: Option<OwnedSemaphorePermit>,
}

pub(super) enum State {
    New,
    /// It gave some of its rows; the permit is its place among those of all sessions.
    Begun(Box<Cursor>, OwnedSemaphorePermit),
    Ended,
}

impl Planned {
    /// A statement of a cursor.
    pub(super) fn of(
        command: Command,
        columns: Option<SchemaRef>,
        prepared: Arc<Prepared>,
    ) -> Self {
        Planned {
            command,
            kinds: Vec::new(),
            oids: Vec::new(),
            columns,
            prepared: Some(prepared),
            bytes: 0,
        }
    }
}

impl Portal {
    pub(super) fn new(planned: Planned, params: Vec<Param>) -> Self {
        Portal {
            planned: Arc::new(planned),
            params,
            formats: Vec::new(),
            state: State::New,
            _room: None,
        }
    }

    /// The columns of its rows.
    pub(super) fn columns(&self) -> Option<&SchemaRef> {
        self.planned.columns.as_ref()
    }

    /// What gives its rows, where that is a statement.
    pub(super) fn source(&mut self) -> Option<Source> {
        let params = std::mem::take(&mut self.params);
        match (&self.planned.command, &self.planned.prepared) {
            (Command::Statement(statement), Some(prepared)) => Some(Source::Prepared(
                statement.clone(),
                prepared.clone(),
                params,
            )),
            _ => None,
        }
    }
}

impl Session {
    /// Answers a message of the extended protocol.
    pub(super) async fn extended(&mut self, message: Message) -> Result<(), Failure> {
        match message {
            Message::Parse { name, sql, types } => self.parse(name, &sql, &types).await,
            Message::Bind {
                portal,
                statement,
                formats,
                values,
                results,
            } => Ok(self.bind(portal, &statement, &formats, &values, results)?),
            Message::Describe(named) => Ok(self.describe(&named)?),
            Message::Execute { portal, rows } => self.execute(&portal, rows).await,
            Message::Close(named) => {
                match &named {
                    Named::Statement(name) => drop(self.prepared.remove(name)),
                    Named::Portal(name) => drop(self.portals.remove(name)),
                }
                answer::empty(&mut self.wire.out, b'3');
                Ok(())
            }
            _ => Err(Fault::new(
                PROTOCOL_VIOLATION,
                "the message is not of the extended protocol",
            )
            .into()),
        }
    }

    async fn parse(&mut self, name: String, sql: &str, types: &[u32]) -> Result<(), Failure> {
        check_length(sql)?;
        check_name(&name)?;
        let bytes = sql.len() + name.len();
        if name.is_empty() {
            self.prepared.remove("");
        } else if self.prepared.contains_key(&name) {
            let what = format!("there is a prepared statement '{name}' already");
            return Err(Fault::new(DUPLICATE_STATEMENT, what).into());
        }
        let held: usize = self.prepared.values().map(|planned| planned.bytes).sum();
        if self.prepared.len() >= PREPARED_MAX || held + bytes > PREPARED_BYTES_MAX {
            return Err(Fault::new(
                TOO_LARGE,
                format!("a session keeps at most {PREPARED_MAX} prepared statements of {PREPARED_BYTES_MAX} bytes"),
            )
            .hint("DEALLOCATE those that are not needed")
            .into());
        }
        let pieces = split(sql);
        let command = match pieces.as_slice() {
            [] => Command::Empty,
            [piece] => read(sql, *piece)?,
            _ => return Err(Fault::new(SYNTAX, "a prepared statement is one statement").into()),
        };
        self.admit(&command)?;
        let start = pieces.first().map_or(0, |piece| piece.start);
        let (kinds, columns, prepared) = match &command {
            Command::Statement(statement) | Command::Declare(Declare { statement, .. }) => {
                let known = known(types)?;
                let prepared = self.prepared_as(statement, known).await;
                let prepared = prepared.map_err(|failure| match failure {
                    Failure::Fault(fault) => fault.within(sql, start).into(),
                    failure => failure,
                })?;
                let described = &prepared.described;
                let kinds = described.params.iter().enumerate().map(|(place, field)| {
                    // What a client says of a type is what it sends.
                    let said = types.get(place).filter(|oid| !OPEN_TYPES.contains(oid));
                    said.and_then(|oid| Kind::of_oid(*oid))
                        .unwrap_or_else(|| Kind::of(field))
                });
                (
                    kinds.collect(),
                    described
                        .columns
                        .clone()
                        .filter(|_| matches!(command, Command::Statement(_))),
                    Some(Arc::new(prepared)),
                )
            }
            Command::Fetch(fetch) => {
                let portal = self.portals.get(&fetch.name);
                let portal = portal.ok_or_else(|| no_portal(&fetch.name))?;
                (Vec::new(), portal.columns().cloned(), None)
            }
            command => (Vec::new(), command.session_columns(), None),
        };
        let oids = kinds
            .iter()
            .enumerate()
            .map(|(place, kind): (usize, &Kind)| {
                let said = types.get(place).filter(|oid| !OPEN_TYPES.contains(oid));
                said.copied().unwrap_or_else(|| kind.oid())
            });
        let oids = oids.collect();
        let planned = Planned {
            command,
            kinds,
            oids,
            columns,
            prepared,
            bytes,
        };
        self.prepared.insert(name, Arc::new(planned));
        answer::empty(&mut self.wire.out, b'1');
        Ok(())
    }

    /// Plans a statement where queries run.
    pub(super) async fn prepared_as(
        &mut self,
        statement: &Statement,
        known: ParamTypes,
    ) -> Result<Prepared, Failure> {
        let is_subscription = matches!(statement, Statement::Subscribe(_));
        let (db, statement) = (self.db.clone(), statement.clone());
        let (told, described) = oneshot::channel();
        let running = self.pg.shared.queries.run(async move {
            // A closed channel means that nobody waits any more.
            let _ = told.send(db.prepare(&statement, &known).await);
        })?;
        let described = described.await;
        drop(running);
        let mut prepared =
            described.map_err(|_| Error::internal("planning the statement failed"))??;
        if is_subscription {
            let described = &mut prepared.described;
            described.columns = described.columns.as_deref().map(feed::columns);
            described.kept = None;
        }
        Ok(prepared)
    }

    /// Whether a command may be run as the transaction stands.
    fn admit(&self, command: &Command) -> Result<(), Fault> {
        if self.transaction.standing() != Standing::Failed || command.ends_transaction() {
            return Ok(());
        }
        Err(Fault::new(
            IN_FAILED_TRANSACTION,
            "the transaction failed: nothing is run until its end",
        )
        .hint("send ROLLBACK"))
    }

    fn bind(
        &mut self,
        portal: String,
        statement: &str,
        formats: &[i16],
        values: &[Option<Bytes>],
        results: Vec<i16>,
    ) -> Result<(), Fault> {
        let planned = self.statement(statement)?.clone();
        self.admit(&planned.command)?;
        if portal.is_empty() {
            self.portals.remove("");
        } else if self.portals.contains_key(&portal) {
            return Err(Fault::new(
                DUPLICATE_PORTAL,
                format!("there is a portal '{portal}' already"),
            ));
        }
        check_name(&portal)?;
        self.check_portals()?;
        let columns = planned
            .columns
            .as_ref()
            .map_or(0, |columns| columns.fields().len());
        for (given, of) in [(formats.len(), values.len()), (results.len(), columns)] {
            if given > 1 && given != of {
                return Err(Fault::new(
                    PROTOCOL_VIOLATION,
                    format!("{given} formats are given for {of} values"),
                ));
            }
        }
        for place in 0..results.len() {
            is_binary(&results, place)?;
        }
        let params = params(&planned.kinds, formats, values)?;
        let portal_of = Portal {
            planned,
            params,
            formats: results,
            state: State::New,
            _room: self.room.take(),
        };
        self.portals.insert(portal, portal_of);
        answer::empty(&mut self.wire.out, b'2');
        Ok(())
    }

    fn statement(&self, name: &str) -> Result<&Arc<Planned>, Fault> {
        self.prepared.get(name).ok_or_else(|| {
            Fault::new(
                NO_STATEMENT,
                format!("there is no prepared statement '{name}'"),
            )
        })
    }

    fn describe(&mut self, named: &Named) -> Result<(), Fault> {
        let (planned, formats) = match named {
            Named::Statement(name) => {
                let planned = self.statement(name)?.clone();
                answer::parameters(&mut self.wire.out, &planned.oids);
                (planned, Vec::new())
            }
            Named::Portal(name) => {
                let portal = self.portals.get(name).ok_or_else(|| no_portal(name))?;
                (portal.planned.clone(), portal.formats.clone())
            }
        };
        match &planned.columns {
            Some(columns) => answer::columns(&mut self.wire.out, &shown(columns, &formats)),
            None => answer::empty(&mut self.wire.out, b'n'),
        }
        Ok(())
    }

    async fn execute(&mut self, name: &str, most: usize) -> Result<(), Failure> {
        let mut portal = self.portals.remove(name).ok_or_else(|| no_portal(name))?;
        self.admit(&portal.planned.command)?;
        let sent = Sent::Rows(portal.formats.clone());
        let command = portal.planned.command.clone();
        let rows_of = match &command {
            Command::Statement(statement) => verb(statement),
            _ => "SELECT",
        };
        // What runs in steps has its place before a row is sent: there is no way back behind one.
        let is_new = matches!(portal.state, State::New);
        let new_place = if is_new && most > 0 {
            Some(self.portal_place()?)
        } else {
            None
        };
        let (left, place) = match std::mem::replace(&mut portal.state, State::Ended) {
            State::New => {
                let params = std::mem::take(&mut portal.params);
                (
                    self.perform(command, params, portal.planned.prepared.clone(), sent, most)
                        .await?,
                    new_place,
                )
            }
            State::Begun(cursor, place) => {
                // What let it begin may have ended since.
                self.db.check_admitted().map_err(Fault::from)?;
                let ended = self
                    .drive(Source::Begun(cursor), sent, Reach::of(most))
                    .await?;
                (self.tell(ended, rows_of)?, Some(place))
            }
            State::Ended if portal.planned.columns.is_some() => {
                answer::complete(&mut self.wire.out, &format!("{rows_of} 0"));
                (None, None)
            }
            State::Ended => {
                let what = format!("the portal '{name}' was run already");
                return Err(Fault::new("55000", what).into());
            }
        };
        if let Some(cursor) = left {
            let place = match place {
                Some(place) => place,
                None => self.portal_place()?,
            };
            portal.state = State::Begun(cursor, place);
        }
        self.portals.insert(name.to_owned(), portal);
        Ok(())
    }
}

pub(super) fn no_portal(name: &str) -> Fault {
    Fault::new(NO_PORTAL, format!("there is no portal '{name}'"))
}
