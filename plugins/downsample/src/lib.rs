//! Makes fewer rows of many as they are written: figures of time buckets, or one point of every so many. It
//! changes and rejects nothing.
//!
//! For each key it remembers, in the processor's durable state, the bucket that is open. See [`bucket`] for
//! the figures and [`picker`] for how points are picked.

pub mod bucket;
mod memory;
pub mod picker;

use activestore_plugin::series::{Bits, ByKey, Cells, Layout};
use activestore_plugin::{
    Batch, Column, Config, Error, Field, Processed, Processor, ScalarType, Spec, State, VarBytes,
    bitmap,
};

use bucket::{Bucket, Figure, begin};
use memory::Open;
use picker::Point;

const SETTINGS: [&str; 6] = ["columns", "key", "mode", "every", "figures", "points"];
/// Points that one is picked of at most: twice as many are kept for each series.
const POINTS_MAX: usize = 1000;

/// The processor.
pub struct Downsample {
    layout: Layout,
    /// Where the time is among the columns asked for.
    time: usize,
    mode: Mode,
}

enum Mode {
    /// Nanoseconds of a bucket, and what is told of it.
    Buckets { every: i64, figures: Vec<Figure> },
    /// One of so many.
    Pick { of: usize },
}

/// Rows for the buckets that were closed, column by column.
#[derive(Default)]
struct Closed {
    /// The row that closed it, of the same key.
    rows: Vec<usize>,
    begins: Vec<i64>,
    late: Vec<i64>,
    /// Every figure of every watched column.
    figures: Vec<Vec<f64>>,
    present: Vec<Vec<bool>>,
}

impl Closed {
    fn push(&mut self, row: u32, begin: i64, open: &mut Open, figures: &[Figure]) {
        self.rows.push(row as usize);
        self.begins.push(begin);
        self.late.push(std::mem::take(&mut open.late) as i64);
        let count = open.columns.len() * figures.len();
        self.figures.resize_with(count, Vec::new);
        self.present.resize_with(count, Vec::new);
        let all = open.columns.iter().flat_map(|bucket| {
            let figures = figures.iter();
            figures.map(|figure| bucket.figure(*figure))
        });
        for ((value, values), present) in all.zip(&mut self.figures).zip(&mut self.present) {
            values.push(value.unwrap_or_default());
            present.push(value.is_some());
        }
    }
}

impl Processor for Downsample {
    fn init(config: &Config, fields: &[Field]) -> Result<(Self, Spec), Error> {
        config.only(&SETTINGS)?;
        let number = |field: &Field| {
            !matches!(
                field.kind,
                ScalarType::Boolean
                    | ScalarType::Text
                    | ScalarType::Bytes
                    | ScalarType::Timestamp
                    | ScalarType::Date
            )
        };
        let layout = Layout::of(config, fields, number)?;
        let (mode, outputs) = match config.get("mode") {
            None | Some("buckets") => buckets(config, &layout)?,
            Some("lttb") => pick(config, &layout)?,
            Some(other) => {
                return Err(Error::Invalid(format!(
                    "mode = '{other}' is unknown; there are 'buckets' and 'lttb'"
                )));
            }
        };
        let time = layout.time.ok_or_else(|| {
            Error::Invalid("the table needs a primary key with one TIMESTAMP".to_owned())
        })?;
        let spec = Spec::sending(outputs, layout.columns.clone());
        Ok((Downsample { layout, time, mode }, spec))
    }

    fn process(&mut self, batch: &Batch, state: &mut dyn State) -> Result<Processed, Error> {
        let sorted = ByKey::of(batch, &self.layout.key);
        let times = batch.columns[self.time].as_s64s()?;
        let (rows, columns) = match &self.mode {
            Mode::Buckets { every, figures } => {
                let closed = self.fill(batch, &sorted, times, (*every, figures), state);
                (closed.rows.len(), self.figures(batch, closed, figures))
            }
            Mode::Pick { of } => {
                let cells = self.pick(batch, &sorted, times, *of, state);
                cells.into_rows(batch, &self.layout)
            }
        };
        Ok(Processed::sending(rows, columns))
    }
}

fn buckets(config: &Config, layout: &Layout) -> Result<(Mode, Vec<Field>), Error> {
    let every = config.nanoseconds("every")?.ok_or_else(|| {
        Error::Invalid("set the length of a bucket, as in every = '1m'".to_owned())
    })?;
    if config.get("points").is_some() {
        return Err(Error::Invalid(
            "points belongs to mode = 'lttb'; a bucket has a length, as in every = '1m'".to_owned(),
        ));
    }
    let figures = match config.list("figures") {
        names if names.is_empty() => Figure::ALL.to_vec(),
        names => names
            .iter()
            .map(|name| Figure::parse(name))
            .collect::<Result<_, _>>()?,
    };
    let mut outputs: Vec<Field> = Vec::new();
    for place in layout.key.iter().chain(&layout.time) {
        let field = &layout.fields[*place];
        if field.nullable {
            return Err(Error::Invalid(format!(
                "column '{}' may be null, so rows of buckets cannot be told apart by it; \
                 name columns of the primary key in key",
                field.name
            )));
        }
        outputs.push(field.clone());
    }
    let output = |name: String, kind| Field {
        name,
        kind,
        nullable: true,
    };
    for watched in 0..layout.watched.len() {
        outputs.extend(figures.iter().map(|figure| {
            output(
                format!("{}_{}", layout.name(watched), figure.name()),
                figure.kind(),
            )
        }));
    }
    outputs.push(output("late".to_owned(), ScalarType::Int64));
    Ok((Mode::Buckets { every, figures }, outputs))
}

