//! Arrow IPC streams: record batches of one table, each a batch of rows. Names and types are the
//! stream's; whether they fit the table is for the database to say.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use activestore_types::{Error, KeyHint, NamedBatch, Result, TableName};
use arrow::array::Array;
use arrow::buffer::Buffer;
use arrow::error::ArrowError;
use arrow::ipc::reader::StreamDecoder;
use arrow::ipc::root_as_message;
use arrow::record_batch::RecordBatch;

mod apart;
mod bounds;
mod file;
mod plain;

pub use apart::apart;
pub use bounds::Bounds;
pub use file::ArrowFile;
pub use plain::plain;
use plain::plain_bytes;

/// What the rows of one body may come to once they are unpacked and spread out.
const BODY_BYTES_MAX: u64 = 256 * 1024 * 1024;
/// Before a message's length; older writers leave it out.
const CONTINUATION: u32 = u32::MAX;
const LENGTH_BYTES: usize = 4;
/// How a stream ends.
const END: [u8; 8] = [0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0];
/// Rows that lie in a body keep it in memory as a whole, so they are to be at least one in so many of its bytes.
const LOOSE_SHARE: usize = 2;

/// Yields the batches of an Arrow IPC stream, whose columns lie where the body does.
pub struct ArrowReader {
    decoder: StreamDecoder,
    /// The messages that are not read yet, and then the stream's end.
    rest: Buffer,
    ended: bool,
    body_bytes: usize,
    table: TableName,
    ttl_s: Option<u64>,
    create: Option<KeyHint>,
    /// What columns come to that are packed, as they say.
    unpacked: u64,
    /// What columns came to that were spread out.
    spread: u64,
    /// What the rows may come to, and those so far.
    rows_bytes_max: usize,
    rows_bytes: usize,
    exceeded: bool,
    failed: bool,
}

impl ArrowReader {
    /// Reads a stream, once all of its messages were looked at.
    ///
    /// # Errors
    /// `Invalid` where the bytes are no whole Arrow IPC stream, or would take more memory than a body may.
    pub fn new(body: Buffer, table: TableName) -> Result<Self> {
        let (unpacked, messages_bytes) = look_at(&body)?;
        Ok(ArrowReader {
            decoder: StreamDecoder::new(),
            rest: body.slice_with_length(0, messages_bytes),
            ended: false,
            body_bytes: body.len(),
            table,
            ttl_s: None,
            create: None,
            unpacked,
            spread: 0,
            rows_bytes_max: usize::MAX,
            rows_bytes: 0,
            exceeded: false,
            failed: false,
        })
    }

    /// Sets what the rows may come to. The batches end before more is unpacked or spread out.
    #[must_use]
    pub fn within(mut self, rows_bytes_max: usize) -> Self {
        self.rows_bytes_max = rows_bytes_max;
        self
    }

    /// Whether the batches ended because the rows come to more than they may.
    pub fn is_exceeded(&self) -> bool {
        self.exceeded
    }

    /// Whether so many bytes of rows are so little of the body that they are to be put [`apart`] from it.
    pub fn is_loose(&self, bytes: usize) -> bool {
        bytes < self.body_bytes / LOOSE_SHARE
    }

    /// Sets the rows' time to live in seconds and the key to create the table with.
    #[must_use]
    pub fn with_options(mut self, ttl_s: Option<u64>, create: Option<KeyHint>) -> Self {
        self.ttl_s = ttl_s;
        self.create = create;
        self
    }
}

impl Iterator for ArrowReader {
    type Item = Result<NamedBatch>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.failed {
            return None;
        }
        let next = self.read();
        self.failed = next.is_err();
        Some(next.transpose()?.map(|batch| NamedBatch {
            ttl_s: self.ttl_s,
            create: self.create.clone(),
            ..NamedBatch::from_record_batch(self.table.clone(), &batch)
        }))
    }
}

impl ArrowReader {
    /// The next batch as it lies in the body.
    fn decode(&mut self) -> Result<Option<RecordBatch>, ArrowError> {
        loop {
            while !self.rest.is_empty() {
                if let Some(batch) = self.decoder.decode(&mut self.rest)? {
                    return Ok(Some(batch));
                }
            }
            if std::mem::replace(&mut self.ended, true) {
                break;
            }
            // A message without a body is read once something follows it.
            self.rest = Buffer::from(END);
        }
        self.decoder.finish()?;
        match self.decoder.schema() {
            Some(_) => Ok(None),
            None => Err(ArrowError::IpcError("it has no schema".to_owned())),
        }
    }

