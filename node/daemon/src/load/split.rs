//! Cuts a file into pieces of whole records without understanding them: lines, CSV records whose
//! quoted fields may hold line ends, the elements of a JSON array, or Arrow batches. At most one
//! piece and one longest record are held.

mod scan;

use std::fs::File;
use std::io::{BufReader, Read, Seek, SeekFrom};
use std::path::Path;

use activestore_types::{Error, Result};
use arrow::ipc::reader::StreamReader;
use arrow::ipc::writer::StreamWriter;

use super::piece::{Piece, newlines};
use super::progress::Progress;
use crate::cli::FileFormat;
use scan::{Found, csv_record, json_element, line};

/// Bytes that a piece aims at.
const PIECE_BYTES: usize = 1024 * 1024;

/// The most records in a piece; the node lists as many refused lines in full.
const PIECE_RECORDS: usize = 1_000;

/// The longest record; a CSV record that seems longer has an open quote and is cut at its line end.
const RECORD_BYTES_MAX: usize = 1024 * 1024;

/// A file on its way.
pub enum Splitter {
    /// Text of any kind.
    Text(Text),
    /// An Arrow IPC stream; offsets are batch numbers.
    Arrow(Box<Batches>),
}

impl Splitter {
    /// Opens the file where an earlier load stopped.
    ///
    /// # Errors
    /// Where the file cannot be read or its header is broken.
    pub fn open(path: &Path, format: FileFormat, progress: &Progress) -> Result<Splitter> {
        let file = File::open(path)?;
        if matches!(format, FileFormat::Arrow | FileFormat::Parquet) {
            return Ok(Splitter::Arrow(Box::new(Batches::open(
                file,
                progress.offset,
                progress.next_line,
            )?)));
        }
        Text::open(file, format, progress.offset, progress.next_line).map(Splitter::Text)
    }

    /// The next piece; `None` at the end.
    ///
    /// # Errors
    /// Where the file cannot be read, or a JSON array breaks off.
    pub fn next_piece(&mut self) -> Result<Option<Piece>> {
        match self {
            Splitter::Text(text) => text.next_piece(),
            Splitter::Arrow(batches) => batches.next_piece(),
        }
    }

    /// Bytes read, for the progress bar.
    pub fn position(&self) -> u64 {
        match self {
            Splitter::Text(text) => text.offset,
            Splitter::Arrow(batches) => batches.position(),
        }
    }
}

/// A text file.
pub struct Text<R = File> {
    reader: R,
    format: FileFormat,
    header: Vec<u8>,
    window: Vec<u8>,
    /// Bytes of the window that are done with; they go when there are many.
    used: usize,
    /// The offset in the file of what is not done with.
    offset: u64,
    next_line: u64,
    ended: bool,
}

impl<R: Read + Seek> Text<R> {
    fn open(mut reader: R, format: FileFormat, offset: u64, next_line: u64) -> Result<Self> {
        reader.seek(SeekFrom::Start(0))?;
        let mut text = Text {
            reader,
            format,
            header: Vec::new(),
            window: Vec::new(),
            used: 0,
            offset: 0,
            next_line: 1,
            ended: false,
        };
        match format {
            FileFormat::Csv => text.read_header()?,
            FileFormat::Json => text.enter_array()?,
            _ => {}
        }
        if offset > 0 {
            text.reader.seek(SeekFrom::Start(offset))?;
            text.window.clear();
            text.used = 0;
            text.offset = offset;
            text.next_line = next_line;
            text.ended = false;
        }
        Ok(text)
    }

    fn read_header(&mut self) -> Result<()> {
        self.fill(RECORD_BYTES_MAX)?;
        if self.rest().starts_with(b"\xef\xbb\xbf") {
            self.consume(3);
        }
        match csv_record(self.rest(), self.ended) {
            Found::Record(length) => {
                self.header = self.rest().get(..length).unwrap_or_default().to_vec();
                self.next_line = 1 + newlines(&self.header);
                self.consume(length);
                if !self.header.ends_with(b"\n") {
                    self.header.push(b'\n');
                }
                Ok(())
            }
            _ if self.rest().is_empty() => Err(Error::invalid("the file is empty")
                .with_hint("a CSV file starts with a line of column names")),
            _ => Err(Error::invalid("the header line is not complete")),
        }
    }

    fn enter_array(&mut self) -> Result<()> {
        self.fill(RECORD_BYTES_MAX)?;
        let rest = self.rest();
        let start = rest
            .iter()
            .position(|byte| !byte.is_ascii_whitespace())
            .unwrap_or(rest.len());
        if rest.get(start) != Some(&b'[') {
            return Err(Error::invalid("the file is not a JSON array")
                .with_hint("use --format ndjson for one object a line"));
        }
        self.consume(start + 1);
        Ok(())
    }

    fn next_piece(&mut self) -> Result<Option<Piece>> {
        let mut piece = Piece {
            header: self.header.clone(),
            body: Vec::new(),
            records: Vec::new(),
            end_offset: self.offset,
            next_line: self.next_line,
        };
        while piece.body.len() < PIECE_BYTES && piece.records.len() < PIECE_RECORDS {
            match self.next_record(&mut piece)? {
                true => {}
                false => break,
            }
        }
        piece.end_offset = self.offset;
        piece.next_line = self.next_line;
        Ok((!piece.records.is_empty()).then_some(piece))
    }

