//! Cursors of SQL: portals that DECLARE opens and FETCH reads, for clients that read large results that way.

use std::sync::Arc;
use std::time::Duration;

use activestore_db::Prepared;
use activestore_query::{Param, ParamTypes, Statement, Subscribe, parse};
use activestore_types::Error;
use tokio::sync::oneshot;

use super::answer::{self, Standing};
use super::command::{Command, not_available};
use super::extended::{Planned, Portal, State, no_portal};
use super::fault::{DUPLICATE_PORTAL, Fault, SYNTAX};
use super::feed::Feed;
use super::lexed::{Lexed, Token};
use super::run::{Cursor, Ended, Patience, Reach, Sent, Source, shown};
use super::session::{Failure, Session};
use super::settings::milliseconds;
use super::split::Piece;

/// `DECLARE name CURSOR FOR query`.
#[derive(Clone, Debug)]
pub(super) struct Declare {
    pub(super) name: String,
    pub(super) statement: Statement,
}

/// `FETCH rows FROM name [WITH (timeout = '1s')]`; no rows is all.
#[derive(Clone, Debug)]
pub(super) struct Fetch {
    pub(super) name: String,
    reach: Reach,
}

fn wanted(what: &str) -> Fault {
    Fault::new(SYNTAX, what).hint("DECLARE name CURSOR FOR SELECT …, then FETCH 100 FROM name")
}

/// Reads a DECLARE.
///
/// # Errors
/// Where it is none, or asks for what is not available.
pub(super) fn declare(text: &str, piece: Piece<'_>) -> Result<Declare, Fault> {
    let mut lexed = Lexed::new(piece.text);
    lexed.next();
    let name = lexed.next().and_then(|token| token.name());
    let name = name.ok_or_else(|| wanted("a cursor has a name"))?;
    loop {
        let word = lexed.next().and_then(|token| token.word());
        match word.as_deref() {
            Some("NO" | "ASENSITIVE" | "INSENSITIVE") => {}
            Some("SCROLL") => {}
            Some("BINARY") => {
                return Err(not_available("BINARY cursors are not available")
                    .hint("ask for binary results where the rows are fetched"));
            }
            Some("CURSOR") => break,
            _ => return Err(wanted("a cursor is declared with CURSOR FOR")),
        }
    }
    if lexed.take("WITH") {
        return Err(not_available("a cursor lasts as long as its transaction")
            .hint("leave out WITH HOLD, and fetch within the transaction"));
    }
    if lexed.take("WITHOUT") {
        lexed.take("HOLD");
    }
    if !lexed.take("FOR") {
        return Err(wanted("a cursor is declared with CURSOR FOR"));
    }
    let sql = piece.text.get(lexed.at..).unwrap_or_default();
    let parsed = parse(sql);
    let parsed = parsed.map_err(|error| Fault::from(error).within(text, piece.start + lexed.at))?;
    match <[Statement; 1]>::try_from(parsed) {
        Ok([statement @ (Statement::Query { .. } | Statement::Subscribe(_))]) => {
            Ok(Declare { name, statement })
        }
        _ => Err(wanted("a cursor is for one query")),
    }
}

/// Reads a FETCH.
///
/// # Errors
/// Where it is none, or goes backwards.
pub(super) fn fetch(piece: Piece<'_>) -> Result<Fetch, Fault> {
    let mut lexed = Lexed::new(piece.text);
    lexed.next();
    let mut rows = 1;
    let mut name = None;
    let mut patience = Patience::One;
    while let Some(token) = lexed.next() {
        match (token.word().as_deref(), &token) {
            (Some("NEXT" | "FORWARD" | "FROM" | "IN"), _) => {}
            (Some("ALL"), _) => rows = 0,
            (Some("WITH"), _) if name.is_some() => {
                patience = Patience::For(timeout(&mut lexed)?);
                break;
            }
            (Some("PRIOR" | "FIRST" | "LAST" | "ABSOLUTE" | "RELATIVE" | "BACKWARD"), _)
            | (None, Token::Symbol('-')) => {
                return Err(not_available("cursors go forward only"));
            }
            (_, Token::Number(number)) => {
                let number = number.parse().ok().filter(|number| *number > 0);
                rows = number.ok_or_else(|| wanted("FETCH takes a number of rows above 0"))?;
            }
            _ => name = token.name(),
        }
    }
    let name = name.ok_or_else(|| wanted("FETCH names a cursor"))?;
    let reach = Reach { rows, patience };
    Ok(Fetch { name, reach })
}

