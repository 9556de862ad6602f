//! InfluxDB line protocol, version 2: `measurement,tag=value field=value timestamp`.
//!
//! The measurement is the table. Each line is one row with the key (`_series`, `time`): `_series`
//! is the canonical tag set, so that lines with different tag sets never meet in one row, even
//! when a tag first appears later. Tags are TEXT columns as well. A float is DOUBLE, `1i` and `1u`
//! are BIGINT (beyond 64 signed bits an error), `t`/`f`/`true`/`false` BOOLEAN, a quoted string
//! TEXT. A field that a line does not name is absent; the last of two fields of one name counts.
//! A line is taken whole or refused whole. This module does not know what type a column has in the
//! table: only within one body must a column keep its type.
//!
//! The last line may lack its newline, as InfluxDB allows. Whether a body has arrived whole is for
//! the transport to say (HTTP's length does).

use activestore_types::KeyHint;

use crate::line_buffer::LineBuffer;
use crate::parsed::{Chunk, Parsed, REJECTED_KEPT_MAX};
use crate::precision::Precision;

mod cursor;
mod line;
mod reader;
mod series;
mod tables;

use cursor::Cursor;
use line::LineParser;
pub use reader::LineProtocolReader;
#[cfg(feature = "prometheus")]
pub(crate) use series::canonical;
pub(crate) use series::unescape_into;

/// The column that holds the canonical tag set: the partition key.
pub const SERIES_COLUMN: &str = "_series";

/// The column that holds the timestamp: the clustering key.
pub const TIME_COLUMN: &str = "time";

/// The longest line, unless the options say otherwise.
pub const LINE_BYTES_MAX: usize = 1 << 20;

/// How to read line protocol.
#[derive(Clone, Debug)]
pub struct LineProtocolOptions {
    /// The keyspace that the measurements are tables of.
    pub keyspace: String,
    /// Puts every line into this table, whatever its measurement.
    pub table: Option<String>,
    /// Unit of the timestamps; without one each number says by its size what it is, as InfluxDB 3 has it.
    pub precision: Option<Precision>,
    /// The timestamp of lines without one, in nanoseconds since 1970.
    pub now_ns: i64,
    /// Tags that every line gets beside its own; they belong to the series.
    pub tags: Vec<(String, String)>,
    /// How long the rows live, in seconds, in place of the table's own time to live.
    pub ttl_s: Option<u64>,
    /// The longest line in bytes.
    pub line_bytes_max: usize,
    /// The most columns of one table in one body.
    pub columns_max: usize,
    /// How many refused lines are kept with their reason.
    pub rejected_max: usize,
    /// Bytes that all rows of a body may take in memory.
    pub rows_bytes_max: usize,
}

impl LineProtocolOptions {
    /// Nanosecond timestamps, measurements as tables of `keyspace`.
    pub fn new(keyspace: impl Into<String>, now_ns: i64) -> Self {
        LineProtocolOptions {
            keyspace: keyspace.into(),
            table: None,
            precision: Some(Precision::Nanoseconds),
            now_ns,
            tags: Vec::new(),
            ttl_s: None,
            line_bytes_max: LINE_BYTES_MAX,
            columns_max: crate::builder::COLUMNS_MAX,
            rejected_max: REJECTED_KEPT_MAX,
            rows_bytes_max: usize::MAX,
        }
    }
}

/// The key of tables that line protocol creates.
pub fn key_hint() -> KeyHint {
    KeyHint {
        partition: vec![SERIES_COLUMN.to_owned()],
        clustering: vec![TIME_COLUMN.to_owned()],
    }
}

/// Parses a whole body; the rows are grouped per table in order of first appearance.
pub fn parse(body: &[u8], options: &LineProtocolOptions) -> Parsed {
    let mut block = Block::new(options, 1);
    block.run(body, true, usize::MAX);
    block.finish()
}

/// Parses lines of one body, or of one chunk of it.
struct Block<'a, 'o> {
    parser: LineParser<'a, 'o>,
    parsed: Parsed,
    line: u64,
    rows: usize,
    /// The bytes start inside a line that has been refused for its length.
    skip_line: bool,
}

impl<'a, 'o> Block<'a, 'o> {
    fn new(options: &'o LineProtocolOptions, first_line: u64) -> Self {
        Block {
            parser: LineParser::new(options),
            parsed: Parsed::default(),
            line: first_line,
            rows: 0,
            skip_line: false,
        }
    }

    /// Parses up to `rows_max` rows; gives the number of bytes consumed. A line that the bytes do
    /// not end is left alone unless they reach to the end of the input.
    fn run(&mut self, bytes: &'a [u8], at_end: bool, rows_max: usize) -> usize {
        let options = self.parser.options;
        let all_text = std::str::from_utf8(bytes).is_ok();
        let mut cursor = Cursor::new(bytes);
        if self.skip_line {
            let Some(length) = cursor.line_length() else {
                return bytes.len();
            };
            self.skip_line = false;
            self.line += 1;
            cursor.advance(length + 1);
        }
        while self.rows < rows_max {
            cursor.skip_blank();
            let start = cursor.at();
            let Some(first) = cursor.peek() else {
                return start;
            };
            let long = bytes.len() - start > options.line_bytes_max;
            match first {
                b'\n' => {
                    cursor.advance(1);
                    self.line += 1;
                    continue;
                }
                b'#' => {
                    let Some(length) = cursor.line_length() else {
                        self.skip_line = long && !at_end;
                        return if at_end || long { bytes.len() } else { start };
                    };
                    cursor.advance(length + 1);
                    self.line += 1;
                    continue;
                }
                _ => {}
            }
            let outcome = self.parser.parse(&mut cursor, all_text);
            let finished = cursor.peek().is_some() || at_end;
            let outcome = match outcome {
                Ok(()) if cursor.at() - start > options.line_bytes_max => Err(format!(
                    "the line is longer than {} bytes",
                    options.line_bytes_max
                )),
                outcome => outcome,
            };
            match outcome {
                Ok(()) if !finished => {
                    self.parser.abandon();
                    return start;
                }
                Ok(()) => {
                    if self.parser.commit().is_err() {
                        self.parser.abandon();
                        self.parsed.too_large = true;
                        return start;
                    }
                    self.rows += 1;
                    self.line += cursor.newlines_since(start);
                }
                Err(reason) => {
                    self.parser.abandon();
                    let cut = cursor.peek().is_none();
                    cursor.rewind(start);
                    let length = cursor.line_length();
                    if !at_end && !long && (cut || length.is_none()) {
                        return start;
                    }
                    let reason = if cut && at_end {
                        format!("{reason} (the input ends in the middle of the line)")
                    } else {
                        reason
                    };
                    self.parsed.reject(self.line, reason, options.rejected_max);
                    self.skip_line = length.is_none() && !at_end;
                    cursor.advance(length.unwrap_or(bytes.len()));
                }
            }
            self.parsed.lines += 1;
            if cursor.peek().is_some() {
                cursor.advance(1);
                self.line += 1;
            }
        }
        cursor.at()
    }

    fn finish(self) -> Parsed {
        let mut parsed = self.parsed;
        parsed.batches = self.parser.finish();
        parsed
    }
}

#[cfg(test)]
mod tests;
