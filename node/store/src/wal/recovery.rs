//! Reading the log when the store is opened: every record after the last flush, in order, and the
//! place where the next one goes.
//!
//! A frame counts when its checksums hold, its number is the next one and it names the frame before
//! it. The first that does not is the end of the log, and one of two things:
//! - *a torn tail*: the crash came before the sync that would have made it durable, so nobody was
//!   told that it is stored; it is cut, and what follows it is never read;
//! - *corruption*: it had been durable. Proof is a readable frame further on, of a later number,
//!   whose `synced` reaches it: frames carry what was durable when they were made. A next segment
//!   that starts at a later number is proof too, because a segment is synced before the next is
//!   begun. Then the store refuses to open: an acknowledged record is lost.
//!
//! What no log can tell apart is decay in the very last group before a crash from a torn tail. A
//! store that was closed ends with an empty record that vouches for everything before it.

use std::ops::Range;

use activestore_types::{Error, Lsn, NodeId, Result};
use arrow::buffer::Buffer;

use super::frame::{FRAME_HEADER_BYTES, FrameHeader, LSN_AT, SEGMENT_HEADER_BYTES};
use super::seal::RecordSealer;
use super::segment::{Found, Segment};

/// Bytes read from a segment at once.
const READ_BYTES: usize = 8 << 20;

/// Where the next frame goes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct End {
    pub(crate) offset: u64,
    pub(crate) next_lsn: Lsn,
    /// The checksum that the next frame names.
    pub(crate) previous: u32,
    /// Whether bytes after it were cut.
    pub(crate) torn: bool,
}

/// The segments that form the log, oldest first; those that do not belong to it any more are given
/// back in the second list.
pub(crate) fn chain(
    found: &mut Found,
    node: NodeId,
    flushed: Lsn,
) -> Result<(Vec<Segment>, Vec<Segment>)> {
    if let Some(path) = found.bad.first() {
        return Err(Error::corrupt(format!(
            "the log segment {path} starts with bytes that are not a segment's"
        ))
        .with_hint("activestore doctor --repair saves what can be read of it"));
    }
    let mut used = std::mem::take(&mut found.used);
    if let Some(other) = used.iter().find(|segment| segment.header.node != node.0) {
        return Err(Error::conflict(format!(
            "the log segment {} belongs to node {}",
            other.path,
            NodeId(other.header.node)
        ))
        .with_hint("use the data directory with the identity that it was made with"));
    }
    // The log is the run of consecutive numbers that ends with the highest.
    let mut start = used.len().saturating_sub(1);
    while let Some([before, after]) = start.checked_sub(1).and_then(|at| used.get(at..at + 2)) {
        if before.header.sequence + 1 != after.header.sequence {
            break;
        }
        start -= 1;
    }
    let chain = used.split_off(start.min(used.len()));
    let first = chain.first().map(|segment| segment.header.first_lsn);
    match first {
        Some(first) if first > Lsn(flushed.0 + 1) => Err(missing(Lsn(flushed.0 + 1), first)),
        None if flushed > Lsn(0) => Err(Error::corrupt("the write-ahead log is missing")
            .with_hint("restore the folder wal/; without it, the latest rows are lost")),
        _ => Ok((chain, used)),
    }
}

fn missing(from: Lsn, to: Lsn) -> Error {
    Error::corrupt(format!(
        "the write-ahead log lacks the records {} to {}",
        from.0,
        to.0.saturating_sub(1)
    ))
    .with_hint(
        "restore the folder wal/ from where it was moved to, or go on without them: activestore doctor --repair",
    )
}

/// Reads every record above `flushed` and finds the log's end.
pub(crate) fn replay(
    chain: &[Segment],
    sealer: &RecordSealer,
    flushed: Lsn,
    mut each: impl FnMut(Lsn, Buffer) -> Result<()>,
) -> Result<Option<End>> {
    let mut end = None;
    for (at, segment) in chain.iter().enumerate() {
        let next = chain.get(at + 1);
        let next_lsn = next.map(|next| next.header.first_lsn);
        if next_lsn.is_some_and(|next| next.0 <= flushed.0 + 1) {
            continue;
        }
        let mut scan = SegmentScan::new(segment);
        while next_lsn != Some(scan.lsn) {
            let Some((lsn, payload)) = scan.next()? else {
                break;
            };
            if lsn > flushed && !payload.is_empty() {
                each(lsn, sealer.open(&segment.header, lsn, payload)?)?;
            }
        }
        match next_lsn {
            Some(next) if next != scan.lsn => return Err(missing(scan.lsn, next)),
            Some(_) => {}
            None => {
                let torn = scan.judge_tail()?;
                end = Some(End {
                    offset: scan.offset,
                    next_lsn: scan.lsn,
                    previous: scan.previous,
                    torn,
                });
            }
        }
    }
    Ok(end)
}

/// Walks over the frames of one segment. Payloads are cut from the windows that were read, uncopied.
pub(super) struct SegmentScan<'a> {
    segment: &'a Segment,
    window: Buffer,
    window_start: u64,
    pub(super) offset: u64,
    pub(super) lsn: Lsn,
    pub(super) previous: u32,
}

