//! The rows of one chunk, column by column: records are split a block at a time, and then each column takes its fields. A
//! row with a field that does not fit is taken out again at the end, since nearly all rows fit.

use std::collections::{BTreeMap, HashSet};

use activestore_types::{DataType, NamedBatch, NamedColumn, Result};
use arrow::array::BooleanArray;
use arrow::compute::filter;

use super::CsvOptions;
use super::field;
use super::infer::check_digits;
use super::record::{Field, Split, split};
use crate::builder::{BATCH_CELLS_MAX, BATCH_TEXT_BYTES_MAX};
use crate::column_builder::ColumnBuilder;
use crate::parsed::{Chunk, RejectedLine};
use crate::value::{Value, from_text};

/// Records split at once: their fields stay in the processor's cache until the columns have taken them.
const BLOCK_ROWS: usize = 1024;

/// Where a reader stands within its file.
pub(super) struct Place {
    /// The line that comes next.
    pub(super) line: u64,
    /// The bytes start inside a line that has been refused for its length.
    pub(super) skip_line: bool,
}

/// One chunk under construction.
pub(super) struct Columns<'o> {
    options: &'o CsvOptions,
    types: &'o [(String, DataType)],
    /// Of which columns the type is inferred.
    inferred: Vec<bool>,
    builders: Vec<ColumnBuilder>,
    /// Rows and bytes of the batch under construction.
    rows: usize,
    bytes: usize,
    /// Rows of it that have a field that does not fit, with their line and the reason.
    misfits: BTreeMap<usize, (u64, String)>,
    /// The line of each of its rows.
    lines: Vec<u64>,
    closed_rows: usize,
    pub(super) chunk: Chunk,
}

impl<'o> Columns<'o> {
    pub(super) fn new(options: &'o CsvOptions, types: &'o [(String, DataType)]) -> Self {
        let builders = types
            .iter()
            .map(|(name, data_type)| ColumnBuilder::new(name.clone(), Some(*data_type)));
        let inferred: HashSet<&str> = options.inferred.iter().map(String::as_str).collect();
        Columns {
            options,
            types,
            inferred: types
                .iter()
                .map(|(name, _)| inferred.contains(name.as_str()))
                .collect(),
            builders: builders.collect(),
            rows: 0,
            bytes: 0,
            misfits: BTreeMap::new(),
            lines: Vec::new(),
            closed_rows: 0,
            chunk: Chunk::default(),
        }
    }

    /// Takes records from the window until the chunk is full or the window holds no whole one; how many bytes that were.
    ///
    /// # Errors
    /// Those of Arrow.
    pub(super) fn take(&mut self, window: &[u8], ended: bool, place: &mut Place) -> Result<usize> {
        let mut used = 0;
        let mut fields = Vec::new();
        while self.closed_rows + self.rows < self.options.chunk_rows {
            let room = self.options.chunk_rows - self.closed_rows - self.rows;
            let block = window.get(used..).unwrap_or_default();
            fields.clear();
            let bytes = self.block(block, ended, place, room.min(BLOCK_ROWS), &mut fields);
            let taken = block.get(..bytes).unwrap_or_default();
            let utf8 = std::str::from_utf8(taken).is_ok();
            self.fill(&fields, utf8);
            used += bytes;
            self.bytes += bytes;
            if self.rows * self.types.len() > BATCH_CELLS_MAX || self.bytes > BATCH_TEXT_BYTES_MAX {
                self.close_batch()?;
            }
            if bytes == 0 {
                break;
            }
        }
        Ok(used)
    }

