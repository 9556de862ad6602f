//! A record on its way to the log. Long buffers of its rows are written from where they are: copying them would touch
//! as much memory again as the rows take, mostly for the first time.

use activestore_types::Result;
use arrow::buffer::Buffer;

use super::frame::{FRAME_HEADER_BYTES, RECORD_BYTES_MAX};
use super::record::too_large;

/// Buffers from this length on are not copied; each is a write of its own.
pub(super) const BESIDE_BYTES_MIN: usize = if cfg!(test) { 64 } else { 16 << 10 };

/// Buffers that belong between the bytes of a record.
#[derive(Debug, Default)]
pub(crate) struct Beside {
    /// Each with the place in the bytes that it stands before, which rise.
    buffers: Vec<(usize, Buffer)>,
    length: usize,
}

impl Beside {
    pub(super) fn push(&mut self, place: usize, buffer: Buffer) {
        self.length += buffer.len();
        self.buffers.push((place, buffer));
    }

    /// Bytes of all of them.
    pub(super) fn length(&self) -> usize {
        self.length
    }
}

/// A record ready to be written: a gap for the frame's header, the payload, zeros up to a multiple
/// of 8.
#[derive(Debug)]
pub(crate) struct Encoded {
    /// All but what lies beside them.
    pub(super) bytes: Vec<u8>,
    beside: Beside,
    pub(super) payload_length: u32,
    pub(super) payload_crc: u32,
}

impl Encoded {
    /// The record of a payload that stands behind the gap, and beside it.
    ///
    /// # Errors
    /// `Invalid` for more than 64 MiB.
    pub(crate) fn framed(bytes: Vec<u8>, beside: Beside) -> Result<Encoded> {
        let end = bytes.len() + beside.length;
        let length = end - FRAME_HEADER_BYTES;
        if length > RECORD_BYTES_MAX {
            return Err(too_large(length));
        }
        let mut record = Encoded {
            bytes,
            beside,
            payload_length: u32::try_from(length).map_err(|_| too_large(length))?,
            payload_crc: 0,
        };
        let (mut gap, mut crc) = (FRAME_HEADER_BYTES, 0);
        for piece in record.pieces() {
            // The gap is a part of the first piece.
            let payload = piece.get(std::mem::take(&mut gap)..).unwrap_or_default();
            crc = crc32c::crc32c_append(crc, payload);
        }
        record.payload_crc = crc;
        let padding = end.next_multiple_of(8) - end;
        record.bytes.resize(record.bytes.len() + padding, 0);
        Ok(record)
    }

    /// A record without a payload.
    pub(crate) fn mark() -> Encoded {
        Encoded {
            bytes: vec![0; FRAME_HEADER_BYTES],
            beside: Beside::default(),
            payload_length: 0,
            payload_crc: crc32c::crc32c(&[]),
        }
    }

    /// Bytes from the gap to the end.
    pub(crate) fn length(&self) -> usize {
        self.bytes.len() + self.beside.length
    }

    /// The record's bytes, in as many pieces as they lie in.
    pub(crate) fn pieces(&self) -> impl Iterator<Item = &[u8]> {
        let mut start = 0;
        let ends = self
            .beside
            .buffers
            .iter()
            .map(|(place, buffer)| (*place, buffer.as_slice()));
        let last = (self.bytes.len(), &[] as &[u8]);
        ends.chain(std::iter::once(last))
            .flat_map(move |(end, buffer)| {
                let before = self.bytes.get(start..end).unwrap_or_default();
                start = end;
                [before, buffer]
            })
            .filter(|piece| !piece.is_empty())
    }
}
