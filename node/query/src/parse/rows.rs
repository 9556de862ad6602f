//! `SELECT`, `EXPLAIN`, `INSERT`, `UPDATE`, `DELETE`, and batches of the last three.

use activestore_catalog::parse_duration;
use activestore_types::{Error, Result};
use datafusion::sql::sqlparser::tokenizer::Token;

use super::cursor::Cursor;
use super::limits::MAX_STATEMENTS;
use super::statement::{Condition, Delete, Existing, Insert, Statement, Update};

pub(super) fn query(cursor: &mut Cursor<'_>) -> Result<Statement> {
    let (sql, _) = cursor.query()?;
    Ok(Statement::Query {
        sql: sql.to_owned(),
    })
}

/// After `EXPLAIN`.
pub(super) fn explain(cursor: &mut Cursor<'_>) -> Result<Statement> {
    let analyze = cursor.word("ANALYZE");
    let verbose = cursor.word("VERBOSE");
    for word in ["INSERT", "UPDATE", "DELETE", "CREATE", "DROP", "ALTER"] {
        if cursor.peek_word(word) {
            return Err(Error::invalid("EXPLAIN shows the plan of queries only")
                .with_hint("explain the SELECT that finds the same rows"));
        }
    }
    let (sql, _) = cursor.query()?;
    let mut text = String::from("EXPLAIN ");
    for (on, word) in [(analyze, "ANALYZE "), (verbose, "VERBOSE ")] {
        if on {
            text.push_str(word);
        }
    }
    text.push_str(sql);
    Ok(Statement::Explain { sql: text, analyze })
}

/// After `INSERT`.
pub(super) fn insert(cursor: &mut Cursor<'_>) -> Result<Statement> {
    cursor.expect_word("INTO")?;
    let table = cursor.table_name()?;
    let mut columns = Vec::new();
    if cursor.token(&Token::LParen) {
        loop {
            let at = cursor.location();
            let column = cursor.identifier("the name of a column")?;
            if columns.contains(&column) {
                return Err(Error::invalid(format!(
                    "line {}, column {}: column '{column}' is named twice",
                    at.line, at.column
                )));
            }
            columns.push(column);
            if cursor.token(&Token::RParen) {
                break;
            }
            if !cursor.token(&Token::Comma) {
                return Err(cursor.expected("',' or ')'"));
            }
        }
    }
    if cursor.peek_word("DEFAULT") {
        return Err(Error::invalid("columns have no default values")
            .with_hint("leave the columns out that the row does not set"));
    }
    if !["VALUES", "SELECT", "WITH", "TABLE"]
        .iter()
        .any(|word| cursor.peek_word(word))
        && !cursor.peek_token(&Token::LParen)
    {
        return Err(cursor.expected("VALUES or SELECT"));
    }
    let values = cursor.peek_word("VALUES");
    let (source, _) = cursor.query()?;
    let mut ttl_s = ttl(cursor)?;
    let existing = existing(cursor, values)?;
    if ttl_s.is_none() {
        ttl_s = ttl(cursor)?;
    }
    no_returning(cursor)?;
    Ok(Statement::Insert(Insert {
        table,
        columns,
        source: source.to_owned(),
        ttl_s,
        existing,
    }))
}

/// `IF NOT EXISTS` or `ON CONFLICT DO NOTHING`.
fn existing(cursor: &mut Cursor<'_>, values: bool) -> Result<Existing> {
    let existing = if cursor.if_not_exists()? {
        Existing::Fail
    } else if cursor.word("ON") {
        cursor.expect_word("CONFLICT")?;
        if cursor.token(&Token::LParen) {
            // Rows are in conflict by their primary key and by nothing else.
            while !cursor.token(&Token::RParen) {
                cursor.identifier("a column of the primary key")?;
                let _more = cursor.token(&Token::Comma);
            }
        }
        cursor.expect_word("DO")?;
        if cursor.peek_word("UPDATE") {
            return Err(Error::invalid("ON CONFLICT DO UPDATE is not needed")
                .with_hint("an INSERT is an upsert by primary key; leave ON CONFLICT out"));
        }
        cursor.expect_word("NOTHING")?;
        Existing::Keep
    } else {
        return Ok(Existing::Merge);
    };
    if values {
        return Ok(existing);
    }
    Err(
        Error::invalid("only an INSERT of VALUES can look at the rows that are there")
            .with_hint("leave them out in the query: … WHERE NOT EXISTS (SELECT …)"),
    )
}

/// `IF EXISTS` or `IF expression`.
fn condition(cursor: &mut Cursor<'_>) -> Result<Option<Condition>> {
    if !cursor.word("IF") {
        return Ok(None);
    }
    if cursor.word("EXISTS") {
        return Ok(Some(Condition::Exists));
    }
    let (text, _) = cursor.expression()?;
    Ok(Some(Condition::Holds(text.to_owned())))
}

