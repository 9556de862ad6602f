//! Groups of samples, each a moment and a value, and what a function makes of them in order.

use std::fmt;
use std::marker::PhantomData;
use std::ops::Range;
use std::sync::Arc;

use activestore_types::{DataType, Error, Result};
use arrow::array::{Array, ArrayRef, AsArray, BinaryBuilder, BooleanArray, Float64Array};
use arrow::datatypes::Float64Type;

use crate::aggregate::{GroupFunction, Grouping};

/// Windows of which each keeps its samples in memory rather than in a state that is read again for each row.
const WINDOWS_OPEN_MAX: usize = 65_536;
/// Bytes of a sample in a state: its place in the order, its value.
const SAMPLE_BYTES: usize = 16;
/// Bytes of the setting at the beginning of a state.
const SETTING_BYTES: usize = 8;

/// One function over the samples of a group, in order.
pub(super) trait Fold: fmt::Debug + Clone + Default + Send + Sync + 'static {
    /// The function's own words for its columns: where each row's place in the order, value and setting are.
    fn rows(args: &[ArrayRef]) -> Result<Rows<'_>>;
    /// Takes the next sample; its place is not before the one before it.
    fn push(&mut self, setting: f64, at: i64, value: f64);
    /// What all samples so far come to; `None` is NULL.
    fn finish(&self, setting: f64) -> Option<f64>;
}

/// The columns of some rows as a fold reads them.
pub(super) struct Rows<'a> {
    /// Each row's place in the order; `None` leaves the row out.
    pub(super) at: Box<dyn Fn(usize) -> Option<i64> + 'a>,
    /// Each row's value.
    pub(super) values: &'a Float64Array,
    /// What is the same for all rows of a group, such as a half-life.
    pub(super) setting: Box<dyn Fn(usize) -> Result<f64> + 'a>,
}

/// An aggregate that keeps samples.
#[derive(Debug)]
pub(super) struct Sampled<F> {
    name: &'static str,
    args: Vec<DataType>,
    required: usize,
    fold: PhantomData<F>,
}

impl<F: Fold> Sampled<F> {
    pub(super) fn function(
        name: &'static str,
        args: &[DataType],
        required: usize,
    ) -> Arc<dyn GroupFunction> {
        Arc::new(Sampled::<F> {
            name,
            args: args.to_vec(),
            required,
            fold: PhantomData,
        })
    }
}

impl<F: Fold> GroupFunction for Sampled<F> {
    fn name(&self) -> &str {
        self.name
    }

    fn args(&self) -> &[DataType] {
        &self.args
    }

    fn required_args(&self) -> usize {
        self.required
    }

    fn returns(&self) -> DataType {
        DataType::Double
    }

    fn retracts(&self) -> bool {
        true
    }

    fn open_max(&self) -> usize {
        WINDOWS_OPEN_MAX
    }

    fn begin(&self) -> Result<Box<dyn Grouping>> {
        Ok(Box::new(Groups::<F>::default()))
    }
}

/// The samples of one group.
#[derive(Debug, Default)]
struct Series<F> {
    samples: Vec<(i64, f64)>,
    /// Samples at the front that were taken out again.
    gone: usize,
    setting: Option<f64>,
    /// What came after the sample that is latest in the order did not come in order.
    shuffled: bool,
    /// The fold of so many samples, where they came in order: a window that grows goes on from it.
    folded: Option<(usize, F)>,
}

impl<F: Fold> Series<F> {
    fn set(&mut self, setting: f64) -> Result<()> {
        match self.setting {
            Some(known) if known.to_bits() != setting.to_bits() => Err(Error::invalid(
                "an argument that must be the same for all rows of a group differs",
            )
            .with_hint("write a constant for it")),
            _ => {
                self.setting = Some(setting);
                Ok(())
            }
        }
    }

    fn push(&mut self, at: i64, value: f64) {
        let late = self
            .samples
            .last()
            .is_some_and(|last| precedes(&(at, value), last));
        if late && self.samples.len() > self.gone {
            self.shuffled = true;
            self.folded = None;
        }
        self.samples.push((at, value));
    }

    fn retract(&mut self) {
        self.gone = (self.gone + 1).min(self.samples.len());
        self.folded = None;
        if self.gone == self.samples.len() {
            self.shuffled = false;
        }
        // What is gone is let go of in one go for each half.
        if self.gone > self.samples.len() / 2 {
            self.samples.drain(..self.gone);
            self.gone = 0;
        }
    }

    fn left(&self) -> &[(i64, f64)] {
        self.samples.get(self.gone..).unwrap_or_default()
    }

    fn finish(&mut self) -> Option<f64> {
        let setting = self.setting.unwrap_or_default();
        if self.shuffled {
            let mut sorted = self.left().to_vec();
            sorted.sort_by(|one, other| one.0.cmp(&other.0).then(one.1.total_cmp(&other.1)));
            let mut fold = F::default();
            for (at, value) in sorted {
                fold.push(setting, at, value);
            }
            return fold.finish(setting);
        }
        let (done, mut fold) = self.folded.take().unwrap_or_default();
        for (at, value) in self.left().iter().skip(done) {
            fold.push(setting, *at, *value);
        }
        let value = fold.finish(setting);
        self.folded = Some((self.left().len(), fold));
        value
    }

    fn state(&self, into: &mut Vec<u8>) {
        into.clear();
        let Some(setting) = self.setting else { return };
        into.extend_from_slice(&setting.to_le_bytes());
        for (at, value) in self.left() {
            into.extend_from_slice(&at.to_le_bytes());
            into.extend_from_slice(&value.to_le_bytes());
        }
    }

