//! `CREATE TABLE` and `ALTER`.

use std::collections::BTreeMap;

use activestore_catalog::{
    Change, ClusteringDefinition, ColumnDefinition, KeyspaceOptions, TableDefinition, TableOptions,
};
use activestore_types::{Error, Result, TableName};
use datafusion::sql::sqlparser::ast::{BinaryOperator, Expr};
use datafusion::sql::sqlparser::tokenizer::Token;

use super::create;
use super::cursor::Cursor;
use super::statement::{PartitionStatement, PartitionStep, Redefined, Redefinition, Statement};

/// After `CREATE TABLE`.
pub(super) fn create(cursor: &mut Cursor<'_>) -> Result<Statement> {
    let if_not_exists = cursor.if_not_exists()?;
    let mut definition = TableDefinition::named(cursor.table_name()?);
    if cursor.peek_word("AS") {
        return Err(Error::invalid("CREATE TABLE … AS is not available")
            .with_hint("create the table with its primary key, then INSERT INTO … SELECT"));
    }
    let mut not_null = Vec::new();
    cursor.expect_token(&Token::LParen)?;
    loop {
        if cursor.word("PRIMARY") {
            cursor.expect_word("KEY")?;
            no_second_key(cursor, &definition)?;
            primary_key(cursor, &mut definition)?;
        } else {
            column(cursor, &mut definition, &mut not_null)?;
        }
        if cursor.token(&Token::RParen) {
            break;
        }
        if !cursor.token(&Token::Comma) {
            return Err(cursor.expected("',' or ')'"));
        }
    }
    if cursor.word("WITH") {
        if cursor.peek_word("CLUSTERING") {
            return Err(cursor
                .expected("'('")
                .with_hint("write the order in the key: PRIMARY KEY ((device), ts DESC)"));
        }
        let mut options = TableOptions::parse(&cursor.options()?)?;
        // What stands beside a column is said of it as well.
        let of_columns = std::mem::take(&mut definition.options.sharing.merges);
        options.sharing.merges.extend(of_columns);
        definition.options = options;
    }
    if definition.partition_key.is_empty() {
        return Err(
            Error::invalid(format!("table {} has no primary key", definition.name))
                .with_hint("add PRIMARY KEY ((partition columns), clustering columns)"),
        );
    }
    // Key columns are never NULL anyway; for others the promise could not be kept, since a write
    // may leave any of them out.
    let is_key = |name: &String| {
        definition.partition_key.contains(name)
            || definition
                .clustering_key
                .iter()
                .any(|key| key.name == *name)
    };
    if let Some(name) = not_null.iter().find(|name| !is_key(name)) {
        return Err(Error::invalid(format!(
            "column '{name}' cannot be NOT NULL: a write may leave it out"
        ))
        .with_hint("leave NOT NULL out; the columns of the primary key are never NULL"));
    }
    Ok(Statement::Change {
        change: Change::CreateTable {
            definition,
            if_not_exists,
        },
        tag: "CREATE TABLE",
    })
}

fn column(
    cursor: &mut Cursor<'_>,
    definition: &mut TableDefinition,
    not_null: &mut Vec<String>,
) -> Result<()> {
    for word in ["CONSTRAINT", "UNIQUE", "CHECK", "FOREIGN"] {
        if cursor.peek_word(word) {
            return Err(Error::invalid(format!("{word} is not available"))
                .with_hint("a table has one constraint, its PRIMARY KEY"));
        }
    }
    let name = cursor.identifier("the name of a column or PRIMARY KEY")?;
    let data_type = cursor.data_type()?;
    definition
        .columns
        .push(ColumnDefinition::new(name.clone(), data_type));
    loop {
        if cursor.word("PRIMARY") {
            cursor.expect_word("KEY")?;
            no_second_key(cursor, definition)?;
            definition.partition_key.push(name.clone());
        } else if cursor.peek_word("NOT") {
            cursor.expect_word("NOT")?;
            cursor.expect_word("NULL")?;
            not_null.push(name.clone());
        } else if cursor.word("MERGE") {
            let function = cursor.identifier("the name of a merge function")?;
            let merges = &mut definition.options.sharing.merges;
            merges.insert(name.clone(), Some(function));
        } else if cursor.word("NULL") {
            continue;
        } else {
            break;
        }
    }
    for word in [
        "DEFAULT",
        "UNIQUE",
        "CHECK",
        "REFERENCES",
        "GENERATED",
        "COLLATE",
    ] {
        if cursor.peek_word(word) {
            return Err(
                Error::invalid(format!("column '{name}': {word} is not available"))
                    .with_hint("a column has a name and a type; leave the rest out"),
            );
        }
    }
    Ok(())
}

