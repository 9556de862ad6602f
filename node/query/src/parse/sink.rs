//! `CREATE`, `ALTER` and `DROP SINK`.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use activestore_catalog::{Change, SinkAddress, SinkChange, SinkOptions};
use activestore_types::{Error, Result};
use datafusion::sql::sqlparser::tokenizer::Token;

use super::create::with_options;
use super::cursor::Cursor;
use super::statement::Statement;

/// `CREATE SINK [IF NOT EXISTS] name TO 'address' [WITH (…)] AS query [WITH (…)]`.
#[derive(Clone, PartialEq, Eq)]
pub struct SinkStatement {
    /// The sink's name.
    pub name: String,
    /// Where it sends to, as written.
    pub address: String,
    /// The query as written.
    pub query: String,
    /// Its options as given.
    pub options: BTreeMap<String, String>,
    /// No error when it exists.
    pub if_not_exists: bool,
}

impl fmt::Debug for SinkStatement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Address and options hold secrets.
        write!(f, "SinkStatement({})", self.name)
    }
}

/// After `CREATE SINK`. Options stand before `AS` or behind the query.
pub(super) fn create(cursor: &mut Cursor<'_>) -> Result<Statement> {
    // From the first word on: whoever leaves one out has a secret in its place.
    cursor.conceal();
    let if_not_exists = cursor.if_not_exists()?;
    let name = cursor.identifier("the name of a sink")?;
    cursor.expect_word("TO")?;
    let address = cursor.string("the address of a web hook or a broker")?;
    let mut options = with_options(cursor)?;
    cursor.expect_word("AS")?;
    if !cursor.peek_word("SELECT") {
        return Err(cursor.expected("SELECT"));
    }
    let (query, behind) = cursor.query_with_options()?;
    for (option, value) in behind {
        if options.insert(option.clone(), value).is_some() {
            return Err(Error::invalid(format!("option '{option}' is given twice")));
        }
    }
    SinkOptions::parse(&options, &SinkAddress::parse(&address)?)?;
    Ok(Statement::CreateSink(SinkStatement {
        name,
        address,
        query: query.to_owned(),
        options,
        if_not_exists,
    }))
}

/// After `ALTER SINK`.
pub(super) fn alter(cursor: &mut Cursor<'_>) -> Result<Statement> {
    cursor.conceal();
    let name = cursor.identifier("the name of a sink")?;
    let change = if cursor.word("PAUSE") {
        SinkChange::Pause { name, paused: true }
    } else if cursor.word("RESUME") {
        SinkChange::Pause {
            name,
            paused: false,
        }
    } else {
        let set = match cursor.word("SET") {
            true => cursor.options()?,
            false => BTreeMap::new(),
        };
        let reset = match cursor.word("RESET") {
            true => names(cursor)?,
            false => BTreeSet::new(),
        };
        if set.is_empty() && reset.is_empty() {
            return Err(cursor.expected("PAUSE, RESUME, SET (…) or RESET (…)"));
        }
        SinkChange::Alter { name, set, reset }
    };
    Ok(Statement::Change {
        change: Change::Sink(change),
        tag: "ALTER SINK",
    })
}

/// `(name, …)`.
fn names(cursor: &mut Cursor<'_>) -> Result<BTreeSet<String>> {
    cursor.expect_token(&Token::LParen)?;
    let mut all = BTreeSet::new();
    loop {
        all.insert(cursor.identifier("the name of an option")?);
        if !cursor.token(&Token::Comma) {
            break;
        }
    }
    cursor.expect_token(&Token::RParen)?;
    Ok(all)
}

/// After `DROP SINK`.
pub(super) fn drop(cursor: &mut Cursor<'_>) -> Result<(Change, &'static str)> {
    let if_exists = cursor.if_exists()?;
    let name = cursor.identifier("the name of a sink")?;
    Ok((
        Change::Sink(SinkChange::Drop { name, if_exists }),
        "DROP SINK",
    ))
}

#[cfg(test)]
mod tests;
