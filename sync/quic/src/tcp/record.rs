//! What travels in the one TLS stream of a connection over TCP, where QUIC has streams, closes and signs of
//! life of its own: `kind u8 | length u32 LE | payload`. A frame goes whole, as it goes in a QUIC stream.

use activestore_sync_proto::codec::{HEADER_BYTES, MAX_BODY_BYTES};
use activestore_types::{Error, Result};
use bytes::{Buf, Bytes, BytesMut};

use crate::enrol::MAX_MESSAGE_BYTES;

const KIND_FRAME: u8 = 0;
const KIND_CLOSE: u8 = 1;
const KIND_PING: u8 = 2;
const KIND_PONG: u8 = 3;
const KIND_MESSAGE: u8 = 4;
/// Bytes before the payload.
const RECORD_HEADER_BYTES: usize = 5;
/// The longest reason of a close.
const MAX_REASON_BYTES: usize = 1024;

/// One of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Record {
    /// A frame as the protocol encodes it.
    Frame(Bytes),
    /// The sender goes, and why.
    Close(Bytes),
    /// Say that you are there.
    Ping(u64),
    /// I am, and this was asked.
    Pong(u64),
    /// A request to join or to renew, or its answer.
    Message(Bytes),
}

impl Record {
    /// A close with as much of the reason as fits.
    pub(crate) fn close(reason: &[u8]) -> Record {
        let reason = reason.get(..MAX_REASON_BYTES).unwrap_or(reason);
        Record::Close(Bytes::copy_from_slice(reason))
    }

    pub(crate) fn encode(&self) -> Vec<u8> {
        let number;
        let (kind, payload): (u8, &[u8]) = match self {
            Record::Frame(bytes) => (KIND_FRAME, bytes.as_ref()),
            Record::Close(reason) => (KIND_CLOSE, reason.as_ref()),
            Record::Message(bytes) => (KIND_MESSAGE, bytes.as_ref()),
            Record::Ping(nonce) => {
                number = nonce.to_le_bytes();
                (KIND_PING, number.as_slice())
            }
            Record::Pong(nonce) => {
                number = nonce.to_le_bytes();
                (KIND_PONG, number.as_slice())
            }
        };
        let mut out = Vec::with_capacity(RECORD_HEADER_BYTES + payload.len());
        out.push(kind);
        out.extend_from_slice(&(payload.len() as u32).to_le_bytes());
        out.extend_from_slice(payload);
        out
    }
}

/// Cuts the stream into records. Holds at most one record and what was pushed last.
#[derive(Debug, Default)]
pub(crate) struct RecordReader {
    buffer: BytesMut,
}

impl RecordReader {
    /// Takes the next bytes of the stream.
    pub(crate) fn push(&mut self, bytes: &[u8]) {
        self.buffer.extend_from_slice(bytes);
    }

    /// The next whole record, or `None` when more bytes are needed.
    ///
    /// # Errors
    /// `Invalid` when the bytes are no record, or one longer than allowed. The stream is of no use afterwards.
    pub(crate) fn next_record(&mut self) -> Result<Option<Record>> {
        let Some(mut header) = self.buffer.get(..RECORD_HEADER_BYTES) else {
            return Ok(None);
        };
        let kind = header.get_u8();
        let length = header.get_u32_le() as usize;
        let allowed = match kind {
            KIND_FRAME => HEADER_BYTES..=HEADER_BYTES + MAX_BODY_BYTES,
            KIND_CLOSE => 0..=MAX_REASON_BYTES,
            KIND_MESSAGE => 0..=MAX_MESSAGE_BYTES,
            KIND_PING | KIND_PONG => 8..=8,
            _ => {
                return Err(
                    Error::invalid(format!("a record of the unknown kind {kind} came"))
                        .with_hint("update the older of the two nodes"),
                );
            }
        };
        if !allowed.contains(&length) {
            return Err(Error::invalid(format!(
                "a record of kind {kind} claims {length} bytes where {} to {} are allowed",
                allowed.start(),
                allowed.end()
            )));
        }
        if self.buffer.len() < RECORD_HEADER_BYTES + length {
            return Ok(None);
        }
        self.buffer.advance(RECORD_HEADER_BYTES);
        let mut payload = self.buffer.split_to(length).freeze();
        Ok(Some(match kind {
            KIND_FRAME => Record::Frame(payload),
            KIND_CLOSE => Record::Close(payload),
            KIND_MESSAGE => Record::Message(payload),
            KIND_PING => Record::Ping(payload.get_u64_le()),
            _ => Record::Pong(payload.get_u64_le()),
        }))
    }
}

#[cfg(test)]
mod tests;
