//! Cuts JSON text into rows without understanding them: by line, or by the elements of an array.
//! It remembers its place between pieces of a file.

use super::JsonShape;

/// What the next bytes hold.
pub(crate) enum Found<'a> {
    /// A row's text, with its line (array: its number).
    Row { number: u64, text: &'a [u8] },
    /// Bytes that are no row.
    Broken { number: u64, reason: String },
    /// More bytes are needed.
    More,
    /// Nothing follows.
    End,
}

#[derive(Clone, Copy, PartialEq)]
enum Mode {
    Undecided,
    Lines,
    /// Before an element or the end of the array.
    Array,
    /// After an element.
    AfterElement,
    /// The array is closed, or is beyond repair.
    Done,
}

/// Where one is in a body.
pub(crate) struct Elements {
    mode: Mode,
    shape: JsonShape,
    row_bytes_max: usize,
    number: u64,
    /// The bytes start inside a line that has been refused for its length.
    skip_line: bool,
}

impl Elements {
    pub(crate) fn new(shape: JsonShape, row_bytes_max: usize) -> Self {
        Elements {
            mode: Mode::Undecided,
            shape,
            row_bytes_max,
            number: 0,
            skip_line: false,
        }
    }

    /// The next row and how many bytes it took with all that stood before it.
    pub(crate) fn next<'a>(&mut self, bytes: &'a [u8], at_end: bool) -> (usize, Found<'a>) {
        match self.mode {
            Mode::Undecided => {
                let blank = blank(bytes);
                let rest = bytes.get(blank..).unwrap_or_default();
                let array = rest.first() == Some(&b'[');
                match (rest.first(), self.shape) {
                    (None, _) if at_end => return (bytes.len(), Found::End),
                    (None, _) => return (0, Found::More),
                    (_, JsonShape::Auto | JsonShape::Array) if array => {
                        self.mode = Mode::Array;
                        return self.skipping(blank + 1, bytes, at_end);
                    }
                    (_, JsonShape::Array) => {
                        self.mode = Mode::Done;
                        let reason = "a JSON array is expected to start with '['".to_owned();
                        return (bytes.len(), Found::Broken { number: 1, reason });
                    }
                    (Some(b'{'), JsonShape::Auto) if at_end && one_object(rest) => {
                        self.mode = Mode::Done;
                        return (
                            bytes.len(),
                            Found::Row {
                                number: 1,
                                text: rest,
                            },
                        );
                    }
                    _ => self.mode = Mode::Lines,
                }
                self.line(bytes, at_end)
            }
            Mode::Lines => self.line(bytes, at_end),
            Mode::Array | Mode::AfterElement => self.element(bytes, at_end),
            Mode::Done => (bytes.len(), Found::End),
        }
    }

    fn skipping<'a>(&mut self, count: usize, bytes: &'a [u8], at_end: bool) -> (usize, Found<'a>) {
        let (used, found) = self.next(bytes.get(count..).unwrap_or_default(), at_end);
        (used + count, found)
    }

    fn line<'a>(&mut self, bytes: &'a [u8], at_end: bool) -> (usize, Found<'a>) {
        let mut used = 0;
        loop {
            let rest = bytes.get(used..).unwrap_or_default();
            if rest.is_empty() {
                return (used, if at_end { Found::End } else { Found::More });
            }
            let end = memchr::memchr(b'\n', rest);
            let length = end.unwrap_or(rest.len());
            if std::mem::take(&mut self.skip_line) {
                self.skip_line = end.is_none();
                used += length + usize::from(end.is_some());
                continue;
            }
            if length > self.row_bytes_max {
                self.number += 1;
                self.skip_line = end.is_none();
                let reason = format!("the line is longer than {} bytes", self.row_bytes_max);
                let number = self.number;
                let taken = used + length + usize::from(end.is_some());
                return (taken, Found::Broken { number, reason });
            }
            if end.is_none() && !at_end {
                return (used, Found::More);
            }
            self.number += 1;
            used += length + usize::from(end.is_some());
            let text = rest.get(..length).unwrap_or_default().trim_ascii();
            if !text.is_empty() {
                let number = self.number;
                return (used, Found::Row { number, text });
            }
        }
    }

    fn element<'a>(&mut self, bytes: &'a [u8], at_end: bool) -> (usize, Found<'a>) {
        let used = blank(bytes);
        let rest = bytes.get(used..).unwrap_or_default();
        let number = self.number + 1;
        let broken = |reason: String| (bytes.len(), Found::Broken { number, reason });
        match (rest.first(), self.mode) {
            (None, _) if at_end => {
                self.mode = Mode::Done;
                return broken("the array has no closing ']'".to_owned());
            }
            (None, _) => return (used, Found::More),
            (Some(b']'), _) => {
                let after = rest.get(1..).unwrap_or_default();
                self.mode = Mode::Done;
                if !after.trim_ascii().is_empty() {
                    return broken("something follows the array's closing ']'".to_owned());
                }
                return (bytes.len(), Found::End);
            }
            (Some(b','), Mode::AfterElement) => {
                self.mode = Mode::Array;
                return self.skipping(used + 1, bytes, at_end);
            }
            (Some(_), Mode::AfterElement) => {
                self.mode = Mode::Done;
                return broken(format!("',' or ']' is expected after row {}", self.number));
            }
            _ => {}
        }
        match element_length(rest) {
            Some(length) if length <= self.row_bytes_max => {
                self.number = number;
                self.mode = Mode::AfterElement;
                let text = rest.get(..length).unwrap_or_default();
                (used + length, Found::Row { number, text })
            }
            None if !at_end && rest.len() <= self.row_bytes_max => (used, Found::More),
            outcome => {
                self.mode = Mode::Done;
                broken(match outcome {
                    None if rest.len() <= self.row_bytes_max => {
                        "the array ends in the middle of the row".to_owned()
                    }
                    _ => format!("the row is longer than {} bytes", self.row_bytes_max),
                })
            }
        }
    }
}

fn blank(bytes: &[u8]) -> usize {
    bytes.len() - bytes.trim_ascii_start().len()
}

fn one_object(bytes: &[u8]) -> bool {
    let bytes = bytes.trim_ascii_end();
    element_length(bytes) == Some(bytes.len())
}

/// Bytes up to the comma or bracket that ends the element, strings and nesting respected.
fn element_length(bytes: &[u8]) -> Option<usize> {
    let mut depth = 0_usize;
    let mut in_string = false;
    let mut escaped = false;
    for (at, byte) in bytes.iter().enumerate() {
        if in_string {
            match byte {
                _ if escaped => escaped = false,
                b'\\' => escaped = true,
                b'"' => in_string = false,
                _ => {}
            }
            continue;
        }
        match byte {
            b'"' => in_string = true,
            b'{' | b'[' => depth += 1,
            b'}' | b']' if depth > 0 => {
                depth -= 1;
                if depth == 0 {
                    return Some(at + 1);
                }
            }
            b',' | b']' if depth == 0 => return Some(at),
            _ => {}
        }
    }
    None
}
