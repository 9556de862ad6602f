//! Tag sets: their escapes, and the canonical text that is a row's partition key.
//!
//! Canonical form: tags sorted by name, `name=value` joined by commas, with `\`, `,` and `=` inside
//! names and values escaped by a backslash. Two different tag sets never have the same text, and no
//! tags give the empty text.

use std::borrow::Cow;

/// Appends `text` with each backslash before one of `escapable` dropped; other backslashes stay.
pub(crate) fn unescape_into(text: &[u8], escapable: &[u8], out: &mut Vec<u8>) {
    let mut bytes = text.iter().copied().peekable();
    while let Some(byte) = bytes.next() {
        match bytes.peek() {
            Some(next) if byte == b'\\' && escapable.contains(next) => {
                out.push(*next);
                bytes.next();
            }
            _ => out.push(byte),
        }
    }
}

/// Text with its escapes resolved; borrowed where there are none.
pub(super) fn unescaped<'a>(text: &'a [u8], escapable: &[u8]) -> Cow<'a, str> {
    if memchr::memchr(b'\\', text).is_some() {
        let mut out = Vec::with_capacity(text.len());
        unescape_into(text, escapable, &mut out);
        Cow::Owned(String::from_utf8_lossy(&out).into_owned())
    } else {
        String::from_utf8_lossy(text)
    }
}

/// The canonical text of tags that are sorted by name.
pub(crate) fn canonical(tags: &[(Cow<'_, str>, Cow<'_, str>)]) -> String {
    let mut out = String::new();
    for (name, value) in tags {
        if !out.is_empty() {
            out.push(',');
        }
        escape_into(name, &mut out);
        out.push('=');
        escape_into(value, &mut out);
    }
    out
}

fn escape_into(text: &str, out: &mut String) {
    for letter in text.chars() {
        if matches!(letter, '\\' | ',' | '=') {
            out.push('\\');
        }
        out.push(letter);
    }
}
