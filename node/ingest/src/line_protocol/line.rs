//! One line: parsed into scratch space first, pushed into the columns only when it is whole.

use std::borrow::Cow;
use std::collections::HashMap;

use activestore_types::{DataType, NamedBatch};

use super::LineProtocolOptions;
use super::cursor::Cursor;
use super::series::{canonical, unescaped};
use super::tables::Table;
use crate::precision::Precision;
use crate::room::{Room, Unfit};

/// Tags of one line beyond which the line is refused.
const TAGS_MAX: usize = 256;

#[derive(Clone, Copy)]
enum Field<'a> {
    Double(f64),
    BigInt(i64),
    Boolean(bool),
    /// The raw inside of the quotes, and whether it has escapes.
    Text(&'a [u8], bool),
}

impl Field<'_> {
    fn data_type(self) -> DataType {
        match self {
            Field::Double(_) => DataType::Double,
            Field::BigInt(_) => DataType::BigInt,
            Field::Boolean(_) => DataType::Boolean,
            Field::Text(..) => DataType::Text,
        }
    }
}

/// A measurement with its tag set, seen once and kept for the lines after.
struct Series {
    table: usize,
    canonical: String,
    /// Column and value of each tag.
    tags: Vec<(usize, String)>,
    bytes: usize,
}

/// Parses lines into tables.
pub(super) struct LineParser<'a, 'o> {
    pub(super) options: &'o LineProtocolOptions,
    tables: Vec<Table<'a>>,
    /// Batches that are full.
    closed: Vec<NamedBatch>,
    table_names: HashMap<String, usize>,
    series: Vec<Series>,
    heads: HashMap<&'a [u8], usize>,
    // The line at hand.
    head: &'a [u8],
    current: Option<usize>,
    fresh: bool,
    fields: Vec<(usize, Field<'a>)>,
    time_ns: i64,
    text_bytes: usize,
    stamp: u64,
    /// What the rows may still take.
    room: Room,
}

impl<'a, 'o> LineParser<'a, 'o> {
    pub(super) fn new(options: &'o LineProtocolOptions) -> Self {
        LineParser {
            options,
            tables: Vec::new(),
            closed: Vec::new(),
            table_names: HashMap::new(),
            series: Vec::new(),
            heads: HashMap::new(),
            head: &[],
            current: None,
            fresh: false,
            fields: Vec::new(),
            time_ns: 0,
            text_bytes: 0,
            stamp: 0,
            room: Room::new(options.rows_bytes_max),
        }
    }

    /// Parses the line at the cursor up to its newline or the end of the bytes. The row waits for
    /// [`Self::commit`] or [`Self::abandon`].
    pub(super) fn parse(&mut self, cursor: &mut Cursor<'a>, all_text: bool) -> Result<(), String> {
        self.fields.clear();
        self.stamp += 1;
        let start = cursor.at();
        let head = cursor.take_escaped(|byte| matches!(byte, b' ' | b'\n'));
        self.head = head;
        let index = match self.heads.get(head) {
            Some(index) => *index,
            None => self.new_series(head)?,
        };
        self.current = Some(index);
        let Some(series) = self.series.get(index) else {
            return Err("the series is unknown".to_owned());
        };
        let Some(table) = self.tables.get_mut(series.table) else {
            return Err("the table is unknown".to_owned());
        };
        self.text_bytes = series.bytes;
        cursor.skip_blank();
        let place = |cursor: &Cursor<'_>| cursor.at() - start + 1;
        let mut position = 0;
        loop {
            if matches!(cursor.peek(), None | Some(b'\n')) {
                return Err(format!("column {}: a field is expected", place(cursor)));
            }
            let column = match table.guess(position, cursor.rest()) {
                Some((column, length)) => {
                    cursor.advance(length + 1);
                    column
                }
                None => {
                    let at = place(cursor);
                    let raw =
                        cursor.take_escaped(|byte| matches!(byte, b'=' | b',' | b' ' | b'\n'));
                    if raw.is_empty() {
                        return Err(format!("column {at}: a field's name is expected"));
                    }
                    if cursor.peek() != Some(b'=') {
                        return Err(format!(
                            "column {}: '=' is expected after the field's name",
                            place(cursor)
                        ));
                    }
                    cursor.advance(1);
                    if !all_text && std::str::from_utf8(raw).is_err() {
                        return Err(format!("column {at}: the field's name is not UTF-8"));
                    }
                    let name = unescaped(raw, b",= ");
                    let column = table
                        .column(&name, raw, false, self.options.columns_max)
                        .map_err(|reason| format!("column {at}: {reason}"))?;
                    table.note_order(position, column);
                    column
                }
            };
            let at = place(cursor);
            let value = field(cursor).map_err(|reason| format!("column {at}: {reason}"))?;
            if let Field::Text(text, _) = value {
                self.text_bytes += text.len();
                if !all_text && std::str::from_utf8(text).is_err() {
                    return Err(format!("column {at}: the string is not UTF-8"));
                }
            }
            if let Some(known) = table.columns.get_mut(column) {
                let comes = value.data_type();
                if let Some(has) = known.builder.data_type()
                    && has != comes
                {
                    return Err(format!(
                        "column {at}: field '{}' is {has} in the lines before and {comes} here",
                        known.builder.name
                    ));
                }
                if known.builder.touched == self.stamp {
                    self.fields.retain(|(other, _)| *other != column);
                }
                known.builder.touched = self.stamp;
            }
            self.fields.push((column, value));
            position += 1;
            match cursor.peek() {
                Some(b',') => cursor.advance(1),
                None | Some(b' ' | b'\n' | b'\r' | b'\t') => break,
                Some(_) => {
                    return Err(format!(
                        "column {}: ',', ' ' or the line's end is expected after the field's value",
                        place(cursor)
                    ));
                }
            }
        }
        cursor.skip_blank();
        self.time_ns = match cursor.peek() {
            None | Some(b'\n') => self.options.now_ns,
            Some(_) => {
                let at = place(cursor);
                let text = cursor.take_until(|byte| matches!(byte, b' ' | b'\n' | b'\r' | b'\t'));
                timestamp(text, self.options).map_err(|reason| format!("column {at}: {reason}"))?
            }
        };
        cursor.skip_blank();
        if !matches!(cursor.peek(), None | Some(b'\n')) {
            return Err(format!(
                "column {}: the line's end is expected after the timestamp",
                place(cursor)
            ));
        }
        Ok(())
    }

