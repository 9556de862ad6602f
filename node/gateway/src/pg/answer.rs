//! What the node sends, appended to a buffer as whole messages.

use bytes::{BufMut, BytesMut};

use super::fault::Fault;
use super::kind::Kind;

/// Where a connection stands between statements.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Standing {
    /// In no transaction.
    #[default]
    Idle,
    /// In one.
    Open,
    /// In one that failed: only its end is answered.
    Failed,
}

impl Standing {
    fn byte(self) -> u8 {
        match self {
            Standing::Idle => b'I',
            Standing::Open => b'T',
            Standing::Failed => b'E',
        }
    }
}

/// A column as clients are told of it.
#[derive(Clone, Debug)]
pub(super) struct Shown {
    pub(super) name: String,
    pub(super) kind: Kind,
    pub(super) binary: bool,
}

/// Appends a message; `body` appends what is in it.
pub(super) fn message(out: &mut BytesMut, tag: u8, body: impl FnOnce(&mut BytesMut)) {
    out.put_u8(tag);
    let start = out.len();
    out.put_i32(0);
    body(out);
    length(out, start);
}

/// Writes the length of what was appended since `start` there, its own four bytes included.
pub(super) fn length(out: &mut BytesMut, start: usize) {
    let bytes = i32::try_from(out.len().saturating_sub(start)).unwrap_or(i32::MAX);
    if let Some(place) = out.get_mut(start..start.saturating_add(4)) {
        place.copy_from_slice(&bytes.to_be_bytes());
    }
}

/// A text that ends with a zero; a zero within it would end it early, and is left out.
pub(super) fn text(out: &mut BytesMut, text: &str) {
    out.extend(text.bytes().filter(|byte| *byte != 0));
    out.put_u8(0);
}

pub(super) fn ready(out: &mut BytesMut, standing: Standing) {
    message(out, b'Z', |out| out.put_u8(standing.byte()));
}

pub(super) fn complete(out: &mut BytesMut, tag: &str) {
    message(out, b'C', |out| text(out, tag));
}

/// A message without a body.
pub(super) fn empty(out: &mut BytesMut, tag: u8) {
    message(out, tag, |_| {});
}

pub(super) fn parameter_status(out: &mut BytesMut, name: &str, value: &str) {
    message(out, b'S', |out| {
        text(out, name);
        text(out, value);
    });
}

pub(super) fn authentication(out: &mut BytesMut, code: i32, data: &[u8]) {
    message(out, b'R', |out| {
        out.put_i32(code);
        out.extend_from_slice(data);
    });
}

pub(super) fn parameters(out: &mut BytesMut, oids: &[u32]) {
    message(out, b't', |out| {
        out.put_u16(u16::try_from(oids.len()).unwrap_or(u16::MAX));
        for oid in oids {
            out.put_u32(*oid);
        }
    });
}

pub(super) fn columns(out: &mut BytesMut, columns: &[Shown]) {
    message(out, b'T', |out| {
        out.put_u16(u16::try_from(columns.len()).unwrap_or(u16::MAX));
        for column in columns {
            text(out, &column.name);
            // No table and no number of a column: what is shown is a result.
            out.put_u32(0);
            out.put_i16(0);
            out.put_u32(column.kind.oid());
            out.put_i16(column.kind.width());
            out.put_i32(column.kind.modifier());
            out.put_i16(i16::from(column.binary));
        }
    });
}

/// An error, or with `notice` something that is only said.
pub(super) fn fault(out: &mut BytesMut, fault: &Fault, notice: bool) {
    let severity = match (notice, fault.fatal) {
        (true, _) => "WARNING",
        (false, true) => "FATAL",
        (false, false) => "ERROR",
    };
    message(out, if notice { b'N' } else { b'E' }, |out| {
        let mut field = |name: u8, value: &str| {
            out.put_u8(name);
            text(out, value);
        };
        field(b'S', severity);
        field(b'V', severity);
        field(b'C', fault.code);
        field(b'M', &fault.message);
        if let Some(hint) = &fault.hint {
            field(b'H', hint);
        }
        if let Some(position) = fault.position {
            field(b'P', &position.to_string());
        }
        out.put_u8(0);
    });
}

/// `G` or `H`: a COPY begins, of so many columns.
pub(super) fn copy(out: &mut BytesMut, tag: u8, binary: bool, columns: usize) {
    message(out, tag, |out| {
        out.put_u8(u8::from(binary));
        out.put_u16(u16::try_from(columns).unwrap_or(u16::MAX));
        for _ in 0..columns {
            out.put_i16(i16::from(binary));
        }
    });
}
