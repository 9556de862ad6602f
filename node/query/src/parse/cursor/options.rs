//! Options in brackets, and queries with some behind them.

use std::collections::BTreeMap;

use activestore_types::{Error, Result};
use datafusion::sql::sqlparser::parser::Parser;
use datafusion::sql::sqlparser::tokenizer::{Token, Word};

use super::{Cursor, DIALECT, MAX_RECURSION, place, syntax};

impl<'a> Cursor<'a> {
    /// `(name = value, …)`; values are strings, numbers or words.
    pub(in crate::parse) fn options(&mut self) -> Result<BTreeMap<String, String>> {
        let mut options = BTreeMap::new();
        self.expect_token(&Token::LParen)?;
        if self.token(&Token::RParen) {
            return Ok(options);
        }
        loop {
            let at = self.location();
            let name = self.identifier("the name of an option")?;
            self.expect_token(&Token::Eq)?;
            let value = self.option_value()?;
            if options.insert(name.clone(), value).is_some() {
                return Err(Error::invalid(format!(
                    "line {}, column {}: option '{name}' is given twice",
                    at.line, at.column
                )));
            }
            if self.token(&Token::RParen) {
                return Ok(options);
            }
            if !self.token(&Token::Comma) {
                return Err(self.expected("',' or ')'"));
            }
        }
    }

    fn option_value(&mut self) -> Result<String> {
        let minus = self.token(&Token::Minus);
        let value = match &self.parser.peek_token_ref().token {
            Token::Number(digits, _) => Some(digits.clone()),
            _ if minus => None,
            Token::SingleQuotedString(value) | Token::EscapedStringLiteral(value) => {
                Some(value.clone())
            }
            Token::Word(word) => Some(word.value.to_lowercase()),
            _ => None,
        };
        let Some(value) = value else {
            return Err(self.expected("a value: 'text', a number, true or false"));
        };
        self.parser.next_token();
        Ok(if minus { format!("-{value}") } else { value })
    }

    /// One query, as written, and the options in `WITH (…)` behind it.
    pub(in crate::parse) fn query_with_options(
        &mut self,
    ) -> Result<(&'a str, BTreeMap<String, String>)> {
        let from = self.parser.index();
        let Some(with) = self.options_at(from) else {
            return Ok((self.query()?.0, BTreeMap::new()));
        };
        let tokens = self.tokens.get(from..with).unwrap_or_default().to_vec();
        let start = self.location();
        let at = self.tokens.get(with).map(|token| token.span.start);
        let mut parser = Parser::new(&DIALECT)
            .with_recursion_limit(MAX_RECURSION)
            .with_tokens_with_locations(tokens);
        let parsed = parser.parse_query();
        parsed.map_err(|error| syntax(&error, start, at.unwrap_or(start)))?;
        if parser.peek_token_ref().token != Token::EOF {
            let found = parser.peek_token_ref();
            return Err(Error::invalid(format!(
                "{}: expected the end of the query, found '{}'",
                place(found.span.start),
                found.token
            )));
        }
        while !self.at_end() && Some(self.location()) != at {
            self.parser.next_token();
        }
        let text = self.text_since(start);
        self.expect_word("WITH")?;
        Ok((text, self.options()?))
    }

    /// The token of the next `WITH (` of this statement that stands in no brackets.
    fn options_at(&self, from: usize) -> Option<usize> {
        let mut depth = 0_usize;
        let mut with = None;
        for (place, token) in self.tokens.iter().enumerate().skip(from) {
            match &token.token {
                Token::Whitespace(_) => continue,
                Token::LParen if depth == 0 && with.is_some() => return with,
                Token::LParen => depth += 1,
                Token::RParen => depth = depth.saturating_sub(1),
                Token::SemiColon => return None,
                _ => {}
            }
            with = match &token.token {
                Token::Word(Word {
                    value,
                    quote_style: None,
                    ..
                }) if depth == 0 && value.eq_ignore_ascii_case("WITH") => Some(place),
                _ => None,
            };
        }
        None
    }
}
