//! `CREATE`, `DROP` and `REFRESH MATERIALIZED VIEW`.

use activestore_catalog::{Change, ViewOptions};
use activestore_types::{Error, Result};

use super::create::with_options;
use super::cursor::Cursor;
use super::statement::{Statement, ViewStatement};

/// After `CREATE MATERIALIZED VIEW`. Options stand before `AS` or behind the query.
pub(super) fn create(cursor: &mut Cursor<'_>) -> Result<Statement> {
    let if_not_exists = cursor.if_not_exists()?;
    let name = cursor.table_name()?;
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
    Ok(Statement::CreateView(ViewStatement {
        name,
        query: query.to_owned(),
        options: ViewOptions::parse(&options)?,
        if_not_exists,
    }))
}

/// After `DROP MATERIALIZED VIEW`.
pub(super) fn drop(cursor: &mut Cursor<'_>) -> Result<(Change, &'static str)> {
    let if_exists = cursor.if_exists()?;
    let name = cursor.table_name()?;
    Ok((
        Change::DropView { name, if_exists },
        "DROP MATERIALIZED VIEW",
    ))
}

/// After `REFRESH`.
pub(super) fn refresh(cursor: &mut Cursor<'_>) -> Result<Statement> {
    cursor.expect_word("MATERIALIZED")?;
    cursor.expect_word("VIEW")?;
    Ok(Statement::RefreshView {
        name: cursor.table_name()?,
    })
}

#[cfg(test)]
mod tests;
