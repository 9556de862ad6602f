//! Queries in their two steps: what is asked for is planned and told of, with a ticket; the ticket is run, and its rows
//! are sent. A ticket holds all that it takes to run it, under the rights of whoever presents it, so nothing is kept
//! for one.

use std::sync::Arc;

use activestore_db::Db;
use activestore_query::{ParamTypes, Statement};
use activestore_types::Error;
use arrow::datatypes::Schema;
use arrow_flight::sql::{
    Any, Command, CommandPreparedStatementQuery, ProstMessageExt, TicketStatementQuery,
};
use arrow_flight::{FlightDescriptor, FlightEndpoint, FlightInfo, Ticket};
use bytes::Bytes;
use prost::Message;

use super::actions::no_transaction;
use super::door::{Caller, Place};
use super::fault::{Fault, unavailable};
use super::prepared::{Bound, Planned};
use super::statement::{Data, Source, nothing, one_of};
use super::told::{encoded, told};
use super::update::{count, run_bound};
use super::{Flight, catalog, params};

/// What a ticket begins with: of a statement that is done, and of one whose text follows.
const DONE: u8 = 0;
const TEXT: u8 = 1;

/// Reads a command.
pub(super) fn command(bytes: &[u8]) -> Result<Command, Fault> {
    let broken = || {
        Error::invalid("what is asked for cannot be read")
            .with_hint("a command of Flight SQL, or a ticket of this server, is expected")
    };
    let any = Any::decode(bytes).map_err(|_| broken())?;
    Ok(Command::try_from(any).map_err(|_| broken())?)
}

/// What is told of rows before they are taken.
pub(super) struct Told {
    /// Not known where only running it tells.
    pub(super) columns: Option<Arc<Schema>>,
    ticket: Bytes,
    /// Rows that a statement touched which is done.
    records: Option<u64>,
}

impl Told {
    /// As an answer.
    pub(super) fn info(self, descriptor: FlightDescriptor) -> Result<FlightInfo, Fault> {
        let schema = match &self.columns {
            Some(columns) => encoded(columns)?,
            None => Bytes::new(),
        };
        let records = self.records.map_or(-1, whole);
        let endpoint = FlightEndpoint::new().with_ticket(Ticket::new(self.ticket));
        let mut info = FlightInfo::new()
            .with_descriptor(descriptor)
            .with_endpoint(endpoint)
            .with_total_records(records)
            .with_total_bytes(-1)
            .with_ordered(true);
        info.schema = schema;
        Ok(info)
    }
}

fn ticket(first: u8, text: &str) -> Bytes {
    let mut handle = vec![first];
    handle.extend_from_slice(text.as_bytes());
    let ticket = TicketStatementQuery {
        statement_handle: handle.into(),
    };
    ticket.as_any().encode_to_vec().into()
}

/// Whether only running a statement tells whether it gives rows: tokens are shown once.
fn tells_later(statement: &Statement) -> bool {
    matches!(statement, Statement::Role(_))
}

/// Plans a statement. One that gives no rows is run now: a client that takes no rows has to find it done.
async fn asked(db: Db, sql: String, runs: bool) -> Result<Told, Fault> {
    let statement = one_of(&sql)?;
    let planned = Planned::new(&db, statement, &ParamTypes::new()).await?;
    let columns = planned.prepared.described.columns.as_deref().map(told);
    if columns.is_some() || tells_later(&planned.statement) {
        return Ok(Told {
            columns,
            ticket: ticket(TEXT, &sql),
            records: None,
        });
    }
    let records = if runs {
        Some(count(db.execute(planned.statement, &[]).await?)?)
    } else {
        None
    };
    Ok(done(records))
}

fn done(records: Option<u64>) -> Told {
    Told {
        columns: Some(Arc::new(Schema::empty())),
        ticket: ticket(DONE, ""),
        records,
    }
}