    /// Splits up to `rows_max` records of the header's width; how many bytes they have with what is passed over.
    fn block<'a>(
        &mut self,
        window: &'a [u8],
        ended: bool,
        place: &mut Place,
        rows_max: usize,
        fields: &mut Vec<Field<'a>>,
    ) -> usize {
        let record_max = self.options.record_bytes_max;
        let width = self.types.len();
        let mut used = 0;
        let mut rows = 0;
        while rows < rows_max {
            let rest = window.get(used..).unwrap_or_default();
            if rest.is_empty() {
                break;
            }
            if place.skip_line {
                used += pass_line(rest, place);
                continue;
            }
            let before = fields.len();
            match split(rest, self.options.delimiter, ended, fields) {
                Split::More if rest.len() <= record_max => break,
                Split::Record { bytes, lines } if bytes <= record_max => {
                    let line = place.line;
                    used += bytes;
                    place.line += lines;
                    let found = fields.len() - before;
                    if found == width {
                        rows += 1;
                        self.chunk.lines += 1;
                        self.lines.push(line);
                        continue;
                    }
                    let blank = blank(fields, before);
                    fields.truncate(before);
                    if !blank {
                        self.refuse(
                            line,
                            format!("the record has {found} fields where the header has {width}"),
                        );
                    }
                }
                // Its end is known: what its quotes hold is not read as records.
                Split::Record { bytes, lines } => {
                    fields.truncate(before);
                    let reason = format!("the record is longer than {record_max} bytes");
                    self.refuse(place.line, reason);
                    used += bytes;
                    place.line += lines;
                }
                split => {
                    fields.truncate(before);
                    let reason = match split {
                        Split::Broken(reason) => reason,
                        _ => format!("the record is longer than {record_max} bytes"),
                    };
                    self.refuse(place.line, reason);
                    used += pass_line(rest, place);
                }
            }
        }
        used
    }

    fn refuse(&mut self, line: u64, reason: String) {
        self.chunk.lines += 1;
        self.chunk.rejected.push(RejectedLine { line, reason });
    }

    /// Gives each column its fields of a block.
    fn fill(&mut self, fields: &[Field<'_>], utf8: bool) {
        let width = self.types.len().max(1);
        let first = self.rows;
        let columns = self.builders.iter_mut().zip(self.types);
        for (index, ((builder, (name, data_type)), inferred)) in
            columns.zip(&self.inferred).enumerate()
        {
            let cells = fields.iter().skip(index).step_by(width);
            for (row, cell) in (first..).zip(cells) {
                let fits = match cell.bytes() {
                    Some(bytes) if *inferred => check_digits(bytes, *data_type),
                    _ => Ok(()),
                };
                let pushed =
                    fits.and_then(|()| push(builder, row, cell, *data_type, utf8, self.options));
                if let Err(reason) = pushed {
                    builder.push(row, &Value::Null);
                    let line = self.lines.get(row).copied().unwrap_or(0);
                    let reason = format!("column '{name}': {reason}");
                    self.misfits.entry(row).or_insert((line, reason));
                }
            }
        }
        self.rows += fields.len() / width;
    }

    /// Ends the batch; rows that do not fit are no rows of it.
    fn close_batch(&mut self) -> Result<()> {
        let rows = std::mem::take(&mut self.rows);
        self.bytes = 0;
        let misfits = std::mem::take(&mut self.misfits);
        let mut lines = std::mem::take(&mut self.lines);
        let fitting = rows - misfits.len();
        self.closed_rows += fitting;
        let finished = self.builders.iter_mut();
        let mut columns: Vec<NamedColumn> = finished
            .filter_map(|builder| builder.restart().finish(rows))
            .collect();
        if !misfits.is_empty() {
            let mask: BooleanArray = (0..rows)
                .map(|row| Some(!misfits.contains_key(&row)))
                .collect();
            for column in &mut columns {
                column.array = filter(&column.array, &mask)?;
            }
            let mut row = 0;
            lines.retain(|_| {
                row += 1;
                !misfits.contains_key(&(row - 1))
            });
        }
        for (line, reason) in misfits.into_values() {
            self.chunk.rejected.push(RejectedLine { line, reason });
        }
        if self.options.number_rows {
            self.chunk.row_lines.extend(lines);
        }
        if fitting > 0 {
            self.chunk.batches.push(NamedBatch {
                table: self.options.table.clone(),
                rows: fitting,
                columns,
                ttl_s: self.options.ttl_s,
                create: self.options.create.clone(),
            });
        }
        Ok(())
    }

    /// The chunk.
    ///
    /// # Errors
    /// Those of Arrow.
    pub(super) fn finish(mut self) -> Result<Chunk> {
        if self.rows > 0 {
            self.close_batch()?;
        }
        self.chunk.rejected.sort_by_key(|rejected| rejected.line);
        Ok(self.chunk)
    }
}

/// Passes what is left of a line.
fn pass_line(rest: &[u8], place: &mut Place) -> usize {
    let end = memchr::memchr(b'\n', rest);
    place.skip_line = end.is_none();
    place.line += u64::from(end.is_some());
    end.map_or(rest.len(), |end| end + 1)
}

/// Whether the record that begins at `from` is a line with nothing in it.
fn blank(fields: &[Field<'_>], from: usize) -> bool {
    matches!(fields.get(from..), Some([only]) if only.is_null())
}

/// Takes a field into its column, or says why it does not fit.
fn push(
    builder: &mut ColumnBuilder,
    row: usize,
    cell: &Field<'_>,
    data_type: DataType,
    utf8: bool,
    options: &CsvOptions,
) -> Result<(), String> {
    if cell.is_null() {
        builder.push(row, &Value::Null);
        return Ok(());
    }
    if let Some(bytes) = cell.bytes() {
        match data_type {
            DataType::Text if utf8 => {
                builder.push_text(row, bytes);
                return Ok(());
            }
            DataType::BigInt => {
                if let Some(value) = field::integer(bytes) {
                    builder.push_i64(row, value);
                    return Ok(());
                }
            }
            DataType::Double => {
                if let Some(value) = field::double(bytes) {
                    builder.push_double(row, value);
                    return Ok(());
                }
            }
            DataType::Timestamp => {
                if let Some(value) = field::timestamp(bytes) {
                    builder.push_i64(row, value);
                    return Ok(());
                }
            }
            _ => {}
        }
    }
    let text = cell.text().ok_or("the text is not UTF-8")?;
    let value = from_text(text, data_type, options.precision)?;
    builder.push(row, &value);
    Ok(())
}
