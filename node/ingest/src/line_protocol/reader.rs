//! Line protocol files of any size, in bounded chunks.

use std::io::Read;

use activestore_types::Result;

use super::{Block, Chunk, LineBuffer, LineProtocolOptions};

/// How many rows one chunk holds at most, unless set otherwise.
const CHUNK_ROWS: usize = 10_000;

/// Bytes in view at a time; with one longest line more it bounds the reader's memory.
const WINDOW_BYTES: usize = 4 << 20;

/// Yields the rows of a line protocol file in chunks; refused lines come with each chunk.
pub struct LineProtocolReader<R> {
    buffer: LineBuffer<R>,
    options: LineProtocolOptions,
    line: u64,
    skip_line: bool,
    chunk_rows: usize,
    failed: bool,
}

impl<R: Read> LineProtocolReader<R> {
    /// Reads from the start of `reader`; line numbers count from 1.
    pub fn new(reader: R, options: LineProtocolOptions) -> Self {
        LineProtocolReader {
            buffer: LineBuffer::new(reader),
            options: LineProtocolOptions {
                rejected_max: usize::MAX,
                ..options
            },
            line: 1,
            skip_line: false,
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
            let mut block = Block::new(&self.options, self.line);
            block.skip_line = self.skip_line;
            let used = block.run(self.buffer.window(), ended, self.chunk_rows);
            (self.line, self.skip_line) = (block.line, block.skip_line);
            let parsed = block.finish();
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
            if ended && self.buffer.window().is_empty() {
                return Ok(None);
            }
            if used == 0 {
                // One line fills the window: look further, up to where the parser refuses it.
                wanted = self.buffer.window().len() + WINDOW_BYTES;
            }
        }
    }
}

impl<R: Read> Iterator for LineProtocolReader<R> {
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
