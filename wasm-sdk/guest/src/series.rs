//! What processors over time series share: which columns they look at, the rows of a batch by key, and rows
//! to send that hold single cells of what was seen. It keeps nothing between batches.
//!
//! A series is one watched column of all rows with the same key. Settings that are read here: `columns`,
//! what is watched, and `key`, what tells series apart.

use std::collections::HashMap;

use crate::{Batch, Column, Config, Error, Field, ScalarType, Values, VarBytes, bitmap};

/// The columns that a processor asks for, by their place among those it is given.
#[derive(Clone, Debug, Default)]
pub struct Layout {
    /// The columns asked for, for `Spec::columns`.
    pub columns: Vec<u32>,
    /// The primary key's columns, times last, so that a table made of them is partitioned by the others.
    pub primary: Vec<usize>,
    /// The columns that tell series apart: those named by `key`, or the primary key without its times.
    pub key: Vec<usize>,
    /// The primary key's timestamp, if it has exactly one time and that is one.
    pub time: Option<usize>,
    /// The columns watched: those named by `columns`, or those picked.
    pub watched: Vec<usize>,
    /// The columns asked for, as the table has them.
    pub fields: Vec<Field>,
}

impl Layout {
    /// Reads the settings `key` and `columns`; where the latter is not set, `pick` says which of the columns
    /// that are not of the primary key are watched.
    ///
    /// # Errors
    /// `invalid`, for a column that the table lacks, or that is watched and holds no numbers.
    pub fn of(
        config: &Config,
        fields: &[Field],
        pick: impl Fn(&Field) -> bool,
    ) -> Result<Layout, Error> {
        let named = |setting: &str| -> Result<Option<Vec<usize>>, Error> {
            let names = config.list(setting);
            let find = |name: &String| {
                let found = fields.iter().position(|field| field.name == *name);
                found.ok_or_else(|| Error::Invalid(format!("the table has no column '{name}'")))
            };
            let found: Vec<usize> = names.iter().map(find).collect::<Result<_, _>>()?;
            Ok((!found.is_empty()).then_some(found))
        };
        let is_time = |index: &usize| {
            matches!(
                fields[*index].kind,
                ScalarType::Timestamp | ScalarType::Date
            )
        };
        let primary = (0..fields.len()).filter(|index| !fields[*index].nullable);
        let (times, others): (Vec<usize>, Vec<usize>) = primary.partition(is_time);
        let key = named("key")?.unwrap_or_else(|| others.clone());
        let watched = named("columns")?.unwrap_or_else(|| {
            (0..fields.len())
                .filter(|index| fields[*index].nullable && pick(&fields[*index]))
                .collect()
        });
        for index in &watched {
            let text = matches!(fields[*index].kind, ScalarType::Text | ScalarType::Bytes);
            if text || is_time(index) {
                let name = &fields[*index].name;
                return Err(Error::Invalid(format!("column '{name}' holds no numbers")));
            }
        }
        let time = match times.as_slice() {
            [time] if fields[*time].kind == ScalarType::Timestamp => Some(*time),
            _ => None,
        };
        let mut layout = Layout::default();
        layout.primary = others
            .iter()
            .chain(&times)
            .map(|index| layout.place(*index, fields))
            .collect();
        layout.key = key
            .into_iter()
            .map(|index| layout.place(index, fields))
            .collect();
        layout.time = time.map(|index| layout.place(index, fields));
        layout.watched = watched
            .into_iter()
            .map(|index| layout.place(index, fields))
            .collect();
        Ok(layout)
    }

    /// Where the table's column stands among those asked for; it is asked for if it was not.
    fn place(&mut self, index: usize, fields: &[Field]) -> usize {
        let known = self
            .columns
            .iter()
            .position(|other| *other as usize == index);
        known.unwrap_or_else(|| {
            self.columns.push(index as u32);
            self.fields.push(fields[index].clone());
            self.columns.len() - 1
        })
    }

