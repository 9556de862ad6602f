//! A place in the token stream of a text: our own words on top of `sqlparser`'s expressions.
//! Every error names the line and the column.

use activestore_catalog::DEFAULT_KEYSPACE;
use activestore_types::{Error, Result, TableName};
use datafusion::sql::sqlparser::ast::{Expr, Query};
use datafusion::sql::sqlparser::dialect::PostgreSqlDialect;
use datafusion::sql::sqlparser::parser::{Parser, ParserError};
use datafusion::sql::sqlparser::tokenizer::{
    Location, Span, Token, TokenWithSpan, Tokenizer, Word,
};

use super::limits::{MAX_RECURSION, MAX_TEXT_BYTES, check, too_deep};

mod options;

pub(super) static DIALECT: PostgreSqlDialect = PostgreSqlDialect {};

/// Words that end a name where one is expected, so that a forgotten name is noticed at its place.
const NOT_NAMES: [&str; 8] = [
    "SELECT", "FROM", "WHERE", "VALUES", "USING", "WITH", "SET", "INTO",
];

pub(super) struct Cursor<'a> {
    text: &'a str,
    tokens: Vec<TokenWithSpan>,
    parser: Parser<'a>,
    /// Whether errors leave out what they found: it may be a password.
    concealed: bool,
}

impl<'a> Cursor<'a> {
    pub(super) fn new(text: &'a str) -> Result<Self> {
        if text.len() > MAX_TEXT_BYTES {
            return Err(Error::invalid(format!(
                "the text is {} bytes long; at most {MAX_TEXT_BYTES} are read",
                text.len()
            ))
            .with_hint("load rows with `activestore load` or POST /v1/tables/…/rows"));
        }
        let tokens = Tokenizer::new(&DIALECT, text)
            .tokenize_with_location()
            .map_err(|error| {
                Error::invalid(format!(
                    "line {}, column {}: {}",
                    error.location.line,
                    error.location.column,
                    lower_first(&error.message)
                ))
            })?;
        check(&tokens)?;
        let parser = Parser::new(&DIALECT)
            .with_recursion_limit(MAX_RECURSION)
            .with_tokens_with_locations(tokens.clone());
        Ok(Cursor {
            text,
            tokens,
            parser,
            concealed: false,
        })
    }

    /// From here on errors do not show the text.
    pub(super) fn conceal(&mut self) {
        self.concealed = true;
    }

    pub(super) fn at_end(&self) -> bool {
        self.parser.peek_token_ref().token == Token::EOF
    }

    pub(super) fn peek_token(&self, token: &Token) -> bool {
        self.parser.peek_token_ref().token == *token
    }

    /// Takes the token if it is next.
    pub(super) fn token(&mut self, token: &Token) -> bool {
        self.parser.consume_token(token)
    }

    pub(super) fn expect_token(&mut self, token: &Token) -> Result<()> {
        if self.token(token) {
            return Ok(());
        }
        Err(self.expected(&format!("'{token}'")))
    }

    pub(super) fn peek_word(&self, word: &str) -> bool {
        matches!(&self.parser.peek_token_ref().token,
            Token::Word(Word { value, quote_style: None, .. }) if value.eq_ignore_ascii_case(word))
    }

    /// Takes the unquoted word if it is next, in any case.
    pub(super) fn word(&mut self, word: &str) -> bool {
        let found = self.peek_word(word);
        if found {
            self.parser.next_token();
        }
        found
    }

    /// Takes unquoted words if they are next, all of them, in any case.
    pub(super) fn words(&mut self, words: &[&str]) -> bool {
        let found = words.iter().enumerate().all(|(place, word)| {
            matches!(&self.parser.peek_nth_token_ref(place).token,
                Token::Word(Word { value, quote_style: None, .. }) if value.eq_ignore_ascii_case(word))
        });
        for _ in words.iter().filter(|_| found) {
            self.parser.next_token();
        }
        found
    }

    pub(super) fn expect_word(&mut self, word: &str) -> Result<()> {
        if self.word(word) {
            return Ok(());
        }
        Err(self.expected(word))
    }

    /// `IF NOT EXISTS`.
    pub(super) fn if_not_exists(&mut self) -> Result<bool> {
        if !self.word("IF") {
            return Ok(false);
        }
        self.expect_word("NOT")?;
        self.expect_word("EXISTS")?;
        Ok(true)
    }

    /// `IF EXISTS`.
    pub(super) fn if_exists(&mut self) -> Result<bool> {
        if !self.word("IF") {
            return Ok(false);
        }
        self.expect_word("EXISTS")?;
        Ok(true)
    }

    /// A name: unquoted in lower case, or quoted as it stands.
    pub(super) fn identifier(&mut self, what: &str) -> Result<String> {
        let name = match &self.parser.peek_token_ref().token {
            Token::Word(word) => match word.quote_style {
                Some(_) => Some(word.value.clone()),
                None if NOT_NAMES
                    .iter()
                    .any(|not| word.value.eq_ignore_ascii_case(not)) =>
                {
                    None
                }
                None => Some(word.value.to_lowercase()),
            },
            _ => None,
        };
        let Some(name) = name else {
            return Err(self.expected(what));
        };
        self.parser.next_token();
        Ok(name)
    }

