//! Cuts text into pieces of whole records without understanding them: lines, records of CSV and line protocol whose quoted
//! text may hold line ends, or the elements of a JSON array. At most one piece and one longest record are held.

pub mod scan;

use std::io::Read;

use activestore_ingest::csv;
use activestore_types::{Error, Result};

use super::piece::{Content, Lines, Piece, Refused};
use super::source::Input;
use crate::cli::FileFormat;
use scan::{Found, csv_record, json_element, newlines};

/// Bytes that a piece aims at.
const PIECE_BYTES: usize = 4 * 1024 * 1024;

/// The most lines in a piece.
const PIECE_LINES: usize = 128 * 1024;

/// The most lines of a piece that the node reads: it names only the first of those that it refuses.
const PIECE_LINES_UNREAD: usize = 5_000;

/// The longest record. Of CSV, what seems longer than a piece and this has an open quote and is cut at its line end.
pub const RECORD_BYTES_MAX: usize = 1024 * 1024;

/// What a text file may begin with.
const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

/// Text on its way.
pub struct Splitter {
    input: Input,
    format: FileFormat,
    /// What stands between fields of CSV.
    pub delimiter: u8,
    /// The names in the first line of CSV.
    pub names: Vec<String>,
    window: Vec<u8>,
    /// Bytes of the window that are done with; they go when there are many.
    used: usize,
    /// The offset in the file of what is not done with.
    offset: u64,
    next_line: u64,
    ended: bool,
    /// The bytes go on within a line that has been refused for its length.
    in_overlong: bool,
}

impl Splitter {
    /// Opens text where an earlier load stopped.
    ///
    /// # Errors
    /// Where it cannot be read or its beginning is broken.
    pub fn open(
        input: Input,
        format: FileFormat,
        delimiter: u8,
        offset: u64,
        next_line: u64,
    ) -> Result<Self> {
        let mut text = Splitter {
            input,
            format,
            delimiter,
            names: Vec::new(),
            window: Vec::new(),
            used: 0,
            offset: 0,
            next_line: 1,
            ended: false,
            in_overlong: false,
        };
        text.fill(RECORD_BYTES_MAX)?;
        if text.rest().starts_with(BYTE_ORDER_MARK) {
            text.consume(BYTE_ORDER_MARK.len());
        }
        match format {
            FileFormat::Csv => text.read_header()?,
            FileFormat::Json => text.enter_array()?,
            _ => {}
        }
        if offset > text.offset {
            let read = text.offset + text.rest().len() as u64;
            if offset <= read {
                text.consume(usize::try_from(offset - text.offset).unwrap_or(usize::MAX));
            } else {
                text.input.jump(read, offset)?;
                text.window.clear();
                text.used = 0;
                text.offset = offset;
                text.ended = false;
            }
            text.next_line = next_line;
        }
        Ok(text)
    }

    fn read_header(&mut self) -> Result<()> {
        loop {
            let header = match csv_record(self.rest(), self.delimiter, self.ended) {
                Found::Record(length) => self.rest().get(..length).unwrap_or_default().to_vec(),
                _ if self.rest().is_empty() => {
                    return Err(Error::invalid("the file is empty")
                        .with_hint("a CSV file starts with a line of column names"));
                }
                _ => return Err(Error::invalid("the header line is not complete")),
            };
            self.next_line += newlines(&header);
            self.consume(header.len());
            if !header.trim_ascii().is_empty() {
                self.names = csv::names(&header, self.delimiter)?;
                return Ok(());
            }
        }
    }

