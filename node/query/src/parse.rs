//! Statements as the outside writes them: PostgreSQL's words for queries and rows, a few of our
//! own for keyspaces, processors and models. This module reads text; it looks nothing up and runs
//! nothing. Expressions are left as SQL text for the engine, cut out of the input as written.
//!
//! Hostile input is bounded before it is read: statement size, nesting, and the length of one
//! chain of operators, so that no input overflows the stack.

mod copy;
mod create;
mod cursor;
mod limits;
mod roles;
mod rows;
mod secret;
mod sharing;
mod sink;
mod sketch;
mod statement;
mod subscribe;
mod table;
mod view;

pub use copy::{CopyStatement, FileFormat, RowFile};
pub(crate) use limits::MAX_RECURSION;
pub use limits::{
    MAX_CHAIN_OPERATORS, MAX_CHAIN_TOKENS, MAX_NESTING, MAX_STATEMENTS, MAX_TEXT_BYTES,
};
pub use roles::RoleStatement;
pub use secret::Secret;
pub use sink::SinkStatement;
pub use sketch::{KINDS, Sketch};
pub use statement::{
    Condition, Delete, Existing, Insert, ModelStatement, PartitionStatement, PartitionStep,
    Redefined, Redefinition, Show, Statement, Subscribe, Update, ViewStatement, WhenSlow,
};

use activestore_types::{Error, Result};
use datafusion::sql::sqlparser::tokenizer::Token;

use cursor::Cursor;

/// Words that a statement may begin with.
const FIRST_WORDS: [&str; 18] = [
    "SELECT",
    "WITH",
    "VALUES",
    "INSERT",
    "UPDATE",
    "DELETE",
    "CREATE",
    "ALTER",
    "DROP",
    "SHOW",
    "DESCRIBE",
    "EXPLAIN",
    "BEGIN",
    "COPY",
    "GRANT",
    "REVOKE",
    "REFRESH",
    "SUBSCRIBE",
];

/// Reads one or more statements, separated by `;`. A table named without a keyspace is one of
/// keyspace `public`.
///
/// # Errors
/// `Invalid` with the line, the column, and what was expected there; also for statements that this
/// program does not have, with what to use instead.
///
/// ```
/// use activestore_query::{Statement, parse};
///
/// let statements = parse("CREATE KEYSPACE plant WITH (ttl = '90d'); SELECT 1").unwrap();
/// assert_eq!(statements.len(), 2);
/// assert!(matches!(&statements[1], Statement::Query { sql } if sql == "SELECT 1"));
/// assert!(parse("SELEC 1").unwrap_err().to_string().contains("did you mean SELECT"));
/// ```
pub fn parse(sql: &str) -> Result<Vec<Statement>> {
    let mut cursor = Cursor::new(sql)?;
    let mut statements = Vec::new();
    loop {
        while cursor.token(&Token::SemiColon) {}
        if cursor.at_end() {
            break;
        }
        if statements.len() >= MAX_STATEMENTS {
            return Err(Error::invalid(format!(
                "the text holds more than {MAX_STATEMENTS} statements"
            ))
            .with_hint("send them in several requests"));
        }
        statements.push(statement(&mut cursor)?);
        if !cursor.at_end() && !cursor.token(&Token::SemiColon) {
            return Err(cursor.expected("the end of the statement or ';'"));
        }
    }
    if statements.is_empty() {
        return Err(Error::invalid("the statement is empty"));
    }
    Ok(statements)
}

fn statement(cursor: &mut Cursor<'_>) -> Result<Statement> {
    for word in ["SELECT", "WITH", "VALUES", "TABLE"] {
        if cursor.peek_word(word) {
            return rows::query(cursor);
        }
    }
    if cursor.peek_token(&Token::LParen) {
        return rows::query(cursor);
    }
    if cursor.word("EXPLAIN") {
        return rows::explain(cursor);
    }
    if cursor.word("INSERT") {
        return rows::insert(cursor);
    }
    if cursor.word("UPDATE") {
        return rows::update(cursor);
    }
    if cursor.word("DELETE") {
        return rows::delete(cursor);
    }
    if cursor.word("BEGIN") {
        return rows::batch(cursor);
    }
    if cursor.word("SUBSCRIBE") {
        return subscribe::subscribe(cursor);
    }
    if cursor.word("REFRESH") {
        return view::refresh(cursor);
    }
    if cursor.word("CREATE") {
        return create::create(cursor);
    }
    if cursor.word("DROP") {
        return create::drop(cursor);
    }
    if cursor.word("ALTER") {
        return table::alter(cursor);
    }
    if cursor.word("COPY") {
        return copy::copy(cursor);
    }
    if cursor.word("GRANT") {
        return roles::grant(cursor);
    }
    if cursor.word("REVOKE") {
        return roles::revoke(cursor);
    }
    if cursor.word("SHOW") {
        return show(cursor);
    }
    if cursor.word("DESCRIBE") || cursor.word("DESC") {
        let _optional = cursor.word("TABLE");
        return Ok(Statement::Describe {
            name: cursor.table_name()?,
        });
    }
    Err(refused(cursor))
}

