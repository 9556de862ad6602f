//! `SUBSCRIBE`: a query, and options behind it.

use std::collections::BTreeMap;

use activestore_types::{Error, Result};
use datafusion::sql::sqlparser::tokenizer::Token;

use super::cursor::Cursor;
use super::statement::{Statement, Subscribe, WhenSlow};

/// What `WITH (…)` may set.
const OPTIONS: [&str; 4] = ["snapshot", "on_slow", "leaving", "after"];

/// After `SUBSCRIBE`.
pub(super) fn subscribe(cursor: &mut Cursor<'_>) -> Result<Statement> {
    let begins = ["SELECT", "WITH", "TABLE", "VALUES"];
    if !begins.iter().any(|word| cursor.peek_word(word)) && !cursor.peek_token(&Token::LParen) {
        return Err(cursor.expected("SELECT"));
    }
    // Beside a table's name the parser of queries takes WITH (…) for hints of another system.
    let (sql, options) = cursor.query_with_options()?;
    let mut statement = Subscribe {
        sql: sql.to_owned(),
        snapshot: false,
        leaving: false,
        when_slow: WhenSlow::Disconnect,
        after: None,
    };
    read(&mut statement, options)?;
    Ok(Statement::Subscribe(statement))
}

fn read(statement: &mut Subscribe, options: BTreeMap<String, String>) -> Result<()> {
    for (name, value) in options {
        match name.as_str() {
            "snapshot" => statement.snapshot = truth(&name, &value)?,
            "leaving" => statement.leaving = truth(&name, &value)?,
            "after" => statement.after = Some(value).filter(|value| !value.is_empty()),
            "on_slow" => {
                statement.when_slow = match value.as_str() {
                    "disconnect" => WhenSlow::Disconnect,
                    "drop" => WhenSlow::Drop,
                    _ => {
                        return Err(Error::invalid(format!("on_slow = '{value}' is unknown"))
                            .with_hint("it is 'disconnect' or 'drop'"));
                    }
                }
            }
            _ => {
                let error = Error::invalid(format!("SUBSCRIBE has no option '{name}'"));
                return Err(match activestore_catalog::nearest(&name, OPTIONS) {
                    Some(near) => error.with_hint(format!("did you mean '{near}'?")),
                    None => error.with_hint(format!("it has {}", OPTIONS.join(", "))),
                });
            }
        }
    }
    Ok(())
}

fn truth(name: &str, value: &str) -> Result<bool> {
    match value {
        "true" => Ok(true),
        "false" => Ok(false),
        _ => Err(Error::invalid(format!(
            "{name} = '{value}' is neither true nor false"
        ))),
    }
}

#[cfg(test)]
mod tests;
