//! As much of SQL's surface as an editor needs: where a statement ends, and which stretches are
//! text, comments, numbers or words. Quotes, dollar quotes and nested comments are PostgreSQL's.

/// What a stretch of SQL is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A keyword or a name.
    Word,
    /// A number.
    Number,
    /// `'…'` or `$$…$$`.
    Text,
    /// `"…"`.
    QuotedName,
    /// `-- …` or `/* … */`.
    Comment,
    /// `;`.
    End,
    /// Anything else, white space too.
    Other,
}

/// A stretch: its kind, its bytes, and whether it is closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Token<'t> {
    /// What it is.
    pub kind: Kind,
    /// Where it starts, in bytes.
    pub start: usize,
    /// The text.
    pub text: &'t str,
    /// False for a quote or comment that the input ends in.
    pub closed: bool,
}

/// The stretches of the text; together they are the text.
pub fn tokens(text: &str) -> Vec<Token<'_>> {
    let mut found = Vec::new();
    let mut at = 0;
    while let Some(rest) = text.get(at..).filter(|rest| !rest.is_empty()) {
        let (kind, length, closed) = next(rest);
        let length = length.clamp(1, rest.len());
        let length = (length..=rest.len())
            .find(|end| rest.is_char_boundary(*end))
            .unwrap_or(rest.len());
        found.push(Token {
            kind,
            start: at,
            text: rest.get(..length).unwrap_or(rest),
            closed,
        });
        at += length;
    }
    found
}

/// Where in `BEGIN BATCH … APPLY BATCH` the reader is: the semicolons inside end no statement.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
enum Batch {
    /// Before the statement's first word.
    #[default]
    Before,
    /// After `BEGIN`, as the first word.
    Begin,
    /// After `BEGIN BATCH`.
    Inside,
    /// After an `APPLY` inside.
    Apply,
    /// In no batch, or after its end.
    Outside,
}

impl Batch {
    fn after(self, word: &str) -> Batch {
        let is = |name: &str| word.eq_ignore_ascii_case(name);
        match self {
            Batch::Before if is("begin") => Batch::Begin,
            Batch::Begin if is("batch") => Batch::Inside,
            Batch::Inside | Batch::Apply if is("apply") => Batch::Apply,
            Batch::Apply if is("batch") => Batch::Outside,
            Batch::Inside | Batch::Apply => Batch::Inside,
            _ => Batch::Outside,
        }
    }
}

/// Calls `each` with every token, and whether it is a semicolon that ends a statement.
fn walk<'t>(text: &'t str, mut each: impl FnMut(&Token<'t>, bool)) {
    let mut batch = Batch::default();
    for token in tokens(text) {
        let ends = token.kind == Kind::End && !matches!(batch, Batch::Inside | Batch::Apply);
        batch = match token.kind {
            _ if ends => Batch::Before,
            Kind::Word => batch.after(token.text),
            Kind::Comment => batch,
            _ if token.text.trim().is_empty() => batch,
            _ => batch.after(""),
        };
        each(&token, ends);
    }
}

/// The statements of a text without their semicolons; empty ones and lone comments are left out. A
/// batch is one statement.
pub fn statements(text: &str) -> Vec<&str> {
    let mut found = Vec::new();
    let mut start = 0;
    let mut says_something = false;
    walk(text, |token, ends| {
        if ends {
            if says_something {
                found.extend(text.get(start..token.start).map(str::trim));
            }
            start = token.start + token.text.len();
            says_something = false;
        } else if token.kind != Kind::Comment {
            says_something |= !token.text.trim().is_empty();
        }
    });
    if says_something {
        found.extend(text.get(start..).map(str::trim));
    }
    found
}

/// Whether the text ends after a statement's semicolon, comments and white space aside, with nothing
/// open.
pub fn is_complete(text: &str) -> bool {
    let mut complete = false;
    walk(text, |token, ends| {
        if ends {
            complete = true;
        } else if token.kind == Kind::Comment {
            complete &= token.closed || !token.text.starts_with("/*");
        } else if !token.text.trim().is_empty() {
            complete = false;
        }
    });
    complete
}

/// The kind of the first stretch, its length, and whether it is closed.
fn next(rest: &str) -> (Kind, usize, bool) {
    let first = rest.chars().next().unwrap_or(' ');
    match first {
        '\'' => quoted(rest, '\'', Kind::Text),
        '"' => quoted(rest, '"', Kind::QuotedName),
        ';' => (Kind::End, 1, true),
        '$' => match dollar_tag(rest) {
            Some(tag) => {
                let body = rest.get(tag.len()..).unwrap_or_default();
                match body.find(tag) {
                    Some(end) => (Kind::Text, end + 2 * tag.len(), true),
                    None => (Kind::Text, rest.len(), false),
                }
            }
            None => (Kind::Other, 1, true),
        },
        '-' if rest.starts_with("--") => match rest.find('\n') {
            Some(end) => (Kind::Comment, end, true),
            None => (Kind::Comment, rest.len(), true),
        },
        '/' if rest.starts_with("/*") => block_comment(rest),
        _ if first.is_ascii_digit() => {
            let end = rest
                .find(|letter: char| !(letter.is_ascii_alphanumeric() || letter == '.'))
                .unwrap_or(rest.len());
            (Kind::Number, end, true)
        }
        _ if first.is_alphabetic() || first == '_' => {
            let end = rest
                .find(|letter: char| !(letter.is_alphanumeric() || letter == '_'))
                .unwrap_or(rest.len());
            (Kind::Word, end, true)
        }
        _ => (Kind::Other, first.len_utf8(), true),
    }
}

/// A quote inside is doubled.
fn quoted(rest: &str, quote: char, kind: Kind) -> (Kind, usize, bool) {
    let mut letters = rest.char_indices().skip(1).peekable();
    while let Some((at, letter)) = letters.next() {
        if letter == quote {
            match letters.peek() {
                Some((_, following)) if *following == quote => {
                    letters.next();
                }
                _ => return (kind, at + 1, true),
            }
        }
    }
    (kind, rest.len(), false)
}

/// `$tag$`, where the text starts with one.
fn dollar_tag(rest: &str) -> Option<&str> {
    let end = rest.get(1..)?.find('$')? + 1;
    let name = rest.get(1..end)?;
    let is_name = name
        .chars()
        .all(|letter| letter.is_alphanumeric() || letter == '_')
        && !name.starts_with(|letter: char| letter.is_ascii_digit());
    is_name.then(|| rest.get(..=end)).flatten()
}

fn block_comment(rest: &str) -> (Kind, usize, bool) {
    let mut depth = 0_usize;
    let mut at = 0;
    while let Some(tail) = rest.get(at..).filter(|tail| !tail.is_empty()) {
        if tail.starts_with("/*") {
            depth += 1;
            at += 2;
        } else if tail.starts_with("*/") {
            depth -= 1;
            at += 2;
            if depth == 0 {
                return (Kind::Comment, at, true);
            }
        } else {
            at += tail.chars().next().map_or(1, char::len_utf8);
        }
    }
    (Kind::Comment, rest.len(), false)
}

#[cfg(test)]
mod tests;