impl<'a> SegmentScan<'a> {
    pub(super) fn new(segment: &'a Segment) -> Self {
        SegmentScan {
            segment,
            window: Vec::<u8>::new().into(),
            window_start: 0,
            offset: SEGMENT_HEADER_BYTES as u64,
            lsn: segment.header.first_lsn,
            previous: segment.header.salt,
        }
    }

    /// Where in the window so many bytes of the segment stand, fewer at the segment's end.
    fn find(&mut self, offset: u64, length: usize) -> Result<Range<usize>> {
        let inside = offset >= self.window_start
            && offset + length as u64 <= self.window_start + self.window.len() as u64;
        if !inside {
            // A new window, since payloads of this one may live on.
            let left = self.segment.length.saturating_sub(offset);
            let bytes = left.min(length.max(READ_BYTES) as u64);
            let bytes = usize::try_from(bytes).unwrap_or(READ_BYTES);
            let window = self.segment.file.read_vec(offset, bytes)?;
            if window.len() < bytes {
                // Taken for the log's end, this would cut off what was acknowledged.
                return Err(Error::corrupt(format!(
                    "{} ends at byte {} of {}",
                    self.segment.path,
                    offset + window.len() as u64,
                    self.segment.length
                ))
                .with_hint("the disk returned less than the file holds; start the node again"));
            }
            self.window = window.into();
            self.window_start = offset;
        }
        let start = usize::try_from(offset - self.window_start).unwrap_or(usize::MAX);
        let start = start.min(self.window.len());
        Ok(start..start.saturating_add(length).min(self.window.len()))
    }

    /// Bytes of the segment, fewer at its end.
    pub(super) fn bytes(&mut self, offset: u64, length: usize) -> Result<&[u8]> {
        let range = self.find(offset, length)?;
        Ok(self.window.as_slice().get(range).unwrap_or_default())
    }

    /// The next record, or `None` at the first frame that does not count. An empty payload is a
    /// mark of a store that was closed; it takes a number like any record.
    pub(super) fn next(&mut self) -> Result<Option<(Lsn, Buffer)>> {
        let salt = self.segment.header.salt;
        let offset = self.offset;
        let Some(header) = FrameHeader::decode(salt, self.bytes(offset, FRAME_HEADER_BYTES)?)
        else {
            return Ok(None);
        };
        if header.lsn != self.lsn || header.previous != self.previous {
            return Ok(None);
        }
        let length = header.length as usize;
        // Header and payload together, so that a record that the window cuts is read once more whole.
        let frame = self.find(offset, FRAME_HEADER_BYTES + length)?;
        if frame.len() != FRAME_HEADER_BYTES + length {
            return Ok(None);
        }
        let payload = self
            .window
            .slice_with_length(frame.start + FRAME_HEADER_BYTES, length);
        if crc32c::crc32c(payload.as_slice()) != header.payload_crc && !cfg!(fuzzing) {
            return Ok(None);
        }
        self.segment.remember(header.lsn, offset);
        self.offset += header.frame_bytes();
        self.lsn = Lsn(self.lsn.0 + 1);
        self.previous = header.header_crc;
        Ok(Some((header.lsn, payload)))
    }

    /// Decides what the first frame that does not count is; true for a torn tail.
    fn judge_tail(&mut self) -> Result<bool> {
        let mut torn = false;
        let mut at = self.offset;
        while at + FRAME_HEADER_BYTES as u64 <= self.segment.length {
            let (start, lost, first) = (at, self.lsn, self.offset);
            let salt = self.segment.header.salt;
            let bytes = self.bytes(at, READ_BYTES)?;
            if bytes.len() < FRAME_HEADER_BYTES {
                break;
            }
            // A frame's place bounds its number: no frame is shorter than its header. That and the
            // number itself rule out nearly everything that is no frame, at a word a look.
            let numbers = bytes.get(LSN_AT..).unwrap_or_default().chunks_exact(8);
            let mut found = None;
            for (word, number) in (0_u64..).zip(numbers) {
                let number = number
                    .first_chunk()
                    .map_or(0, |word| u64::from_le_bytes(*word));
                let offset = start + word * 8;
                let ahead = number.wrapping_sub(lost.0);
                if ahead > (offset - first) / FRAME_HEADER_BYTES as u64 {
                    continue;
                }
                let frame = usize::try_from(word * 8)
                    .ok()
                    .and_then(|at| bytes.get(at..));
                if let Some(header) = frame.and_then(|frame| FrameHeader::decode(salt, frame)) {
                    torn = true;
                    if header.synced >= lost && header.lsn > lost {
                        found = Some(header);
                        break;
                    }
                }
            }
            if found.is_some() {
                return Err(Error::corrupt(format!(
                    "record {} of the write-ahead log, at byte {first} of {}, is not what was written",
                    lost.0, self.segment.path
                ))
                .with_hint(
                    "the disk has lost an acknowledged write; activestore doctor --repair goes on without it, a backup or a peer may have it",
                ));
            }
            // The last header that the window cuts is looked at in the next one.
            at += (bytes.len() - FRAME_HEADER_BYTES) as u64 / 8 * 8 + 8;
        }
        Ok(torn)
    }
}