fn show(cursor: &mut Cursor<'_>) -> Result<Statement> {
    if cursor.word("TABLES") {
        let keyspace = if cursor.word("FROM") || cursor.word("IN") {
            Some(cursor.identifier("a keyspace")?)
        } else {
            None
        };
        return Ok(Statement::Show(Show::Tables { keyspace }));
    }
    if cursor.word("COLUMNS") {
        if !cursor.word("FROM") && !cursor.word("IN") {
            return Err(cursor.expected("FROM"));
        }
        return Ok(Statement::Describe {
            name: cursor.table_name()?,
        });
    }
    if let Some(show) = roles::show(cursor)? {
        return Ok(Statement::Show(show));
    }
    if cursor.words(&["TABLE", "FUNCTIONS"]) {
        return Ok(Statement::Show(Show::Functions));
    }
    if cursor.words(&["MERGE", "FUNCTIONS"]) {
        return Ok(Statement::Show(Show::MergeFunctions));
    }
    for (words, show) in [
        (["KEYSPACES", "SCHEMAS"], Show::Keyspaces),
        (["FUNCTIONS", "FUNCTION"], Show::Functions),
        (["AGGREGATES", "AGGREGATE"], Show::Functions),
        (["PROCESSORS", "PROCESSOR"], Show::Processors),
        (["MODELS", "MODEL"], Show::Models),
        (["PLUGINS", "PLUGIN"], Show::Plugins),
        (["FILTERS", "FILTER"], Show::Filters),
        (["SINKS", "SINK"], Show::Sinks),
    ] {
        if words.iter().any(|word| cursor.word(word)) {
            return Ok(Statement::Show(show));
        }
    }
    Err(cursor.expected(
        "TABLES, KEYSPACES, COLUMNS, FUNCTIONS, AGGREGATES, MERGE FUNCTIONS, PROCESSORS, MODELS, FILTERS, PLUGINS, SINKS, ROLES, TOKENS or GRANTS",
    ))
}

/// What users of other systems may try, and what to do here instead.
fn refused(cursor: &Cursor<'_>) -> Error {
    for (word, message, hint) in [
        (
            "TRUNCATE",
            "TRUNCATE is not available",
            "use DELETE FROM without WHERE, or DROP TABLE",
        ),
        (
            "MERGE",
            "MERGE is not available",
            "every INSERT is an upsert by primary key",
        ),
        (
            "START",
            "transactions over several statements are not available",
            "BEGIN BATCH …; …; APPLY BATCH writes several statements as one",
        ),
        (
            "COMMIT",
            "transactions over several statements are not available",
            "each statement is durable on its own",
        ),
        (
            "ROLLBACK",
            "transactions over several statements are not available",
            "each statement is durable on its own",
        ),
        (
            "SET",
            "settings cannot be changed by SET",
            "a node's settings are in its configuration file",
        ),
        (
            "USE",
            "USE is not available",
            "name tables with their keyspace: keyspace.table",
        ),
        (
            "PREPARE",
            "PREPARE is not available",
            "send parameters with the statement: $1, $2, …",
        ),
        (
            "VACUUM",
            "VACUUM is not needed",
            "compaction runs by itself; ALTER TABLE … COMPACT runs it now",
        ),
    ] {
        if cursor.peek_word(word) {
            return Error::invalid(message).with_hint(hint);
        }
    }
    let error = cursor.expected("a statement (SELECT, INSERT, UPDATE, DELETE, CREATE, …)");
    let found = cursor.peek_text().to_ascii_uppercase();
    match activestore_catalog::nearest(&found, FIRST_WORDS) {
        Some(near) => error.with_hint(format!("did you mean {near}?")),
        None => error,
    }
}

/// DataFusion's parser's error in our form.
pub(crate) fn syntax(error: &datafusion::sql::sqlparser::parser::ParserError) -> Error {
    let start = datafusion::sql::sqlparser::tokenizer::Location { line: 1, column: 1 };
    cursor::syntax(error, start, start)
}

#[cfg(test)]
mod tests;
