//! The tables that a body fills.

use std::borrow::Cow;
use std::collections::HashMap;

use activestore_types::{DataType, NamedBatch, TableName};

use super::series::Series;
use super::{METRIC_COLUMN, RemoteWriteOptions, STALE_COLUMN, TABLES_MAX, VALUE_COLUMN};
use crate::builder::{Cell, RowsBuilder};
use crate::line_protocol::{SERIES_COLUMN, TIME_COLUMN, key_hint};
use crate::room::Unfit;
use crate::value::Value;

/// The bits by which Prometheus says that a series ended; any other NaN is a value.
pub(super) const STALE_BITS: u64 = 0x7ff0_0000_0000_0002;

/// Bytes of a row beside its texts: time and value.
const ROW_BYTES: usize = 16;

/// Bytes of a cell though it be absent: where its text ends.
const CELL_BYTES: usize = 4;

/// Nanoseconds of the millisecond that samples are told in.
const NS_PER_MS: i64 = 1_000_000;

/// Tables under construction.
pub(super) struct Tables<'o> {
    options: &'o RemoteWriteOptions,
    all: Vec<Table>,
    places: HashMap<String, usize>,
    /// What the rows may still take.
    room: usize,
}

struct Table {
    rows: RowsBuilder,
    /// Cells that have been taken off the room, absent ones too.
    cells: usize,
}

/// A series whose samples are being added: the cells that are the same in each row.
pub(super) struct Begun<'a> {
    place: usize,
    cells: Vec<Cell<'a>>,
    bytes: usize,
    value: usize,
    stale: Option<usize>,
    time: usize,
}

impl<'o> Tables<'o> {
    pub(super) fn new(options: &'o RemoteWriteOptions) -> Self {
        Tables {
            options,
            all: Vec::new(),
            places: HashMap::new(),
            room: options.rows_bytes_max,
        }
    }

    /// Whether all metrics share a table.
    pub(super) fn shared(&self) -> bool {
        self.options.table.is_some()
    }

    /// Finds the table and the columns of a series.
    pub(super) fn begin<'a>(&mut self, series: Series<'a>) -> Result<Begun<'a>, Unfit> {
        let name = self.options.table.as_deref().unwrap_or(series.metric);
        let place = match self.places.get(name) {
            Some(place) => *place,
            None if self.all.len() >= TABLES_MAX => return Err(Unfit::TooLarge),
            None => {
                let table = TableName::new(&self.options.keyspace, name);
                self.all.push(Table {
                    rows: RowsBuilder::new(table, None, None, Some(key_hint())),
                    cells: 0,
                });
                self.places.insert(name.to_owned(), self.all.len() - 1);
                self.all.len() - 1
            }
        };
        let metric = self.shared().then_some((METRIC_COLUMN, series.metric));
        let table = self
            .all
            .get_mut(place)
            .ok_or_else(|| Unfit::Refused("its table is gone".to_owned()))?;
        let built = cells(&mut table.rows, metric, series);
        if built.is_err() {
            table.rows.forget_new_columns();
        }
        let (cells, time, value) = built.map_err(Unfit::Refused)?;
        let texts = cells.iter().map(|(_, value, _)| value.text_bytes());
        Ok(Begun {
            bytes: ROW_BYTES + texts.sum::<usize>(),
            place,
            cells,
            value,
            stale: None,
            time,
        })
    }

    /// Adds a sample; whether it is a staleness marker.
    pub(super) fn push(
        &mut self,
        begun: &mut Begun<'_>,
        ms: i64,
        value: f64,
    ) -> Result<bool, Unfit> {
        let ns = ms.checked_mul(NS_PER_MS).ok_or_else(|| {
            Unfit::Refused(format!(
                "its time of {ms} ms is beyond what a TIMESTAMP carries"
            ))
        })?;
        let table = self
            .all
            .get_mut(begun.place)
            .ok_or_else(|| Unfit::Refused("its table is gone".to_owned()))?;
        let stale = value.to_bits() == STALE_BITS;
        let sample = if stale {
            let index = match begun.stale {
                Some(index) => index,
                None => {
                    table
                        .rows
                        .column(STALE_COLUMN, Some(DataType::Boolean))
                        .map_err(Unfit::Refused)?
                        .0
                }
            };
            begun.stale = Some(index);
            (index, Value::Boolean(true), Some(DataType::Boolean))
        } else {
            (begun.value, Value::Double(value), Some(DataType::Double))
        };
        // A column that one row names takes room in all rows of its table.
        let cells = (table.rows.rows() + 1).saturating_mul(table.rows.columns());
        let grown = cells.saturating_sub(table.cells).saturating_mul(CELL_BYTES);
        self.room = self
            .room
            .checked_sub(begun.bytes.saturating_add(grown))
            .ok_or(Unfit::TooLarge)?;
        table.cells = cells;
        let shared = begun.cells.len();
        let time = Value::Timestamp(ns);
        begun
            .cells
            .push((begun.time, time, Some(DataType::Timestamp)));
        begun.cells.push(sample);
        let pushed = table.rows.push(&begun.cells);
        begun.cells.truncate(shared);
        pushed.map(|()| stale)
    }

    /// Bytes of the rows so far.
    pub(super) fn bytes(&self) -> usize {
        self.options.rows_bytes_max.saturating_sub(self.room)
    }

    pub(super) fn finish(self) -> Vec<NamedBatch> {
        let tables = self.all.into_iter();
        tables.flat_map(|table| table.rows.finish()).collect()
    }
}

/// The cells that all rows of a series have, and the columns of time and value.
fn cells<'a>(
    table: &mut RowsBuilder,
    metric: Option<(&'static str, &'a str)>,
    series: Series<'a>,
) -> Result<(Vec<Cell<'a>>, usize, usize), String> {
    let mut cells = Vec::with_capacity(series.labels.len() + 4);
    let mut text = |table: &mut RowsBuilder, name: &str, text: Cow<'a, str>| {
        let (index, _) = table.column(name, Some(DataType::Text))?;
        cells.push((index, Value::Text(text), Some(DataType::Text)));
        Ok::<_, String>(())
    };
    text(table, SERIES_COLUMN, Cow::Owned(series.text))?;
    let (time, _) = table.column(TIME_COLUMN, Some(DataType::Timestamp))?;
    if let Some((column, metric)) = metric {
        text(table, column, Cow::Borrowed(metric))?;
    }
    for (column, value) in series.labels {
        text(table, &column, Cow::Borrowed(value))?;
    }
    let (value, _) = table.column(VALUE_COLUMN, Some(DataType::Double))?;
    Ok((cells, time, value))
}
