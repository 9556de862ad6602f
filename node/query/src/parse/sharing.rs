//! `CREATE` and `DROP` of merge functions and filters: what tables name that are shared with other nodes.

use activestore_catalog::{Change, FilterDef, FunctionDef};
use activestore_types::Result;

use super::create::plugin;
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
    let name = cursor.identifier("the name of a merge function")?;
    if !cursor.peek_word("USING") {
        return Err(cursor.expected("USING PLUGIN").with_hint(
            "merge functions are made by plugins: CREATE MERGE FUNCTION f USING PLUGIN 'p'",
        ));
    }
    cursor.expect_word("USING")?;
    let plugin = plugin(cursor)?;
    let mut options = if cursor.word("WITH") {
        cursor.options()?
    } else {
        Default::default()
    };
    let function = options.remove("function").unwrap_or_else(|| name.clone());
    Ok(Statement::Change {
        change: Change::CreateMerge {
            def: FunctionDef {
                name,
                plugin,
                function,
                options,
            },
            or_replace,
        },
        tag: "CREATE MERGE FUNCTION",
    })
}

fn filter(cursor: &mut Cursor<'_>, or_replace: bool) -> Result<Statement> {
    let name = cursor.identifier("the name of a filter")?;
    cursor.expect_word("USING")?;
    let plugin = plugin(cursor)?;
    let options = if cursor.word("WITH") {
        cursor.options()?
    } else {
        Default::default()
    };
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