fn pick(config: &Config, layout: &Layout) -> Result<(Mode, Vec<Field>), Error> {
    layout.must_be_timed("mode = 'lttb'")?;
    if config.get("every").is_some() || config.get("figures").is_some() {
        return Err(Error::Invalid(
            "every and figures belong to mode = 'buckets'; one point is picked of so many, as in points = '10'"
                .to_owned(),
        ));
    }
    let of = config.parse("points", 10)?;
    if !(1..=POINTS_MAX).contains(&of) {
        return Err(Error::Invalid(format!(
            "points = '{of}' is not within 1 and {POINTS_MAX}"
        )));
    }
    Ok((Mode::Pick { of }, layout.cells()))
}

impl Downsample {
    /// Fills the buckets; gives those that a later row closed.
    fn fill(
        &self,
        batch: &Batch,
        sorted: &ByKey,
        times: &[i64],
        (every, figures): (i64, &[Figure]),
        state: &mut dyn State,
    ) -> Closed {
        let found = state.get_packed(&sorted.keys);
        let mut values = VarBytes::with_capacity(sorted.len(), 0);
        let mut closed = Closed::default();
        for key in 0..sorted.len() {
            let mut open = memory::read_open(found.get(key).unwrap_or_default(), &self.layout);
            for row in sorted.rows(key) {
                let time = times[*row as usize];
                let here = begin(time, every);
                match open.begin {
                    Some(begin) if here < begin => {
                        open.late += 1;
                        continue;
                    }
                    Some(begin) if here > begin => {
                        if open.columns.iter().any(|bucket| bucket.count > 0) {
                            closed.push(*row, begin, &mut open, figures);
                        }
                        open.columns.fill(Bucket::default());
                    }
                    _ => {}
                }
                open.begin = Some(here);
                for (bucket, place) in open.columns.iter_mut().zip(&self.layout.watched) {
                    let value = batch.columns[*place].number(*row as usize);
                    if let Some(value) = value.filter(|value| value.is_finite()) {
                        bucket.add(time, value);
                    }
                }
            }
            memory::write_open(&open, &self.layout, &mut values.data);
            values.end();
        }
        if !sorted.is_empty() {
            state.put_packed(&sorted.keys, &values);
        }
        closed
    }

    /// The columns of rows for closed buckets.
    fn figures(&self, batch: &Batch, closed: Closed, figures: &[Figure]) -> Vec<Column> {
        if closed.rows.is_empty() {
            return Vec::new();
        }
        let take = |place: &usize| batch.columns[*place].take(&closed.rows);
        let mut columns: Vec<Column> = self.layout.key.iter().map(take).collect();
        columns.push(Column::s64s(closed.begins));
        let kinds = figures.iter().map(|figure| figure.kind()).cycle();
        for ((kind, values), present) in kinds.zip(closed.figures).zip(closed.present) {
            let mut column = match kind {
                ScalarType::Int64 => {
                    Column::s64s(values.into_iter().map(|value| value as i64).collect())
                }
                _ => Column::f64s(values),
            };
            column.validity = present.contains(&false).then(|| bitmap::pack(&present));
            columns.push(column);
        }
        columns.push(Column::s64s(closed.late));
        columns
    }

    /// Picks points.
    fn pick(
        &self,
        batch: &Batch,
        sorted: &ByKey,
        times: &[i64],
        of: usize,
        state: &mut dyn State,
    ) -> Cells {
        let mut cells = Cells::default();
        let found = state.get_packed(&sorted.keys);
        let mut values = VarBytes::with_capacity(sorted.len(), 0);
        for key in 0..sorted.len() {
            let before = found.get(key).unwrap_or_default();
            let mut pickers = memory::read_pickers(before, &self.layout);
            let rows = sorted.rows(key);
            for (watched, picker) in pickers.iter_mut().enumerate() {
                let place = self.layout.watched[watched];
                let kind = self.layout.fields[place].kind;
                for row in rows {
                    let Some(bits) = Bits::of(&batch.columns[place], *row as usize) else {
                        continue;
                    };
                    let point = Point {
                        time: times[*row as usize],
                        bits,
                        value: bits.number(kind),
                    };
                    picker.see(point, of, |point| {
                        cells.send(rows[0], point.time, watched, point.bits);
                    });
                }
            }
            memory::write_pickers(&pickers, &self.layout, &mut values.data);
            values.end();
        }
        if !sorted.is_empty() {
            state.put_packed(&sorted.keys, &values);
        }
        cells
    }
}

activestore_plugin::processor!(Downsample);

#[cfg(test)]
mod tests;
