//! The rows that fill gaps, made while rows go by: nothing is kept but the last row and the batch at hand.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use activestore_types::Error;
use arrow::array::{
    Array, ArrayRef, AsArray, BooleanArray, Float64Array, RecordBatch, TimestampNanosecondArray,
    UInt32Array, new_null_array,
};
use arrow::compute::kernels::zip::zip;
use arrow::compute::{cast, interleave, take_record_batch};
use arrow::datatypes::{DataType as ArrowType, Float64Type, SchemaRef, TimestampNanosecondType};
use arrow::row::{OwnedRow, RowConverter, Rows, SortField};
use datafusion::common::{Result, internal_err};

use super::node::{FillKind, GapFill};
use crate::bucket::Buckets;
use crate::error::to_datafusion;

/// Rows of a batch that goes out.
const BATCH_ROWS: usize = 8192;
/// Rows that all series of a query have when they are filled.
const FILLED_ROWS_MAX: u64 = 100_000_000;

/// Where a row lies: in the row that was last in the batch before, or in the batch at hand.
#[derive(Clone, Copy, Debug)]
enum At {
    Before,
    Here(usize),
}

/// A row that goes out.
#[derive(Clone, Copy, Debug)]
enum Row {
    Given(At),
    Made {
        time: i64,
        before: Option<At>,
        after: Option<At>,
    },
}

pub(super) struct Filler {
    kinds: Vec<FillKind>,
    time: usize,
    buckets: Buckets,
    start: i64,
    finish: i64,
    schema: SchemaRef,
    converter: RowConverter,
    /// The batch at hand, its series, and its row that is next.
    batch: Option<(RecordBatch, Rows)>,
    next: usize,
    /// The last row of the batch before, alone.
    carried: Option<RecordBatch>,
    /// The row that went out last, if it is of the series at hand.
    before: Option<At>,
    series: Option<OwnedRow>,
    /// The bucket of the series at hand that is due.
    due: i64,
    /// Whether a series is at hand.
    begun: bool,
    ended: bool,
    done: bool,
    /// Rows of all series so far, of other partitions too.
    filled: Arc<AtomicU64>,
}

impl Filler {
    pub(super) fn new(node: &GapFill, schema: SchemaRef, filled: Arc<AtomicU64>) -> Result<Self> {
        let Some(time) = node.kinds.iter().position(|kind| *kind == FillKind::Time) else {
            return internal_err!("gaps are filled without a column of time");
        };
        let series = schema.fields().iter().zip(&node.kinds);
        let series = series.filter(|(_, kind)| **kind == FillKind::Series);
        let fields = series.map(|(field, _)| SortField::new(field.data_type().clone()));
        Ok(Filler {
            kinds: node.kinds.clone(),
            time,
            buckets: node.buckets.clone(),
            start: node.start,
            finish: node.finish,
            converter: RowConverter::new(fields.collect())?,
            schema,
            batch: None,
            next: 0,
            carried: None,
            before: None,
            series: None,
            due: node.start,
            begun: false,
            ended: false,
            done: false,
            filled,
        })
    }

    pub(super) fn is_done(&self) -> bool {
        self.done
    }

    /// No more rows come.
    pub(super) fn finish(&mut self) {
        self.ended = true;
    }

    /// The next rows; the ones before were all taken.
    pub(super) fn give(&mut self, batch: RecordBatch) -> Result<()> {
        if batch.num_rows() == 0 {
            return Ok(());
        }
        if let Some((last, _)) = self.batch.take() {
            let row = u32::try_from(last.num_rows().saturating_sub(1)).unwrap_or(u32::MAX);
            self.carried = Some(take_record_batch(&last, &UInt32Array::from(vec![row]))?);
            self.before = self.before.map(|_| At::Before);
        }
        let columns = batch.columns().iter().zip(&self.kinds);
        let columns = columns.filter(|(_, kind)| **kind == FillKind::Series);
        let columns: Vec<ArrayRef> = columns.map(|(column, _)| column.clone()).collect();
        let rows = if columns.is_empty() {
            self.converter.empty_rows(0, 0)
        } else {
            self.converter.convert_columns(&columns)?
        };
        self.admit(&rows)?;
        self.batch = Some((batch, rows));
        self.next = 0;
        Ok(())
    }

