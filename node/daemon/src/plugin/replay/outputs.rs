//! Compares what two versions send, row by row, without holding it: rows that are alike are counted and
//! forgotten; a row waits only until the other version sends one with the same key.
//!
//! Rows with one key belong together in the order in which they were sent. Without a key a row belongs to
//! one that is alike in all columns, and nothing is ever called changed. NaN is like NaN.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use activestore_gateway::encode::text_cell;
use activestore_types::{Error, Result};
use arrow::array::{Array, ArrayRef, AsArray};
use arrow::datatypes::{DataType, Field, Float32Type, Float64Type, Schema, SchemaRef};
use arrow::record_batch::RecordBatch;
use arrow::row::{OwnedRow, RowConverter, Rows, SortField};

/// Bytes of rows that wait for their counterpart; beyond, all that wait count as sent by one side only.
const WAITING_BYTES_MAX: usize = 64 << 20;
/// What a row costs while it waits, beside its bytes.
const WAITING_COST: usize = 128;

/// One of the two versions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// The one that is there already.
    Old,
    /// The one on trial.
    New,
}

/// Something that differs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Difference {
    /// What it is: `changed`, `only old`, …
    pub what: &'static str,
    /// Which row it is about.
    pub key: String,
    /// What the old version gave.
    pub old: Option<String>,
    /// What the new one gave.
    pub new: Option<String>,
}

/// How many rows of the outputs are alike.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Alike in all columns.
    pub same: u64,
    /// Sent by the old version alone.
    pub only_old: u64,
    /// Sent by the new version alone.
    pub only_new: u64,
    /// Alike in their key alone.
    pub changed: u64,
}

/// The first differences, at most so many.
#[derive(Debug)]
pub struct Shown {
    /// They.
    pub all: Vec<Difference>,
    max: usize,
}

impl Shown {
    /// Room for so many.
    pub fn new(max: usize) -> Self {
        Shown {
            all: Vec::new(),
            max,
        }
    }

    /// Keeps one, where there is room; it is only made then.
    pub fn keep(&mut self, difference: impl FnOnce() -> Result<Difference>) -> Result<()> {
        if self.all.len() < self.max {
            self.all.push(difference()?);
        }
        Ok(())
    }
}

/// The comparison of one output.
pub struct Outputs {
    /// The columns that both have, the key's first.
    schema: SchemaRef,
    keys: usize,
    key: RowConverter,
    row: RowConverter,
    waiting: BTreeMap<OwnedRow, Waiting>,
    waiting_bytes: usize,
    /// How the declared columns differ, in a sentence.
    pub declared: Option<String>,
    /// Whether rows were given up on that might have found their counterpart later.
    pub gave_up: bool,
    /// What was found so far.
    pub counts: Counts,
}

struct Waiting {
    side: Side,
    rows: VecDeque<OwnedRow>,
}

impl Outputs {
    /// The comparison of rows with these columns by a key; of the key only columns that both have count, and
    /// all of them have to be there.
    ///
    /// # Errors
    /// `Invalid` where a column of the key is of a type that cannot be compared.
    pub fn new(old: &Schema, new: &Schema, key: &[String]) -> Result<Self> {
        let common = |field: &&Arc<Field>| {
            let other = new.field_with_name(field.name());
            other.is_ok_and(|other| other.data_type() == field.data_type())
        };
        let fields: Vec<Arc<Field>> = old.fields().iter().filter(common).cloned().collect();
        let is_key = |field: &Arc<Field>| key.contains(field.name());
        let whole = key
            .iter()
            .all(|name| fields.iter().any(|field| field.name() == name));
        let (mut ordered, rest): (Vec<_>, Vec<_>) = if whole {
            fields.iter().cloned().partition(is_key)
        } else {
            (Vec::new(), fields)
        };
        let keys = if ordered.is_empty() {
            rest.len()
        } else {
            ordered.len()
        };
        ordered.extend(rest);
        let sorts = |fields: &[Arc<Field>]| {
            let fields = fields
                .iter()
                .map(|field| SortField::new(field.data_type().clone()));
            RowConverter::new(fields.collect())
        };
        Ok(Outputs {
            key: sorts(ordered.get(..keys).unwrap_or_default())?,
            row: sorts(&ordered)?,
            schema: Arc::new(Schema::new(ordered)),
            keys,
            waiting: BTreeMap::new(),
            waiting_bytes: 0,
            declared: declared(old, new),
            gave_up: false,
            counts: Counts::default(),
        })
    }

