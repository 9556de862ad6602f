//! Typed rows on their way, each with its place in the file.

use std::ops::Range;

use activestore_types::{NamedBatch, NamedColumn, Result};
use arrow::array::{Array, AsArray, BooleanArray};
use arrow::buffer::BooleanBuffer;
use arrow::compute::filter;

/// Rows and their numbers in the file.
#[derive(Clone, Debug)]
pub struct Rows {
    /// The rows.
    pub batch: NamedBatch,
    /// The line (or row) of each.
    pub lines: LineNumbers,
}

/// Numbers of rows in a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LineNumbers {
    /// One after the other, from this one on.
    From(u64),
    /// Each of them.
    Each(Vec<u64>),
}

impl LineNumbers {
    /// The number of one row.
    pub fn of(&self, row: usize) -> u64 {
        match self {
            LineNumbers::From(first) => first + row as u64,
            LineNumbers::Each(all) => all.get(row).copied().unwrap_or(0),
        }
    }
}

impl Rows {
    /// Some of the rows that follow each other.
    pub fn slice(&self, range: &Range<usize>) -> Rows {
        let (from, rows) = (range.start, range.len());
        let columns = self.batch.columns.iter().map(|column| NamedColumn {
            name: column.name.clone(),
            array: column.array.slice(from, rows),
            set: column.set.as_ref().map(|set| set.slice(from, rows)),
            declared: column.declared,
        });
        Rows {
            batch: NamedBatch {
                rows,
                columns: columns.collect(),
                table: self.batch.table.clone(),
                create: self.batch.create.clone(),
                ttl_s: self.batch.ttl_s,
            },
            lines: match &self.lines {
                LineNumbers::From(first) => LineNumbers::From(first + from as u64),
                LineNumbers::Each(all) => {
                    LineNumbers::Each(all.get(range.clone()).unwrap_or_default().to_vec())
                }
            },
        }
    }

    /// The rows without those at these places.
    ///
    /// # Errors
    /// Those of Arrow.
    pub fn without(self, places: &[usize]) -> Result<Rows> {
        if places.is_empty() {
            return Ok(self);
        }
        let mut kept = vec![true; self.batch.rows];
        for place in places {
            if let Some(kept) = kept.get_mut(*place) {
                *kept = false;
            }
        }
        let mask = BooleanArray::from(kept);
        let mut columns = Vec::with_capacity(self.batch.columns.len());
        for column in self.batch.columns {
            let set = match column.set {
                Some(set) => Some(filtered(set, &mask)?),
                None => None,
            };
            columns.push(NamedColumn {
                array: filter(&column.array, &mask)?,
                set,
                ..column
            });
        }
        let numbers = (0..mask.len())
            .filter(|row| mask.value(*row))
            .map(|row| self.lines.of(row));
        Ok(Rows {
            lines: LineNumbers::Each(numbers.collect()),
            batch: NamedBatch {
                rows: mask.true_count(),
                columns,
                ..self.batch
            },
        })
    }
}

fn filtered(set: BooleanBuffer, mask: &BooleanArray) -> Result<BooleanBuffer> {
    let kept = filter(&BooleanArray::new(set, None), mask)?;
    Ok(kept.as_boolean().values().clone())
}