    fn enter_array(&mut self) -> Result<()> {
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

    /// The next piece; `None` at the end.
    ///
    /// # Errors
    /// Where the file cannot be read, or a JSON array breaks off.
    pub fn next_piece(&mut self) -> Result<Option<Piece>> {
        self.fill(PIECE_BYTES + RECORD_BYTES_MAX)?;
        self.leave_overlong()?;
        let mut lines = Lines {
            body: Vec::new(),
            first: self.next_line,
        };
        let mut refused = Vec::new();
        if self.format == FileFormat::Json {
            while lines.body.len() < PIECE_BYTES && self.next_element(&mut lines.body)? {}
        } else {
            match self.lines_end() {
                0 if self.rest().is_empty() => {}
                0 => {
                    refused.push(Refused {
                        line: self.next_line,
                        reason: format!("the line is longer than {RECORD_BYTES_MAX} bytes"),
                    });
                    self.in_overlong = true;
                    self.next_line += 1;
                    self.leave_overlong()?;
                }
                end => {
                    lines.body = self.rest().get(..end).unwrap_or_default().to_vec();
                    self.consume(end);
                    if !lines.body.ends_with(b"\n") {
                        lines.body.push(b'\n');
                    }
                    self.next_line += newlines(&lines.body);
                }
            }
        }
        let nothing = lines.body.is_empty() && refused.is_empty();
        Ok((!nothing).then_some(Piece {
            content: Content::Text(lines),
            end_offset: self.offset,
            next_line: self.next_line,
            refused,
        }))
    }

    /// Where whole lines end that make a piece; 0 where not one ends.
    fn lines_end(&self) -> usize {
        let lines_max = match self.format {
            FileFormat::Lp => PIECE_LINES_UNREAD,
            _ => PIECE_LINES,
        };
        let rest = self.rest();
        let view = rest.get(..PIECE_BYTES).unwrap_or(rest);
        let whole = self.ended && view.len() == rest.len();
        let quotes = matches!(self.format, FileFormat::Csv | FileFormat::Lp);
        if quotes && memchr::memchr(b'"', view).is_some() {
            return self.records_end(lines_max);
        }
        let mut ends = memchr::memchr_iter(b'\n', view);
        if let Some(end) = ends.nth(lines_max - 1) {
            return end + 1;
        }
        if whole {
            return view.len();
        }
        match memchr::memrchr(b'\n', view) {
            Some(end) => end + 1,
            // A line that begins here may still end within its bound.
            None => memchr::memchr(b'\n', rest).map_or(0, |end| end + 1),
        }
    }

    /// The same where quotes may hide line ends.
    fn records_end(&self, records_max: usize) -> usize {
        let rest = self.rest();
        let mut end = 0;
        for _ in 0..records_max {
            let after = rest.get(end..).unwrap_or_default();
            if end >= PIECE_BYTES || after.is_empty() {
                break;
            }
            end += match scan::record(self.format, self.delimiter, after, self.ended) {
                // One that is too long is refused whole by who reads it.
                Found::Record(length) => length,
                // The next piece shows more of it.
                _ if end > 0 && !self.ended => break,
                // An open quote costs its own line.
                _ => match memchr::memchr(b'\n', after) {
                    Some(line) => line + 1,
                    None if self.ended => after.len(),
                    None => break,
                },
            };
        }
        end
    }

    /// Passes what is left of a line that is too long, a window at a time.
    fn leave_overlong(&mut self) -> Result<()> {
        while self.in_overlong {
            self.fill(1)?;
            let rest = self.rest();
            if rest.is_empty() {
                self.in_overlong = false;
                break;
            }
            let end = memchr::memchr(b'\n', rest);
            let length = end.map_or(rest.len(), |end| end + 1);
            self.in_overlong = end.is_none();
            self.consume(length);
        }
        Ok(())
    }

    /// Moves one element of an array into the piece as a line; false at the end.
    fn next_element(&mut self, body: &mut Vec<u8>) -> Result<bool> {
        let mut wanted = RECORD_BYTES_MAX / 16;
        loop {
            self.fill(wanted)?;
            match json_element(self.rest()) {
                Found::Element { skip, length } => {
                    let from = self.used + skip;
                    let element = self.window.get(from..from + length).unwrap_or_default();
                    // White space may hold line ends; text in JSON may not.
                    body.extend(element.iter().map(|byte| match byte {
                        b'\n' | b'\r' => b' ',
                        byte => *byte,
                    }));
                    body.push(b'\n');
                    self.next_line += 1;
                    self.consume(skip + length);
                    return Ok(true);
                }
                Found::End | Found::Record(_) => return Ok(false),
                Found::More if !self.ended && self.rest().len() < RECORD_BYTES_MAX => {
                    wanted = (self.rest().len() * 2).clamp(wanted, RECORD_BYTES_MAX);
                }
                // What is whole goes first.
                Found::More if !body.is_empty() => return Ok(false),
                Found::More => {
                    return Err(Error::invalid(format!(
                        "the array breaks off or row {} is longer than {RECORD_BYTES_MAX} bytes",
                        self.next_line
                    ))
                    .with_hint(
                        "repair the file and load it again; it resumes after the rows before",
                    ));
                }
            }
        }
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
            let read = (&mut self.input)
                .take(room as u64)
                .read_to_end(&mut self.window)
                .map_err(|error| {
                    Error::invalid(format!("the file cannot be read further: {error}"))
                        .with_hint("it may be cut off; what was read before is loaded")
                })?;
            self.ended = read < room;
        }
        Ok(())
    }

    fn consume(&mut self, length: usize) {
        let length = length.min(self.rest().len());
        self.used += length;
        self.offset += length as u64;
    }
}

#[cfg(test)]
mod tests;
