//! Splits off one CSV record. It never looks past the record, and a wrong quote is an error of the
//! record's first line alone.

use std::borrow::Cow;

/// One field: raw bytes, without the quotes around them.
#[derive(Debug, PartialEq)]
pub(super) struct Field<'a> {
    raw: &'a [u8],
    quoted: bool,
    /// Whether `raw` holds doubled quotes.
    doubled: bool,
}

impl Field<'_> {
    /// Whether the field is empty and without quotes.
    pub(super) fn is_null(&self) -> bool {
        self.raw.is_empty() && !self.quoted
    }

    /// The text, quotes resolved; `None` where it is not UTF-8.
    pub(super) fn text(&self) -> Option<Cow<'_, str>> {
        let text = std::str::from_utf8(self.raw).ok()?;
        Some(if self.doubled {
            Cow::Owned(text.replace("\"\"", "\""))
        } else {
            Cow::Borrowed(text)
        })
    }
}

/// One record and its size with the line end.
#[derive(Debug, PartialEq)]
pub(super) struct Record<'a> {
    pub(super) fields: Vec<Field<'a>>,
    pub(super) bytes: usize,
    pub(super) lines: u64,
}

/// What stands at the front of the bytes.
#[derive(Debug, PartialEq)]
pub(super) enum Split<'a> {
    Record(Record<'a>),
    /// More bytes are needed to tell.
    More,
    Broken(String),
}

/// Splits off the record at the front.
pub(super) fn split(bytes: &[u8], delimiter: u8, at_end: bool) -> Split<'_> {
    if bytes.is_empty() {
        return Split::More;
    }
    let mut fields = Vec::new();
    let mut lines = 0;
    let mut rest = bytes;
    let used = |rest: &[u8]| bytes.len() - rest.len();
    loop {
        let number = fields.len() + 1;
        let (field, after) = if let [b'"', inside @ ..] = rest {
            match quoted(inside) {
                Quoted::Closed(field, after) => {
                    lines += memchr::memchr_iter(b'\n', field.raw).count() as u64;
                    (field, after)
                }
                Quoted::Open if at_end => {
                    return Split::Broken(format!(
                        "field {number} has an opening quote and no closing one"
                    ));
                }
                Quoted::Open => return Split::More,
            }
        } else {
            let length = rest
                .iter()
                .position(|byte| *byte == delimiter || *byte == b'\n')
                .unwrap_or(rest.len());
            let (raw, after) = rest.split_at_checked(length).unwrap_or((rest, &[]));
            let raw = match (raw, after) {
                ([raw @ .., b'\r'], [] | [b'\n', ..]) => raw,
                _ => raw,
            };
            let field = Field {
                raw,
                quoted: false,
                doubled: false,
            };
            (field, after)
        };
        fields.push(field);
        rest = match after {
            [byte, after @ ..] if *byte == delimiter => after,
            [b'\n', after @ ..] | [b'\r', b'\n', after @ ..] => {
                let bytes = used(after);
                lines += 1;
                return Split::Record(Record {
                    fields,
                    bytes,
                    lines,
                });
            }
            [] | [b'\r'] if at_end => {
                return Split::Record(Record {
                    fields,
                    bytes: bytes.len(),
                    lines: lines + 1,
                });
            }
            [] | [b'\r'] => return Split::More,
            _ => {
                return Split::Broken(format!(
                    "field {number} goes on after its closing quote (a quote inside a field is written twice)"
                ));
            }
        };
    }
}

enum Quoted<'a> {
    Closed(Field<'a>, &'a [u8]),
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
        let after = inside.get(at..).unwrap_or_default();
        let field = Field {
            raw,
            quoted: true,
            doubled,
        };
        return Quoted::Closed(field, after);
    }
}