    /// Moves one record into the piece; false at the end.
    fn next_record(&mut self, piece: &mut Piece) -> Result<bool> {
        let mut wanted = RECORD_BYTES_MAX / 16;
        loop {
            self.fill(wanted)?;
            let found = match self.format {
                FileFormat::Csv => csv_record(self.rest(), self.ended),
                FileFormat::Json => json_element(self.rest()),
                _ => line(self.rest(), self.ended),
            };
            match found {
                Found::Record(length) => {
                    self.take(piece, length, 0);
                    return Ok(true);
                }
                Found::Element { skip, length } => {
                    self.take(piece, length, skip);
                    return Ok(true);
                }
                Found::End => return Ok(false),
                Found::More
                    if self.ended
                        && self.rest().trim_ascii().is_empty()
                        && self.format != FileFormat::Json =>
                {
                    return Ok(false);
                }
                Found::More if !self.ended && self.rest().len() < RECORD_BYTES_MAX => {
                    wanted = (self.rest().len() * 2).clamp(wanted, RECORD_BYTES_MAX);
                }
                Found::More => return self.overlong(piece),
            }
        }
    }

    /// A record that does not end: a line is taken as it is and the node will say what is wrong.
    fn overlong(&mut self, piece: &mut Piece) -> Result<bool> {
        if self.format == FileFormat::Json {
            return Err(Error::invalid(format!(
                "the array breaks off or row {} is longer than {RECORD_BYTES_MAX} bytes",
                self.next_line
            ))
            .with_hint("repair the file and load it again; it resumes after the rows before"));
        }
        let rest = self.rest();
        let length = rest
            .iter()
            .position(|byte| *byte == b'\n')
            .map_or(rest.len(), |at| at + 1);
        self.take(piece, length, 0);
        Ok(true)
    }

    fn take(&mut self, piece: &mut Piece, length: usize, skip: usize) {
        let from = self.used + skip;
        let record = self.window.get(from..from + length).unwrap_or_default();
        piece.records.push((piece.body.len(), self.next_line));
        if self.format == FileFormat::Json {
            // White space may hold line ends; text in JSON may not.
            piece.body.extend(record.iter().map(|byte| match byte {
                b'\n' | b'\r' => b' ',
                byte => *byte,
            }));
            piece.body.push(b'\n');
            self.next_line += 1;
        } else {
            piece.body.extend_from_slice(record);
            if !record.ends_with(b"\n") {
                piece.body.push(b'\n');
            }
            self.next_line += newlines(record).max(1);
        }
        self.consume(skip + length);
    }

    /// What is read and not done with.
    fn rest(&self) -> &[u8] {
        self.window.get(self.used..).unwrap_or_default()
    }

    /// Reads until `wanted` bytes are there or the file ends.
    fn fill(&mut self, wanted: usize) -> Result<()> {
        while !self.ended && self.rest().len() < wanted {
            self.window.drain(..self.used);
            self.used = 0;
            let room = PIECE_BYTES;
            let read = self
                .reader
                .by_ref()
                .take(room as u64)
                .read_to_end(&mut self.window)?;
            self.ended = read < room;
        }
        Ok(())
    }

    fn consume(&mut self, length: usize) {
        self.used = (self.used + length).min(self.window.len());
        self.offset += length as u64;
    }
}

/// An Arrow file: each batch is a piece.
pub struct Batches {
    reader: StreamReader<BufReader<File>>,
    number: u64,
    next_row: u64,
}

impl Batches {
    fn open(file: File, skip: u64, next_row: u64) -> Result<Self> {
        let mut reader = StreamReader::try_new(BufReader::new(file), None)
            .map_err(|error| Error::invalid(format!("the file is not an Arrow stream: {error}")))?;
        for _ in 0..skip {
            reader.next();
        }
        Ok(Batches {
            reader,
            number: skip,
            next_row: next_row.max(1),
        })
    }

    fn next_piece(&mut self) -> Result<Option<Piece>> {
        let Some(batch) = self.reader.next() else {
            return Ok(None);
        };
        let batch = batch.map_err(|error| {
            Error::invalid(format!("batch {} is broken: {error}", self.number + 1))
        })?;
        let mut body = Vec::new();
        let mut writer = StreamWriter::try_new(&mut body, &batch.schema())?;
        writer.write(&batch)?;
        writer.finish()?;
        drop(writer);
        self.number += 1;
        let first = self.next_row;
        self.next_row += batch.num_rows() as u64;
        Ok(Some(Piece {
            header: Vec::new(),
            body,
            records: vec![(0, first)],
            end_offset: self.number,
            next_line: self.next_row,
        }))
    }

    fn position(&self) -> u64 {
        let mut file = self.reader.get_ref().get_ref();
        file.stream_position().unwrap_or(0)
    }
}

#[cfg(test)]
mod tests;
