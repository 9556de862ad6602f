//! `COPY … FROM STDIN` and `COPY … TO STDOUT`: what a statement says, and how fields are written.

use activestore_query::{Statement, parse, quote};
use activestore_types::TableName;
use bytes::{BufMut, BytesMut};

use super::command::not_available;
use super::fault::{Fault, SYNTAX};
use super::lexed::{Lexed, Token};
use super::split::Piece;

/// The keyspace of a table that is named without one.
const DEFAULT_KEYSPACE: &str = "public";

/// A COPY.
#[derive(Clone, Debug)]
pub(super) struct Copy {
    pub(super) what: What,
    pub(super) layout: Layout,
}

/// Which way the rows go.
#[derive(Clone, Debug)]
#[expect(clippy::large_enum_variant, reason = "there is one a statement")]
pub(super) enum What {
    /// Into these columns of a table; none is all of them.
    In {
        table: TableName,
        columns: Vec<String>,
    },
    /// Out of a query.
    Out(Statement),
}

/// How rows are written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Layout {
    pub(super) format: Format,
    pub(super) delimiter: u8,
    pub(super) null: String,
    pub(super) header: bool,
    pub(super) quote: u8,
    pub(super) escape: u8,
}

/// The format of a COPY.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Format {
    Text,
    Csv,
    Binary,
}

impl Layout {
    fn of(format: Format) -> Layout {
        let csv = format == Format::Csv;
        Layout {
            format,
            delimiter: if csv { b',' } else { b'\t' },
            null: if csv { String::new() } else { "\\N".to_owned() },
            header: false,
            quote: b'"',
            escape: b'"',
        }
    }

    /// Appends a field; `None` is NULL.
    pub(super) fn field(&self, field: Option<&[u8]>, out: &mut BytesMut) {
        let Some(field) = field else {
            out.extend_from_slice(self.null.as_bytes());
            return;
        };
        if self.format == Format::Csv {
            let odd = |byte: &u8| [self.delimiter, self.quote, b'\n', b'\r'].contains(byte);
            if !field.iter().any(odd) && field != self.null.as_bytes() && field != b"\\." {
                out.extend_from_slice(field);
                return;
            }
            out.put_u8(self.quote);
            for byte in field {
                if *byte == self.quote || *byte == self.escape {
                    out.put_u8(self.escape);
                }
                out.put_u8(*byte);
            }
            out.put_u8(self.quote);
            return;
        }
        for byte in field {
            match *byte {
                b'\n' => out.extend_from_slice(b"\\n"),
                b'\r' => out.extend_from_slice(b"\\r"),
                b'\t' => out.extend_from_slice(b"\\t"),
                b'\\' => out.extend_from_slice(b"\\\\"),
                byte if byte == self.delimiter => out.extend_from_slice(&[b'\\', byte]),
                byte => out.put_u8(byte),
            }
        }
    }
}

fn syntax(what: &str) -> Fault {
    Fault::new(SYNTAX, what).hint(
        "COPY table [(columns)] FROM STDIN, or COPY table | (query) TO STDOUT, [WITH (FORMAT csv, HEADER, …)]",
    )
}

/// Whether a COPY is of a file of the node, so a statement as others.
pub(super) fn of_a_file(text: &str) -> bool {
    let mut lexed = Lexed::new(text);
    let mut depth = 0_usize;
    while let Some(token) = lexed.next() {
        match token {
            Token::Symbol('(') => depth += 1,
            Token::Symbol(')') => depth = depth.saturating_sub(1),
            token if depth == 0 && matches!(token.word().as_deref(), Some("FROM" | "TO")) => {
                let there = lexed.next();
                let program = there.as_ref().and_then(Token::word).as_deref() == Some("PROGRAM");
                return program || matches!(there, Some(Token::Text(_)));
            }
            _ => {}
        }
    }
    false
}

