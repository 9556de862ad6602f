//! Rows of a COPY taken apart: text with backslashes, CSV with quotes, and what the binary format begins with.

use activestore_types::Error;

use super::copy::Layout;
use super::message::Fields;

/// What a binary COPY begins with.
const SIGNATURE: &[u8; 11] = b"PGCOPY\n\xff\r\n\0";
/// The most bytes of a binary COPY's header beside that.
const EXTENSION_MAX: usize = 1024;

impl Layout {
    /// The fields of a row of text.
    pub(super) fn text(&self, row: &[u8]) -> Result<Vec<Option<String>>, &'static str> {
        let mut fields = Vec::new();
        let mut raw: Vec<u8> = Vec::new();
        let mut value: Vec<u8> = Vec::new();
        let mut bytes = row.iter().copied().peekable();
        loop {
            let byte = bytes.next();
            match byte {
                Some(byte) if byte != self.delimiter => {
                    raw.push(byte);
                    if byte != b'\\' {
                        value.push(byte);
                        continue;
                    }
                    let Some(next) = bytes.next() else {
                        return Err("a backslash stands at the end");
                    };
                    raw.push(next);
                    value.push(match next {
                        b'b' => 8,
                        b'f' => 12,
                        b'n' => b'\n',
                        b'r' => b'\r',
                        b't' => b'\t',
                        b'v' => 11,
                        other => other,
                    });
                }
                _ => {
                    let is_null = raw == self.null.as_bytes();
                    let value = std::mem::take(&mut value);
                    raw.clear();
                    fields.push(if is_null { None } else { Some(utf8(value)?) });
                    if byte.is_none() {
                        return Ok(fields);
                    }
                }
            }
        }
    }

    /// The fields of a row of CSV.
    pub(super) fn csv(&self, row: &[u8]) -> Result<Vec<Option<String>>, &'static str> {
        let (quote, escape) = (self.quote, self.escape);
        let mut fields = Vec::new();
        let (mut value, mut quoted, mut inside) = (Vec::new(), false, false);
        let mut bytes = row.iter().copied().peekable();
        loop {
            let byte = bytes.next();
            match byte {
                Some(byte) if inside => {
                    let next = bytes.peek().copied();
                    if byte == escape && next.is_some_and(|next| next == quote || next == escape) {
                        value.extend(bytes.next());
                    } else if byte == quote {
                        inside = false;
                    } else {
                        value.push(byte);
                    }
                }
                Some(byte) if byte == quote => {
                    inside = true;
                    quoted = true;
                }
                Some(byte) if byte != self.delimiter => value.push(byte),
                None if inside => return Err("a quote is not closed"),
                _ => {
                    let value = std::mem::take(&mut value);
                    let is_null = !quoted && value == self.null.as_bytes();
                    fields.push(if is_null { None } else { Some(utf8(value)?) });
                    quoted = false;
                    if byte.is_none() {
                        return Ok(fields);
                    }
                }
            }
        }
    }
}

fn utf8(bytes: Vec<u8>) -> Result<String, &'static str> {
    String::from_utf8(bytes).map_err(|_| "a field is not UTF-8")
}

/// Reads what a binary COPY begins with; `None` where it is not there whole.
///
/// # Errors
/// `Invalid` where it is another.
pub(super) fn binary_header(fields: &mut Fields<'_>) -> Result<Option<()>, Error> {
    if fields.left() < SIGNATURE.len() + 8 {
        return Ok(None);
    }
    if fields.take(SIGNATURE.len())?.as_ref() != SIGNATURE {
        return Err(Error::invalid("it does not begin as a binary COPY does"));
    }
    let flags = fields.u32()?;
    let extension = usize::try_from(fields.u32()?).unwrap_or(usize::MAX);
    if flags >> 16 != 0 || extension > EXTENSION_MAX {
        return Err(Error::invalid("its header asks for what is not available"));
    }
    if fields.left() < extension {
        return Ok(None);
    }
    fields.take(extension)?;
    Ok(Some(()))
}