/// After `WITH`: how long the rows of a subscription are waited for.
fn timeout(lexed: &mut Lexed<'_>) -> Result<Duration, Fault> {
    let value = (lexed.symbol('(') && lexed.take("TIMEOUT"))
        .then(|| {
            lexed.symbol('=');
            lexed.next()
        })
        .flatten();
    let time = match &value {
        Some(Token::Text(text) | Token::Number(text)) => milliseconds(text),
        _ => None,
    };
    match time {
        Some(time) if lexed.symbol(')') && lexed.next().is_none() => Ok(time),
        _ => Err(Fault::new(
            SYNTAX,
            "FETCH takes one option, how long it waits for rows of a subscription",
        )
        .hint("FETCH 100 FROM name WITH (timeout = '1s'); 0 gives what is there")),
    }
}

impl Session {
    /// Opens a cursor.
    pub(super) async fn declare(
        &mut self,
        declare: Declare,
        params: Vec<Param>,
        prepared: Option<Arc<Prepared>>,
    ) -> Result<(), Failure> {
        let Declare { name, statement } = declare;
        if self.transaction.standing() == Standing::Idle {
            return Err(Fault::new("25P01", "a cursor is for a transaction")
                .hint("send BEGIN first")
                .into());
        }
        if self.portals.contains_key(&name) {
            let what = format!("there is a cursor '{name}' already");
            return Err(Fault::new(DUPLICATE_PORTAL, what).into());
        }
        self.check_portals()?;
        let prepared = match prepared {
            Some(prepared) => prepared,
            None => Arc::new(self.prepared_as(&statement, ParamTypes::new()).await?),
        };
        let columns = prepared.described.columns.clone();
        // What is written from now on is told, whenever it is fetched.
        let begun = match &statement {
            Statement::Subscribe(subscribe) => {
                let place = self.portal_place()?;
                let feed = self.subscribed(subscribe.clone(), params.clone()).await?;
                Some(State::Begun(Cursor::of(feed), place))
            }
            _ => None,
        };
        let planned = Planned::of(Command::Statement(statement), columns, prepared);
        let mut portal = Portal::new(planned, params);
        if let Some(begun) = begun {
            portal.state = begun;
        }
        self.portals.insert(name, portal);
        answer::complete(&mut self.wire.out, "DECLARE CURSOR");
        Ok(())
    }

    /// Begins a subscription, where queries are planned.
    async fn subscribed(
        &mut self,
        statement: Subscribe,
        params: Vec<Param>,
    ) -> Result<Feed, Failure> {
        let (pg, db) = (self.pg.clone(), self.db.clone());
        let (told, begun) = oneshot::channel();
        let running = self.pg.shared.queries.run(async move {
            // A closed channel means that nobody waits any more.
            let _ = told.send(Feed::begin(&pg, &db, statement, &params).await);
        })?;
        let begun = begun.await;
        drop(running);
        Ok(begun.map_err(|_| Error::internal("subscribing failed"))??)
    }

    /// Reads a cursor on.
    pub(super) async fn fetch(&mut self, fetch: Fetch, sent: Sent) -> Result<(), Failure> {
        let Fetch { name, reach } = fetch;
        let mut portal = self.portals.remove(&name).ok_or_else(|| no_portal(&name))?;
        let state = std::mem::replace(&mut portal.state, State::Ended);
        let (source, place) = match (state, portal.source()) {
            (State::New, Some(source)) => (source, None),
            (State::Begun(cursor, place), _) => {
                // What let it begin may have ended since.
                self.db.check_admitted().map_err(Fault::from)?;
                (Source::Begun(cursor), Some(place))
            }
            _ => {
                if let (Sent::Described, Some(columns)) = (&sent, portal.columns()) {
                    answer::columns(&mut self.wire.out, &shown(columns, &[]));
                }
                answer::complete(&mut self.wire.out, "FETCH 0");
                self.portals.insert(name, portal);
                return Ok(());
            }
        };
        if let Ended::Rows { count, last, left } = self.drive(source, sent, reach).await? {
            self.wire.out.unsplit(last);
            if let Some(cursor) = left {
                let place = match place {
                    Some(place) => place,
                    None => self.portal_place()?,
                };
                portal.state = State::Begun(cursor, place);
            }
            answer::complete(&mut self.wire.out, &format!("FETCH {count}"));
        }
        self.portals.insert(name, portal);
        Ok(())
    }
}
