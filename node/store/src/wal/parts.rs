//! The rows of partitions that have a data key of their own, within a log record: each key's rows are a
//! part, encrypted under that key, behind the rest. A part whose key was destroyed is passed over: its
//! rows were erased, in every copy of the log.
//!
//! ```text
//! payload = MARK | header length u32 | header | buffers | part … | where the first part begins u32
//! part = own key u32 | length u32 | a payload without parts, encrypted
//! ```

use activestore_env::ValueSealer;
use activestore_types::{Error, ErrorKind, Result};
use arrow::buffer::{Buffer, MutableBuffer};

use super::column::{Reuse, short};
use super::encoded::{Beside, Encoded};
use super::frame::FRAME_HEADER_BYTES;
use super::record::{decode_plain, payload_of, too_large};
use crate::write_set::WriteSet;

/// Set in the length of a header that parts follow.
pub(super) const MARK: u32 = 1 << 31;

/// The name that parts are sealed by. Their place is that of the record, which is sealed by its own.
const NAME: &[u8] = b"part";

/// A commit's record whose parts are encrypted under the keys beside them.
///
/// # Errors
/// As [`super::record::encode`]; `Denied` where a key was destroyed.
pub(crate) fn encode(
    set: &WriteSet,
    parts: &[(u32, WriteSet)],
    sealer: &ValueSealer,
) -> Result<Encoded> {
    let mut bytes = payload_of(set)?;
    let begin = bytes.len() - FRAME_HEADER_BYTES;
    let begin = u32::try_from(begin).map_err(|_| too_large(begin))?;
    for (own, part) in parts {
        let mut part = payload_of(part)?;
        sealer.seal_under(*own, NAME, &mut part, FRAME_HEADER_BYTES)?;
        let part = part.get(FRAME_HEADER_BYTES..).unwrap_or_default();
        let length = u32::try_from(part.len()).map_err(|_| too_large(part.len()))?;
        bytes.extend_from_slice(&own.to_le_bytes());
        bytes.extend_from_slice(&length.to_le_bytes());
        bytes.extend_from_slice(part);
    }
    bytes.extend_from_slice(&begin.to_le_bytes());
    // The mark is the highest bit of the length's last byte.
    if let Some(last) = bytes.get_mut(FRAME_HEADER_BYTES + 3) {
        *last |= (MARK >> 24) as u8;
    }
    Encoded::framed(bytes, Beside::default())
}

/// Decodes a payload that has parts.
///
/// # Errors
/// `Corrupt` for bytes that are none.
pub(super) fn decode(
    payload: &Buffer,
    reuse: &mut Reuse,
    sealer: Option<&ValueSealer>,
) -> Result<WriteSet> {
    let sealer = sealer.ok_or_else(|| {
        Error::corrupt("a log record has encrypted parts where nothing is encrypted")
    })?;
    let (body, begin) = payload
        .as_slice()
        .split_last_chunk::<4>()
        .ok_or_else(short)?;
    let begin = u32::from_le_bytes(*begin) as usize;
    let (rest, mut parts) = body.split_at_checked(begin).ok_or_else(short)?;
    let (length, rest) = rest.split_first_chunk::<4>().ok_or_else(short)?;
    let length = (u32::from_le_bytes(*length) & !MARK) as usize;
    let mut set = decode_plain(&payload.slice_with_length(0, begin), rest, length, reuse)?;
    while !parts.is_empty() {
        let (_own, rest) = parts.split_first_chunk::<4>().ok_or_else(short)?;
        let (length, rest) = rest.split_first_chunk::<4>().ok_or_else(short)?;
        let length = u32::from_le_bytes(*length) as usize;
        let (sealed, rest) = rest.split_at_checked(length).ok_or_else(short)?;
        parts = rest;
        let mut opened = MutableBuffer::with_capacity(sealed.len());
        opened.extend_from_slice(sealed);
        match sealer.open(NAME, opened.as_slice_mut()) {
            Ok(length) => opened.truncate(length),
            Err(error) if error.kind() == ErrorKind::Denied => continue,
            Err(error) => return Err(error),
        }
        let opened: Buffer = opened.into();
        let (length, rest) = opened
            .as_slice()
            .split_first_chunk::<4>()
            .ok_or_else(short)?;
        // A part has no parts: with its mark, the length is more than there is.
        let length = u32::from_le_bytes(*length) as usize;
        let part = decode_plain(&opened, rest, length, reuse)?;
        set.batches.extend(part.batches);
    }
    Ok(set)
}
