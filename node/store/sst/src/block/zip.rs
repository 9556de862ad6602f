//! zstd on top of a payload, where it gains enough to be worth undoing.

use std::cell::RefCell;

use activestore_types::{Error, Result};
use zstd::bulk::{Compressor, Decompressor};

use super::cursor::{Cursor, push_varint};

/// A payload above this is not compressed, which bounds what reading one can allocate.
pub(crate) const PAYLOAD_BYTES_MAX: usize = 64 << 20;
const LEVEL: i32 = 1;
/// Below this there is nothing to gain.
const PAYLOAD_BYTES_MIN: usize = 64;
/// Payloads that are left alone after one did not shrink.
const PAUSE: u32 = 7;

/// Compresses the payloads of one column.
#[derive(Default)]
pub(crate) struct Zipper {
    compressor: Option<Compressor<'static>>,
    pause: u32,
}

impl Zipper {
    /// The compressed payload with its length before it; `None` where less than an eighth is gained.
    pub(crate) fn squeeze(&mut self, payload: &[u8]) -> Option<Vec<u8>> {
        if !(PAYLOAD_BYTES_MIN..=PAYLOAD_BYTES_MAX).contains(&payload.len()) {
            return None;
        }
        if self.pause > 0 {
            self.pause -= 1;
            return None;
        }
        if self.compressor.is_none() {
            self.compressor = Compressor::new(LEVEL).ok();
        }
        let squeezed = self.compressor.as_mut()?.compress(payload).ok()?;
        if squeezed.len() + 4 > payload.len() / 8 * 7 {
            self.pause = PAUSE;
            return None;
        }
        let mut out = Vec::with_capacity(squeezed.len() + 4);
        push_varint(payload.len() as u64, &mut out);
        out.extend(squeezed);
        Some(out)
    }
}

thread_local! {
    // A decompressor holds its tables between calls; making one costs more than most payloads.
    static DECOMPRESSOR: RefCell<Option<Decompressor<'static>>> = const { RefCell::new(None) };
}

/// The payload that [`Zipper::squeeze`] was given.
///
/// # Errors
/// `Corrupt` for bytes that are not zstd or a length that is not the payload's.
pub(crate) fn expand(mut bytes: Cursor<'_>) -> Result<Vec<u8>> {
    let length = bytes.count("payload bytes", PAYLOAD_BYTES_MAX)?;
    let squeezed = bytes.take_rest();
    let payload = DECOMPRESSOR.with_borrow_mut(|slot| {
        let decompressor = match slot {
            Some(decompressor) => decompressor,
            None => slot.insert(Decompressor::new()?),
        };
        decompressor.decompress(squeezed, length)
    });
    match payload {
        Ok(payload) if payload.len() == length => Ok(payload),
        Ok(payload) => Err(Error::corrupt(format!(
            "a compressed payload holds {} bytes where {length} are expected",
            payload.len()
        ))),
        Err(error) => Err(Error::corrupt(format!(
            "a compressed payload cannot be read: {error}"
        ))),
    }
}
