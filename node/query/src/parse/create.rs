//! `CREATE` and `DROP`, but for what is inside a table's parentheses.

use std::collections::BTreeMap;

use activestore_catalog::{
    Change, FunctionDef, FunctionKind, KeyspaceDef, KeyspaceOptions, PluginReference, ProcessorDef,
    ProcessorSource,
};
use activestore_types::{Error, Result};

use datafusion::sql::sqlparser::tokenizer::Token;

use super::cursor::Cursor;
use super::statement::{ModelStatement, Statement};
use super::{roles, sharing, sink, table, view};

/// After `CREATE`.
pub(super) fn create(cursor: &mut Cursor<'_>) -> Result<Statement> {
    let or_replace = cursor.word("OR");
    if or_replace {
        cursor.expect_word("REPLACE")?;
    }
    if cursor.word("FUNCTION") {
        return function(cursor, or_replace, FunctionKind::Scalar);
    }
    if cursor.word("AGGREGATE") {
        return function(cursor, or_replace, FunctionKind::Aggregate);
    }
    if cursor.words(&["TABLE", "FUNCTION"]) {
        return function(cursor, or_replace, FunctionKind::Table);
    }
    if cursor.word("PROCESSOR") {
        return processor(cursor, or_replace);
    }
    if cursor.word("MODEL") {
        return model(cursor, or_replace);
    }
    if let Some(statement) = sharing::create(cursor, or_replace)? {
        return Ok(statement);
    }
    refuse(cursor)?;
    if !or_replace && let Some(statement) = roles::create(cursor)? {
        return Ok(statement);
    }
    if or_replace {
        return Err(cursor.expected(
            "FUNCTION, AGGREGATE, TABLE FUNCTION, MERGE FUNCTION, PROCESSOR, MODEL or FILTER",
        ));
    }
    if cursor.word("KEYSPACE") || cursor.word("SCHEMA") {
        return keyspace(cursor);
    }
    if cursor.word("TABLE") {
        return table::create(cursor);
    }
    if cursor.words(&["MATERIALIZED", "VIEW"]) {
        return view::create(cursor);
    }
    if cursor.word("SINK") {
        return sink::create(cursor);
    }
    Err(cursor.expected(
        "KEYSPACE, TABLE, MATERIALIZED VIEW, SINK, FUNCTION, AGGREGATE, TABLE FUNCTION, MERGE FUNCTION, PROCESSOR, MODEL or FILTER",
    ))
}

