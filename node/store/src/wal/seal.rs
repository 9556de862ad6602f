//! Log records at rest: a payload is encrypted whole, where it stands, after its segment and number
//! are known, so that it opens nowhere else in the log. The frame around it stays plain: what
//! recovery decides by (checksums, numbers, lives) is the same with and without.

use activestore_env::seal::VALUE_OVERHEAD_BYTES;
use activestore_env::{Keyring, ValueSealer};
use activestore_types::{Lsn, Result};
use arrow::buffer::{Buffer, MutableBuffer};
use std::sync::Arc;

use super::column::Reuse;
use super::encoded::{Beside, Encoded};
use super::frame::{FRAME_HEADER_BYTES, SegmentHeader};
use super::parts;
use super::record;
use crate::write_set::WriteSet;

/// Encrypts payloads, or leaves them as they are.
#[derive(Debug)]
pub(crate) struct RecordSealer {
    whole: Option<ValueSealer>,
    parts: Option<ValueSealer>,
}

impl RecordSealer {
    pub(crate) fn new(keyring: Option<&Arc<Keyring>>) -> Self {
        RecordSealer {
            whole: keyring.map(|keyring| keyring.values("log record")),
            parts: keyring.map(|keyring| keyring.values("log part")),
        }
    }

    /// Encodes a commit; `apart` are the rows of partitions that have keys of their own, by key.
    ///
    /// # Errors
    /// As [`parts::encode`].
    pub(crate) fn encode(&self, set: &WriteSet, apart: &[(u32, WriteSet)]) -> Result<Encoded> {
        match &self.parts {
            Some(sealer) if !apart.is_empty() => parts::encode(set, apart, sealer),
            // What is encrypted where it stands has to stand there.
            Some(_) => Encoded::framed(record::payload_of(set)?, Beside::default()),
            None => record::encode(set),
        }
    }

    /// Decodes a payload that [`RecordSealer::open`] gave; the set's columns are slices of it.
    ///
    /// # Errors
    /// `Corrupt` for bytes that are not a record.
    pub(crate) fn decode(&self, payload: &Buffer, reuse: &mut Reuse) -> Result<WriteSet> {
        record::decode(payload, reuse, self.parts.as_ref())
    }

    /// The length that a payload will have in the log. A mark has none and stays so.
    pub(crate) fn stored_length(&self, payload: u32) -> usize {
        match &self.whole {
            Some(_) if payload > 0 => payload as usize + VALUE_OVERHEAD_BYTES,
            _ => payload as usize,
        }
    }

    /// Encrypts a record that will be `lsn` in the segment.
    pub(crate) fn seal(
        &self,
        segment: &SegmentHeader,
        lsn: Lsn,
        record: &mut Encoded,
    ) -> Result<()> {
        let Some(sealer) = self.whole.as_ref().filter(|_| record.payload_length > 0) else {
            return Ok(());
        };
        let end = FRAME_HEADER_BYTES + record.payload_length as usize;
        record.bytes.truncate(end);
        sealer.seal(&place(segment, lsn), &mut record.bytes, FRAME_HEADER_BYTES)?;
        let payload = record.bytes.get(FRAME_HEADER_BYTES..).unwrap_or_default();
        record.payload_crc = crc32c::crc32c(payload);
        record.payload_length += VALUE_OVERHEAD_BYTES as u32;
        let padded = record.bytes.len().next_multiple_of(8);
        record.bytes.resize(padded, 0);
        Ok(())
    }

    /// The payload of record `lsn` of the segment, decrypted; a plain one as it is, uncopied.
    ///
    /// # Errors
    /// `Corrupt` where its checksum holds, but it is not what was sealed in this place.
    pub(crate) fn open(
        &self,
        segment: &SegmentHeader,
        lsn: Lsn,
        payload: Buffer,
    ) -> Result<Buffer> {
        let Some(sealer) = self.whole.as_ref().filter(|_| !payload.is_empty()) else {
            return Ok(payload);
        };
        let mut opened = MutableBuffer::with_capacity(payload.len());
        opened.extend_from_slice(payload.as_slice());
        let length = sealer
            .open(&place(segment, lsn), opened.as_slice_mut())
            .map_err(|error| error.context(format!("record {} of the write-ahead log", lsn.0)))?;
        opened.truncate(length);
        Ok(opened.into())
    }
}

/// The name of a place in the log: which use of which file, and which record.
fn place(segment: &SegmentHeader, Lsn(lsn): Lsn) -> [u8; 20] {
    let mut name = [0; 20];
    let fields = segment
        .sequence
        .to_le_bytes()
        .into_iter()
        .chain(segment.salt.to_le_bytes())
        .chain(lsn.to_le_bytes());
    for (to, from) in name.iter_mut().zip(fields) {
        *to = from;
    }
    name
}