/// Reads a COPY.
///
/// # Errors
/// Where it is none.
pub(super) fn copy(text: &str, piece: Piece<'_>) -> Result<Copy, Fault> {
    let mut lexed = Lexed::new(piece.text);
    lexed.next();
    let mut source = None;
    let mut table = None;
    let mut columns = Vec::new();
    if lexed.symbol('(') {
        let start = lexed.at;
        let mut depth = 1;
        let mut end = start;
        while depth > 0 {
            end = lexed.at;
            match lexed.next() {
                Some(Token::Symbol('(')) => depth += 1,
                Some(Token::Symbol(')')) => depth -= 1,
                Some(_) => {}
                None => return Err(syntax("the query of COPY is not closed")),
            }
        }
        source = Some((
            start,
            piece.text.get(start..end).unwrap_or_default().to_owned(),
        ));
    } else {
        let mut name = || lexed.next().and_then(|token| token.name());
        let first = name().ok_or_else(|| syntax("COPY names a table or a query"))?;
        let named = if lexed.symbol('.') {
            let table = lexed.next().and_then(|token| token.name());
            TableName::new(first, table.ok_or_else(|| syntax("COPY names a table"))?)
        } else {
            TableName::new(DEFAULT_KEYSPACE, first)
        };
        if lexed.symbol('(') {
            loop {
                let column = lexed.next().and_then(|token| token.name());
                columns.push(column.ok_or_else(|| syntax("COPY names columns"))?);
                if lexed.symbol(')') {
                    break;
                }
                if !lexed.symbol(',') {
                    return Err(syntax("columns of COPY are written (a, b)"));
                }
            }
        }
        table = Some(named);
    }
    let inward = lexed.take("FROM");
    if !inward && !lexed.take("TO") {
        return Err(syntax("COPY goes FROM STDIN or TO STDOUT"));
    }
    if !lexed.take(if inward { "STDIN" } else { "STDOUT" }) {
        return Err(syntax("COPY goes FROM STDIN or TO STDOUT"));
    }
    let layout = layout(&mut lexed)?;
    let query = |sql: &str, start: usize| -> Result<What, Fault> {
        let parsed = parse(sql);
        let mut statements = parsed.map_err(|error| Fault::from(error).within(text, start))?;
        match (statements.pop(), statements.is_empty()) {
            (Some(statement @ (Statement::Query { .. } | Statement::Subscribe(_))), true) => {
                Ok(What::Out(statement))
            }
            _ => Err(syntax("COPY TO writes the rows of one query")),
        }
    };
    let what = match (table, source) {
        (Some(table), _) if inward => What::In { table, columns },
        (Some(table), _) => {
            let columns: Vec<String> = columns.iter().map(|column| quote(column)).collect();
            let list = if columns.is_empty() {
                "*".to_owned()
            } else {
                columns.join(", ")
            };
            let (keyspace, table) = (quote(&table.keyspace), quote(&table.table));
            query(
                &format!("SELECT {list} FROM {keyspace}.{table}"),
                piece.start,
            )?
        }
        (None, Some((start, sql))) if !inward => query(&sql, piece.start + start)?,
        _ => return Err(syntax("COPY FROM names a table")),
    };
    Ok(Copy { what, layout })
}

/// `[WITH] (FORMAT csv, …)`, or the older `[WITH] CSV HEADER DELIMITER ','`.
fn layout(lexed: &mut Lexed<'_>) -> Result<Layout, Fault> {
    lexed.take("WITH");
    let listed = lexed.symbol('(');
    let mut format = Format::Text;
    let mut options: Vec<(String, Option<String>)> = Vec::new();
    while let Some(token) = lexed.next() {
        if listed && token == Token::Symbol(')') {
            break;
        }
        if token == Token::Symbol(',') {
            continue;
        }
        let name = token
            .word()
            .ok_or_else(|| syntax("an option of COPY is a word"))?;
        let mut value = match lexed.peek() {
            Some(Token::Text(text) | Token::Number(text)) => Some(text),
            Some(Token::Word(word)) if listed || name == "FORMAT" => Some(word),
            _ => None,
        };
        if !listed && lexed.take("AS") {
            value = match lexed.peek() {
                Some(Token::Text(text)) => Some(text),
                _ => None,
            };
        }
        if value.is_some() {
            lexed.next();
        }
        let said = match name.as_str() {
            "FORMAT" => value.clone().unwrap_or_default().to_ascii_uppercase(),
            "CSV" | "BINARY" if !listed => name.clone(),
            _ => String::new(),
        };
        match said.as_str() {
            "TEXT" => format = Format::Text,
            "CSV" => format = Format::Csv,
            "BINARY" => format = Format::Binary,
            "" => options.push((name, value)),
            _ => return Err(syntax("the formats of COPY are text, csv and binary")),
        }
    }
    if lexed.next().is_some() {
        return Err(syntax("COPY goes on behind its options"));
    }
    let mut layout = Layout::of(format);
    for (name, value) in options {
        let one = || -> Result<u8, Fault> {
            match value.as_deref().map(str::as_bytes) {
                Some([byte]) if byte.is_ascii() && !byte.is_ascii_alphanumeric() => Ok(*byte),
                _ => Err(syntax(&format!(
                    "{name} is one character that is no letter or digit"
                ))),
            }
        };
        match name.as_str() {
            "DELIMITER" => layout.delimiter = one()?,
            "QUOTE" => {
                layout.quote = one()?;
                layout.escape = layout.quote;
            }
            "NULL" => layout.null = value.unwrap_or_default(),
            "HEADER" => {
                let off = ["false", "off", "0"];
                layout.header = !value.is_some_and(|v| off.contains(&v.to_lowercase().as_str()));
            }
            "ESCAPE" => layout.escape = one()?,
            "ENCODING" => match value.as_deref().map(str::to_ascii_uppercase).as_deref() {
                Some("UTF8" | "UTF-8") => {}
                _ => return Err(not_available("COPY is in UTF-8 here")),
            },
            "FREEZE" => {}
            _ => {
                return Err(not_available(&format!(
                    "the option {name} of COPY is not available"
                )));
            }
        }
    }
    if layout.delimiter == b'\n' || layout.delimiter == b'\r' || layout.delimiter == b'\\' {
        return Err(syntax(
            "the delimiter cannot be a line break or a backslash",
        ));
    }
    Ok(layout)
}