    /// The columns by which rows belong together; none where they have to be alike as a whole.
    pub fn key_columns(&self) -> Vec<&str> {
        let fields = self.schema.fields().iter();
        let whole = self.keys == self.schema.fields().len();
        fields
            .take(if whole { 0 } else { self.keys })
            .map(|field| field.name().as_str())
            .collect()
    }

    /// Compares what both made of the same batch; a side that failed made nothing.
    ///
    /// # Errors
    /// `Internal` where rows cannot be compared or shown.
    pub fn compare(
        &mut self,
        old: Option<&RecordBatch>,
        new: Option<&RecordBatch>,
        shown: &mut Shown,
    ) -> Result<()> {
        if self.schema.fields().is_empty() {
            return Ok(());
        }
        let old = old.map(|batch| self.encoded(batch)).transpose()?;
        let new = new.map(|batch| self.encoded(batch)).transpose()?;
        if let (Some((_, old)), Some((_, new))) = (&old, &new)
            && self.waiting.is_empty()
            && old.num_rows() == new.num_rows()
            && old.iter().eq(new.iter())
        {
            self.counts.same += old.num_rows() as u64;
            return Ok(());
        }
        for (side, rows) in [(Side::Old, old), (Side::New, new)] {
            let Some((keys, rows)) = rows else {
                continue;
            };
            for (key, row) in keys.iter().zip(&rows) {
                self.offer(side, key.owned(), row.owned(), shown)?;
            }
        }
        if self.waiting_bytes > WAITING_BYTES_MAX {
            self.gave_up = true;
            self.settle(shown)?;
        }
        Ok(())
    }

    /// Counts all that still waits: no counterpart comes any more.
    ///
    /// # Errors
    /// `Internal` where a row cannot be shown.
    pub fn settle(&mut self, shown: &mut Shown) -> Result<()> {
        self.waiting_bytes = 0;
        for (_, waiting) in std::mem::take(&mut self.waiting) {
            for row in waiting.rows {
                let (what, count) = match waiting.side {
                    Side::Old => ("only old", &mut self.counts.only_old),
                    Side::New => ("only new", &mut self.counts.only_new),
                };
                *count += 1;
                shown.keep(|| {
                    let cells = cells(&self.schema, &self.row, &[&row])?;
                    let keyed = self.keys < self.schema.fields().len();
                    let split = if keyed { self.keys } else { 0 };
                    let row = cells.first().map_or(&[][..], Vec::as_slice);
                    let (key, rest) = row.split_at_checked(split).unwrap_or((row, &[]));
                    let rest = Some(joined(rest.iter()));
                    let (old, new) = match waiting.side {
                        Side::Old => (rest, None),
                        Side::New => (None, rest),
                    };
                    Ok(Difference {
                        what,
                        key: joined(key.iter()),
                        old,
                        new,
                    })
                })?;
            }
        }
        Ok(())
    }

    fn offer(&mut self, side: Side, key: OwnedRow, row: OwnedRow, shown: &mut Shown) -> Result<()> {
        let cost = |row: &OwnedRow| 2 * row.as_ref().len() + WAITING_COST;
        let Some(waiting) = self.waiting.get_mut(&key) else {
            self.waiting_bytes += cost(&row);
            let rows = VecDeque::from([row]);
            self.waiting.insert(key, Waiting { side, rows });
            return Ok(());
        };
        if waiting.side == side {
            self.waiting_bytes += cost(&row);
            waiting.rows.push_back(row);
            return Ok(());
        }
        let other = waiting.rows.pop_front();
        if waiting.rows.is_empty() {
            self.waiting.remove(&key);
        }
        // There is one: what waits without rows is taken away.
        let Some(other) = other else {
            return Ok(());
        };
        self.waiting_bytes = self.waiting_bytes.saturating_sub(cost(&other));
        if other == row {
            self.counts.same += 1;
            return Ok(());
        }
        self.counts.changed += 1;
        shown.keep(|| {
            let (old, new) = match side {
                Side::Old => (&row, &other),
                Side::New => (&other, &row),
            };
            self.changed(old, new)
        })
    }

