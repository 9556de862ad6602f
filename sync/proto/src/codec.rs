//! Frames as bytes: `length u32 LE | CRC32C u32 LE | version u8 | postcard body`. The length counts
//! version and body, and so does the checksum. Whatever bytes come in, the outcome is a frame within
//! its bounds or an error; nothing is allocated for a length that is not allowed.

use activestore_types::{Error, Result};
use bytes::{Buf, BytesMut};

use crate::frame::Frame;
use crate::limits::{FRAME_SLACK_BYTES, MAX_DIGEST_TABLES, MAX_FRAME_BYTES, MAX_NAME_BYTES};

/// The version of the frames' form.
pub const WIRE_VERSION: u8 = 1;

/// Bytes before the counted part.
pub const HEADER_BYTES: usize = 8;

/// The largest counted part: a full segment, or a full list of digests, whichever is larger.
pub const MAX_BODY_BYTES: usize = {
    let segment = MAX_FRAME_BYTES + FRAME_SLACK_BYTES;
    let digests = MAX_DIGEST_TABLES * (2 * (MAX_NAME_BYTES + 2) + 32) + FRAME_SLACK_BYTES;
    if segment > digests { segment } else { digests }
};

/// The frame as bytes.
///
/// # Errors
/// `Invalid` when a part of it is out of bounds.
pub fn encode(frame: &Frame) -> Result<Vec<u8>> {
    frame.check_bounds()?;
    let mut out = vec![0; HEADER_BYTES];
    out.push(WIRE_VERSION);
    let mut out = postcard::to_extend(frame, out)
        .map_err(|error| Error::internal(format!("a {} frame: {error}", frame.name())))?;
    let counted = out.get(HEADER_BYTES..).unwrap_or_default();
    if counted.len() > MAX_BODY_BYTES {
        return Err(Error::invalid(format!(
            "a {} frame of {} bytes is larger than the {MAX_BODY_BYTES} allowed",
            frame.name(),
            counted.len()
        )));
    }
    let length = (counted.len() as u32).to_le_bytes();
    let crc = crc32c::crc32c(counted).to_le_bytes();
    for (to, from) in out.iter_mut().zip(length.into_iter().chain(crc)) {
        *to = from;
    }
    Ok(out)
}

/// The one frame that `bytes` are.
///
/// # Errors
/// `Corrupt` or `Invalid` when they are not exactly one frame within its bounds.
pub fn decode(bytes: &[u8]) -> Result<Frame> {
    let mut reader = FrameReader::new();
    reader.push(bytes);
    match reader.next_frame()? {
        Some(frame) if reader.is_empty() => Ok(frame),
        Some(_) => Err(Error::corrupt("bytes follow the frame")),
        None => Err(Error::corrupt("the frame is cut short")),
    }
}

/// Cuts a stream of bytes into frames. Holds at most one frame and what was pushed last.
#[derive(Debug, Default)]
pub struct FrameReader {
    buffer: BytesMut,
}

impl FrameReader {
    /// A reader at the start of a stream.
    pub fn new() -> Self {
        FrameReader::default()
    }

    /// Takes the next bytes of the stream.
    pub fn push(&mut self, bytes: &[u8]) {
        self.buffer.extend_from_slice(bytes);
    }

    /// Whether no bytes wait.
    pub fn is_empty(&self) -> bool {
        self.buffer.is_empty()
    }

    /// The next whole frame, or `None` when more bytes are needed.
    ///
    /// # Errors
    /// `Corrupt` when the bytes are damaged, `Invalid` when they are not this protocol or out of
    /// its bounds. The stream is of no use afterwards.
    pub fn next_frame(&mut self) -> Result<Option<Frame>> {
        let Some((header, rest)) = self.buffer.split_at_checked(HEADER_BYTES) else {
            return Ok(None);
        };
        let mut header = header;
        let length = header.get_u32_le() as usize;
        let crc = header.get_u32_le();
        if length == 0 || length > MAX_BODY_BYTES {
            return Err(Error::invalid(format!(
                "a frame claims {length} bytes where 1 to {MAX_BODY_BYTES} are allowed"
            )));
        }
        let Some(counted) = rest.get(..length) else {
            return Ok(None);
        };
        if crc32c::crc32c(counted) != crc {
            return Err(Error::corrupt("a frame's checksum does not match"));
        }
        let (version, body) = counted
            .split_first()
            .ok_or_else(|| Error::invalid("a frame is empty"))?;
        if *version != WIRE_VERSION {
            return Err(Error::invalid(format!(
                "a frame is of version {version} and this node speaks {WIRE_VERSION}"
            ))
            .with_hint("update the older of the two nodes"));
        }
        let (frame, left) = postcard::take_from_bytes::<Frame>(body)
            .map_err(|error| Error::invalid(format!("a frame cannot be read: {error}")))?;
        if !left.is_empty() {
            return Err(Error::invalid(format!(
                "a {} frame has {} bytes too many",
                frame.name(),
                left.len()
            )));
        }
        frame.check_bounds()?;
        self.buffer.advance(HEADER_BYTES + length);
        Ok(Some(frame))
    }
}

#[cfg(test)]
mod tests;
