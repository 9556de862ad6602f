//! What a statement asks for: a command of the session, a COPY, or a statement of our dialect.

use activestore_query::{Statement, parse};

use super::copy::{Copy, copy, of_a_file};
use super::cursor::{Declare, Fetch, declare, fetch};
use super::fault::{Fault, NOT_SUPPORTED, SYNTAX};
use super::lexed::{Lexed, Token};
use super::split::{Piece, words};

/// One statement.
#[derive(Clone, Debug)]
pub(super) enum Command {
    /// Nothing at all.
    Empty,
    /// For the database.
    Statement(Statement),
    /// `COPY`.
    Copy(Copy),
    /// `DECLARE … CURSOR`.
    Declare(Declare),
    /// `FETCH`.
    Fetch(Fetch),
    /// About the session alone.
    Session(SessionCommand),
}

/// What is about the session alone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum SessionCommand {
    /// `BEGIN`, `START TRANSACTION`: whether it says that it reads only.
    Begin {
        read_only: Option<bool>,
        tag: &'static str,
    },
    /// `COMMIT`, `END`.
    Commit,
    /// `ROLLBACK`, `ABORT`.
    Rollback,
    /// `CLOSE ALL`.
    CloseAll,
    /// `CLOSE name`.
    CloseCursor(String),
    /// `SAVEPOINT name`.
    Savepoint(String),
    /// `RELEASE name`.
    Release(String),
    /// `ROLLBACK TO name`.
    RollbackTo(String),
    /// `SET name = value`; none is its default.
    Set(String, Option<String>),
    /// `SET TRANSACTION …`: whether it says that it reads only.
    SetTransaction(Option<bool>),
    /// `SHOW name`.
    Show(String),
    /// `SHOW ALL`.
    ShowAll,
    /// `RESET name`; none is all.
    Reset(Option<String>),
    /// `DISCARD ALL`.
    DiscardAll,
    /// `DISCARD PLANS` and others, `UNLISTEN`, `CLOSE ALL`: nothing to do, with what is answered.
    Nothing(&'static str),
    /// `DEALLOCATE name`; none is all.
    Deallocate(Option<String>),
}

/// What SHOW shows that is no setting.
const SHOWN: [&str; 19] = [
    "TABLES",
    "KEYSPACES",
    "SCHEMAS",
    "COLUMNS",
    "FUNCTIONS",
    "FUNCTION",
    "AGGREGATES",
    "AGGREGATE",
    "TABLE",
    "MERGE",
    "PROCESSORS",
    "PROCESSOR",
    "MODELS",
    "MODEL",
    "FILTERS",
    "FILTER",
    "PLUGINS",
    "PLUGIN",
    "ROLES",
];