    fn merge(&mut self, state: &[u8]) -> Result<()> {
        if state.is_empty() {
            return Ok(());
        }
        let broken = || Error::internal("the state of an aggregate over samples is damaged");
        let (setting, samples) = state
            .split_first_chunk::<SETTING_BYTES>()
            .ok_or_else(broken)?;
        self.set(f64::from_le_bytes(*setting))?;
        let (samples, rest) = samples.as_chunks::<SAMPLE_BYTES>();
        if !rest.is_empty() {
            return Err(broken());
        }
        self.samples.reserve(samples.len());
        for sample in samples {
            let (at, value) = sample.split_first_chunk::<8>().ok_or_else(broken)?;
            let value = value.first_chunk::<8>().ok_or_else(broken)?;
            self.push(i64::from_le_bytes(*at), f64::from_le_bytes(*value));
        }
        Ok(())
    }
}

/// Of samples of one moment the smaller value comes first, so that no order of rows makes another result.
fn precedes(one: &(i64, f64), other: &(i64, f64)) -> bool {
    one.0 < other.0 || (one.0 == other.0 && one.1.total_cmp(&other.1).is_lt())
}

#[derive(Debug)]
struct Groups<F> {
    groups: Vec<Series<F>>,
    /// Room of all samples, in samples.
    room: usize,
}

impl<F> Default for Groups<F> {
    fn default() -> Self {
        Groups {
            groups: Vec::new(),
            room: 0,
        }
    }
}

impl<F: Fold> Groups<F> {
    fn grow(&mut self, total: usize) {
        if self.groups.len() < total {
            self.groups.resize_with(total, Series::default);
        }
    }

    /// Changes one group, and keeps the count of memory true.
    fn at<T>(
        &mut self,
        group: usize,
        change: impl FnOnce(&mut Series<F>) -> Result<T>,
    ) -> Result<T> {
        let series = self
            .groups
            .get_mut(group)
            .ok_or_else(|| Error::internal("a group that is not there"))?;
        let before = series.samples.capacity();
        let changed = change(series);
        self.room = (self.room + series.samples.capacity()).saturating_sub(before);
        changed
    }

    /// The groups of a range, of which there may be fewer.
    fn range(&mut self, groups: Range<usize>) -> impl Iterator<Item = &mut Series<F>> {
        self.groups.iter_mut().skip(groups.start).take(groups.len())
    }
}

impl<F: Fold> Grouping for Groups<F> {
    fn update(
        &mut self,
        groups: &[usize],
        wanted: Option<&BooleanArray>,
        total: usize,
        args: &[ArrayRef],
    ) -> Result<()> {
        self.grow(total);
        let rows = F::rows(args)?;
        for (row, group) in groups.iter().enumerate() {
            let is_wanted = wanted.is_none_or(|wanted| wanted.is_valid(row) && wanted.value(row));
            if !is_wanted {
                continue;
            }
            let Some((at, value)) = sample(&rows, row) else {
                continue;
            };
            let setting = (rows.setting)(row)?;
            self.at(*group, |series| {
                series.set(setting)?;
                series.push(at, value);
                Ok(())
            })?;
        }
        Ok(())
    }

    fn retract(&mut self, groups: &[usize], args: &[ArrayRef]) -> Result<()> {
        let rows = F::rows(args)?;
        for (row, group) in groups.iter().enumerate() {
            if sample(&rows, row).is_some() {
                self.at(*group, |series| {
                    series.retract();
                    Ok(())
                })?;
            }
        }
        Ok(())
    }

    fn merge(&mut self, groups: &[usize], total: usize, states: &ArrayRef) -> Result<()> {
        self.grow(total);
        let states = states
            .as_binary_opt::<i32>()
            .ok_or_else(|| Error::internal("states of an aggregate that are no bytes"))?;
        for (group, state) in groups.iter().zip(states) {
            if let Some(state) = state {
                self.at(*group, |series| series.merge(state))?;
            }
        }
        Ok(())
    }

    fn groups(&self) -> usize {
        self.groups.len()
    }

    fn states(&mut self, groups: Range<usize>) -> Result<ArrayRef> {
        let mut states = BinaryBuilder::with_capacity(groups.len(), 0);
        let mut bytes = Vec::new();
        for series in self.range(groups) {
            series.state(&mut bytes);
            states.append_value(&bytes);
        }
        Ok(Arc::new(states.finish()))
    }

    fn finish(&mut self, groups: Range<usize>) -> Result<ArrayRef> {
        let values: Float64Array = self.range(groups).map(Series::finish).collect();
        Ok(Arc::new(values))
    }

    fn forget(&mut self, count: usize) -> Result<()> {
        let count = count.min(self.groups.len());
        for series in self.groups.drain(..count) {
            self.room = self.room.saturating_sub(series.samples.capacity());
        }
        Ok(())
    }

    fn memory_bytes(&self) -> usize {
        self.room * size_of::<(i64, f64)>() + self.groups.capacity() * size_of::<Series<F>>()
    }
}

/// A row's sample; `None` where its value or its place is NULL or not a number.
fn sample(rows: &Rows<'_>, row: usize) -> Option<(i64, f64)> {
    let value = rows.values.is_valid(row).then(|| rows.values.value(row))?;
    let at = (rows.at)(row)?;
    (!value.is_nan()).then_some((at, value))
}

/// A column of numbers.
pub(super) fn numbers(args: &[ArrayRef], place: usize) -> Result<&Float64Array> {
    args.get(place)
        .and_then(|array| array.as_primitive_opt::<Float64Type>())
        .ok_or_else(|| Error::internal("an aggregate is given a column of another type"))
}