    fn changed(&self, old: &OwnedRow, new: &OwnedRow) -> Result<Difference> {
        let cells = cells(&self.schema, &self.row, &[old, new])?;
        let [old, new] = cells.as_slice() else {
            return Err(Error::internal("a row is lost"));
        };
        let differs = || {
            old.iter()
                .zip(new)
                .skip(self.keys)
                .filter(|(old, new)| old != new)
        };
        Ok(Difference {
            what: "changed",
            key: joined(old.iter().take(self.keys)),
            old: Some(joined(differs().map(|(old, _)| old))),
            new: Some(joined(differs().map(|(_, new)| new))),
        })
    }

    /// The keys and the whole rows of a batch, as bytes that are equal where the values are.
    fn encoded(&self, batch: &RecordBatch) -> Result<(Rows, Rows)> {
        let columns: Vec<ArrayRef> = self
            .schema
            .fields()
            .iter()
            .map(|field| {
                let column = batch
                    .column_by_name(field.name())
                    .filter(|column| column.data_type() == field.data_type());
                column.map(plain).ok_or_else(|| {
                    Error::internal(format!("an output has lost its column '{}'", field.name()))
                })
            })
            .collect::<Result<_>>()?;
        let keys = columns.get(..self.keys).unwrap_or_default();
        Ok((
            self.key.convert_columns(keys)?,
            self.row.convert_columns(&columns)?,
        ))
    }
}

/// How declared columns differ.
fn declared(old: &Schema, new: &Schema) -> Option<String> {
    let of = |schema: &Schema| -> Vec<String> {
        let fields = schema.fields().iter();
        fields
            .map(|field| format!("{} {}", field.name(), field.data_type()))
            .collect()
    };
    let (old, new) = (of(old), of(new));
    let missing = |from: &[String], all: &[String]| {
        let missing = all.iter().filter(|column| !from.contains(column)).cloned();
        missing.collect::<Vec<_>>().join(", ")
    };
    let (gone, added) = (missing(&new, &old), missing(&old, &new));
    let mut parts = Vec::new();
    if !added.is_empty() {
        parts.push(format!("the new version adds {added}"));
    }
    if !gone.is_empty() {
        parts.push(format!("the new version lacks {gone}"));
    }
    (!parts.is_empty()).then(|| parts.join(" and "))
}

/// The column with one NaN and one zero, so that bytes are equal where SQL and people see no difference.
fn plain(column: &ArrayRef) -> ArrayRef {
    match column.data_type() {
        DataType::Float64 => {
            let column = column.as_primitive::<Float64Type>();
            let one = |value: f64| {
                if value.is_nan() {
                    f64::NAN
                } else {
                    value + 0.0
                }
            };
            Arc::new(column.unary::<_, Float64Type>(one))
        }
        DataType::Float32 => {
            let column = column.as_primitive::<Float32Type>();
            let one = |value: f32| {
                if value.is_nan() {
                    f32::NAN
                } else {
                    value + 0.0
                }
            };
            Arc::new(column.unary::<_, Float32Type>(one))
        }
        _ => column.clone(),
    }
}

/// Rows as `name=value`.
fn cells(
    schema: &SchemaRef,
    converter: &RowConverter,
    rows: &[&OwnedRow],
) -> Result<Vec<Vec<String>>> {
    let columns = converter.convert_rows(rows.iter().map(|row| row.row()))?;
    let batch = RecordBatch::try_new(schema.clone(), columns)?;
    (0..rows.len()).map(|row| named(&batch, row)).collect()
}

/// A row's cells as `name=value`.
pub fn named(batch: &RecordBatch, row: usize) -> Result<Vec<String>> {
    let schema = batch.schema();
    let fields = schema.fields().iter().zip(batch.columns());
    fields
        .map(|(field, column)| {
            let mut text = String::new();
            let some = text_cell(column, row, &mut text)?;
            Ok(format!(
                "{}={}",
                field.name(),
                if some { &text } else { "NULL" }
            ))
        })
        .collect()
}

/// Cells side by side.
pub fn joined<'a>(cells: impl Iterator<Item = &'a String>) -> String {
    cells.map(String::as_str).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests;