fn no_second_key(cursor: &Cursor<'_>, definition: &TableDefinition) -> Result<()> {
    if definition.partition_key.is_empty() {
        return Ok(());
    }
    let at = cursor.location();
    Err(Error::invalid(format!(
        "line {}, column {}: table {} has a primary key already",
        at.line, at.column, definition.name
    ))
    .with_hint("a key of several columns is written once: PRIMARY KEY ((a, b), c)"))
}

/// `((a, b), c DESC, d)`, or `(a, b)`: the first column partitions, the others order.
fn primary_key(cursor: &mut Cursor<'_>, definition: &mut TableDefinition) -> Result<()> {
    cursor.expect_token(&Token::LParen)?;
    if cursor.token(&Token::LParen) {
        loop {
            let name = cursor.identifier("the name of a column")?;
            definition.partition_key.push(name);
            if cursor.token(&Token::RParen) {
                break;
            }
            if !cursor.token(&Token::Comma) {
                return Err(cursor.expected("',' or ')'"));
            }
        }
    } else {
        let name = cursor.identifier("the name of a column")?;
        definition.partition_key.push(name);
    }
    while cursor.token(&Token::Comma) {
        let name = cursor.identifier("the name of a column")?;
        let descending = cursor.word("DESC");
        if !descending {
            let _default = cursor.word("ASC");
        }
        definition
            .clustering_key
            .push(ClusteringDefinition { name, descending });
    }
    if !cursor.token(&Token::RParen) {
        return Err(cursor.expected("',' or ')'"));
    }
    Ok(())
}

/// After `SEAL` or `ERASE`.
fn partition(cursor: &mut Cursor<'_>, table: TableName, step: PartitionStep) -> Result<Statement> {
    if !cursor.word("PARTITION") {
        return Err(cursor.expected("PARTITION (column = value, …)"));
    }
    cursor.expect_token(&Token::LParen)?;
    let mut values: Vec<(String, String)> = Vec::new();
    loop {
        let name = cursor.identifier("the name of a column of the partition key")?;
        if values.iter().any(|(known, _)| *known == name) {
            return Err(Error::invalid(format!(
                "the partition is given column '{name}' twice"
            )));
        }
        cursor.expect_token(&Token::Eq)?;
        let (value, parsed) = cursor.expression()?;
        if matches!(
            parsed,
            Expr::BinaryOp {
                op: BinaryOperator::And,
                ..
            }
        ) {
            return Err(Error::invalid("columns of a partition are divided by ','")
                .with_hint("PARTITION (line = 'a', device = 'b')"));
        }
        values.push((name, value.to_owned()));
        if !cursor.token(&Token::Comma) {
            break;
        }
    }
    if !cursor.token(&Token::RParen) {
        return Err(cursor.expected("',' or ')'"));
    }
    Ok(Statement::Partition(PartitionStatement {
        table,
        step,
        values,
    }))
}