    /// Counts the series that begin in a batch, before any of them is filled.
    fn admit(&self, rows: &Rows) -> Result<()> {
        let mut begun = 0_u64;
        let mut last = self.series.as_ref().map(OwnedRow::row);
        for row in rows {
            if last != Some(row) {
                begun += 1;
            }
            last = Some(row);
        }
        let each = self.buckets.count(self.start, self.finish);
        let more = begun.saturating_mul(each);
        let before = self.filled.fetch_add(more, Ordering::Relaxed);
        if before.saturating_add(more) <= FILLED_ROWS_MAX {
            return Ok(());
        }
        Err(to_datafusion(
            Error::invalid(format!(
                "time_bucket_gapfill() would fill more than {FILLED_ROWS_MAX} rows of all series together"
            ))
            .with_hint("make the buckets wider, the span of time shorter, or the series fewer"),
        ))
    }

    /// Rows that go out; `None` where more are needed to go on.
    pub(super) fn next_batch(&mut self) -> Result<Option<RecordBatch>> {
        let mut rows = Vec::new();
        while rows.len() < BATCH_ROWS {
            if !self.step(&mut rows)? {
                break;
            }
        }
        if rows.is_empty() {
            return Ok(None);
        }
        self.assemble(&rows).map(Some)
    }

    /// Puts out the row that is next; whether there is one.
    fn step(&mut self, rows: &mut Vec<Row>) -> Result<bool> {
        let here = match &self.batch {
            Some((batch, series)) if self.next < batch.num_rows() => {
                let Some(times) = batch
                    .column(self.time)
                    .as_primitive_opt::<TimestampNanosecondType>()
                else {
                    return internal_err!("gaps are filled in a column that is no time");
                };
                let time = times.is_valid(self.next).then(|| times.value(self.next));
                let series = (series.num_rows() > 0).then(|| series.row(self.next).owned());
                Some((time, series))
            }
            _ => None,
        };
        let Some((time, series)) = here else {
            return Ok(self.ended && self.trail(rows));
        };
        if self.begun && self.series != series {
            // The series before is filled up to its end first.
            if self.close(rows) {
                return Ok(true);
            }
        }
        if self.series != series || !self.begun {
            self.begun = true;
            self.series = series;
            self.due = self.start;
            self.before = None;
        }
        let at = At::Here(self.next);
        if let Some(time) = time {
            if self.due < time && self.due < self.finish {
                rows.push(Row::Made {
                    time: self.due,
                    before: self.before,
                    after: Some(at),
                });
                self.advance(self.due);
                return Ok(true);
            }
            if time >= self.due {
                self.advance(time);
            }
        }
        rows.push(Row::Given(at));
        // A row without a time fills nothing, but says which series is at hand.
        self.before = Some(at);
        self.next += 1;
        Ok(true)
    }

    /// After the last row of all.
    fn trail(&mut self, rows: &mut Vec<Row>) -> bool {
        // Without series there is one, also where it has no row.
        if !self.begun && self.kinds.contains(&FillKind::Series) {
            self.done = true;
            return false;
        }
        if self.close(rows) {
            return true;
        }
        self.done = true;
        false
    }

    /// One more bucket at the end of the series at hand; whether there is one.
    fn close(&mut self, rows: &mut Vec<Row>) -> bool {
        if self.due >= self.finish {
            return false;
        }
        rows.push(Row::Made {
            time: self.due,
            before: self.before,
            after: None,
        });
        self.advance(self.due);
        true
    }

    fn advance(&mut self, bucket: i64) {
        let next = self.buckets.next(bucket);
        // Where time ends, so do buckets.
        self.due = if next > bucket { next } else { i64::MAX };
    }