/// The same of a prepared one.
async fn asked_prepared(
    db: Db,
    bound: Bound,
    again: CommandPreparedStatementQuery,
    runs: bool,
) -> Result<Told, Fault> {
    let columns = bound
        .planned
        .prepared
        .described
        .columns
        .as_deref()
        .map(told);
    if columns.is_some() || tells_later(&bound.planned.statement) {
        return Ok(Told {
            columns,
            ticket: again.as_any().encode_to_vec().into(),
            records: None,
        });
    }
    let records = if runs {
        Some(run_bound(&db, &bound).await?)
    } else {
        None
    };
    Ok(done(records))
}

/// As a number of the protocol.
pub(super) fn whole(records: u64) -> i64 {
    i64::try_from(records).unwrap_or(i64::MAX)
}

impl Flight {
    /// What is told of what a descriptor asks for; `runs` says whether statements without rows are run.
    pub(super) async fn told(
        self: &Arc<Self>,
        caller: Caller,
        descriptor: &FlightDescriptor,
        runs: bool,
    ) -> Result<Told, Fault> {
        match command(&descriptor.cmd)? {
            Command::CommandStatementQuery(query) => {
                no_transaction(query.transaction_id.as_ref())?;
                self.run(asked(caller.db, query.query, runs)).await
            }
            Command::CommandPreparedStatementQuery(query) => {
                let bound = self
                    .prepared
                    .get(&caller.owner, &query.prepared_statement_handle)?;
                self.run(asked_prepared(caller.db, bound, query, runs))
                    .await
            }
            Command::CommandStatementSubstraitPlan(_) => Err(no_substrait()),
            command => {
                let columns = catalog::columns(&command)?.ok_or_else(not_here)?;
                Ok(Told {
                    columns: Some(columns),
                    ticket: descriptor.cmd.clone(),
                    records: None,
                })
            }
        }
    }

    /// Runs what a ticket stands for.
    pub(super) async fn get(
        self: &Arc<Self>,
        caller: Caller,
        place: Place,
        ticket: &Ticket,
    ) -> Result<Data, Fault> {
        let Caller { db, owner } = caller;
        let source = match command(&ticket.ticket)? {
            Command::TicketStatementQuery(ticket) => match ticket.statement_handle.split_first() {
                Some((&DONE, [])) => Source::Known(nothing()),
                Some((&TEXT, sql)) => {
                    let sql = std::str::from_utf8(sql)
                        .map_err(|_| Error::invalid("the ticket holds no statement"))?;
                    Source::Statement(one_of(sql)?)
                }
                _ => return Err(no_ticket()),
            },
            Command::CommandPreparedStatementQuery(query) => {
                let bound = self
                    .prepared
                    .get(&owner, &query.prepared_statement_handle)?;
                let values = match &bound.values {
                    None => Vec::new(),
                    Some(values) if values.num_rows() == 1 => params::of_row(values, 0),
                    Some(values) => {
                        return Err(Error::invalid(format!(
                            "a query takes one row of values, and {} are given",
                            values.num_rows()
                        ))
                        .with_hint("run it once for each row")
                        .into());
                    }
                };
                Source::Prepared(bound.planned, values)
            }
            command => {
                let asked = db.clone();
                let answer = self.run(async move { catalog::answer(&asked, command).await });
                Source::Known(answer.await?.ok_or_else(no_ticket)?)
            }
        };
        self.rows(db, source, place).await
    }
}

fn no_ticket() -> Fault {
    Error::invalid("the ticket is none of this server")
        .with_hint("ask for the statement again")
        .into()
}

pub(super) fn no_substrait() -> Fault {
    unavailable("plans of Substrait are", "send the statement as SQL")
}

pub(super) fn not_here() -> Fault {
    unavailable(
        "this command is",
        "statements are CommandStatementQuery, CommandStatementUpdate and prepared ones; rows come by CommandStatementIngest",
    )
}
