//! A text of statements cut at its semicolons, before anybody reads the statements: a client's own commands, such as
//! SET and BEGIN, are not of our dialect.

/// One statement of a text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Piece<'a> {
    pub(super) text: &'a str,
    /// Where it begins, in bytes.
    pub(super) start: usize,
}

/// The statements of a text; those that are empty are left out. `BEGIN BATCH … APPLY BATCH` is one.
pub(super) fn split(text: &str) -> Vec<Piece<'_>> {
    let mut pieces = Vec::new();
    let mut scan = Scan { text, at: 0 };
    let mut start = 0;
    let mut words: Vec<&str> = Vec::new();
    loop {
        let (from, token) = scan.next();
        match token {
            Token::Semicolon if in_batch(&words) => words.push(";"),
            Token::Semicolon | Token::End => {
                push(&mut pieces, text, start, from);
                if matches!(token, Token::End) {
                    return pieces;
                }
                start = scan.at;
                words.clear();
            }
            Token::Word(word) => {
                // Two words say what begins, two what ends: more are not kept.
                if words.len() > 3 {
                    words.remove(2);
                }
                words.push(word);
            }
            Token::Other => {
                if words.is_empty() {
                    words.push("");
                }
            }
        }
    }
}

/// The first words of a statement, in capitals, as many as are asked for; fewer where other things stand between.
pub(super) fn words(text: &str, most: usize) -> Vec<String> {
    let mut scan = Scan { text, at: 0 };
    let mut words = Vec::new();
    while words.len() < most {
        match scan.next().1 {
            Token::Word(word) => words.push(word.to_ascii_uppercase()),
            _ => break,
        }
    }
    words
}

fn in_batch(words: &[&str]) -> bool {
    let is = |place: usize, word: &str| {
        let found = words.get(place);
        found.is_some_and(|found| found.eq_ignore_ascii_case(word))
    };
    let last = words.len();
    is(0, "BEGIN")
        && is(1, "BATCH")
        && !(last >= 4 && is(last - 2, "APPLY") && is(last - 1, "BATCH"))
}

fn push<'a>(pieces: &mut Vec<Piece<'a>>, text: &'a str, start: usize, end: usize) {
    let piece = text.get(start..end).unwrap_or_default();
    let mut scan = Scan { text: piece, at: 0 };
    if matches!(scan.next().1, Token::End) {
        return;
    }
    pieces.push(Piece { text: piece, start });
}

enum Token<'a> {
    Word(&'a str),
    Semicolon,
    /// A quoted text, a number, an operator.
    Other,
    End,
}

