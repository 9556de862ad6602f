//! `CREATE` and `DROP` of merge functions and filters: what tables name that are shared with other nodes.

use activestore_catalog::{Change, FilterDef};
use activestore_types::Result;

use super::create::{plugin, plugin_function, with_options};
use super::cursor::Cursor;
use super::statement::Statement;

/// After `CREATE [OR REPLACE]`; `None` where something else is made.
pub(super) fn create(cursor: &mut Cursor<'_>, or_replace: bool) -> Result<Option<Statement>> {
    if cursor.words(&["MERGE", "FUNCTION"]) {
        return merge(cursor, or_replace).map(Some);
    }
    if cursor.word("FILTER") {
        return filter(cursor, or_replace).map(Some);
    }
    Ok(None)
}

/// After `DROP`; `None` where something else goes.
pub(super) fn drop(cursor: &mut Cursor<'_>) -> Result<Option<(Change, &'static str)>> {
    if cursor.words(&["MERGE", "FUNCTION"]) {
        let if_exists = cursor.if_exists()?;
        let name = cursor.identifier("the name of a merge function")?;
        let change = Change::DropMerge { name, if_exists };
        return Ok(Some((change, "DROP MERGE FUNCTION")));
    }
    if cursor.word("FILTER") {
        let if_exists = cursor.if_exists()?;
        let name = cursor.identifier("the name of a filter")?;
        return Ok(Some((
            Change::DropFilter { name, if_exists },
            "DROP FILTER",
        )));
    }
    Ok(None)
}

fn merge(cursor: &mut Cursor<'_>, or_replace: bool) -> Result<Statement> {
    Ok(Statement::Change {
        change: Change::CreateMerge {
            def: plugin_function(cursor, "MERGE FUNCTION")?,
            or_replace,
        },
        tag: "CREATE MERGE FUNCTION",
    })
}

fn filter(cursor: &mut Cursor<'_>, or_replace: bool) -> Result<Statement> {
    let name = cursor.identifier("the name of a filter")?;
    cursor.expect_word("USING")?;
    let plugin = plugin(cursor)?;
    let options = with_options(cursor)?;
    Ok(Statement::Change {
        change: Change::CreateFilter {
            def: FilterDef {
                name,
                plugin,
                options,
            },
            or_replace,
        },
        tag: "CREATE FILTER",
    })
}