/// After `ALTER`.
pub(super) fn alter(cursor: &mut Cursor<'_>) -> Result<Statement> {
    if cursor.word("KEYSPACE") || cursor.word("SCHEMA") {
        let name = cursor.identifier("the name of a keyspace")?;
        if !cursor.word("SET") && !cursor.word("WITH") {
            return Err(cursor.expected("SET"));
        }
        let options = KeyspaceOptions::parse(&cursor.options()?)?;
        return Ok(Statement::Change {
            change: Change::AlterKeyspace { name, options },
            tag: "ALTER KEYSPACE",
        });
    }
    for (words, what) in [
        (&["FUNCTION"][..], Redefined::Function),
        (&["AGGREGATE"], Redefined::Function),
        (&["TABLE", "FUNCTION"], Redefined::Function),
        (&["PROCESSOR"], Redefined::Processor),
        (&["MODEL"], Redefined::Model),
        (&["MERGE", "FUNCTION"], Redefined::Merge),
        (&["FILTER"], Redefined::Filter),
    ] {
        if cursor.words(words) {
            return redefine(cursor, what);
        }
    }
    if cursor.word("SINK") {
        return super::sink::alter(cursor);
    }
    if let Some(statement) = super::roles::alter(cursor)? {
        return Ok(statement);
    }
    if !cursor.word("TABLE") {
        return Err(cursor.expected(
            "TABLE, KEYSPACE, SINK, FUNCTION, AGGREGATE, TABLE FUNCTION, MERGE FUNCTION, PROCESSOR, MODEL or FILTER",
        ));
    }
    let table = cursor.table_name()?;
    if cursor.word("COMPACT") {
        return Ok(Statement::Compact { table });
    }
    for (word, step) in [
        ("SEAL", PartitionStep::Seal),
        ("ERASE", PartitionStep::Erase),
    ] {
        if cursor.word(word) {
            return partition(cursor, table, step);
        }
    }
    let change = if cursor.word("SET") || cursor.word("WITH") {
        Change::AlterOptions {
            table,
            options: TableOptions::parse(&cursor.options()?)?,
        }
    } else if cursor.peek_word("ADD") {
        let mut columns = Vec::new();
        let mut if_not_exists = false;
        while cursor.word("ADD") {
            let _optional = cursor.word("COLUMN");
            if_not_exists |= cursor.if_not_exists()?;
            let name = cursor.identifier("the name of a column")?;
            columns.push((name, cursor.data_type()?));
            if !cursor.token(&Token::Comma) {
                break;
            }
            if !cursor.peek_word("ADD") {
                return Err(cursor.expected("ADD COLUMN"));
            }
        }
        Change::AddColumns {
            table,
            columns,
            if_not_exists,
        }
    } else {
        for (word, hint) in [
            (
                "DROP",
                "leave the column unused, or copy the table without it",
            ),
            ("RENAME", "add a column with the new name and write to it"),
            ("ALTER", "add a column of the new type and write to it"),
        ] {
            if cursor.peek_word(word) {
                return Err(
                    Error::invalid(format!("ALTER TABLE … {word} is not available"))
                        .with_hint(hint),
                );
            }
        }
        return Err(
            cursor.expected("ADD COLUMN, SET (…), COMPACT, SEAL PARTITION or ERASE PARTITION")
        );
    };
    Ok(Statement::Change {
        change,
        tag: "ALTER TABLE",
    })
}

/// After the words that say what is altered.
fn redefine(cursor: &mut Cursor<'_>, what: Redefined) -> Result<Statement> {
    let name = cursor.identifier("a name")?;
    let mut statement = Redefinition {
        what,
        name,
        plugin: None,
        set: BTreeMap::new(),
        reset: Vec::new(),
    };
    let mut changes = false;
    loop {
        if statement.plugin.is_none() && cursor.word("USING") {
            statement.plugin = Some(create::plugin(cursor)?);
        } else if statement.set.is_empty() && (cursor.word("SET") || cursor.word("WITH")) {
            statement.set = cursor.options()?;
        } else if statement.reset.is_empty() && cursor.word("RESET") {
            cursor.expect_token(&Token::LParen)?;
            loop {
                statement
                    .reset
                    .push(cursor.identifier("the name of an option")?);
                if !cursor.token(&Token::Comma) {
                    break;
                }
            }
            cursor.expect_token(&Token::RParen)?;
        } else if changes {
            return Ok(Statement::Redefine(statement));
        } else {
            return Err(cursor.expected("USING PLUGIN, SET or RESET"));
        }
        changes = true;
    }
}