    /// The name of a watched column, by its number among those.
    pub fn name(&self, watched: usize) -> &str {
        &self.fields[self.watched[watched]].name
    }

    /// Whether rows with the same key differ in the primary key by their time alone.
    ///
    /// # Errors
    /// `invalid`, with `why`, when they do not.
    pub fn must_be_timed(&self, why: &str) -> Result<usize, Error> {
        let told = |place: &usize| self.key.contains(place) || Some(*place) == self.time;
        match self.time {
            Some(time) if self.primary.iter().all(told) => Ok(time),
            _ => Err(Error::Invalid(format!(
                "{why} needs a primary key with one TIMESTAMP and all its other columns in the key"
            ))),
        }
    }

    /// The columns of rows that [`Cells`] makes: the primary key, then what is watched.
    pub fn cells(&self) -> Vec<Field> {
        let watched = self.watched.iter().map(|place| Field {
            nullable: true,
            ..self.fields[*place].clone()
        });
        let primary = self.primary.iter().map(|place| self.fields[*place].clone());
        primary.chain(watched).collect()
    }
}

/// The rows of a batch by key, in the order of each key's first row and within a key in the order of writing.
#[derive(Clone, Debug)]
pub struct ByKey {
    /// The keys' bytes.
    pub keys: VarBytes,
    rows: Vec<u32>,
    ends: Vec<u32>,
}

impl ByKey {
    /// Sorts the rows of a batch by the columns at these places.
    pub fn of(batch: &Batch, key: &[usize]) -> Self {
        let count = batch.rows as usize;
        let mut keys = VarBytes::with_capacity(0, 0);
        let mut known: HashMap<Vec<u8>, u32> = HashMap::new();
        let mut owners: Vec<u32> = Vec::with_capacity(count);
        let mut ends: Vec<u32> = Vec::new();
        let mut bytes = Vec::new();
        for row in 0..count {
            bytes.clear();
            for place in key {
                batch.columns[*place].push_key(row, &mut bytes);
            }
            // Rows of a key often come one after the other.
            let last = owners.last().copied();
            let owner = match last.filter(|last| keys.get(*last as usize) == bytes) {
                Some(last) => last,
                None => match known.get(&bytes) {
                    Some(known) => *known,
                    None => {
                        let number = ends.len() as u32;
                        keys.push(&bytes);
                        known.insert(bytes.clone(), number);
                        ends.push(0);
                        number
                    }
                },
            };
            ends[owner as usize] += 1;
            owners.push(owner);
        }
        let mut begin = 0;
        let mut next: Vec<u32> = ends
            .iter_mut()
            .map(|end| {
                let first = begin;
                begin += *end;
                *end = begin;
                first
            })
            .collect();
        let mut rows = vec![0; count];
        for (row, owner) in owners.into_iter().enumerate() {
            let next = &mut next[owner as usize];
            rows[*next as usize] = row as u32;
            *next += 1;
        }
        ByKey { keys, rows, ends }
    }

    /// How many keys there are.
    pub fn len(&self) -> usize {
        self.ends.len()
    }

    /// Whether there are no rows.
    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    /// The rows of a key, by its number.
    pub fn rows(&self, key: usize) -> &[u32] {
        let begin = if key == 0 { 0 } else { self.ends[key - 1] };
        &self.rows[begin as usize..self.ends[key] as usize]
    }
}

/// A value as it is, in 64 bits: it comes back in the column's own type, bit for bit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bits(pub u64);

impl Bits {
    /// The row's value; `None` for a null, text and bytes.
    pub fn of(column: &Column, row: usize) -> Option<Bits> {
        if !column.is_valid(row) {
            return None;
        }
        Some(Bits(match &column.values {
            Values::F64s(values) => values.get(row)?.to_bits(),
            Values::F32s(values) => values.get(row)?.to_bits().into(),
            Values::S64s(values) => values.get(row)?.cast_unsigned(),
            Values::S32s(values) => i64::from(*values.get(row)?).cast_unsigned(),
            Values::Bits(bits) => u64::from(bitmap::get(bits, row)),
            Values::Utf8(_) | Values::Binary(_) => return None,
        }))
    }

