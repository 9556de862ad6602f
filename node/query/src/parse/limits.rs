//! Bounds on statement text, checked on the tokens before any recursive reading of them.

use activestore_types::{Error, Result};
use datafusion::sql::sqlparser::keywords::Keyword;
use datafusion::sql::sqlparser::tokenizer::{Location, Token, TokenWithSpan};

/// The longest text of one request, in bytes.
pub const MAX_TEXT_BYTES: usize = 16 << 20;
/// The most statements in one text.
pub const MAX_STATEMENTS: usize = 10_000;
/// The deepest nesting of parentheses, subqueries and operators.
pub const MAX_NESTING: usize = 50;
/// The deepest recursion of the expression parser, which goes a few levels per level of nesting.
pub(crate) const MAX_RECURSION: usize = 4 * MAX_NESTING;
/// The most tokens between two commas at one depth: one expression, or one clause without commas.
/// A chain `a OR b OR c …` of this length becomes a tree as deep; drop and planning recurse on it.
pub const MAX_CHAIN_TOKENS: usize = 2_000;
/// The most arithmetic operators among those: planning a chain of them takes the cube of its length.
pub const MAX_CHAIN_OPERATORS: usize = 250;

/// What one open bracket has held since the last comma.
#[derive(Clone, Copy, Default)]
struct Chain {
    tokens: usize,
    operators: usize,
}

/// Checks nesting and chains.
///
/// # Errors
/// `Invalid` with the place where a bound is passed.
pub(super) fn check(tokens: &[TokenWithSpan]) -> Result<()> {
    // One counter per open bracket; a comma or semicolon starts a new chain.
    let mut chains = vec![Chain::default()];
    let mut prefixes = 0;
    for token in tokens {
        match &token.token {
            Token::Whitespace(_) => continue,
            Token::Minus | Token::Plus | Token::Tilde => prefixes += 1,
            Token::Word(word) if word.keyword == Keyword::NOT => prefixes += 1,
            _ => prefixes = 0,
        }
        if prefixes > MAX_NESTING {
            return Err(too_deep(token.span.start));
        }
        match &token.token {
            Token::LParen | Token::LBracket | Token::LBrace => {
                step(&mut chains, token)?;
                chains.push(Chain::default());
                if chains.len() > MAX_NESTING + 1 {
                    return Err(too_deep(token.span.start));
                }
            }
            Token::RParen | Token::RBracket | Token::RBrace => {
                if chains.len() > 1 {
                    chains.pop();
                }
            }
            Token::SemiColon => {
                chains.clear();
                chains.push(Chain::default());
            }
            Token::Comma => {
                if let Some(chain) = chains.last_mut() {
                    *chain = Chain::default();
                }
            }
            _ => step(&mut chains, token)?,
        }
    }
    Ok(())
}

/// The error of a statement that is nested too deeply.
pub(super) fn too_deep(at: Location) -> Error {
    Error::invalid(format!(
        "line {}, column {}: the statement is nested deeper than {MAX_NESTING} levels",
        at.line, at.column
    ))
    .with_hint("split it, or use WITH to name its parts")
}

fn step(chains: &mut [Chain], token: &TokenWithSpan) -> Result<()> {
    let Some(chain) = chains.last_mut() else {
        return Ok(());
    };
    chain.tokens += 1;
    chain.operators += usize::from(matches!(
        token.token,
        Token::Plus | Token::Minus | Token::Mul | Token::Div | Token::Mod | Token::StringConcat
    ));
    let at = token.span.start;
    if chain.tokens > MAX_CHAIN_TOKENS {
        return Err(Error::invalid(format!(
            "line {}, column {}: one expression holds more than {MAX_CHAIN_TOKENS} words",
            at.line, at.column
        ))
        .with_hint("use IN (…) in place of a chain of OR"));
    }
    if chain.operators > MAX_CHAIN_OPERATORS {
        return Err(Error::invalid(format!(
            "line {}, column {}: one expression holds more than {MAX_CHAIN_OPERATORS} operators",
            at.line, at.column
        ))
        .with_hint("compute parts of it in WITH"));
    }
    Ok(())
}
