//! Rows of CSV and NDJSON. What a decoder keeps of a row that does not end, and of rows until a batch is full, would have
//! no bound; so rows are measured before it gets them.

use std::fs::File;
use std::io::{BufRead, BufReader};

use activestore_types::{Error, Result};
use arrow::error::ArrowError;
use arrow::record_batch::RecordBatch;
use arrow::{csv, json};

/// The most bytes of one row.
const ROW_BYTES_MAX: usize = 16 << 20;
/// A batch ends with the row that makes it as long as this.
const BATCH_BYTES: usize = 16 << 20;

/// Where the bytes of a row are that come next.
#[derive(Clone, Copy, Debug)]
enum At {
    /// CSV: at the start of a field; within one that is not quoted, within one that is, and behind a quote in it.
    Field,
    Plain,
    Quoted,
    Quote,
    /// JSON: outside of texts, so many brackets deep; in a text, and behind a backslash in it.
    Depth(usize),
    Text(usize),
    Escaped(usize),
}

/// What a byte is the end of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    Nothing,
    /// Of a row, though what follows may still be its.
    Row,
    /// Of a row, behind which a batch may end.
    Batch,
}

impl At {
    fn step(self, byte: u8) -> (At, End) {
        let at = match (self, byte) {
            (At::Field | At::Plain | At::Quote, b'\n') => return (At::Field, End::Batch),
            (At::Field | At::Plain | At::Quote, b'\r') => return (At::Field, End::Row),
            (At::Field | At::Plain | At::Quote, b',') => At::Field,
            (At::Field | At::Quote, b'"') => At::Quoted,
            (At::Field | At::Plain | At::Quote, _) => At::Plain,
            (At::Quoted, b'"') => At::Quote,
            (At::Quoted, _) => At::Quoted,
            (At::Depth(depth), b'"') => At::Text(depth),
            (At::Depth(depth), b'{' | b'[') => At::Depth(depth.saturating_add(1)),
            (At::Depth(0 | 1), b'}' | b']') => return (At::Depth(0), End::Batch),
            (At::Depth(depth), b'}' | b']') => At::Depth(depth - 1),
            (At::Depth(depth), _) => At::Depth(depth),
            (At::Text(depth), b'"') => At::Depth(depth),
            (At::Text(depth), b'\\') => At::Escaped(depth),
            (At::Text(depth) | At::Escaped(depth), _) => At::Text(depth),
        };
        (at, End::Nothing)
    }
}

/// How long rows and batches are so far.
struct Lengths {
    at: At,
    row: usize,
    batch: usize,
}

impl Lengths {
    /// How much of a piece goes into the batch, and whether the batch ends with it.
    fn measure(&mut self, piece: &[u8]) -> Result<(usize, bool)> {
        for (place, byte) in piece.iter().enumerate() {
            let (at, end) = self.at.step(*byte);
            self.at = at;
            self.row += 1;
            self.batch += 1;
            if self.row > ROW_BYTES_MAX {
                return Err(Error::invalid(format!(
                    "a row of the file is longer than {ROW_BYTES_MAX} bytes"
                ))
                .with_hint("look for a quote or a bracket that is not closed"));
            }
            if end != End::Nothing {
                self.row = 0;
            }
            if end == End::Batch && self.batch >= BATCH_BYTES {
                return Ok((place + 1, true));
            }
        }
        Ok((piece.len(), false))
    }
}

#[expect(clippy::large_enum_variant, reason = "there is one a file")]
enum Decoder {
    Csv(csv::reader::Decoder),
    Json(json::reader::Decoder),
}

impl Decoder {
    fn decode(&mut self, piece: &[u8]) -> std::result::Result<usize, ArrowError> {
        match self {
            Decoder::Csv(decoder) => decoder.decode(piece),
            Decoder::Json(decoder) => decoder.decode(piece),
        }
    }

    fn flush(&mut self) -> std::result::Result<Option<RecordBatch>, ArrowError> {
        match self {
            Decoder::Csv(decoder) => decoder.flush(),
            Decoder::Json(decoder) => decoder.flush(),
        }
    }
}

/// The rows of a file, batch by batch.
pub(super) struct RowReader {
    file: BufReader<File>,
    decoder: Decoder,
    lengths: Lengths,
    /// Bytes that are measured and not decoded, and whether the batch ends with them.
    ready: usize,
    ends: bool,
    over: bool,
}

impl RowReader {
    pub(super) fn of_csv(file: BufReader<File>, decoder: csv::reader::Decoder) -> Self {
        RowReader::new(file, Decoder::Csv(decoder), At::Field)
    }

    pub(super) fn of_json(file: BufReader<File>, decoder: json::reader::Decoder) -> Self {
        RowReader::new(file, Decoder::Json(decoder), At::Depth(0))
    }

    fn new(file: BufReader<File>, decoder: Decoder, at: At) -> Self {
        RowReader {
            file,
            decoder,
            lengths: Lengths {
                at,
                row: 0,
                batch: 0,
            },
            ready: 0,
            ends: false,
            over: false,
        }
    }

    /// The rows that are next; none where the file ends.
    fn read(&mut self) -> Result<Option<RecordBatch>> {
        while !self.over {
            let taken = self.fill()?;
            self.lengths.batch = self.ready;
            if let Some(batch) = self.decoder.flush()? {
                return Ok(Some(batch));
            }
            if taken == 0 && !self.over {
                return Err(Error::invalid("the file goes on, but not with a row"));
            }
        }
        Ok(None)
    }

    /// Gives the decoder rows until it takes no more, a batch is long enough, or the file ends; how many bytes it took.
    fn fill(&mut self) -> Result<usize> {
        let mut taken = 0_usize;
        loop {
            let piece = self.file.fill_buf()?;
            if piece.is_empty() {
                self.over = true;
                // What has no line break behind it is a row too.
                self.decoder.decode(&[])?;
                return Ok(taken);
            }
            if self.ready == 0 {
                (self.ready, self.ends) = self.lengths.measure(piece)?;
            }
            let decoded = self
                .decoder
                .decode(piece.get(..self.ready).unwrap_or(piece))?;
            self.file.consume(decoded);
            taken = taken.saturating_add(decoded);
            self.ready = self.ready.saturating_sub(decoded);
            if self.ready > 0 || self.ends {
                if self.ready == 0 {
                    self.ends = false;
                }
                return Ok(taken);
            }
        }
    }
}

impl Iterator for RowReader {
    type Item = Result<RecordBatch>;

    fn next(&mut self) -> Option<Self::Item> {
        let batch = self.read();
        // Behind an error nothing is where it should be.
        self.over |= batch.is_err();
        batch.transpose()
    }
}
