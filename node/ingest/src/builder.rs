//! Rows of one table that come with their columns by name (JSON, CSV): a row is checked as a whole
//! and then pushed as a whole, so a refused row leaves no trace.

use std::borrow::Cow;
use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use activestore_types::{DataType, KeyHint, NamedBatch, TableName, TableSchema};

use crate::column_builder::{ColumnBuilder, exact_as_double};
use crate::room::{Room, Unfit, Width};
use crate::value::Value;

/// How many columns a table may get from one body.
pub(crate) const COLUMNS_MAX: usize = 4_096;

/// Cells (rows times columns, absent ones too) of one batch. A sparse body of many columns would
/// else take memory out of all proportion to its size; it becomes several batches.
pub(crate) const BATCH_CELLS_MAX: usize = 4 << 20;

/// Bytes of text after which a batch is closed; Arrow counts them with 32 bits.
pub(crate) const BATCH_TEXT_BYTES_MAX: usize = 256 << 20;

/// A cell with the index of its column and the type that a new column gets from it.
pub(crate) type Cell<'a> = (usize, Value<'a>, Option<DataType>);

/// Builds batches row by row.
pub(crate) struct RowsBuilder {
    table: TableName,
    schema: Option<Arc<TableSchema>>,
    ttl_s: Option<u64>,
    create: Option<KeyHint>,
    /// Batches that are full.
    closed: Vec<NamedBatch>,
    columns: Vec<ColumnBuilder>,
    names: HashMap<String, usize>,
    /// The columns up to here belong to accepted rows.
    settled: usize,
    /// Rows of the batch under construction.
    rows: usize,
    closed_rows: usize,
    text_bytes: usize,
    width: Width,
    /// What the rows may still take.
    room: Room,
}

impl RowsBuilder {
    pub(crate) fn new(
        table: TableName,
        schema: Option<Arc<TableSchema>>,
        ttl_s: Option<u64>,
        create: Option<KeyHint>,
    ) -> Self {
        RowsBuilder {
            table,
            schema,
            ttl_s,
            create,
            closed: Vec::new(),
            columns: Vec::new(),
            names: HashMap::new(),
            settled: 0,
            rows: 0,
            closed_rows: 0,
            text_bytes: 0,
            width: Width::default(),
            room: Room::new(usize::MAX),
        }
    }

    /// The same for rows that take no more than so many bytes.
    pub(crate) fn within(mut self, bytes: usize) -> Self {
        self.room = Room::new(bytes);
        self
    }

    /// Rows taken so far.
    pub(crate) fn rows(&self) -> usize {
        self.closed_rows + self.rows
    }

    /// Columns so far, whichever rows name them.
    #[cfg(feature = "prometheus")]
    pub(crate) fn columns(&self) -> usize {
        self.columns.len()
    }

    /// The index of the column with this name, made if it is new, and the type it is bound to by
    /// the table's schema or by the caller.
    pub(crate) fn column(
        &mut self,
        name: &str,
        bound: Option<DataType>,
    ) -> Result<(usize, Option<DataType>), String> {
        let bound = bound.or_else(|| {
            let schema = self.schema.as_ref()?;
            schema.column(name).map(|column| column.data_type)
        });
        if let Some(index) = self.names.get(name) {
            return Ok((*index, bound));
        }
        if name.is_empty() {
            return Err("a column has an empty name".to_owned());
        }
        if self.columns.len() >= COLUMNS_MAX {
            return Err(format!("more than {COLUMNS_MAX} columns"));
        }
        let index = self.columns.len();
        self.columns
            .push(ColumnBuilder::new(name.to_owned(), bound));
        self.names.insert(name.to_owned(), index);
        Ok((index, bound))
    }

