//! JSON and NDJSON files of any size, in bounded chunks.

use std::io::Read;

use activestore_types::Result;

use super::elements::Elements;
use super::{JsonOptions, Pass};
use crate::line_buffer::LineBuffer;
use crate::parsed::Chunk;

/// How many rows one chunk holds at most, unless set otherwise.
const CHUNK_ROWS: usize = 10_000;

/// Bytes in view at a time; with one longest row more it bounds the reader's memory.
const WINDOW_BYTES: usize = 4 << 20;

/// Yields the rows of a JSON or NDJSON file in chunks; refused rows come with each chunk.
pub struct JsonReader<R> {
    buffer: LineBuffer<R>,
    elements: Elements,
    options: JsonOptions,
    chunk_rows: usize,
    failed: bool,
}

impl<R: Read> JsonReader<R> {
    /// Reads from the start of `reader`; numbers count from 1.
    pub fn new(reader: R, options: JsonOptions) -> Self {
        JsonReader {
            buffer: LineBuffer::new(reader),
            elements: Elements::new(options.shape, options.row_bytes_max),
            options: JsonOptions {
                rejected_max: usize::MAX,
                ..options
            },
            chunk_rows: CHUNK_ROWS,
            failed: false,
        }
    }

    /// Sets how many rows a chunk holds at most.
    #[must_use]
    pub fn with_chunk_rows(mut self, rows: usize) -> Self {
        self.chunk_rows = rows.max(1);
        self
    }

    fn read(&mut self) -> Result<Option<Chunk>> {
        let mut wanted = WINDOW_BYTES;
        loop {
            self.buffer.fill(wanted)?;
            let ended = self.buffer.ended();
            let mut pass = Pass::new(&self.options);
            let used = pass.run(
                &mut self.elements,
                self.buffer.window(),
                ended,
                self.chunk_rows,
            );
            let parsed = pass.finish();
            self.buffer.consume(used);
            if parsed.lines > 0 {
                return Ok(Some(Chunk {
                    batches: parsed.batches,
                    rejected: parsed.rejected,
                    lines: parsed.lines,
                    bytes_read: self.buffer.consumed(),
                    row_lines: parsed.row_lines,
                }));
            }
            if ended && (used == 0 || self.buffer.window().is_empty()) {
                return Ok(None);
            }
            if used == 0 {
                wanted = self.buffer.window().len() + WINDOW_BYTES;
            }
        }
    }
}

impl<R: Read> Iterator for JsonReader<R> {
    type Item = Result<Chunk>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.failed {
            return None;
        }
        let chunk = self.read();
        self.failed = chunk.is_err();
        chunk.transpose()
    }
}
