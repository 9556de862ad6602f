//! A statement as it may be told to others: its kind, and its text without the values in it.

use datafusion::sql::sqlparser::tokenizer::{Token, Tokenizer};

use super::cursor::DIALECT;
use super::statement::Statement;

/// Every kind of statement, for what is counted by kind.
pub const KINDS: [&str; 11] = [
    "select",
    "explain",
    "subscribe",
    "insert",
    "update",
    "delete",
    "batch",
    "define",
    "role",
    "show",
    "copy",
];

/// Bytes of a query's text that are looked at.
const LOOKED_AT_MAX: usize = 16 * 1024;

/// Bytes of what is told.
const TOLD_BYTES_MAX: usize = 1_024;

/// In the place of a value.
const VALUE: &str = "?";

impl Statement {
    /// What kind of statement it is: one of [`KINDS`].
    pub fn kind(&self) -> &'static str {
        match self {
            Statement::Query { .. } => "select",
            Statement::Explain { .. } => "explain",
            Statement::Subscribe(_) => "subscribe",
            Statement::Insert(_) => "insert",
            Statement::Update(_) => "update",
            Statement::Delete(_) => "delete",
            Statement::Batch(_) => "batch",
            Statement::Compact { .. }
            | Statement::Partition(_)
            | Statement::Change { .. }
            | Statement::CreateModel(_)
            | Statement::Redefine(_)
            | Statement::CreateView(_)
            | Statement::CreateSink(_)
            | Statement::RefreshView { .. } => "define",
            Statement::Role(_) => "role",
            Statement::Show(_) | Statement::Describe { .. } => "show",
            Statement::Copy(_) => "copy",
        }
    }
}

/// What is kept of a statement while it runs, in case that somebody has to be told of it.
#[derive(Clone, Debug)]
pub struct Sketch {
    kind: &'static str,
    text: Text,
}

#[derive(Clone, Debug)]
enum Text {
    /// As it came, values and all.
    Written(String),
    /// Made of names alone.
    Named(String),
    /// The kind says all that may be said.
    Kind,
}

impl Sketch {
    /// Of a statement that is about to run. Cheap: values are taken out when it is told.
    pub fn of(statement: &Statement) -> Self {
        let text = match statement {
            Statement::Query { sql } | Statement::Explain { sql, .. } => {
                let cut = sql.floor_char_boundary(LOOKED_AT_MAX);
                Text::Written(sql.get(..cut).unwrap_or_default().to_owned())
            }
            Statement::Insert(insert) => Text::Named(format!("INSERT INTO {}", insert.table)),
            Statement::Update(update) => Text::Named(format!("UPDATE {}", update.table)),
            Statement::Delete(delete) => Text::Named(format!("DELETE FROM {}", delete.table)),
            Statement::Batch(all) => Text::Named(format!("BATCH of {}", all.len())),
            Statement::Compact { table } => Text::Named(format!("ALTER TABLE {table} COMPACT")),
            Statement::Change { tag, .. } => Text::Named((*tag).to_owned()),
            Statement::CreateModel(model) => Text::Named(format!("CREATE MODEL {}", model.name)),
            Statement::Describe { name } => Text::Named(format!("DESCRIBE {name}")),
            _ => Text::Kind,
        };
        Sketch {
            kind: statement.kind(),
            text,
        }
    }

    /// The statement's kind.
    pub fn kind(&self) -> &'static str {
        self.kind
    }

    /// The statement on one line, with `?` for each value in it, and no more of it than fits a line of a log.
    pub fn told(&self) -> String {
        let mut told = match &self.text {
            Text::Written(sql) => without_values(sql),
            Text::Named(text) => text.clone(),
            Text::Kind => self.kind.to_uppercase(),
        };
        if told.len() > TOLD_BYTES_MAX {
            told.truncate(told.floor_char_boundary(TOLD_BYTES_MAX));
            told.push('…');
        }
        told
    }
}

/// Names, keywords and signs of a text. All else may be a value, comments too, and is left out.
fn without_values(sql: &str) -> String {
    let mut tokens = Vec::new();
    // A text that was cut ends within a token, which is not among these then.
    let _ = Tokenizer::new(&DIALECT, sql).tokenize_with_location_into_buf(&mut tokens);
    let mut out = String::with_capacity(sql.len().min(TOLD_BYTES_MAX));
    for token in &tokens {
        match &token.token {
            Token::Whitespace(_) => {
                if !out.is_empty() && !out.ends_with(' ') {
                    out.push(' ');
                }
            }
            token @ (Token::Word(_) | Token::Placeholder(_)) => out.push_str(&token.to_string()),
            token => {
                let sign = token.to_string();
                let is_sign = sign.chars().all(|c| c.is_ascii_punctuation());
                let quotes = sign.contains(['\'', '"', '`']);
                out.push_str(if is_sign && !quotes { &sign } else { VALUE });
            }
        }
        if out.len() > TOLD_BYTES_MAX {
            break;
        }
    }
    out.truncate(out.trim_end().len());
    out
}
