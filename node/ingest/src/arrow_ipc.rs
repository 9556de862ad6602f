//! Arrow IPC streams: record batches of one table, each a batch of rows. Names and types are the
//! stream's; whether they fit the table is for the database to say.

use std::io::Read;
use std::panic::{AssertUnwindSafe, catch_unwind};

use activestore_types::{Error, KeyHint, NamedBatch, Result, TableName};
use arrow::ipc::reader::StreamReader;

/// Yields the batches of an Arrow IPC stream.
pub struct ArrowReader<R: Read> {
    reader: StreamReader<R>,
    table: TableName,
    ttl_s: Option<u64>,
    create: Option<KeyHint>,
    failed: bool,
}

impl<R: Read> ArrowReader<R> {
    /// Reads the stream's schema.
    ///
    /// # Errors
    /// `Invalid` where the bytes do not start an Arrow IPC stream.
    pub fn new(reader: R, table: TableName) -> Result<Self> {
        let reader = guarded(|| StreamReader::try_new(reader, None))?;
        Ok(ArrowReader {
            reader,
            table,
            ttl_s: None,
            create: None,
            failed: false,
        })
    }

    /// Sets the rows' time to live in seconds and the key to create the table with.
    #[must_use]
    pub fn with_options(mut self, ttl_s: Option<u64>, create: Option<KeyHint>) -> Self {
        self.ttl_s = ttl_s;
        self.create = create;
        self
    }
}

impl<R: Read> Iterator for ArrowReader<R> {
    type Item = Result<NamedBatch>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.failed {
            return None;
        }
        let next = guarded(|| self.reader.next().transpose());
        self.failed = next.is_err();
        Some(next.transpose()?.map(|batch| NamedBatch {
            ttl_s: self.ttl_s,
            create: self.create.clone(),
            ..NamedBatch::from_record_batch(self.table.clone(), &batch)
        }))
    }
}

/// All batches of a body.
///
/// # Errors
/// `Invalid` for bytes that are no Arrow IPC stream, or one that is cut inside a message.
pub fn parse(body: &[u8], table: &TableName) -> Result<Vec<NamedBatch>> {
    ArrowReader::new(body, table.clone())?.collect()
}

/// Arrow's reader checks most of what it reads and panics on some of the rest; hostile bytes are
/// an error to us either way.
fn guarded<T>(read: impl FnOnce() -> Result<T, arrow::error::ArrowError>) -> Result<T> {
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
