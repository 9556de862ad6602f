//! `COPY (SELECT …) TO 'file'`, `COPY k.t [(columns)] TO 'file'`, `COPY k.t [(columns)] FROM 'file'`, with
//! `[WITH] (FORMAT csv | ndjson | arrow | parquet)` where the file's name does not end in it.

use activestore_types::{Error, Result, TableName};
use datafusion::sql::sqlparser::tokenizer::Token;

use super::cursor::Cursor;
use super::statement::Statement;
use crate::write::quote;

/// A file of rows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RowFile {
    /// Its name, inside of the folder that the node keeps for it.
    pub name: String,
    /// How rows are written in it.
    pub format: FileFormat,
}

/// How rows are written in a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FileFormat {
    /// Comma-separated values under a line of names.
    Csv,
    /// A JSON object a line.
    Ndjson,
    /// Arrow's file format.
    Arrow,
    /// Parquet.
    Parquet,
}

impl FileFormat {
    /// Whether values are written as text.
    pub fn is_text(self) -> bool {
        match self {
            FileFormat::Csv | FileFormat::Ndjson => true,
            FileFormat::Arrow | FileFormat::Parquet => false,
        }
    }
}

/// What is copied where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CopyStatement {
    /// The rows of a query to a file.
    To {
        /// The query.
        query: String,
        /// The file, which is replaced.
        file: RowFile,
    },
    /// The rows of a file to a table.
    From {
        /// The table.
        table: TableName,
        /// The columns that are taken; none means all that the file has.
        columns: Vec<String>,
        /// The file.
        file: RowFile,
    },
}

/// After `COPY`.
pub(super) fn copy(cursor: &mut Cursor<'_>) -> Result<Statement> {
    if cursor.token(&Token::LParen) {
        let (query, _) = cursor.query()?;
        cursor.expect_token(&Token::RParen)?;
        cursor.expect_word("TO")?;
        return Ok(Statement::Copy(CopyStatement::To {
            query: query.to_owned(),
            file: file(cursor)?,
        }));
    }
    let table = cursor.table_name()?;
    let mut columns = Vec::new();
    if cursor.token(&Token::LParen) {
        loop {
            columns.push(cursor.identifier("the name of a column")?);
            if cursor.token(&Token::RParen) {
                break;
            }
            cursor.expect_token(&Token::Comma)?;
        }
    }
    if cursor.word("FROM") {
        return Ok(Statement::Copy(CopyStatement::From {
            table,
            columns,
            file: file(cursor)?,
        }));
    }
    cursor.expect_word("TO")?;
    let selected: Vec<String> = columns.iter().map(|column| quote(column)).collect();
    let selected = if selected.is_empty() {
        "*".to_owned()
    } else {
        selected.join(", ")
    };
    let from = format!("{}.{}", quote(&table.keyspace), quote(&table.table));
    Ok(Statement::Copy(CopyStatement::To {
        query: format!("SELECT {selected} FROM {from}"),
        file: file(cursor)?,
    }))
}

fn file(cursor: &mut Cursor<'_>) -> Result<RowFile> {
    for word in ["STDIN", "STDOUT", "PROGRAM"] {
        if cursor.peek_word(word) {
            return Err(
                Error::invalid(format!("COPY with {word} is not available here")).with_hint(
                    "the PostgreSQL wire has COPY … FROM STDIN and TO STDOUT; elsewhere use `activestore load` and `activestore export`",
                ),
            );
        }
    }
    let name = cursor.string("the name of a file")?;
    let _optional = cursor.word("WITH");
    let mut format = None;
    if cursor.token(&Token::LParen) {
        loop {
            if cursor.word("FORMAT") {
                let word = if cursor.peek_text().starts_with('\'') {
                    cursor.string("a format")?
                } else {
                    cursor.identifier("csv, ndjson, arrow or parquet")?
                };
                format = Some(named(&word)?);
            } else if cursor.word("HEADER") {
                // The names are always there.
                let _optional = cursor.word("TRUE");
            } else {
                return Err(cursor.expected("FORMAT or HEADER"));
            }
            if cursor.token(&Token::RParen) {
                break;
            }
            cursor.expect_token(&Token::Comma)?;
        }
    }
    let format = match (format, name.rsplit_once('.')) {
        (Some(format), _) => format,
        (None, Some((_, ending))) => named(ending)?,
        (None, None) => {
            return Err(Error::invalid(format!(
                "'{name}' does not say how rows are written in it"
            ))
            .with_hint("let it end in .csv, .ndjson, .arrow or .parquet, or add (FORMAT csv)"));
        }
    };
    Ok(RowFile { name, format })
}

fn named(format: &str) -> Result<FileFormat> {
    match format.to_ascii_lowercase().as_str() {
        "csv" => Ok(FileFormat::Csv),
        "ndjson" | "jsonl" | "json" => Ok(FileFormat::Ndjson),
        "arrow" | "ipc" => Ok(FileFormat::Arrow),
        "parquet" => Ok(FileFormat::Parquet),
        _ => Err(
            Error::invalid(format!("COPY does not write or read '{format}'"))
                .with_hint("it knows csv, ndjson, arrow and parquet"),
        ),
    }
}