/// After `DROP`.
pub(super) fn drop(cursor: &mut Cursor<'_>) -> Result<Statement> {
    if let Some(statement) = roles::drop(cursor)? {
        return Ok(statement);
    }
    let change = if cursor.word("KEYSPACE") || cursor.word("SCHEMA") {
        let if_exists = cursor.if_exists()?;
        let name = cursor.identifier("the name of a keyspace")?;
        (Change::DropKeyspace { name, if_exists }, "DROP KEYSPACE")
    } else if cursor.words(&["TABLE", "FUNCTION"]) {
        let if_exists = cursor.if_exists()?;
        let name = cursor.identifier("the name of a table function")?;
        (
            Change::DropFunction { name, if_exists },
            "DROP TABLE FUNCTION",
        )
    } else if cursor.word("TABLE") {
        let if_exists = cursor.if_exists()?;
        let name = cursor.table_name()?;
        (Change::DropTable { name, if_exists }, "DROP TABLE")
    } else if cursor.word("FUNCTION") {
        let if_exists = cursor.if_exists()?;
        let name = cursor.identifier("the name of a function")?;
        (Change::DropFunction { name, if_exists }, "DROP FUNCTION")
    } else if cursor.word("AGGREGATE") {
        let if_exists = cursor.if_exists()?;
        let name = cursor.identifier("the name of an aggregate")?;
        (Change::DropFunction { name, if_exists }, "DROP AGGREGATE")
    } else if cursor.word("PROCESSOR") {
        let if_exists = cursor.if_exists()?;
        let name = cursor.identifier("the name of a processor")?;
        (Change::DropProcessor { name, if_exists }, "DROP PROCESSOR")
    } else if cursor.word("MODEL") {
        let if_exists = cursor.if_exists()?;
        let name = cursor.identifier("the name of a model")?;
        (Change::DropModel { name, if_exists }, "DROP MODEL")
    } else if cursor.word("PLUGIN") {
        let if_exists = cursor.if_exists()?;
        let name = plugin_name(cursor)?;
        (Change::DropPlugin { name, if_exists }, "DROP PLUGIN")
    } else if cursor.words(&["MATERIALIZED", "VIEW"]) {
        view::drop(cursor)?
    } else if cursor.word("SINK") {
        sink::drop(cursor)?
    } else if let Some(change) = sharing::drop(cursor)? {
        change
    } else {
        refuse(cursor)?;
        return Err(cursor
            .expected("KEYSPACE, TABLE, MATERIALIZED VIEW, SINK, FUNCTION, PROCESSOR, MODEL, FILTER or PLUGIN after DROP"));
    };
    if cursor.peek_word("CASCADE") {
        return Err(Error::invalid("CASCADE is not available")
            .with_hint("drop what uses it first; the error names it"));
    }
    let _default = cursor.word("RESTRICT");
    Ok(Statement::Change {
        change: change.0,
        tag: change.1,
    })
}

fn keyspace(cursor: &mut Cursor<'_>) -> Result<Statement> {
    let if_not_exists = cursor.if_not_exists()?;
    let name = cursor.identifier("the name of a keyspace")?;
    let options = if cursor.word("WITH") {
        KeyspaceOptions::parse(&cursor.options()?)?
    } else {
        KeyspaceOptions::default()
    };
    Ok(Statement::Change {
        change: Change::CreateKeyspace {
            def: KeyspaceDef {
                name,
                ttl_s: options.ttl_s.filter(|seconds| *seconds > 0),
                sync: options.sync.unwrap_or_default(),
            },
            if_not_exists,
        },
        tag: "CREATE KEYSPACE",
    })
}

fn function(cursor: &mut Cursor<'_>, or_replace: bool, kind: FunctionKind) -> Result<Statement> {
    let (word, tag) = match kind {
        FunctionKind::Scalar => ("FUNCTION", "CREATE FUNCTION"),
        FunctionKind::Aggregate => ("AGGREGATE", "CREATE AGGREGATE"),
        FunctionKind::Table => ("TABLE FUNCTION", "CREATE TABLE FUNCTION"),
    };
    Ok(Statement::Change {
        change: Change::CreateFunction {
            def: plugin_function(cursor, word)?,
            kind,
            or_replace,
        },
        tag,
    })
}

/// `name USING PLUGIN '…' [WITH (…)]`, after the words that say what it is.
pub(super) fn plugin_function(cursor: &mut Cursor<'_>, word: &str) -> Result<FunctionDef> {
    let name = cursor.identifier(&format!("the name of a {}", word.to_lowercase()))?;
    if !cursor.peek_word("USING") {
        return Err(cursor.expected("USING PLUGIN").with_hint(format!(
            "functions are made by plugins: CREATE {word} f USING PLUGIN 'p'"
        )));
    }
    cursor.expect_word("USING")?;
    let plugin = plugin(cursor)?;
    let mut options = with_options(cursor)?;
    let function = options.remove("function").unwrap_or_else(|| name.clone());
    Ok(FunctionDef {
        name,
        plugin,
        function,
        options,
    })
}

/// `WITH (…)`, where it is there.
pub(super) fn with_options(cursor: &mut Cursor<'_>) -> Result<BTreeMap<String, String>> {
    if cursor.word("WITH") {
        cursor.options()
    } else {
        Ok(BTreeMap::new())
    }
}

