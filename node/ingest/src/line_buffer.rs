//! A growing window on a reader, cut into pieces by the parser that looks at it. It holds at most
//! one chunk and one record; it knows no format.

use std::io::Read;

use activestore_types::{Error, Result};

/// How much is read at a time.
const READ_BYTES: usize = 256 << 10;

/// Unconsumed bytes of a reader.
pub(crate) struct LineBuffer<R> {
    reader: R,
    bytes: Vec<u8>,
    start: usize,
    ended: bool,
    consumed: u64,
}

impl<R: Read> LineBuffer<R> {
    pub(crate) fn new(reader: R) -> Self {
        LineBuffer {
            reader,
            bytes: Vec::new(),
            start: 0,
            ended: false,
            consumed: 0,
        }
    }

    /// What has been read and not consumed.
    pub(crate) fn window(&self) -> &[u8] {
        self.bytes.get(self.start..).unwrap_or_default()
    }

    /// Whether the window reaches to the end of the file.
    pub(crate) fn ended(&self) -> bool {
        self.ended
    }

    /// Bytes consumed so far.
    pub(crate) fn consumed(&self) -> u64 {
        self.consumed
    }

    /// Drops `count` bytes from the window's front.
    pub(crate) fn consume(&mut self, count: usize) {
        let count = count.min(self.window().len());
        self.start += count;
        self.consumed += count as u64;
    }

    /// Reads until the window holds `bytes` or the file has ended.
    pub(crate) fn fill(&mut self, bytes: usize) -> Result<()> {
        if self.start > 0 && self.window().len() < bytes {
            self.bytes.drain(..self.start);
            self.start = 0;
        }
        while !self.ended && self.window().len() < bytes {
            self.read_more()?;
        }
        Ok(())
    }

    fn read_more(&mut self) -> Result<()> {
        let before = self.bytes.len();
        let limit = READ_BYTES as u64;
        let read = (&mut self.reader)
            .take(limit)
            .read_to_end(&mut self.bytes)
            .map_err(|error| Error::invalid(format!("the input cannot be read: {error}")))?;
        self.ended = read < READ_BYTES && self.bytes.len() - before < READ_BYTES;
        Ok(())
    }
}
