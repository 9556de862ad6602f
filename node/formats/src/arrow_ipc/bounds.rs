//! What a message of rows says of itself, looked at before any of it is believed: packed columns announce how large
//! they are, and the memory for it would be taken at once.

use std::collections::HashMap;

use activestore_types::{Error, Result};
use arrow::ipc::{MessageHeader, RecordBatch, root_as_message};

/// Rows of one message.
const ROWS_MAX: i64 = 16 * 1024 * 1024;
/// What the packed columns of one message may come to.
const UNPACKED_BYTES_MAX: u64 = 256 * 1024 * 1024;
/// What the dictionaries of one stream may come to.
const DICTIONARIES_BYTES_MAX: u64 = 512 * 1024 * 1024;
/// What may be copied for dictionaries to grow: each time that one does, all that it holds is copied.
const GROWTH_BYTES_MAX: u64 = 1024 * 1024 * 1024;
/// What a value of a dictionary takes beside its bytes.
const VALUE_BYTES: u64 = 16;
/// Before a packed column: its length, or that it is not packed.
const LENGTH_BYTES: usize = 8;
const NOT_PACKED: i64 = -1;

/// The messages of one stream, as far as they were looked at.
#[derive(Debug, Default)]
pub struct Bounds {
    /// What each dictionary comes to.
    dictionaries: HashMap<i64, u64>,
    /// All of them.
    held: u64,
    /// What was copied for them to grow.
    grown: u64,
    /// Columns that are passed over.
    passed: u64,
}

impl Bounds {
    /// Bounds of messages of which so many columns are not read: they may come to as much again for each of these.
    pub fn passing(columns: usize) -> Self {
        Bounds {
            passed: u64::try_from(columns).unwrap_or(u64::MAX),
            ..Bounds::default()
        }
    }

    /// What a message may come to.
    pub(super) fn unpacked_max(&self) -> u64 {
        UNPACKED_BYTES_MAX.saturating_mul(self.passed.saturating_add(1))
    }

    /// Looks at the next message: its head, and the body that belongs to it. Gives the bytes that its packed columns
    /// come to.
    ///
    /// # Errors
    /// `Invalid` for one that is broken, or would take more memory than a message or a stream may.
    pub fn check(&mut self, head: &[u8], body: &[u8]) -> Result<u64> {
        let message = root_as_message(head).map_err(|_| broken("its head"))?;
        match message.header_type() {
            MessageHeader::NONE => Ok(0),
            MessageHeader::Schema => {
                self.dictionaries.clear();
                self.held = 0;
                Ok(0)
            }
            MessageHeader::RecordBatch => {
                let batch = message.header_as_record_batch();
                unpacked(
                    &batch.ok_or_else(|| broken("what it holds"))?,
                    body,
                    self.unpacked_max(),
                )
            }
            MessageHeader::DictionaryBatch => {
                let dictionary = message.header_as_dictionary_batch();
                let dictionary = dictionary.ok_or_else(|| broken("what it holds"))?;
                let batch = dictionary.data().ok_or_else(|| broken("what it holds"))?;
                let unpacked = unpacked(&batch, body, self.unpacked_max())?;
                let rows = u64::try_from(batch.length()).unwrap_or(0);
                let bytes = [head.len(), body.len()]
                    .into_iter()
                    .map(|length| u64::try_from(length).unwrap_or(u64::MAX))
                    .fold(unpacked, u64::saturating_add)
                    .saturating_add(rows.saturating_mul(VALUE_BYTES));
                self.dictionary(dictionary.id(), bytes, dictionary.isDelta())?;
                Ok(unpacked)
            }
            _ => Err(Error::invalid("a message holds no rows")
                .with_hint("send record batches; tensors are not stored")),
        }
    }

    /// Takes note of a dictionary, or of what is added to one.
    fn dictionary(&mut self, id: i64, bytes: u64, is_delta: bool) -> Result<()> {
        let before = self.dictionaries.get(&id).copied().unwrap_or(0);
        let now = if is_delta {
            let now = before.saturating_add(bytes);
            self.grown = self.grown.saturating_add(now);
            now
        } else {
            bytes
        };
        self.held = self.held.saturating_sub(before).saturating_add(now);
        self.dictionaries.insert(id, now);
        let most = DICTIONARIES_BYTES_MAX.saturating_mul(self.passed.saturating_add(1));
        if self.held > most {
            return Err(Error::invalid(format!(
                "the dictionaries come to {} bytes; at most {most} are taken",
                self.held
            ))
            .with_hint("send columns of many values without a dictionary"));
        }
        if self.grown > GROWTH_BYTES_MAX {
            return Err(Error::invalid(format!(
                "a dictionary grows too often: {} bytes were copied for it, and at most {GROWTH_BYTES_MAX} are",
                self.grown
            ))
            .with_hint("send a dictionary as a whole, or let it grow by many values at once"));
        }
        Ok(())
    }
}

/// Looks at rows and where their columns lie; the bytes that packed ones come to.
fn unpacked(batch: &RecordBatch<'_>, body: &[u8], most: u64) -> Result<u64> {
    if !(0..=ROWS_MAX).contains(&batch.length()) {
        return Err(Error::invalid(format!(
            "a batch says that it has {} rows; at most {ROWS_MAX} are taken",
            batch.length()
        ))
        .with_hint("send rows in smaller batches"));
    }
    let is_packed = batch.compression().is_some();
    let (mut unpacked, mut lying) = (0_u64, 0_usize);
    for buffer in batch.buffers().into_iter().flatten() {
        let length = usize::try_from(buffer.length()).map_err(|_| broken("a length"))?;
        if length == 0 {
            continue;
        }
        let start = usize::try_from(buffer.offset()).map_err(|_| broken("a place"))?;
        let bytes = body
            .get(start..)
            .and_then(|bytes| bytes.get(..length))
            .ok_or_else(|| broken("a place"))?;
        // The same bytes for many columns would be many times as much once they are copied.
        lying = lying.saturating_add(length);
        if lying > body.len() {
            return Err(Error::invalid(
                "a message of rows is broken: its columns lie over each other",
            ));
        }
        if !is_packed {
            continue;
        }
        let announced = bytes
            .first_chunk::<LENGTH_BYTES>()
            .ok_or_else(|| broken("a length"))?;
        let announced = match i64::from_le_bytes(*announced) {
            NOT_PACKED => buffer.length(),
            announced => announced,
        };
        let announced = u64::try_from(announced).map_err(|_| broken("a length"))?;
        unpacked = unpacked.saturating_add(announced);
    }
    if unpacked > most {
        return Err(Error::invalid(format!(
            "a batch comes to {unpacked} bytes when it is unpacked; at most {most} are taken"
        ))
        .with_hint("send rows in smaller batches"));
    }
    Ok(unpacked)
}

fn broken(what: &str) -> Error {
    Error::invalid(format!(
        "a message of rows is broken: {what} cannot be read"
    ))
}