/// Reads one statement of `text`.
///
/// # Errors
/// Where it cannot be read, with its place; what is not available, with what to use instead.
pub(super) fn read(text: &str, piece: Piece<'_>) -> Result<Command, Fault> {
    let first = words(piece.text, 2);
    let word = |place: usize| first.get(place).map_or("", String::as_str);
    let session = match (word(0), word(1)) {
        ("BEGIN", "BATCH") => None,
        ("BEGIN" | "START", _) => Some(begin(piece)?),
        ("COMMIT" | "END", "PREPARED") | ("PREPARE", "TRANSACTION") => {
            return Err(not_available("two-phase commit is not available"));
        }
        ("COMMIT" | "END", _) => Some(SessionCommand::Commit),
        ("ROLLBACK" | "ABORT", _) => Some(rollback(piece)?),
        ("SAVEPOINT", _) => Some(SessionCommand::Savepoint(savepoint(rest(piece, 1))?)),
        ("RELEASE", _) => Some(SessionCommand::Release(savepoint(rest(piece, 1))?)),
        ("SET", _) => Some(set(piece)?),
        ("RESET", _) => Some(reset(piece)?),
        ("SHOW", "TOKENS" | "GRANTS") => None,
        ("SHOW", what) if SHOWN.contains(&what) => None,
        ("SHOW", "ALL") => Some(SessionCommand::ShowAll),
        ("SHOW", _) => Some(show(piece)?),
        ("DISCARD", "ALL") => Some(SessionCommand::DiscardAll),
        ("DISCARD", "PLANS" | "SEQUENCES" | "TEMP" | "TEMPORARY") => {
            Some(SessionCommand::Nothing("DISCARD"))
        }
        ("DEALLOCATE", _) => Some(deallocate(piece)?),
        ("UNLISTEN", _) => Some(SessionCommand::Nothing("UNLISTEN")),
        ("CLOSE", "ALL") => Some(SessionCommand::CloseAll),
        ("LISTEN" | "NOTIFY", _) => {
            return Err(not_available("LISTEN and NOTIFY are not available")
                .hint("read what is new with SUBSCRIBE, or poll with SELECT … WHERE ts > …"));
        }
        ("DECLARE", _) => return declare(text, piece).map(Command::Declare),
        ("FETCH", _) => return fetch(piece).map(Command::Fetch),
        ("CLOSE", _) => Some(SessionCommand::CloseCursor(savepoint(rest(piece, 1))?)),
        ("MOVE", _) => return Err(not_available("MOVE is not available").hint("FETCH reads rows")),
        ("LOCK", _) => {
            return Err(not_available("LOCK is not available").hint(
                "INSERT … IF NOT EXISTS and UPDATE … IF write only where a condition holds",
            ));
        }
        ("COPY", _) if !of_a_file(piece.text) => return copy(text, piece).map(Command::Copy),
        _ => None,
    };
    if let Some(command) = session {
        return Ok(Command::Session(command));
    }
    let mut statements =
        parse(piece.text).map_err(|error| Fault::from(error).within(text, piece.start))?;
    match (statements.pop(), statements.is_empty()) {
        (Some(statement), true) => Ok(Command::Statement(statement)),
        (None, _) => Ok(Command::Empty),
        (Some(_), false) => Err(Fault::new(SYNTAX, "a prepared statement is one statement")),
    }
}

pub(super) fn not_available(what: &str) -> Fault {
    Fault::new(NOT_SUPPORTED, what)
}

/// The name of a savepoint, `SAVEPOINT` before it or not, or of a cursor.
fn savepoint(mut lexed: Lexed<'_>) -> Result<String, Fault> {
    lexed.take("SAVEPOINT");
    let name = lexed.next().and_then(|token| token.name());
    name.ok_or_else(|| Fault::new(SYNTAX, "the statement names a savepoint or a cursor"))
}

