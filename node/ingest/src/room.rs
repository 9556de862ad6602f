//! What the rows of a body take in memory. Each row of a batch has room for every column that any of its rows names,
//! so a body whose rows each name other columns makes a thousand times its own size: what bytes of a body are allowed
//! says nothing about the bytes of its rows, which are counted here before they are made.

use activestore_types::DataType;

/// Bytes of a column of a batch beside its cells: its name, its array, and what those are allocated as.
const COLUMN_BYTES: usize = 256;

/// Why a row is not taken.
#[derive(Debug)]
pub(crate) enum Unfit {
    /// The row is at fault.
    Refused(String),
    /// The rows of its body take more than they may.
    TooLarge,
}

impl From<String> for Unfit {
    fn from(reason: String) -> Self {
        Unfit::Refused(reason)
    }
}

/// Room for all rows of a body.
#[derive(Debug)]
pub(crate) struct Room {
    left: usize,
}

impl Room {
    pub(crate) fn new(bytes: usize) -> Self {
        Room { left: bytes }
    }

    /// Takes room for a row, or says that there is none.
    pub(crate) fn take(&mut self, bytes: usize) -> Result<(), Unfit> {
        self.left = self.left.checked_sub(bytes).ok_or(Unfit::TooLarge)?;
        Ok(())
    }
}

/// The cells of each row of a batch under construction.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Width {
    /// Columns that some row names.
    columns: usize,
    /// Bytes of their cells in one row.
    bytes: usize,
}

impl Width {
    /// How many columns the rows so far name.
    pub(crate) fn columns(self) -> usize {
        self.columns
    }

    /// One column more.
    pub(crate) fn add(&mut self, data_type: Option<DataType>) {
        self.columns += 1;
        self.bytes += cell_bytes(data_type);
    }

    /// Bytes that the batch grows by with a row behind `rows` others, where `before` was its width without the row.
    pub(crate) fn grown(self, before: Width, rows: usize) -> usize {
        let columns = self.columns.saturating_sub(before.columns);
        // What is new is absent in all rows before.
        let reached = self.bytes.saturating_sub(before.bytes).saturating_mul(rows);
        reached
            .saturating_add(columns * COLUMN_BYTES)
            .saturating_add(self.bytes)
    }
}

/// Bytes of a cell, an absent one too, beside its text: the value or where the text ends, and whether there is one.
fn cell_bytes(data_type: Option<DataType>) -> usize {
    let value = match data_type {
        Some(DataType::Boolean) => 1,
        Some(
            DataType::Int
            | DataType::Date
            | DataType::Real
            | DataType::Text
            | DataType::Bytes
            | DataType::Uuid
            | DataType::Json,
        ) => 4,
        Some(DataType::Decimal { .. }) => 16,
        // What is not known yet may still become a number.
        Some(DataType::BigInt | DataType::Timestamp | DataType::Double) | None => 8,
    };
    value + 1
}

#[cfg(test)]
mod tests;
