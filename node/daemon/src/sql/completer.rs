//! Completion of keywords, tables, columns and meta commands. Names are those that the node had
//! when the session last asked; a definition statement makes it ask again.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use reedline::{Completer, CompletionResult, Span, Suggestion};

use super::lexer::{Kind, tokens};
use super::meta::COMMANDS;

/// The most suggestions offered at once.
const SUGGESTIONS_MAX: usize = 64;

/// The words of the language, in the order in which they are offered.
const KEYWORDS: [&str; 94] = [
    "SELECT",
    "FROM",
    "WHERE",
    "GROUP",
    "ORDER",
    "BY",
    "HAVING",
    "LIMIT",
    "OFFSET",
    "INSERT",
    "INTO",
    "VALUES",
    "USING",
    "TTL",
    "UPDATE",
    "SET",
    "DELETE",
    "CREATE",
    "KEYSPACE",
    "TABLE",
    "FUNCTION",
    "AGGREGATE",
    "PROCESSOR",
    "MODEL",
    "PLUGIN",
    "ALTER",
    "ADD",
    "COLUMN",
    "DROP",
    "IF",
    "NOT",
    "EXISTS",
    "PRIMARY",
    "KEY",
    "WITH",
    "SHOW",
    "TABLES",
    "KEYSPACES",
    "DESCRIBE",
    "EXPLAIN",
    "ANALYZE",
    "AND",
    "OR",
    "IN",
    "IS",
    "NULL",
    "LIKE",
    "BETWEEN",
    "AS",
    "ON",
    "JOIN",
    "LEFT",
    "RIGHT",
    "FULL",
    "INNER",
    "OUTER",
    "CROSS",
    "UNION",
    "ALL",
    "DISTINCT",
    "CASE",
    "WHEN",
    "THEN",
    "ELSE",
    "END",
    "ASC",
    "DESC",
    "NULLS",
    "FIRST",
    "LAST",
    "OVER",
    "PARTITION",
    "INTERVAL",
    "CAST",
    "TRUE",
    "FALSE",
    "BOOLEAN",
    "INT",
    "BIGINT",
    "REAL",
    "DOUBLE",
    "DECIMAL",
    "TEXT",
    "BYTES",
    "TIMESTAMP",
    "DATE",
    "UUID",
    "JSON",
    "NOW",
    "COUNT",
    "AVG",
    "MIN",
    "MAX",
    "SUBSCRIBE",
];

/// Whether the word belongs to the language.
pub fn is_keyword(word: &str) -> bool {
    KEYWORDS
        .iter()
        .any(|keyword| keyword.eq_ignore_ascii_case(word))
}

/// Tables by full name, each with its columns.
pub type Names = BTreeMap<String, Vec<String>>;

/// The names of a session, shared with its completer.
#[derive(Clone, Default)]
pub struct KnownNames(Arc<Mutex<Names>>);

impl KnownNames {
    /// Replaces them.
    pub fn set(&self, names: Names) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = names;
    }

    fn get(&self) -> Names {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }
}

/// The completer.
pub struct SqlCompleter {
    /// What the node has.
    pub names: KnownNames,
}

impl Completer for SqlCompleter {
    fn complete(&mut self, line: &str, pos: usize) -> CompletionResult {
        CompletionResult::fresh(suggestions(&self.names.get(), line, pos))
    }
}

fn suggestions(names: &Names, line: &str, pos: usize) -> Vec<Suggestion> {
    let Some(before) = line.get(..pos) else {
        return Vec::new();
    };
    if before.starts_with('\\') && !before.contains(' ') {
        return COMMANDS
            .iter()
            .filter(|(command, _)| command.starts_with(before))
            .map(|(command, about)| suggestion(command, 0, pos, Some(about)))
            .collect();
    }
    let start = before
        .rfind(|letter: char| !(letter.is_alphanumeric() || matches!(letter, '_' | '.')))
        .map_or(0, |at| {
            at + before
                .get(at..)
                .and_then(|rest| rest.chars().next())
                .map_or(1, char::len_utf8)
        });
    let typed = before.get(start..).unwrap_or_default();
    let in_text = tokens(before)
        .last()
        .is_some_and(|token| !token.closed || token.kind == Kind::Comment);
    if typed.is_empty() || in_text {
        return Vec::new();
    }
    let lower = typed.to_lowercase();
    let mut found: Vec<Suggestion> = Vec::new();
    let mut offer = |text: &str, about: Option<&str>| {
        if found.len() < SUGGESTIONS_MAX && !found.iter().any(|other| other.value == text) {
            found.push(suggestion(text, start, pos, about));
        }
    };
    // Columns of the tables that the statement names come first.
    for (table, columns) in names {
        if line.contains(table.as_str()) {
            for column in columns.iter().filter(|column| column.starts_with(&lower)) {
                offer(column, Some(table));
            }
        }
    }
    for table in names.keys() {
        let alone = table
            .split_once('.')
            .map_or(table.as_str(), |(_, name)| name);
        if table.starts_with(&lower) || alone.starts_with(&lower) {
            offer(table, Some("table"));
        }
    }
    let upper = typed.to_uppercase();
    let small = typed.chars().all(|letter| !letter.is_uppercase());
    for keyword in KEYWORDS
        .iter()
        .filter(|keyword| keyword.starts_with(&upper))
    {
        if small {
            offer(&keyword.to_lowercase(), None);
        } else {
            offer(keyword, None);
        }
    }
    found
}

fn suggestion(text: &str, start: usize, end: usize, about: Option<&str>) -> Suggestion {
    Suggestion {
        value: text.to_owned(),
        description: about.map(str::to_owned),
        span: Span::new(start, end),
        append_whitespace: !text.starts_with('\\'),
        ..Suggestion::default()
    }
}

#[cfg(test)]
mod tests;
