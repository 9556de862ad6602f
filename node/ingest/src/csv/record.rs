//! Splits off one CSV record. It never looks past the record, and a wrong quote is an error of the
//! record's first line alone.

use std::borrow::Cow;

/// One field: raw bytes, without the quotes around them.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Field<'a> {
    raw: &'a [u8],
    quoted: bool,
    /// Whether `raw` holds doubled quotes.
    doubled: bool,
}

impl<'a> Field<'a> {
    /// The last field of a line; a carriage return before the line's end is none of it.
    fn plain(raw: &'a [u8]) -> Self {
        Field {
            raw: raw.strip_suffix(b"\r").unwrap_or(raw),
            quoted: false,
            doubled: false,
        }
    }

    /// The bytes, where they need no change.
    pub(super) fn bytes(&self) -> Option<&'a [u8]> {
        (!self.doubled).then_some(self.raw)
    }

    /// Whether the field is empty and without quotes.
    pub(super) fn is_null(&self) -> bool {
        self.raw.is_empty() && !self.quoted
    }

    /// The text, quotes resolved; `None` where it is not UTF-8.
    pub(super) fn text(&self) -> Option<Cow<'a, str>> {
        let text = std::str::from_utf8(self.raw).ok()?;
        Some(if self.doubled {
            Cow::Owned(text.replace("\"\"", "\""))
        } else {
            Cow::Borrowed(text)
        })
    }
}

/// What stands at the front of the bytes.
#[derive(Debug, PartialEq)]
pub(super) enum Split {
    /// A record, its size with the line end, and how many lines it has.
    Record {
        bytes: usize,
        lines: u64,
    },
    /// More bytes are needed to tell.
    More,
    Broken(String),
}

/// Splits off the record at the front and adds its fields to `fields`; what is no record leaves them as they were.
pub(super) fn split<'a>(
    bytes: &'a [u8],
    delimiter: u8,
    at_end: bool,
    fields: &mut Vec<Field<'a>>,
) -> Split {
    let before = fields.len();
    let split = split_fields(bytes, delimiter, at_end, fields);
    if !matches!(split, Split::Record { .. }) {
        fields.truncate(before);
    }
    split
}

fn split_fields<'a>(
    bytes: &'a [u8],
    delimiter: u8,
    at_end: bool,
    fields: &mut Vec<Field<'a>>,
) -> Split {
    if bytes.is_empty() {
        return Split::More;
    }
    let first = fields.len();
    let mut lines = 1;
    let mut start = 0;
    'fields: loop {
        if bytes.get(start) != Some(&b'"') {
            // A run of fields without quotes, found in one pass.
            let run = start;
            let rest = bytes.get(run..).unwrap_or_default();
            for end in memchr::memchr2_iter(delimiter, b'\n', rest) {
                let end = run + end;
                let raw = bytes.get(start..end).unwrap_or_default();
                start = end + 1;
                if bytes.get(end) == Some(&b'\n') {
                    fields.push(Field::plain(raw));
                    return Split::Record {
                        bytes: start,
                        lines,
                    };
                }
                fields.push(Field {
                    raw,
                    quoted: false,
                    doubled: false,
                });
                if bytes.get(start) == Some(&b'"') {
                    continue 'fields;
                }
            }
            if !at_end {
                return Split::More;
            }
            fields.push(Field::plain(bytes.get(start..).unwrap_or_default()));
            return Split::Record {
                bytes: bytes.len(),
                lines,
            };
        }
        let number = fields.len() - first + 1;
        match quoted(bytes.get(start + 1..).unwrap_or_default()) {
            Quoted::Closed(field, length) => {
                lines += memchr::memchr_iter(b'\n', field.raw).count() as u64;
                fields.push(field);
                start += 1 + length;
            }
            Quoted::Open if at_end => {
                return Split::Broken(format!(
                    "field {number} has an opening quote and no closing one"
                ));
            }
            Quoted::Open => return Split::More,
        }
        match bytes.get(start..).unwrap_or_default() {
            [byte, ..] if *byte == delimiter => start += 1,
            [b'\n', ..] => {
                return Split::Record {
                    bytes: start + 1,
                    lines,
                };
            }
            [b'\r', b'\n', ..] => {
                return Split::Record {
                    bytes: start + 2,
                    lines,
                };
            }
            [] | [b'\r'] if at_end => {
                return Split::Record {
                    bytes: bytes.len(),
                    lines,
                };
            }
            [] | [b'\r'] => return Split::More,
            _ => {
                return Split::Broken(format!(
                    "field {number} goes on after its closing quote (a quote inside a field is written twice)"
                ));
            }
        }
    }
}

enum Quoted<'a> {
    /// The field, and how many bytes it takes with its closing quote.
    Closed(Field<'a>, usize),
    Open,
}

fn quoted(inside: &[u8]) -> Quoted<'_> {
    let mut at = 0;
    let mut doubled = false;
    loop {
        let rest = inside.get(at..).unwrap_or_default();
        let Some(length) = memchr::memchr(b'"', rest) else {
            return Quoted::Open;
        };
        at += length + 1;
        if inside.get(at) == Some(&b'"') {
            doubled = true;
            at += 1;
            continue;
        }
        let raw = inside.get(..at - 1).unwrap_or_default();
        let field = Field {
            raw,
            quoted: true,
            doubled,
        };
        return Quoted::Closed(field, at);
    }
}
