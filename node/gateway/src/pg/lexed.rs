//! The parts of a short command: words, texts, numbers and symbols.

/// The most values of a setting.
const VALUES_MAX: usize = 100;

/// A part.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Token {
    /// As it is written.
    Word(String),
    /// In double quotes.
    Quoted(String),
    /// In single quotes, read.
    Text(String),
    Number(String),
    Symbol(char),
}

impl Token {
    /// The word in capitals.
    pub(super) fn word(&self) -> Option<String> {
        match self {
            Token::Word(word) => Some(word.to_ascii_uppercase()),
            _ => None,
        }
    }

    /// What it names: a word in small letters, or what is in double quotes.
    pub(super) fn name(&self) -> Option<String> {
        match self {
            Token::Word(word) => Some(word.to_lowercase()),
            Token::Quoted(name) => Some(name.clone()),
            _ => None,
        }
    }

    /// Its value as a setting's.
    fn value(self) -> String {
        match self {
            Token::Word(text) | Token::Quoted(text) | Token::Text(text) | Token::Number(text) => {
                text
            }
            Token::Symbol(symbol) => symbol.to_string(),
        }
    }
}

/// A text that is read part by part.
pub(super) struct Lexed<'a> {
    text: &'a str,
    pub(super) at: usize,
}

impl<'a> Lexed<'a> {
    pub(super) fn new(text: &'a str) -> Self {
        Lexed { text, at: 0 }
    }

    fn rest(&self) -> &'a str {
        self.text.get(self.at..).unwrap_or_default()
    }

    fn skip_blank(&mut self) {
        loop {
            let rest = self.rest();
            let trimmed = rest.trim_start();
            self.at += rest.len() - trimmed.len();
            let end = if trimmed.starts_with("--") {
                trimmed.find('\n')
            } else if trimmed.starts_with("/*") {
                trimmed.find("*/").map(|found| found + 2)
            } else {
                return;
            };
            self.at += end.unwrap_or(trimmed.len());
        }
    }

    /// The next part; `None` at the end.
    pub(super) fn next(&mut self) -> Option<Token> {
        self.skip_blank();
        let rest = self.rest();
        let first = rest.chars().next()?;
        if matches!(first, '\'' | '"') {
            let text = self.quoted(first);
            return Some(if first == '"' {
                Token::Quoted(text)
            } else {
                Token::Text(text)
            });
        }
        if rest.starts_with("E'") || rest.starts_with("e'") {
            self.at += 1;
            let text = self.quoted('\'');
            let text = text
                .replace("\\t", "\t")
                .replace("\\n", "\n")
                .replace("\\\\", "\\");
            return Some(Token::Text(text));
        }
        let is_part = |c: char| c.is_alphanumeric() || c == '_';
        if !is_part(first) {
            self.at += first.len_utf8();
            return Some(Token::Symbol(first));
        }
        let is_number = first.is_ascii_digit();
        let ends = |c: char| !(is_part(c) || (is_number && c == '.'));
        let length = rest.find(ends).unwrap_or(rest.len());
        self.at += length;
        let text = rest.get(..length).unwrap_or_default().to_owned();
        Some(if is_number {
            Token::Number(text)
        } else {
            Token::Word(text)
        })
    }

    /// What is next, without taking it.
    pub(super) fn peek(&mut self) -> Option<Token> {
        let at = self.at;
        let token = self.next();
        self.at = at;
        token
    }

    /// Takes the word if it is next.
    pub(super) fn take(&mut self, word: &str) -> bool {
        let found = self.peek().and_then(|token| token.word()).as_deref() == Some(word);
        if found {
            self.next();
        }
        found
    }

    /// Takes the symbol if it is next.
    pub(super) fn symbol(&mut self, symbol: char) -> bool {
        let found = self.peek() == Some(Token::Symbol(symbol));
        if found {
            self.next();
        }
        found
    }

    /// A text in quotes, of which a doubled one stands for one.
    fn quoted(&mut self, quote: char) -> String {
        let mut text = String::new();
        let rest = self.rest();
        let mut chars = rest.char_indices().skip(1).peekable();
        while let Some((place, c)) = chars.next() {
            if c != quote {
                text.push(c);
            } else if chars.peek().is_some_and(|(_, next)| *next == quote) {
                text.push(quote);
                chars.next();
            } else {
                self.at += place + 1;
                return text;
            }
        }
        self.at = self.text.len();
        text
    }

    /// All that is left, as the value of a setting; `None` for DEFAULT.
    pub(super) fn values(&mut self) -> Option<String> {
        let mut values: Vec<String> = Vec::new();
        let mut sign = "";
        while values.len() < VALUES_MAX {
            match self.next() {
                None => break,
                Some(Token::Symbol(',')) => {}
                Some(Token::Symbol('-')) => sign = "-",
                Some(token) if token.word().as_deref() == Some("DEFAULT") => return None,
                Some(token) => {
                    values.push(format!("{sign}{}", token.value()));
                    sign = "";
                }
            }
        }
        Some(values.join(", "))
    }
}