/// After `UPDATE`.
pub(super) fn update(cursor: &mut Cursor<'_>) -> Result<Statement> {
    let table = cursor.table_name()?;
    let mut ttl_s = ttl(cursor)?;
    cursor.expect_word("SET")?;
    let mut assignments: Vec<(String, String)> = Vec::new();
    loop {
        let at = cursor.location();
        let column = cursor.identifier("the name of a column")?;
        if assignments.iter().any(|(name, _)| *name == column) {
            return Err(Error::invalid(format!(
                "line {}, column {}: column '{column}' is set twice",
                at.line, at.column
            )));
        }
        cursor.expect_token(&Token::Eq)?;
        let (expression, _) = cursor.expression()?;
        assignments.push((column, expression.to_owned()));
        if !cursor.token(&Token::Comma) {
            break;
        }
    }
    if ttl_s.is_none() {
        ttl_s = ttl(cursor)?;
    }
    if cursor.peek_word("FROM") {
        return Err(Error::invalid("UPDATE … FROM is not available")
            .with_hint("use INSERT INTO … SELECT, which is an upsert by primary key"));
    }
    let filter = filter(cursor)?;
    let condition = condition(cursor)?;
    no_returning(cursor)?;
    Ok(Statement::Update(Update {
        table,
        assignments,
        filter,
        ttl_s,
        condition,
    }))
}

/// After `DELETE`.
pub(super) fn delete(cursor: &mut Cursor<'_>) -> Result<Statement> {
    cursor.expect_word("FROM")?;
    let table = cursor.table_name()?;
    if cursor.peek_word("USING") {
        return Err(Error::invalid("DELETE … USING is not available").with_hint(
            "name the rows in WHERE, with IN (SELECT …) where another table says which",
        ));
    }
    let filter = filter(cursor)?;
    let condition = condition(cursor)?;
    no_returning(cursor)?;
    Ok(Statement::Delete(Delete {
        table,
        filter,
        condition,
    }))
}

/// After `BEGIN`.
pub(super) fn batch(cursor: &mut Cursor<'_>) -> Result<Statement> {
    if !cursor.word("BATCH") {
        return Err(
            Error::invalid("transactions over several statements are not available").with_hint(
                "BEGIN BATCH …; …; APPLY BATCH writes INSERT, UPDATE and DELETE statements as one",
            ),
        );
    }
    let mut statements = Vec::new();
    loop {
        while cursor.token(&Token::SemiColon) {}
        if cursor.word("APPLY") {
            cursor.expect_word("BATCH")?;
            break;
        }
        if statements.len() >= MAX_STATEMENTS {
            return Err(Error::invalid(format!(
                "the batch holds more than {MAX_STATEMENTS} statements"
            ))
            .with_hint("an INSERT may hold many rows"));
        }
        statements.push(if cursor.word("INSERT") {
            insert(cursor)?
        } else if cursor.word("UPDATE") {
            update(cursor)?
        } else if cursor.word("DELETE") {
            delete(cursor)?
        } else {
            return Err(cursor.expected("INSERT, UPDATE, DELETE or APPLY BATCH"));
        });
        if !cursor.peek_token(&Token::SemiColon) && !cursor.peek_word("APPLY") {
            return Err(cursor.expected("';' or APPLY BATCH"));
        }
    }
    if statements.is_empty() {
        return Err(Error::invalid("the batch is empty"));
    }
    Ok(Statement::Batch(statements))
}

fn filter(cursor: &mut Cursor<'_>) -> Result<Option<String>> {
    if !cursor.word("WHERE") {
        return Ok(None);
    }
    let (text, _) = cursor.expression()?;
    Ok(Some(text.to_owned()))
}

fn no_returning(cursor: &Cursor<'_>) -> Result<()> {
    if cursor.peek_word("RETURNING") {
        return Err(Error::invalid("RETURNING is not available")
            .with_hint("SELECT the rows by their primary key afterwards"));
    }
    Ok(())
}

/// `USING TTL n`, n in seconds or a duration in quotes.
fn ttl(cursor: &mut Cursor<'_>) -> Result<Option<u64>> {
    if !cursor.word("USING") {
        return Ok(None);
    }
    cursor.expect_word("TTL")?;
    let seconds = if matches!(cursor.peek_text().as_bytes(), [b'\'', ..]) {
        parse_duration(&cursor.string("a duration")?)?.as_secs()
    } else {
        cursor.number("seconds, or a duration in single quotes")?
    };
    if seconds == 0 {
        return Err(Error::invalid("a time to live is at least one second")
            .with_hint("leave USING TTL out for the table's own time to live"));
    }
    Ok(Some(seconds))
}