    /// A measurement and tag set met for the first time.
    fn new_series(&mut self, head: &'a [u8]) -> Result<usize, String> {
        if std::str::from_utf8(head).is_err() {
            return Err("column 1: the measurement or a tag is not UTF-8".to_owned());
        }
        let mut cursor = Cursor::new(head);
        let measurement = unescaped(cursor.take_escaped(|byte| byte == b','), b", ");
        if measurement.is_empty() {
            return Err("column 1: a measurement is expected".to_owned());
        }
        let mut tags: Vec<(Cow<'_, str>, Cow<'_, str>)> = self
            .options
            .tags
            .iter()
            .map(|(name, value)| (name.as_str().into(), value.as_str().into()))
            .collect();
        while cursor.peek().is_some() {
            cursor.advance(1);
            tags.push(tag(&mut cursor)?);
            if tags.len() > TAGS_MAX {
                return Err(format!("the line has more than {TAGS_MAX} tags"));
            }
        }
        tags.sort();
        let twice = tags
            .iter()
            .zip(tags.iter().skip(1))
            .find(|(one, other)| one.0 == other.0);
        if let Some(((name, _), _)) = twice {
            return Err(format!("tag '{name}' stands twice"));
        }
        let name = self.options.table.as_deref().unwrap_or(&measurement);
        let table_index = match self.table_names.get(name) {
            Some(index) => *index,
            None => {
                self.tables.push(Table::new(name.to_owned()));
                self.table_names
                    .insert(name.to_owned(), self.tables.len() - 1);
                self.tables.len() - 1
            }
        };
        let canonical = canonical(&tags);
        let mut series = Series {
            table: table_index,
            bytes: canonical.len(),
            canonical,
            tags: Vec::with_capacity(tags.len()),
        };
        if let Some(table) = self.tables.get_mut(table_index) {
            for (name, value) in tags {
                series.bytes += value.len();
                let made = table.column(&name, &[], true, self.options.columns_max);
                match made {
                    Ok(column) => series.tags.push((column, value.into_owned())),
                    Err(reason) => {
                        table.forget_new_columns();
                        return Err(reason);
                    }
                }
            }
        }
        self.series.push(series);
        self.fresh = true;
        Ok(self.series.len() - 1)
    }

    /// Pushes the parsed row, unless the rows would take more than they may.
    pub(super) fn commit(&mut self) -> Result<(), Unfit> {
        let Some(index) = self.current else {
            return Ok(());
        };
        let Some(series) = self.series.get(index) else {
            return Ok(());
        };
        let Some(table) = self.tables.get_mut(series.table) else {
            return Ok(());
        };
        if table.is_full(self.text_bytes) {
            self.closed.push(table.close_batch(self.options));
        }
        let tags = series
            .tags
            .iter()
            .map(|(column, _)| (*column, DataType::Text));
        let fields = self.fields.iter();
        let fields = fields.map(|(column, value)| (*column, value.data_type()));
        table.reserve(tags.chain(fields), self.text_bytes, &mut self.room)?;
        self.current = None;
        if std::mem::take(&mut self.fresh) {
            self.heads.insert(self.head, index);
        }
        let row = table.rows;
        table.push_key(&series.canonical, self.time_ns);
        for (column, value) in &series.tags {
            if let Some(column) = table.columns.get_mut(*column) {
                column.builder.push_text(row, value.as_bytes());
            }
        }
        for (column, value) in self.fields.drain(..) {
            let Some(column) = table.columns.get_mut(column) else {
                continue;
            };
            let column = &mut column.builder;
            column.settle(value.data_type());
            match value {
                Field::Double(value) => column.push_double(row, value),
                Field::BigInt(value) => column.push_i64(row, value),
                Field::Boolean(value) => column.push_bool(row, value),
                Field::Text(text, false) => column.push_text(row, text),
                Field::Text(text, true) => column.push_unescaped(row, text, b"\"\\"),
            }
        }
        table.text_bytes += self.text_bytes;
        table.settle();
        Ok(())
    }

