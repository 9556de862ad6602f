//! Snappy blocks: how long one says that it is, looked at before anything is allocated, and its bytes.

use activestore_types::{Error, Result};

/// What a byte of a block can come to at most: a copy of 64 bytes takes three.
const RATIO_MAX: usize = 22;

/// How many bytes come out of a block.
///
/// # Errors
/// `Invalid` where the block does not begin as one, or announces more than its bytes can hold.
pub fn unpacked_len(packed: &[u8]) -> Result<usize> {
    if packed.is_empty() {
        // The crate takes it for a block of nothing, which is one byte long.
        return Err(broken());
    }
    let announced = snap::raw::decompress_len(packed).map_err(|_| broken())?;
    if announced > packed.len().saturating_mul(RATIO_MAX) {
        return Err(broken());
    }
    Ok(announced)
}

/// The bytes of a block, whose length [`unpacked_len`] told.
///
/// # Errors
/// `Invalid` for a block that is cut off or damaged.
pub fn unpack(packed: &[u8]) -> Result<Vec<u8>> {
    let mut out = vec![0; unpacked_len(packed)?];
    let written = snap::raw::Decoder::new()
        .decompress(packed, &mut out)
        .map_err(|_| broken())?;
    out.truncate(written);
    Ok(out)
}

fn broken() -> Error {
    Error::invalid("the body is not a whole snappy block")
        .with_hint("remote write is packed by snappy's block format, without frames")
}
