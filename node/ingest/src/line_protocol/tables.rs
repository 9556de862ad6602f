//! The tables that a body fills: columns by name and by the position that the line before had them
//! at, which saves nearly every look-up.

use std::collections::HashMap;

use activestore_types::{DataType, NamedBatch, TableName};

use super::{LineProtocolOptions, SERIES_COLUMN, TIME_COLUMN, key_hint};
use crate::builder::{BATCH_CELLS_MAX, BATCH_TEXT_BYTES_MAX};
use crate::column_builder::ColumnBuilder;
use crate::room::{Room, Unfit, Width};

/// A column of a table under construction.
pub(super) struct FieldColumn<'a> {
    pub(super) builder: ColumnBuilder,
    /// The name as it stands in the body, escapes included; empty for tags.
    raw: &'a [u8],
    /// Whether the column holds a tag.
    pub(super) tag: bool,
}

/// A table under construction.
pub(super) struct Table<'a> {
    pub(super) name: String,
    series: ColumnBuilder,
    time: ColumnBuilder,
    pub(super) columns: Vec<FieldColumn<'a>>,
    names: HashMap<String, usize>,
    /// Columns in the order of the line before.
    order: Vec<usize>,
    settled: usize,
    pub(super) rows: usize,
    pub(super) text_bytes: usize,
    width: Width,
}

impl<'a> Table<'a> {
    pub(super) fn new(name: String) -> Self {
        Table {
            name,
            series: ColumnBuilder::new(SERIES_COLUMN.to_owned(), Some(DataType::Text)),
            time: ColumnBuilder::new(TIME_COLUMN.to_owned(), Some(DataType::Timestamp)),
            columns: Vec::new(),
            names: HashMap::new(),
            order: Vec::new(),
            settled: 0,
            rows: 0,
            text_bytes: 0,
            width: Width::default(),
        }
    }

    /// The field column that stood at this position in the line before, if `rest` starts with its
    /// name and `=`; with the length of the name.
    pub(super) fn guess(&self, position: usize, rest: &[u8]) -> Option<(usize, usize)> {
        let index = *self.order.get(position)?;
        let raw = self.columns.get(index)?.raw;
        (!raw.is_empty() && rest.starts_with(raw) && rest.get(raw.len()) == Some(&b'='))
            .then_some((index, raw.len()))
    }

    /// Remembers that `position` held the column.
    pub(super) fn note_order(&mut self, position: usize, index: usize) {
        match self.order.get_mut(position) {
            Some(slot) => *slot = index,
            None => self.order.push(index),
        }
    }

    /// The column with this name, made if it is new.
    pub(super) fn column(
        &mut self,
        name: &str,
        raw: &'a [u8],
        tag: bool,
        columns_max: usize,
    ) -> Result<usize, String> {
        if let Some(index) = self.names.get(name) {
            let known = self.columns.get(*index).is_some_and(|column| column.tag);
            return if known == tag {
                Ok(*index)
            } else {
                Err(format!("'{name}' is both a tag and a field"))
            };
        }
        if name == SERIES_COLUMN || name == TIME_COLUMN {
            return Err(format!(
                "'{name}' is a column of the key and cannot be a tag or field"
            ));
        }
        if self.columns.len() >= columns_max {
            return Err(format!(
                "table '{}' gets more than {columns_max} columns",
                self.name
            ));
        }
        let data_type = tag.then_some(DataType::Text);
        self.columns.push(FieldColumn {
            builder: ColumnBuilder::new(name.to_owned(), data_type),
            raw,
            tag,
        });
        let index = self.columns.len() - 1;
        self.names.insert(name.to_owned(), index);
        Ok(index)
    }

    /// Takes room for a row with these cells, no two of one column.
    pub(super) fn reserve(
        &mut self,
        cells: impl Iterator<Item = (usize, DataType)>,
        text_bytes: usize,
        room: &mut Room,
    ) -> Result<(), Unfit> {
        let mut width = self.width;
        if self.rows == 0 {
            width.add(Some(DataType::Text));
            width.add(Some(DataType::Timestamp));
        }
        // Beside the columns there are the two of the key.
        if width.columns() < self.columns.len() + 2 {
            for (index, data_type) in cells {
                if let Some(column) = self.columns.get(index)
                    && column.builder.is_fresh()
                {
                    width.add(Some(data_type));
                }
            }
        }
        let grown = width.grown(self.width, self.rows);
        room.take(grown.saturating_add(text_bytes))?;
        self.width = width;
        Ok(())
    }

    /// Pushes a row's key; the cells follow.
    pub(super) fn push_key(&mut self, series: &str, time_ns: i64) {
        self.series.push_text(self.rows, series.as_bytes());
        self.time.push_i64(self.rows, time_ns);
    }

    /// Ends the row.
    pub(super) fn settle(&mut self) {
        self.rows += 1;
        self.settled = self.columns.len();
    }

    /// Drops the columns that a refused line has made.
    pub(super) fn forget_new_columns(&mut self) {
        if self.columns.len() > self.settled {
            for column in self.columns.drain(self.settled..) {
                self.names.remove(&column.builder.name);
            }
            self.order.clear();
        }
    }

    /// Whether one row more would make the batch too large.
    pub(super) fn is_full(&self, text_bytes: usize) -> bool {
        self.rows > 0
            && ((self.rows + 1) * (self.columns.len() + 2) > BATCH_CELLS_MAX
                || self.text_bytes + text_bytes > BATCH_TEXT_BYTES_MAX)
    }

    /// The rows so far; the table goes on empty, with the same columns.
    pub(super) fn close_batch(&mut self, options: &LineProtocolOptions) -> NamedBatch {
        let rows = std::mem::take(&mut self.rows);
        self.text_bytes = 0;
        self.width = Width::default();
        let columns = [&mut self.series, &mut self.time]
            .into_iter()
            .chain(self.columns.iter_mut().map(|column| &mut column.builder))
            .filter_map(|column| column.restart().finish(rows))
            .collect();
        NamedBatch {
            table: TableName::new(&options.keyspace, &self.name),
            rows,
            columns,
            ttl_s: options.ttl_s,
            create: Some(key_hint()),
        }
    }
}
