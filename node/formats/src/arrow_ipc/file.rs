//! Files of Arrow's file format: a stream's messages, and a footer that says where each lies. Each is looked at before
//! Arrow's reader gets it, as those of bodies are.

use std::collections::BTreeSet;
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use activestore_types::{Error, Result};
use arrow::buffer::{Buffer, MutableBuffer};
use arrow::error::ArrowError;
use arrow::ipc::convert::fb_to_schema;
use arrow::ipc::reader::{FileDecoder, read_footer_length};
use arrow::ipc::{Block, root_as_footer};
use arrow::record_batch::RecordBatch;

use super::{Bounds, message, plain};

/// At the end of a file: how long the footer is, and the mark.
const TAIL_BYTES: usize = 10;
/// The longest footer: it names each message by 24 bytes.
const FOOTER_BYTES_MAX: usize = 16 << 20;

/// Yields the record batches of a file, with plain columns.
pub struct ArrowFile {
    file: File,
    length: u64,
    decoder: FileDecoder,
    bounds: Bounds,
    batches: std::vec::IntoIter<Block>,
    failed: bool,
}

impl ArrowFile {
    /// Reads the footer and all dictionaries. Of the columns only those that are named are read, in the file's order, or
    /// all where none is.
    ///
    /// # Errors
    /// `Invalid` where the file is no whole Arrow file, lacks a column, or would take more memory than it may.
    pub fn open(file: File, columns: &[String]) -> Result<Self> {
        let length = file.metadata()?.len();
        let footer = footer(&file, length)?;
        let (schema, version, dictionaries, batches) = guarded(|| {
            let footer =
                root_as_footer(&footer).map_err(|error| ArrowError::IpcError(error.to_string()))?;
            let schema = footer
                .schema()
                .filter(|schema| schema.endianness().equals_to_target_endianness());
            let schema = Arc::new(fb_to_schema(schema.ok_or_else(other_order)?));
            let dictionaries = footer.dictionaries().into_iter().flatten();
            let batches = footer.recordBatches().into_iter().flatten();
            Ok((
                schema,
                footer.version(),
                dictionaries.copied().collect::<Vec<Block>>(),
                batches.copied().collect::<Vec<Block>>(),
            ))
        })?;
        let fields = schema.fields().len();
        let mut decoder = FileDecoder::new(schema.clone(), version);
        let mut passed = 0;
        if !columns.is_empty() {
            let places = columns.iter().map(|name| {
                let place = schema.index_of(name);
                place.map_err(|error| Error::invalid(format!("the file: {error}")))
            });
            let places = places.collect::<Result<BTreeSet<usize>>>()?;
            passed = fields - places.len();
            decoder = decoder.with_projection(places.into_iter().collect());
        }
        let mut opened = ArrowFile {
            file,
            length,
            decoder,
            bounds: Bounds::passing(passed),
            batches: batches.into_iter(),
            failed: false,
        };
        for block in dictionaries {
            let bytes = opened.message(&block)?;
            guarded(|| opened.decoder.read_dictionary(&block, &bytes))?;
        }
        Ok(opened)
    }

    fn read(&mut self) -> Result<Option<RecordBatch>> {
        while let Some(block) = self.batches.next() {
            let bytes = self.message(&block)?;
            if let Some(batch) = guarded(|| self.decoder.read_record_batch(&block, &bytes))? {
                return plain(&batch).map(Some);
            }
        }
        Ok(None)
    }

    /// The message that lies there, once it was looked at.
    fn message(&mut self, block: &Block) -> Result<Buffer> {
        let size = |length: i64| usize::try_from(length).map_err(|_| cut());
        let (head, body) = (
            size(i64::from(block.metaDataLength()))?,
            size(block.bodyLength())?,
        );
        let bytes = head.checked_add(body).ok_or_else(cut)?;
        let most = self.bounds.unpacked_max();
        if u64::try_from(bytes).is_ok_and(|bytes| bytes > most) {
            return Err(Error::invalid(format!(
                "a batch of the file has {bytes} bytes; at most {most} are taken"
            ))
            .with_hint("write rows in smaller batches"));
        }
        let bytes = read_at(&self.file, self.length, size(block.offset())?, bytes)?;
        let mut left = bytes.as_slice();
        let (told, lying) = message(&mut left)?.ok_or_else(cut)?;
        // Arrow's reader goes by the footer, not by what the message says of itself.
        if lying.len() != body || !left.is_empty() {
            return Err(cut());
        }
        self.bounds.check(told, lying)?;
        Ok(bytes)
    }
}

impl Iterator for ArrowFile {
    type Item = Result<RecordBatch>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.failed {
            return None;
        }
        let next = self.read();
        self.failed = next.is_err();
        next.transpose()
    }
}

fn footer(file: &File, length: u64) -> Result<Buffer> {
    let place = |before: usize| {
        let length = usize::try_from(length).map_err(|_| cut())?;
        length.checked_sub(before).ok_or_else(cut)
    };
    let tail = read_at(file, length, place(TAIL_BYTES)?, TAIL_BYTES)?;
    let tail: [u8; TAIL_BYTES] = tail.as_slice().try_into().map_err(|_| cut())?;
    let footer = guarded(|| read_footer_length(tail))?;
    if footer > FOOTER_BYTES_MAX {
        return Err(Error::invalid(format!(
            "the footer of the file says that it has {footer} bytes; at most {FOOTER_BYTES_MAX} are taken"
        ))
        .with_hint("write larger batches"));
    }
    read_at(file, length, place(TAIL_BYTES + footer)?, footer)
}

/// Bytes of the file, if it has them.
fn read_at(file: &File, length: u64, start: usize, bytes: usize) -> Result<Buffer> {
    let start = u64::try_from(start).map_err(|_| cut())?;
    let end = start.checked_add(bytes as u64);
    if end.is_none_or(|end| end > length) {
        return Err(cut());
    }
    let mut buffer = MutableBuffer::from_len_zeroed(bytes);
    file.read_exact_at(buffer.as_slice_mut(), start)?;
    Ok(buffer.into())
}

fn other_order() -> ArrowError {
    ArrowError::IpcError(
        "it has no schema, or numbers of a machine of the other byte order".to_owned(),
    )
}

/// Arrow's reader panics on some of what it does not expect; that is an error of the file.
fn guarded<T>(read: impl FnOnce() -> std::result::Result<T, ArrowError>) -> Result<T> {
    match catch_unwind(AssertUnwindSafe(read)) {
        Ok(Ok(value)) => Ok(value),
        Ok(Err(error)) => Err(Error::invalid(format!(
            "the file is not a whole Arrow file: {error}"
        ))),
        Err(_) => Err(cut()),
    }
}

fn cut() -> Error {
    Error::invalid("the file is not a whole Arrow file: it is cut, or damaged")
}

#[cfg(test)]
mod tests;
