//! Reading committed records back from the log while it is being written.

use std::sync::Arc;

use activestore_types::{Error, Lsn, Result};
use arrow::buffer::MutableBuffer;

use super::column::Reuse;
use super::frame::{FRAME_HEADER_BYTES, FrameHeader, SEGMENT_HEADER_BYTES};
use super::seal::RecordSealer;
use super::segment::Segment;
use crate::write_set::LogRecord;

/// Reads records from `from` to `to`, both included, until `max_bytes` of payload are passed; at
/// least one record is returned if there is one.
pub(crate) fn read(
    segments: &[Arc<Segment>],
    sealer: &RecordSealer,
    from: Lsn,
    to: Lsn,
    max_bytes: usize,
) -> Result<Vec<LogRecord>> {
    let mut records = Vec::new();
    let mut bytes = 0;
    let mut want = from;
    while want <= to && (records.is_empty() || bytes < max_bytes) {
        let after = segments.partition_point(|segment| segment.header.first_lsn <= want);
        let segment = after
            .checked_sub(1)
            .and_then(|at| segments.get(at))
            .ok_or_else(|| gone(want))?;
        let last = segments
            .get(after)
            .map_or(to, |next| to.min(Lsn(next.header.first_lsn.0 - 1)));
        let (mut lsn, mut offset) = segment.near(want);
        while lsn <= last && (records.is_empty() || bytes < max_bytes) {
            let header = frame(segment, lsn, offset)?;
            if lsn >= want {
                segment.remember(lsn, offset);
                if header.length > 0 {
                    bytes += header.length as usize;
                    records.push(record(segment, sealer, &header, offset)?);
                }
                want = Lsn(lsn.0 + 1);
            }
            offset += header.frame_bytes();
            lsn = Lsn(lsn.0 + 1);
        }
    }
    Ok(records)
}

/// Where the frame of record `last` ends; the end of the segment's header if it is before its first.
pub(crate) fn end_of(segment: &Segment, last: Lsn) -> Result<u64> {
    if last < segment.header.first_lsn {
        return Ok(SEGMENT_HEADER_BYTES as u64);
    }
    let (mut lsn, mut offset) = segment.near(last);
    loop {
        offset += frame(segment, lsn, offset)?.frame_bytes();
        if lsn >= last {
            return Ok(offset);
        }
        lsn = Lsn(lsn.0 + 1);
    }
}

fn frame(segment: &Segment, lsn: Lsn, offset: u64) -> Result<FrameHeader> {
    let mut bytes = [0; FRAME_HEADER_BYTES];
    segment.file.read_exact_at(offset, &mut bytes)?;
    FrameHeader::decode(segment.header.salt, &bytes)
        .filter(|header| header.lsn == lsn)
        .ok_or_else(|| gone(lsn))
}

fn record(
    segment: &Segment,
    sealer: &RecordSealer,
    header: &FrameHeader,
    offset: u64,
) -> Result<LogRecord> {
    let mut payload = MutableBuffer::from_len_zeroed(header.length as usize);
    segment
        .file
        .read_exact_at(offset + FRAME_HEADER_BYTES as u64, payload.as_slice_mut())?;
    if crc32c::crc32c(payload.as_slice()) != header.payload_crc && !cfg!(fuzzing) {
        return Err(gone(header.lsn));
    }
    let payload = sealer.open(&segment.header, header.lsn, payload.into())?;
    Ok(LogRecord {
        lsn: header.lsn,
        set: sealer.decode(&payload, &mut Reuse::default())?,
    })
}

fn gone(lsn: Lsn) -> Error {
    Error::corrupt(format!(
        "record {} cannot be read from the write-ahead log",
        lsn.0
    ))
    .with_hint("the log was not held, or the disk has lost it")
}