    /// Takes the row or says why not. Where a column stands twice the last cell counts.
    pub(crate) fn push(&mut self, row: &[Cell<'_>]) -> Result<(), Unfit> {
        if let Err(reason) = self.check(row) {
            self.forget_new_columns();
            return Err(Unfit::Refused(reason));
        }
        let text_bytes: usize = row.iter().map(|(_, value, _)| value.text_bytes()).sum();
        if self.rows > 0
            && ((self.rows + 1) * self.columns.len() > BATCH_CELLS_MAX
                || self.text_bytes + text_bytes > BATCH_TEXT_BYTES_MAX)
        {
            self.close_batch();
        }
        let width = self.width_with(row);
        let grown = width.grown(self.width, self.rows);
        if self.room.take(grown.saturating_add(text_bytes)).is_err() {
            self.forget_new_columns();
            return Err(Unfit::TooLarge);
        }
        self.width = width;
        self.text_bytes += text_bytes;
        let stamp = self.rows as u64 + 1;
        for (index, value, natural) in row.iter().rev() {
            if let Some(column) = self.columns.get_mut(*index)
                && column.touched != stamp
            {
                column.touched = stamp;
                if let Some(natural) = natural {
                    column.settle(*natural);
                }
                column.push(self.rows, value);
            }
        }
        self.settled = self.columns.len();
        self.rows += 1;
        Ok(())
    }

    /// The width of the batch with this row in it.
    fn width_with(&self, row: &[Cell<'_>]) -> Width {
        let mut width = self.width;
        if width.columns() == self.columns.len() {
            return width;
        }
        let mut seen = HashSet::new();
        for (index, value, natural) in row {
            if let Some(column) = self.columns.get(*index)
                && column.is_fresh()
                && seen.insert(index)
            {
                let natural = natural.or_else(|| value.natural_type());
                width.add(column.data_type().or(natural));
            }
        }
        width
    }

    /// Drops the columns that a refused row has made.
    pub(crate) fn forget_new_columns(&mut self) {
        for column in self.columns.drain(self.settled..) {
            self.names.remove(&column.name);
        }
    }

    fn check(&self, row: &[Cell<'_>]) -> Result<(), String> {
        for (index, value, natural) in row {
            let Some(column) = self.columns.get(*index) else {
                continue;
            };
            let (Some(has), Some(comes)) = (column.data_type(), *natural) else {
                continue;
            };
            let fits = match (has, comes, value) {
                _ if has == comes => true,
                (_, _, Value::Null) => true,
                (DataType::BigInt, DataType::Double, _) => column.can_widen(),
                (DataType::Double, _, Value::BigInt(value)) => exact_as_double(*value),
                _ => false,
            };
            if !fits {
                return Err(format!(
                    "column '{}' holds {has} in the rows before, and {comes} here",
                    column.name
                ));
            }
        }
        Ok(())
    }

    fn close_batch(&mut self) {
        let rows = std::mem::take(&mut self.rows);
        self.closed_rows += rows;
        self.text_bytes = 0;
        self.width = Width::default();
        let columns = self
            .columns
            .iter_mut()
            .filter_map(|column| column.restart().finish(rows))
            .collect();
        self.closed.push(NamedBatch {
            table: self.table.clone(),
            rows,
            columns,
            ttl_s: self.ttl_s,
            create: self.create.clone(),
        });
    }

    /// The batches: none where there are no rows, one unless there are very many cells.
    pub(crate) fn finish(mut self) -> Vec<NamedBatch> {
        if self.rows > 0 {
            self.close_batch();
        }
        self.closed
    }
}

/// Columns that every row gets beside its own, as topics and options give them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AddedColumns {
    /// Name and text, converted to the column's type (TEXT where none is known). They take the
    /// place of cells of the same name in the rows.
    pub fixed: Vec<(String, String)>,
    /// Name and nanoseconds since 1970: given to rows that do not name the column themselves.
    pub time: Option<(String, i64)>,
}

impl AddedColumns {
    /// Adds the cells to a row. The row's own cells stand before.
    pub(crate) fn extend<'a>(
        &'a self,
        builder: &mut RowsBuilder,
        row: &mut Vec<Cell<'a>>,
    ) -> Result<(), String> {
        for (name, text) in &self.fixed {
            let (index, bound) = builder.column(name, None)?;
            let data_type = bound.unwrap_or(DataType::Text);
            let value = crate::value::from_text(Cow::Borrowed(text), data_type, None)
                .map_err(|reason| format!("column '{name}': {reason}"))?;
            row.push((index, value, Some(data_type)));
        }
        if let Some((name, ns)) = &self.time {
            let (index, bound) = builder.column(name, None)?;
            if !matches!(bound, None | Some(DataType::Timestamp)) {
                return Err(format!("column '{name}' is no TIMESTAMP column"));
            }
            if row.iter().all(|(other, _, _)| *other != index) {
                row.push((index, Value::Timestamp(*ns), Some(DataType::Timestamp)));
            }
        }
        Ok(())
    }
}