    /// The next batch, with plain columns.
    fn read(&mut self) -> Result<Option<RecordBatch>> {
        let unpacked = usize::try_from(self.unpacked).unwrap_or(usize::MAX);
        self.exceeded |= unpacked > self.rows_bytes_max;
        if self.exceeded {
            return Ok(None);
        }
        let Some(batch) = guarded(|| self.decode())? else {
            return Ok(None);
        };
        self.rows_bytes = self.rows_bytes.saturating_add(plain_bytes(&batch)?);
        self.exceeded = self.rows_bytes > self.rows_bytes_max;
        if self.exceeded {
            return Ok(None);
        }
        let plain = plain(&batch)?;
        for (before, after) in batch.columns().iter().zip(plain.columns()) {
            if !Arc::ptr_eq(before, after) {
                let bytes = after.to_data().get_slice_memory_size()?;
                let bytes = u64::try_from(bytes).unwrap_or(u64::MAX);
                self.spread = self.spread.saturating_add(bytes);
            }
        }
        within(self.spread, "spread out")?;
        Ok(Some(plain))
    }
}

/// Looks at all messages of a body before any of them is read: Arrow's reader takes the memory that they announce. Gives
/// what packed columns come to, and how many bytes the messages are.
fn look_at(body: &[u8]) -> Result<(u64, usize)> {
    let (mut bounds, mut left, mut unpacked) = (Bounds::default(), body, 0_u64);
    let mut messages_bytes = 0;
    while let Some((head, rows)) = message(&mut left)? {
        unpacked = unpacked.saturating_add(bounds.check(head, rows)?);
        within(unpacked, "unpacked")?;
        messages_bytes = body.len() - left.len();
    }
    Ok((unpacked, messages_bytes))
}

fn within(bytes: u64, when: &str) -> Result<()> {
    if bytes <= BODY_BYTES_MAX {
        return Ok(());
    }
    Err(Error::invalid(format!(
        "the rows of the body come to {bytes} bytes when they are {when}; at most {BODY_BYTES_MAX} are taken"
    ))
    .with_hint("send them in several requests"))
}

/// Takes a message off a stream: its head and its body. `None` at the stream's end.
fn message<'a>(left: &mut &'a [u8]) -> Result<Option<(&'a [u8], &'a [u8])>> {
    // A stream may end without saying so, as for Arrow's reader.
    let Some(mut length) = length(left) else {
        return Ok(None);
    };
    if length == CONTINUATION {
        length = self::length(left).ok_or_else(cut)?;
    }
    if length == 0 {
        return Ok(None);
    }
    let head = taken(left, i64::from(length))?;
    let message = root_as_message(head).map_err(|error| {
        Error::invalid(format!("the body is not a whole Arrow IPC stream: {error}"))
    })?;
    let body = taken(left, message.bodyLength())?;
    Ok(Some((head, body)))
}

fn length(left: &mut &[u8]) -> Option<u32> {
    let (length, rest) = left.split_first_chunk::<LENGTH_BYTES>()?;
    *left = rest;
    Some(u32::from_le_bytes(*length))
}

fn taken<'a>(left: &mut &'a [u8], length: i64) -> Result<&'a [u8]> {
    let length = usize::try_from(length).map_err(|_| cut())?;
    let (taken, rest) = left.split_at_checked(length).ok_or_else(cut)?;
    *left = rest;
    Ok(taken)
}

fn cut() -> Error {
    Error::invalid("the body is not a whole Arrow IPC stream: a message is cut")
}

/// All batches of a body.
///
/// # Errors
/// `Invalid` for bytes that are no Arrow IPC stream, or one that is cut inside a message.
pub fn parse(body: &[u8], table: &TableName) -> Result<Vec<NamedBatch>> {
    ArrowReader::new(Buffer::from(body), table.clone())?.collect()
}

/// Arrow's reader checks most of what it reads and panics on some of the rest; hostile bytes are
/// an error to us either way.
fn guarded<T>(read: impl FnOnce() -> Result<T, ArrowError>) -> Result<T> {
    match catch_unwind(AssertUnwindSafe(read)) {
        Ok(Ok(value)) => Ok(value),
        Ok(Err(error)) => Err(Error::invalid(format!(
            "the body is not a whole Arrow IPC stream: {error}"
        ))),
        Err(_) => Err(Error::invalid("the body is not a whole Arrow IPC stream")),
    }
}

#[cfg(test)]
mod tests;
