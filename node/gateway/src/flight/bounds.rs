//! What a message of rows says of itself, looked at before any of it is believed: packed columns announce how large
//! they are, and the memory for it would be taken at once.

use activestore_types::{Error, Result};
use arrow::ipc::{MessageHeader, root_as_message};
use arrow_flight::FlightData;

/// Rows of one message.
const ROWS_MAX: i64 = 16 * 1024 * 1024;
/// What the packed columns of one message may come to.
const UNPACKED_BYTES_MAX: u64 = 256 * 1024 * 1024;
/// Before a packed column: its length, or that it is not packed.
const LENGTH_BYTES: usize = 8;
const NOT_PACKED: i64 = -1;

/// Looks at a message.
///
/// # Errors
/// `Invalid` for one that is broken, or would take more memory than a message may.
pub(super) fn check(data: &FlightData) -> Result<()> {
    let message = root_as_message(&data.data_header).map_err(|_| broken("its head"))?;
    let batch = match message.header_type() {
        MessageHeader::NONE | MessageHeader::Schema => return Ok(()),
        MessageHeader::RecordBatch => message.header_as_record_batch(),
        MessageHeader::DictionaryBatch => message
            .header_as_dictionary_batch()
            .and_then(|dictionary| dictionary.data()),
        _ => {
            return Err(Error::invalid("a message holds no rows")
                .with_hint("send record batches; tensors are not stored"));
        }
    };
    let batch = batch.ok_or_else(|| broken("what it holds"))?;
    if !(0..=ROWS_MAX).contains(&batch.length()) {
        return Err(Error::invalid(format!(
            "a batch says that it has {} rows; at most {ROWS_MAX} are taken",
            batch.length()
        ))
        .with_hint("send rows in smaller batches"));
    }
    if batch.compression().is_none() {
        return Ok(());
    }
    let mut unpacked = 0_u64;
    for buffer in batch.buffers().into_iter().flatten() {
        if buffer.length() == 0 {
            continue;
        }
        let start = usize::try_from(buffer.offset()).map_err(|_| broken("a place"))?;
        let length = data
            .data_body
            .get(start..)
            .and_then(<[u8]>::first_chunk::<LENGTH_BYTES>)
            .ok_or_else(|| broken("a place"))?;
        let length = i64::from_le_bytes(*length);
        let length = if length == NOT_PACKED {
            buffer.length()
        } else {
            length
        };
        let length = u64::try_from(length).map_err(|_| broken("a length"))?;
        unpacked = unpacked.saturating_add(length);
    }
    if unpacked > UNPACKED_BYTES_MAX {
        return Err(Error::invalid(format!(
            "a batch comes to {unpacked} bytes when it is unpacked; at most {UNPACKED_BYTES_MAX} are taken"
        ))
        .with_hint("send rows in smaller batches"));
    }
    Ok(())
}

fn broken(what: &str) -> Error {
    Error::invalid(format!(
        "a message of rows is broken: {what} cannot be read"
    ))
}
