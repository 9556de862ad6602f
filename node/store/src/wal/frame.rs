//! The bytes around a log record, and the first bytes of a segment. Knows no files.
//!
//! Frame, little-endian, at a multiple of 8 from the segment's start:
//!
//! ```text
//! 0 header_crc u32 | 4 payload_crc u32 | 8 length u32 | 12 life u32 | 16 lsn u64 | 24 synced u64
//! 32 previous u32  | 36 zero u32       | 40 payload (length bytes), zeros up to a multiple of 8
//! ```
//!
//! `header_crc` is the CRC32C of bytes 4..40, started from the segment's salt, so that a frame of
//! the segment's earlier use never counts. `previous` is the `header_crc` of the frame before (the
//! salt for a segment's first), so that frames count only in the order in which they were written.
//! `life` is drawn anew whenever the place of a frame may be written a second time: at every start,
//! and after a write that failed. `synced` is the last record known to be durable when the frame
//! was made: a frame that can be read is proof that every record up to its `synced` was durable.

use activestore_env::seal::VALUE_OVERHEAD_BYTES;
use activestore_types::Lsn;

/// Bytes before a record's payload.
pub(crate) const FRAME_HEADER_BYTES: usize = 40;

/// Where in a frame its record's number stands.
pub(crate) const LSN_AT: usize = 16;

/// Bytes of a segment before its first frame: one disk sector, so that it is written whole.
pub(crate) const SEGMENT_HEADER_BYTES: usize = 512;

/// The longest payload before it is encrypted; a longer commit is refused.
pub(crate) const RECORD_BYTES_MAX: usize = 64 << 20;

/// No log, no manifest counts this far: a number beyond it was not written by a store.
pub(crate) const NUMBER_MAX: u64 = 1 << 62;

const MAGIC: &[u8; 8] = b"ACTSWAL\x01";

/// What a frame says about itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct FrameHeader {
    pub(crate) header_crc: u32,
    pub(crate) payload_crc: u32,
    pub(crate) length: u32,
    pub(crate) life: u32,
    pub(crate) lsn: Lsn,
    pub(crate) synced: Lsn,
    pub(crate) previous: u32,
}

/// Cuts little-endian numbers off the front of a byte slice.
struct Reader<'a>(&'a [u8]);

impl Reader<'_> {
    fn bytes<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (head, rest) = self.0.split_first_chunk::<N>()?;
        self.0 = rest;
        Some(*head)
    }

    fn u32(&mut self) -> Option<u32> {
        self.bytes().map(u32::from_le_bytes)
    }

    fn u64(&mut self) -> Option<u64> {
        self.bytes().map(u64::from_le_bytes)
    }
}

impl FrameHeader {
    /// The header as it is stored, with its checksum in place.
    pub(crate) fn encode(&mut self, salt: u32) -> [u8; FRAME_HEADER_BYTES] {
        let mut bytes = [0; FRAME_HEADER_BYTES];
        let fields = self
            .payload_crc
            .to_le_bytes()
            .into_iter()
            .chain(self.length.to_le_bytes())
            .chain(self.life.to_le_bytes())
            .chain(self.lsn.0.to_le_bytes())
            .chain(self.synced.0.to_le_bytes())
            .chain(self.previous.to_le_bytes());
        for (to, from) in bytes.iter_mut().skip(4).zip(fields) {
            *to = from;
        }
        self.header_crc = header_crc(salt, &bytes);
        for (to, from) in bytes.iter_mut().zip(self.header_crc.to_le_bytes()) {
            *to = from;
        }
        bytes
    }

    /// Reads a header; `None` when its checksum does not hold.
    pub(crate) fn decode(salt: u32, bytes: &[u8]) -> Option<FrameHeader> {
        let bytes = bytes.get(..FRAME_HEADER_BYTES)?;
        let mut reader = Reader(bytes);
        let header = FrameHeader {
            header_crc: reader.u32()?,
            payload_crc: reader.u32()?,
            length: reader.u32()?,
            life: reader.u32()?,
            lsn: Lsn(reader.u64()?),
            synced: Lsn(reader.u64()?),
            previous: reader.u32()?,
        };
        let longest = RECORD_BYTES_MAX + VALUE_OVERHEAD_BYTES;
        // A fuzzer that had to guess checksums would never get past them.
        let sound = header.header_crc == header_crc(salt, bytes) || cfg!(fuzzing);
        let counted = header.lsn.0 < NUMBER_MAX && header.synced.0 < NUMBER_MAX;
        (header.length as usize <= longest && sound && counted).then_some(header)
    }

    /// Bytes from this frame's start to the next one's.
    pub(crate) fn frame_bytes(&self) -> u64 {
        frame_bytes(self.length as usize)
    }
}

/// Bytes that a frame with a payload of this length takes.
pub(crate) fn frame_bytes(payload: usize) -> u64 {
    (FRAME_HEADER_BYTES + payload).next_multiple_of(8) as u64
}

fn header_crc(salt: u32, bytes: &[u8]) -> u32 {
    crc32c::crc32c_append(salt, bytes.get(4..FRAME_HEADER_BYTES).unwrap_or_default())
}

/// The first sector of a segment in use. One that is all zeros is free.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct SegmentHeader {
    /// The segment's number in the log: rises by one, so that a missing segment shows.
    pub(crate) sequence: u64,
    /// The number of the first record it takes.
    pub(crate) first_lsn: Lsn,
    /// Whose log this is.
    pub(crate) node: [u8; 16],
    /// Random, new for each use of the file: what its frames' checksums start from.
    pub(crate) salt: u32,
}

/// What the first sector of a segment file says.
pub(crate) enum FirstSector {
    /// All zeros: the file waits to be used.
    Free,
    Used(SegmentHeader),
    /// Neither: a version that is not known, or decay.
    Bad,
}

impl SegmentHeader {
    pub(crate) fn encode(&self) -> [u8; SEGMENT_HEADER_BYTES] {
        let mut bytes = [0; SEGMENT_HEADER_BYTES];
        let fields: Vec<u8> = MAGIC
            .iter()
            .copied()
            .chain(self.sequence.to_le_bytes())
            .chain(self.first_lsn.0.to_le_bytes())
            .chain(self.node)
            .chain(self.salt.to_le_bytes())
            .collect();
        let crc = crc32c::crc32c(&fields);
        for (to, from) in bytes
            .iter_mut()
            .zip(fields.into_iter().chain(crc.to_le_bytes()))
        {
            *to = from;
        }
        bytes
    }

    pub(crate) fn decode(bytes: &[u8]) -> FirstSector {
        if bytes.iter().all(|byte| *byte == 0) {
            return FirstSector::Free;
        }
        SegmentHeader::decode_used(bytes).map_or(FirstSector::Bad, FirstSector::Used)
    }

    fn decode_used(bytes: &[u8]) -> Option<SegmentHeader> {
        const FIELDS: usize = 8 + 8 + 8 + 16 + 4;
        let (fields, rest) = bytes.split_at_checked(FIELDS)?;
        let mut reader = Reader(fields);
        let magic: [u8; 8] = reader.bytes()?;
        let header = SegmentHeader {
            sequence: reader.u64()?,
            first_lsn: Lsn(reader.u64()?),
            node: reader.bytes()?,
            salt: reader.u32()?,
        };
        let sound = Reader(rest).u32()? == crc32c::crc32c(fields) || cfg!(fuzzing);
        let counted = header.sequence < NUMBER_MAX && header.first_lsn.0 < NUMBER_MAX;
        (magic == *MAGIC && sound && counted).then_some(header)
    }
}