    /// `keyspace.table`, or `table` in the default keyspace.
    pub(super) fn table_name(&mut self) -> Result<TableName> {
        let first = self.identifier("the name of a table")?;
        if !self.token(&Token::Period) {
            return Ok(TableName::new(DEFAULT_KEYSPACE, first));
        }
        let second = self.identifier("the name of a table")?;
        if self.peek_token(&Token::Period) {
            return Err(self
                .expected("KEYSPACE.TABLE")
                .with_hint("quote a name that holds a dot"));
        }
        Ok(TableName::new(first, second))
    }

    /// A string in single quotes.
    pub(super) fn string(&mut self, what: &str) -> Result<String> {
        let value = match &self.parser.peek_token_ref().token {
            Token::SingleQuotedString(value) | Token::EscapedStringLiteral(value) => value.clone(),
            _ => return Err(self.expected(&format!("{what} in single quotes"))),
        };
        self.parser.next_token();
        Ok(value)
    }

    /// A whole number.
    pub(super) fn number(&mut self, what: &str) -> Result<u64> {
        let value = match &self.parser.peek_token_ref().token {
            Token::Number(digits, _) => digits.parse().ok(),
            _ => None,
        };
        let Some(value) = value else {
            return Err(self.expected(what));
        };
        self.parser.next_token();
        Ok(value)
    }

    /// One expression, as written.
    pub(super) fn expression(&mut self) -> Result<(&'a str, Expr)> {
        self.slice(Parser::parse_expr)
    }

    /// One query, as written.
    pub(super) fn query(&mut self) -> Result<(&'a str, Box<Query>)> {
        self.slice(Parser::parse_query)
    }

    /// A column type, as written.
    pub(super) fn data_type(&mut self) -> Result<activestore_types::DataType> {
        let at = self.location();
        let (text, _) = self.slice(Parser::parse_data_type)?;
        let words: Vec<&str> = text.split_whitespace().collect();
        words
            .join(" ")
            .parse()
            .map_err(|error: Error| error.context(place(at)))
    }

    /// Where the next token stands.
    pub(super) fn location(&self) -> Location {
        let span = self.parser.peek_token_ref().span;
        if span == Span::empty() {
            return self.end();
        }
        span.start
    }

    /// Where the text ends.
    fn end(&self) -> Location {
        let last = self.tokens.iter().rfind(|token| token.token != Token::EOF);
        last.map_or(Location { line: 1, column: 1 }, |last| last.span.end)
    }

    /// The next token as written, or a description of the end.
    pub(super) fn peek_text(&self) -> String {
        match &self.parser.peek_token_ref().token {
            Token::EOF => "the end of the text".to_owned(),
            token => token.to_string(),
        }
    }

    /// The error of finding something else than `what` here.
    pub(super) fn expected(&self, what: &str) -> Error {
        let found: String = match self.peek_text() {
            text if self.at_end() => text,
            _ if self.concealed => "something else".to_owned(),
            text => format!("'{}'", text.chars().take(40).collect::<String>()),
        };
        Error::invalid(format!(
            "{}: expected {what}, found {found}",
            place(self.location())
        ))
    }

    /// The text from byte `start` to the last token taken.
    pub(super) fn text_since(&self, start: Location) -> &'a str {
        let end = self
            .tokens
            .get(..self.parser.index())
            .into_iter()
            .flatten()
            .rfind(|token| !matches!(token.token, Token::Whitespace(_)))
            .map_or(start, |token| token.span.end);
        let (from, to) = (self.offset(start), self.offset(end));
        self.text.get(from..to).unwrap_or_default()
    }

    fn slice<T>(
        &mut self,
        parse: impl FnOnce(&mut Parser<'a>) -> Result<T, ParserError>,
    ) -> Result<(&'a str, T)> {
        let start = self.location();
        let parsed = parse(&mut self.parser).map_err(|error| syntax(&error, start, self.end()))?;
        Ok((self.text_since(start), parsed))
    }

    /// The byte where a location's character begins.
    fn offset(&self, at: Location) -> usize {
        let mut start = 0;
        for _ in 1..at.line {
            match self.text.get(start..).and_then(|rest| rest.find('\n')) {
                Some(newline) => start += newline + 1,
                None => return self.text.len(),
            }
        }
        let line = self.text.get(start..).unwrap_or_default();
        let column = usize::try_from(at.column.saturating_sub(1)).unwrap_or(usize::MAX);
        line.char_indices()
            .nth(column)
            .map_or(self.text.len(), |(byte, _)| start + byte)
    }
}

fn place(at: Location) -> String {
    format!("line {}, column {}", at.line, at.column)
}

/// `sqlparser`'s error in our form: the place first.
pub(crate) fn syntax(error: &ParserError, start: Location, end: Location) -> Error {
    let text = match error {
        ParserError::RecursionLimitExceeded => return too_deep(start),
        ParserError::TokenizerError(text) | ParserError::ParserError(text) => text,
    };
    match text.rsplit_once(" at Line: ") {
        Some((message, place)) => {
            let place = place.replace("Column:", "column");
            Error::invalid(format!("line {place}: {}", found(&lower_first(message))))
        }
        None if text.ends_with("found: EOF") => {
            Error::invalid(format!("{}: {}", place(end), found(&lower_first(text))))
        }
        None => Error::invalid(found(&lower_first(text))),
    }
}

fn found(message: &str) -> String {
    message
        .replacen("expected: ", "expected ", 1)
        .replace(", found: EOF", ", found the end of the text")
        .replacen(", found: ", ", found ", 1)
}

fn lower_first(text: &str) -> String {
    let mut chars = text.chars();
    match chars.next() {
        Some(first) => first.to_lowercase().chain(chars).collect(),
        None => String::new(),
    }
}