/// The words and texts behind the first `skip` words.
fn rest(piece: Piece<'_>, skip: usize) -> Lexed<'_> {
    let mut lexed = Lexed::new(piece.text);
    for _ in 0..skip {
        lexed.next();
    }
    lexed
}

/// What modes of a transaction say of writing.
fn read_only(lexed: &mut Lexed<'_>) -> Option<bool> {
    let mut found = None;
    let mut reads = false;
    while let Some(token) = lexed.next() {
        match token.word().as_deref() {
            Some("READ") => reads = true,
            Some("ONLY") if reads => found = Some(true),
            Some("WRITE") if reads => found = Some(false),
            _ => reads = false,
        }
    }
    found
}

fn begin(piece: Piece<'_>) -> Result<SessionCommand, Fault> {
    let mut lexed = rest(piece, 0);
    let tag = match lexed.next().and_then(|token| token.word()).as_deref() {
        Some("START") => "START TRANSACTION",
        _ => "BEGIN",
    };
    Ok(SessionCommand::Begin {
        read_only: read_only(&mut lexed),
        tag,
    })
}

fn rollback(piece: Piece<'_>) -> Result<SessionCommand, Fault> {
    let mut lexed = rest(piece, 1);
    while let Some(token) = lexed.next() {
        match token.word().as_deref() {
            Some("TO") => return Ok(SessionCommand::RollbackTo(savepoint(lexed)?)),
            Some("PREPARED") => return Err(not_available("two-phase commit is not available")),
            _ => {}
        }
    }
    Ok(SessionCommand::Rollback)
}

/// After `SET`: `[SESSION | LOCAL] name { = | TO } value`, `TIME ZONE value`, `TRANSACTION …`.
fn set(piece: Piece<'_>) -> Result<SessionCommand, Fault> {
    let wanted = || Fault::new(SYNTAX, "SET is written SET name = value");
    let mut lexed = rest(piece, 1);
    let mut name = lexed.next().ok_or_else(wanted)?;
    if matches!(name.word().as_deref(), Some("SESSION" | "LOCAL")) {
        name = lexed.next().ok_or_else(wanted)?;
    }
    match name.word().as_deref() {
        Some("TRANSACTION") => return Ok(SessionCommand::SetTransaction(read_only(&mut lexed))),
        Some("CHARACTERISTICS") => {
            let says = read_only(&mut lexed);
            let value = says.map(|on| if on { "on" } else { "off" }.to_owned());
            return Ok(SessionCommand::Set(
                "default_transaction_read_only".to_owned(),
                value,
            ));
        }
        Some("ROLE" | "AUTHORIZATION") => {
            return Err(
                not_available("a session keeps the role that it logged in with")
                    .hint("connect as the other role"),
            );
        }
        Some("CONSTRAINTS") => return Ok(SessionCommand::Nothing("SET CONSTRAINTS")),
        Some("NAMES") => {
            return Ok(SessionCommand::Set(
                "client_encoding".to_owned(),
                lexed.values(),
            ));
        }
        Some("TIME") => {
            let zone = lexed.next().and_then(|token| token.word());
            if zone.as_deref() != Some("ZONE") {
                return Err(wanted());
            }
            return Ok(SessionCommand::Set("TimeZone".to_owned(), lexed.values()));
        }
        _ => {}
    }
    let mut name = name.name().ok_or_else(wanted)?;
    loop {
        match lexed.next() {
            Some(Token::Symbol('.')) => {
                let part = lexed
                    .next()
                    .and_then(|token| token.name())
                    .ok_or_else(wanted)?;
                name = format!("{name}.{part}");
            }
            Some(Token::Symbol('=')) => break,
            Some(token) if token.word().as_deref() == Some("TO") => break,
            _ => return Err(wanted()),
        }
    }
    Ok(SessionCommand::Set(name, lexed.values()))
}

fn name_behind(piece: Piece<'_>) -> Option<String> {
    let mut lexed = rest(piece, 1);
    let mut name = lexed.next()?.name()?;
    while let Some(Token::Symbol('.')) = lexed.next() {
        name = format!("{name}.{}", lexed.next()?.name()?);
    }
    Some(name)
}

fn reset(piece: Piece<'_>) -> Result<SessionCommand, Fault> {
    let name =
        name_behind(piece).ok_or_else(|| Fault::new(SYNTAX, "RESET names a setting, or ALL"))?;
    Ok(match name.to_ascii_uppercase().as_str() {
        "ALL" => SessionCommand::Reset(None),
        // A session keeps the role that it has.
        "ROLE" | "SESSION" => SessionCommand::Nothing("RESET"),
        _ => SessionCommand::Reset(Some(name)),
    })
}

fn show(piece: Piece<'_>) -> Result<SessionCommand, Fault> {
    let name = name_behind(piece).ok_or_else(|| Fault::new(SYNTAX, "SHOW names what to show"))?;
    Ok(SessionCommand::Show(
        match name.to_ascii_uppercase().as_str() {
            "TRANSACTION" => "transaction_isolation".to_owned(),
            "TIME" => "TimeZone".to_owned(),
            "SESSION" => "session_authorization".to_owned(),
            _ => name,
        },
    ))
}

fn deallocate(piece: Piece<'_>) -> Result<SessionCommand, Fault> {
    let wanted = || Fault::new(SYNTAX, "DEALLOCATE names a prepared statement, or ALL");
    let mut lexed = rest(piece, 1);
    let mut name = lexed.next().ok_or_else(wanted)?;
    if name.word().as_deref() == Some("PREPARE") {
        name = lexed.next().ok_or_else(wanted)?;
    }
    Ok(SessionCommand::Deallocate(match name.word().as_deref() {
        Some("ALL") => None,
        _ => Some(name.name().ok_or_else(wanted)?),
    }))
}