    fn assemble(&self, rows: &[Row]) -> Result<RecordBatch> {
        let mut columns = Vec::with_capacity(self.kinds.len());
        for (place, (kind, field)) in self.kinds.iter().zip(self.schema.fields()).enumerate() {
            let nothing = new_null_array(field.data_type(), 1);
            let before = self
                .carried
                .as_ref()
                .map_or(&nothing, |row| row.column(place));
            let here = self
                .batch
                .as_ref()
                .map_or(&nothing, |(batch, _)| batch.column(place));
            let sources = [&nothing, before, here];
            columns.push(match kind {
                FillKind::Time => self.times(rows, &sources)?,
                FillKind::Line => line(rows, &sources, &self.all_times(), field.data_type())?,
                kind => pick(rows, &sources, |row| match (kind, row) {
                    (_, Row::Given(at)) => Some(*at),
                    (FillKind::Series, Row::Made { before, after, .. }) => before.or(*after),
                    (FillKind::Last, Row::Made { before, .. }) => *before,
                    _ => None,
                })?,
            });
        }
        Ok(RecordBatch::try_new(self.schema.clone(), columns)?)
    }

    fn times(&self, rows: &[Row], sources: &[&ArrayRef; 3]) -> Result<ArrayRef> {
        let given = pick(rows, sources, |row| match row {
            Row::Given(at) => Some(*at),
            Row::Made { .. } => None,
        })?;
        let made: TimestampNanosecondArray = rows
            .iter()
            .map(|row| match row {
                Row::Made { time, .. } => Some(*time),
                Row::Given(_) => None,
            })
            .collect();
        Ok(zip(&is_made(rows), &made, &given)?)
    }

    /// The column of time of the row before and of the batch at hand.
    fn all_times(&self) -> [Option<ArrayRef>; 2] {
        [
            self.carried
                .as_ref()
                .map(|row| row.column(self.time).clone()),
            self.batch
                .as_ref()
                .map(|(batch, _)| batch.column(self.time).clone()),
        ]
    }
}

fn is_made(rows: &[Row]) -> BooleanArray {
    rows.iter()
        .map(|row| Some(matches!(row, Row::Made { .. })))
        .collect()
}

fn pick(
    rows: &[Row],
    sources: &[&ArrayRef; 3],
    from: impl Fn(&Row) -> Option<At>,
) -> Result<ArrayRef> {
    let places: Vec<(usize, usize)> = rows
        .iter()
        .map(|row| match from(row) {
            None => (0, 0),
            Some(At::Before) => (1, 0),
            Some(At::Here(place)) => (2, place),
        })
        .collect();
    let sources = sources.map(|source| source.as_ref());
    Ok(interleave(&sources, &places)?)
}

/// Points on the lines from the rows before to the rows after.
fn line(
    rows: &[Row],
    sources: &[&ArrayRef; 3],
    times: &[Option<ArrayRef>; 2],
    data_type: &ArrowType,
) -> Result<ArrayRef> {
    let given = pick(rows, sources, |row| match row {
        Row::Given(at) => Some(*at),
        Row::Made { .. } => None,
    })?;
    let [_, before, here] = sources;
    let numbers = [
        cast(before, &ArrowType::Float64)?,
        cast(here, &ArrowType::Float64)?,
    ];
    let point = |at: At| -> Option<(i64, f64)> {
        let (source, row) = match at {
            At::Before => (0, 0),
            At::Here(row) => (1, row),
        };
        let times = times.get(source)?.as_ref()?;
        let times = times.as_primitive_opt::<TimestampNanosecondType>()?;
        let numbers = numbers.get(source)?.as_primitive_opt::<Float64Type>()?;
        (times.is_valid(row) && numbers.is_valid(row))
            .then(|| (times.value(row), numbers.value(row)))
    };
    let whole = data_type.is_integer();
    let made: Float64Array = rows
        .iter()
        .map(|row| {
            let Row::Made {
                time,
                before: Some(before),
                after: Some(after),
            } = row
            else {
                return None;
            };
            let ((from, low), (to, high)) = (point(*before)?, point(*after)?);
            let span = (i128::from(to) - i128::from(from)) as f64;
            let spent = (i128::from(*time) - i128::from(from)) as f64;
            let value = low + (high - low) * (spent / span);
            Some(if whole { value.round() } else { value })
        })
        .collect();
    let made = cast(&made, data_type)?;
    Ok(zip(&is_made(rows), &made, &given)?)
}