fn processor(cursor: &mut Cursor<'_>, or_replace: bool) -> Result<Statement> {
    let name = cursor.identifier("the name of a processor")?;
    cursor.expect_word("ON")?;
    let table = cursor.table_name()?;
    cursor.expect_word("USING")?;
    let source = if cursor.word("MODEL") {
        ProcessorSource::Model(cursor.string("the name of a model")?)
    } else if cursor.peek_word("PLUGIN") {
        ProcessorSource::Plugin(plugin(cursor)?)
    } else {
        return Err(cursor.expected("PLUGIN or MODEL"));
    };
    let mut options = None;
    let mut into = Vec::new();
    loop {
        if options.is_none() && cursor.word("WITH") {
            options = Some(cursor.options()?);
        } else if into.is_empty() && cursor.word("INTO") {
            into.push(cursor.table_name()?);
            while cursor.token(&Token::Comma) {
                into.push(cursor.table_name()?);
            }
        } else {
            break;
        }
    }
    Ok(Statement::Change {
        change: Change::CreateProcessor {
            def: ProcessorDef {
                name,
                table,
                source,
                options: options.unwrap_or_default(),
                into,
            },
            or_replace,
        },
        tag: "CREATE PROCESSOR",
    })
}

fn model(cursor: &mut Cursor<'_>, or_replace: bool) -> Result<Statement> {
    let name = cursor.identifier("the name of a model")?;
    cursor.expect_word("USING")?;
    let plugin = plugin(cursor)?;
    if !cursor.peek_word("WITH") {
        return Err(cursor.expected("WITH (file = '…')"));
    }
    cursor.expect_word("WITH")?;
    let mut options = cursor.options()?;
    let file = options.remove("file").ok_or_else(|| {
        Error::invalid(format!("model '{name}' names no file"))
            .with_hint("add WITH (file = 'model.onnx')")
    })?;
    Ok(Statement::CreateModel(ModelStatement {
        name,
        plugin,
        file,
        options,
        or_replace,
    }))
}

/// `PLUGIN 'name[@version]'`.
pub(super) fn plugin(cursor: &mut Cursor<'_>) -> Result<PluginReference> {
    cursor.expect_word("PLUGIN")?;
    cursor.string("the name of a plugin")?.parse()
}

fn plugin_name(cursor: &mut Cursor<'_>) -> Result<String> {
    if cursor.peek_text().starts_with('\'') {
        cursor.string("the name of a plugin")
    } else {
        cursor.identifier("the name of a plugin")
    }
}

fn refuse(cursor: &Cursor<'_>) -> Result<()> {
    for (word, message, hint) in [
        (
            "VIEW",
            "views are not available",
            "name the query with WITH in the statement that uses it, or keep its rows: CREATE MATERIALIZED VIEW",
        ),
        (
            "INDEX",
            "indexes are not available",
            "the primary key orders the rows, and every column's minimum and maximum are kept",
        ),
        (
            "UNIQUE",
            "indexes are not available",
            "the primary key is unique",
        ),
        (
            "DATABASE",
            "a node is one database",
            "make a keyspace: CREATE KEYSPACE name",
        ),
        (
            "PLUGIN",
            "plugins are not made by SQL",
            "deploy one with `activestore plugin deploy` or POST /v1/plugins",
        ),
        (
            "TEMPORARY",
            "temporary tables are not available",
            "use WITH, or a table with a ttl",
        ),
        (
            "TEMP",
            "temporary tables are not available",
            "use WITH, or a table with a ttl",
        ),
        (
            "EXTERNAL",
            "external tables are not available",
            "load the file with `activestore load`",
        ),
        (
            "TYPE",
            "types of one's own are not available",
            "use JSON for structured values",
        ),
    ] {
        if cursor.peek_word(word) {
            return Err(Error::invalid(message).with_hint(hint));
        }
    }
    Ok(())
}