    /// As a float, of a value of this type.
    pub fn number(self, kind: ScalarType) -> f64 {
        match kind {
            ScalarType::Float64 => f64::from_bits(self.0),
            ScalarType::Float32 => f64::from(f32::from_bits(self.0 as u32)),
            _ => self.0.cast_signed() as f64,
        }
    }
}

/// Single cells on their way to the output table: those of one time and key make one row.
#[derive(Clone, Debug, Default)]
pub struct Cells(Vec<Cell>);

#[derive(Clone, Copy, Debug)]
struct Cell {
    /// A row of the batch with the same primary key, but for the time.
    row: u32,
    time: i64,
    watched: u32,
    bits: Bits,
}

impl Cells {
    /// Sends a watched column's value. `row` is a row of the batch that the other columns are taken from,
    /// the same for all cells of a key that belong into one row; `time` is the time of the row that is sent,
    /// which tells where the table has no timestamp nothing and is 0 there.
    pub fn send(&mut self, row: u32, time: i64, watched: usize, bits: Bits) {
        let watched = watched as u32;
        self.0.push(Cell {
            row,
            time,
            watched,
            bits,
        });
    }

    /// How many rows they make and the rows' columns, shaped as [`Layout::cells`] says.
    pub fn into_rows(mut self, batch: &Batch, layout: &Layout) -> (usize, Vec<Column>) {
        // Stable: of a cell that is sent twice, the one sent last is kept.
        self.0
            .sort_by_key(|cell| (cell.row, cell.time, cell.watched));
        let mut rows: Vec<(u32, i64)> = self.0.iter().map(|cell| (cell.row, cell.time)).collect();
        rows.dedup();
        let picked: Vec<usize> = rows.iter().map(|(row, _)| *row as usize).collect();
        let mut columns: Vec<Column> = layout
            .primary
            .iter()
            .map(|place| match layout.time {
                Some(time) if time == *place => {
                    Column::s64s(rows.iter().map(|(_, time)| *time).collect())
                }
                _ => batch.columns[*place].take(&picked),
            })
            .collect();
        self.0.sort_by_key(|cell| cell.watched);
        let mut cells = self.0.into_iter().peekable();
        for (watched, place) in layout.watched.iter().enumerate() {
            let mut values: Vec<Option<Bits>> = vec![None; rows.len()];
            let mut at = rows.iter().zip(&mut values).peekable();
            while let Some(cell) = cells.next_if(|cell| cell.watched as usize == watched) {
                while at
                    .next_if(|(row, _)| **row != (cell.row, cell.time))
                    .is_some()
                {}
                if let Some((_, value)) = at.peek_mut() {
                    **value = Some(cell.bits);
                }
            }
            columns.push(column(layout.fields[*place].kind, &values));
        }
        (rows.len(), columns)
    }
}

/// A column of this type from values as they are, null where there is none; not of text and bytes.
pub fn column(kind: ScalarType, values: &[Option<Bits>]) -> Column {
    let bits = values.iter().map(|value| value.map_or(0, |bits| bits.0));
    let present: Vec<bool> = values.iter().map(Option::is_some).collect();
    let values = match kind {
        ScalarType::Float64 => Values::F64s(bits.map(f64::from_bits).collect()),
        ScalarType::Float32 => Values::F32s(bits.map(|bits| f32::from_bits(bits as u32)).collect()),
        ScalarType::Int32 | ScalarType::Date => {
            Values::S32s(bits.map(|bits| bits.cast_signed() as i32).collect())
        }
        ScalarType::Boolean => {
            let bits: Vec<bool> = bits.map(|bits| bits != 0).collect();
            Values::Bits(bitmap::pack(&bits))
        }
        _ => Values::S64s(bits.map(u64::cast_signed).collect()),
    };
    Column {
        values,
        validity: present.contains(&false).then(|| bitmap::pack(&present)),
    }
}

#[cfg(test)]
mod tests;