    /// Forgets the line at hand: no column, series or cell of it stays.
    pub(super) fn abandon(&mut self) {
        let Some(index) = self.current.take() else {
            return;
        };
        if let Some(table) = self
            .series
            .get(index)
            .and_then(|series| self.tables.get_mut(series.table))
        {
            table.forget_new_columns();
        }
        if std::mem::take(&mut self.fresh) {
            self.series.pop();
        }
    }

    pub(super) fn finish(self) -> Vec<NamedBatch> {
        let mut batches = self.closed;
        for mut table in self.tables {
            if table.rows > 0 {
                batches.push(table.close_batch(self.options));
            }
        }
        batches
    }
}

fn tag<'a>(cursor: &mut Cursor<'a>) -> Result<(Cow<'a, str>, Cow<'a, str>), String> {
    let place = cursor.at() + 1;
    let name = cursor.take_escaped(|byte| matches!(byte, b'=' | b','));
    if name.is_empty() {
        return Err(format!("column {place}: a tag's name is expected"));
    }
    if cursor.peek() != Some(b'=') {
        return Err(format!(
            "column {}: '=' is expected after the tag's name",
            cursor.at() + 1
        ));
    }
    cursor.advance(1);
    let place = cursor.at() + 1;
    let value = cursor.take_escaped(|byte| matches!(byte, b'=' | b','));
    if value.is_empty() {
        return Err(format!("column {place}: a tag's value is expected"));
    }
    if cursor.peek() == Some(b'=') {
        return Err(format!(
            "column {}: ',' is expected after the tag's value ('=' in a value is written '\\=')",
            cursor.at() + 1
        ));
    }
    Ok((unescaped(name, b",= "), unescaped(value, b",= ")))
}

fn field<'a>(cursor: &mut Cursor<'a>) -> Result<Field<'a>, String> {
    if cursor.peek() == Some(b'"') {
        return string(cursor);
    }
    let text = cursor.take_until(|byte| matches!(byte, b',' | b' ' | b'\n' | b'\r' | b'\t'));
    let shown = || crate::value::shown(&String::from_utf8_lossy(text)).into_owned();
    match text {
        [] => Err("a field's value is expected".to_owned()),
        b"t" | b"T" | b"true" | b"True" | b"TRUE" => Ok(Field::Boolean(true)),
        b"f" | b"F" | b"false" | b"False" | b"FALSE" => Ok(Field::Boolean(false)),
        [digits @ .., b'i' | b'u'] => {
            let unsigned = text.last() == Some(&b'u');
            number(digits)
                .filter(|digits| !(unsigned && digits.starts_with(['-', '+'])))
                .and_then(|digits| digits.parse().ok())
                .map(Field::BigInt)
                .ok_or_else(|| format!("'{}' is not an integer of 64 signed bits", shown()))
        }
        _ => number(text)
            .and_then(|text| text.parse::<f64>().ok())
            .filter(|value| value.is_finite())
            .map(Field::Double)
            .ok_or_else(|| {
                format!(
                    "'{}' is not a field's value: a number, an integer like 1i, true, false or a string in double quotes is expected",
                    shown()
                )
            }),
    }
}

/// The text, if it is made of nothing but what numbers are written with.
fn number(text: &[u8]) -> Option<&str> {
    text.iter()
        .all(|byte| byte.is_ascii_digit() || matches!(byte, b'.' | b'-' | b'+' | b'e' | b'E'))
        .then(|| std::str::from_utf8(text).ok())
        .flatten()
}

fn string<'a>(cursor: &mut Cursor<'a>) -> Result<Field<'a>, String> {
    cursor.advance(1);
    let start = cursor.at();
    let mut escaped = false;
    loop {
        match memchr::memchr2(b'"', b'\\', cursor.rest()) {
            None => {
                cursor.advance(usize::MAX);
                return Err("the string has no closing quote".to_owned());
            }
            Some(length) => cursor.advance(length),
        }
        if cursor.peek() == Some(b'"') {
            let text = cursor.since(start);
            cursor.advance(1);
            return Ok(Field::Text(text, escaped));
        }
        escaped = true;
        cursor.advance(2);
    }
}

fn timestamp(text: &[u8], options: &LineProtocolOptions) -> Result<i64, String> {
    let number = std::str::from_utf8(text)
        .ok()
        .and_then(|text| text.parse::<i64>().ok())
        .ok_or_else(|| {
            let text = String::from_utf8_lossy(text);
            format!(
                "'{}' is not a timestamp: an integer is expected",
                crate::value::shown(&text)
            )
        })?;
    let precision = options.precision;
    let precision = precision.unwrap_or_else(|| Precision::guess_as_influx(number));
    precision.to_ns(number).ok_or_else(|| {
        format!("timestamp {number} is beyond 64 bits of nanoseconds; is the precision right?")
    })
}
