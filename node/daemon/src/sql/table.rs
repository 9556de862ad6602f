//! Rows as a table for people: numbers to the right, NULL told from the empty string, and only as
//! many rows as one can look at.

use activestore_gateway::encode::{text_cell, type_name};
use activestore_types::Result;
use arrow::array::Array;
use arrow::datatypes::{DataType, SchemaRef};
use arrow::record_batch::RecordBatch;
use comfy_table::{Attribute, Cell, CellAlignment, ContentArrangement, Table, presets};

/// The most rows shown; more are only counted.
pub const ROWS_SHOWN_MAX: usize = 10_000;

/// Rows on their way into a table.
pub struct Grid {
    names: Vec<String>,
    types: Vec<String>,
    numeric: Vec<bool>,
    rows: Vec<Vec<Option<String>>>,
    total: u64,
}

impl Grid {
    /// An empty one with these columns.
    pub fn new(schema: &SchemaRef) -> Self {
        let fields = schema.fields();
        Grid {
            names: fields.iter().map(|field| field.name().clone()).collect(),
            types: fields.iter().map(|field| type_name(field)).collect(),
            numeric: fields
                .iter()
                .map(|field| is_number(field.data_type()))
                .collect(),
            rows: Vec::new(),
            total: 0,
        }
    }

    /// One of text, for answers that are not a query's.
    pub fn of_text(names: &[&str], rows: Vec<Vec<Option<String>>>) -> Self {
        Grid {
            names: names.iter().map(|name| (*name).to_owned()).collect(),
            types: names.iter().map(|_| String::new()).collect(),
            numeric: (0..names.len())
                .map(|column| {
                    rows.iter()
                        .filter_map(|row| row.get(column)?.as_deref())
                        .all(|text| text.parse::<f64>().is_ok())
                        && !rows.is_empty()
                })
                .collect(),
            total: rows.len() as u64,
            rows,
        }
    }

    /// Adds a batch's rows.
    ///
    /// # Errors
    /// `Internal` where a value has no text form.
    pub fn push(&mut self, batch: &RecordBatch) -> Result<()> {
        let room = ROWS_SHOWN_MAX.saturating_sub(self.rows.len());
        for row in 0..batch.num_rows().min(room) {
            let mut cells = Vec::with_capacity(batch.num_columns());
            for array in batch.columns() {
                let mut text = String::new();
                let some = text_cell(array, row, &mut text)?;
                if matches!(array.data_type(), DataType::Timestamp(_, _)) {
                    text = text.replacen('T', " ", 1).trim_end_matches('Z').to_owned();
                }
                cells.push(some.then_some(text));
            }
            self.rows.push(cells);
        }
        self.total += batch.num_rows() as u64;
        Ok(())
    }

    /// How many rows there were.
    pub fn total(&self) -> u64 {
        self.total
    }

    /// How many of them are not shown.
    pub fn hidden(&self) -> u64 {
        self.total - self.rows.len() as u64
    }

    /// The table; `width` is the terminal's, `None` where there is none.
    pub fn render(&self, width: Option<u16>) -> String {
        let mut table = Table::new();
        table.load_style(presets::UTF8_FULL_CONDENSED);
        match width {
            Some(width) => {
                table.set_content_arrangement(ContentArrangement::Dynamic);
                table.set_width(width);
            }
            None => {
                table.set_content_arrangement(ContentArrangement::Disabled);
            }
        }
        let styled = width.is_some();
        table.set_header(self.names.iter().map(|name| {
            let cell = Cell::new(name);
            if styled {
                cell.add_attribute(Attribute::Bold)
            } else {
                cell
            }
        }));
        for row in &self.rows {
            table.add_row(
                row.iter()
                    .zip(&self.numeric)
                    .map(|(text, numeric)| match text {
                        Some(text) if *numeric => {
                            Cell::new(text).set_alignment(CellAlignment::Right)
                        }
                        Some(text) => Cell::new(text),
                        None if styled => Cell::new("NULL").add_attribute(Attribute::Dim),
                        None => Cell::new("NULL"),
                    }),
            );
        }
        table.to_string()
    }

    /// One line a cell, for rows that are too wide for the screen.
    pub fn render_expanded(&self) -> String {
        let width = self
            .names
            .iter()
            .map(|name| name.chars().count())
            .max()
            .unwrap_or(0);
        let mut out = String::new();
        for (index, row) in self.rows.iter().enumerate() {
            out.push_str(&format!("─[ row {} ]─\n", index + 1));
            for (name, text) in self.names.iter().zip(row) {
                let text = text.as_deref().unwrap_or("NULL");
                out.push_str(&format!("{name:<width$} │ {text}\n"));
            }
        }
        out.trim_end().to_owned()
    }

    /// The columns' names and types.
    pub fn columns(&self) -> impl Iterator<Item = (&str, &str)> {
        self.names
            .iter()
            .map(String::as_str)
            .zip(self.types.iter().map(String::as_str))
    }

    /// The rows shown.
    pub fn rows(&self) -> &[Vec<Option<String>>] {
        &self.rows
    }
}

fn is_number(data_type: &DataType) -> bool {
    data_type.is_numeric()
}

#[cfg(test)]
mod tests;