/// A place in a text. What is not closed goes to the end; whoever reads the statement says so.
struct Scan<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Scan<'a> {
    fn rest(&self) -> &'a str {
        self.text.get(self.at..).unwrap_or_default()
    }

    /// Goes behind the end of what is sought, or to the end of the text.
    fn behind(&mut self, from: usize, sought: &str) {
        let rest = self.text.get(from..).unwrap_or_default();
        self.at = match rest.find(sought) {
            Some(found) => from + found + sought.len(),
            None => self.text.len(),
        };
    }

    fn comment(&mut self) {
        let mut depth = 0_usize;
        loop {
            let rest = self.rest();
            if rest.starts_with("/*") {
                depth += 1;
                self.at += 2;
            } else if rest.starts_with("*/") {
                depth = depth.saturating_sub(1);
                self.at += 2;
                if depth == 0 {
                    return;
                }
            } else {
                match rest.chars().next() {
                    Some(c) => self.at += c.len_utf8(),
                    None => return,
                }
            }
        }
    }

    /// A text in quotes; a doubled quote is two texts side by side, which ends at the same place.
    fn quoted(&mut self, quote: char, escapes: bool) {
        let mut rest = self.rest().char_indices().skip(1);
        while let Some((place, c)) = rest.next() {
            if c == '\\' && escapes {
                rest.next();
            } else if c == quote {
                self.at += place + c.len_utf8();
                return;
            }
        }
        self.at = self.text.len();
    }

    /// Where the next token begins, and the token.
    fn next(&mut self) -> (usize, Token<'a>) {
        loop {
            let rest = self.rest();
            let from = self.at;
            let Some(c) = rest.chars().next() else {
                return (from, Token::End);
            };
            if c.is_whitespace() {
                self.at += c.len_utf8();
            } else if rest.starts_with("--") {
                self.behind(from, "\n");
            } else if rest.starts_with("/*") {
                self.comment();
            } else {
                return (from, self.token(c, rest));
            }
        }
    }

    fn token(&mut self, c: char, rest: &'a str) -> Token<'a> {
        match c {
            ';' => {
                self.at += 1;
                return Token::Semicolon;
            }
            '\'' | '"' => self.quoted(c, false),
            'e' | 'E' if rest.get(1..2) == Some("'") => {
                self.at += 1;
                self.quoted('\'', true);
            }
            '$' => self.dollar(rest),
            c if c.is_alphabetic() || c == '_' => {
                let ends = |c: char| !(c.is_alphanumeric() || c == '_' || c == '$');
                let length = rest.find(ends).unwrap_or(rest.len());
                self.at += length;
                return Token::Word(rest.get(..length).unwrap_or_default());
            }
            c => self.at += c.len_utf8(),
        }
        Token::Other
    }

    /// `$$ … $$`, `$tag$ … $tag$`, or a parameter.
    fn dollar(&mut self, rest: &str) {
        let named = rest.get(1..).unwrap_or_default();
        let length = named.find(|c: char| !(c.is_alphanumeric() || c == '_'));
        let is_number = named.starts_with(|c: char| c.is_ascii_digit());
        match length {
            Some(length)
                if !is_number && named.get(length..).is_some_and(|n| n.starts_with('$')) =>
            {
                let tag = rest.get(..length + 2).unwrap_or("$$");
                self.behind(self.at + tag.len(), tag);
            }
            _ => self.at += 1,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cut(text: &str) -> Vec<&str> {
        split(text).iter().map(|piece| piece.text.trim()).collect()
    }

    #[test]
    fn semicolons_within_texts_and_comments_are_no_ends() {
        assert_eq!(cut("SELECT 1; SELECT 2;"), ["SELECT 1", "SELECT 2"]);
        assert_eq!(cut(" ; ;; -- no\n /* a; /* b; */ c; */ ;"), [""; 0]);
        assert_eq!(
            cut("SELECT 'a;''b;', \"c;\"; SELECT E'\\';' ; SELECT $$;$$, $t$;$$;$t$, $1;x"),
            [
                "SELECT 'a;''b;', \"c;\"",
                "SELECT E'\\';'",
                "SELECT $$;$$, $t$;$$;$t$, $1",
                "x"
            ]
        );
        assert_eq!(
            cut("SELECT 'never closed; SELECT 2"),
            ["SELECT 'never closed; SELECT 2"]
        );
    }

    #[test]
    fn a_batch_is_one_statement() {
        let batch = "BEGIN BATCH; INSERT INTO a VALUES (1); DELETE FROM b; APPLY BATCH";
        assert_eq!(cut(&format!("{batch}; SELECT 1")), [batch, "SELECT 1"]);
        assert_eq!(
            cut("BEGIN; SELECT 1; COMMIT"),
            ["BEGIN", "SELECT 1", "COMMIT"]
        );
    }

    #[test]
    fn pieces_know_where_they_begin() {
        let text = "SELECT 1;\n  SELEC 2";
        let pieces = split(text);
        assert_eq!(pieces[1].start, 9);
        assert_eq!(words(pieces[1].text, 2), ["SELEC"]);
        assert_eq!(words("set  Session x = 1", 3), ["SET", "SESSION", "X"]);
    }
}
