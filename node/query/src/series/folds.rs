//! What a series comes to in order of time: rise of a counter, rate, averages.

use activestore_catalog::parse_duration;
use activestore_types::{Error, Result};
use arrow::array::{Array, ArrayRef, AsArray};
use arrow::compute::kernels::cast_utils::parse_interval_month_day_nano;
use arrow::datatypes::TimestampNanosecondType;

use super::samples::{Fold, Rows, numbers};

const NS_PER_S: f64 = 1e9;

/// Rows of a value and its moment.
fn timed(args: &[ArrayRef]) -> Result<Rows<'_>> {
    let moments = args
        .get(1)
        .and_then(|array| array.as_primitive_opt::<TimestampNanosecondType>())
        .ok_or_else(|| Error::internal("an aggregate is given no column of moments"))?;
    Ok(Rows {
        at: Box::new(|row| moments.is_valid(row).then(|| moments.value(row))),
        values: numbers(args, 0)?,
        setting: Box::new(|_| Ok(0.0)),
    })
}

/// As [`timed`], with a setting that is read from a text; the same text is read once.
fn timed_with<'a>(
    args: &'a [ArrayRef],
    read: impl Fn(&str) -> Result<f64> + 'a,
    missing: impl Fn() -> Result<f64> + 'a,
) -> Result<Rows<'a>> {
    let rows = timed(args)?;
    let Some(texts) = args.get(2).and_then(|array| array.as_string_opt::<i32>()) else {
        return Ok(Rows {
            setting: Box::new(move |_| missing()),
            ..rows
        });
    };
    let known: std::cell::RefCell<Option<(&str, f64)>> = std::cell::RefCell::default();
    Ok(Rows {
        setting: Box::new(move |row| {
            if texts.is_null(row) {
                return missing();
            }
            let text = texts.value(row);
            if let Some((read, setting)) = *known.borrow()
                && read == text
            {
                return Ok(setting);
            }
            let setting = read(text)?;
            *known.borrow_mut() = Some((text, setting));
            Ok(setting)
        }),
        ..rows
    })
}

/// A half-life in seconds: a duration, or an interval as its text.
fn half_life_s(text: &str) -> Result<f64> {
    let duration = parse_duration(text);
    match parse_interval_month_day_nano(text) {
        Ok(interval) if duration.is_err() && interval.months == 0 => {
            Ok(f64::from(interval.days) * 86_400.0 + interval.nanoseconds as f64 / NS_PER_S)
        }
        _ => Ok(duration?.as_secs_f64()),
    }
}

/// Seconds between two moments; a difference of `i64` nanoseconds does not overflow here.
fn seconds(from: i64, to: i64) -> f64 {
    (i128::from(to) - i128::from(from)) as f64 / NS_PER_S
}

/// How much a counter rose. Where it fell it began again at zero, as Prometheus has it.
#[derive(Clone, Debug, Default)]
pub(super) struct Increase {
    ends: Option<(i64, i64)>,
    last: f64,
    samples: usize,
    risen: f64,
}

impl Fold for Increase {
    fn rows(args: &[ArrayRef]) -> Result<Rows<'_>> {
        timed(args)
    }

    fn push(&mut self, _setting: f64, at: i64, value: f64) {
        if self.ends.is_some() {
            self.risen += if value < self.last {
                value
            } else {
                value - self.last
            };
        }
        self.ends = Some((self.ends.map_or(at, |(first, _)| first), at));
        self.last = value;
        self.samples += 1;
    }

    fn finish(&self, _setting: f64) -> Option<f64> {
        (self.samples > 1).then_some(self.risen)
    }
}

/// How much a counter rises in a second, from the first sample to the last.
#[derive(Clone, Debug, Default)]
pub(super) struct Rate(Increase);

impl Fold for Rate {
    fn rows(args: &[ArrayRef]) -> Result<Rows<'_>> {
        timed(args)
    }

    fn push(&mut self, setting: f64, at: i64, value: f64) {
        self.0.push(setting, at, value);
    }

    fn finish(&self, setting: f64) -> Option<f64> {
        let risen = self.0.finish(setting)?;
        let (first, last) = self.0.ends?;
        (last > first).then(|| risen / seconds(first, last))
    }
}

/// A moving average in which a sample's weight halves with each half-life that passes. The setting is the
/// half-life in seconds.
#[derive(Clone, Debug, Default)]
pub(super) struct Ewma {
    at: Option<i64>,
    average: f64,
}

impl Fold for Ewma {
    fn rows(args: &[ArrayRef]) -> Result<Rows<'_>> {
        let wrong = || {
            Error::invalid("ewma() needs a half-life above zero")
                .with_hint("write it as in ewma(temp, ts, '5 minutes')")
        };
        timed_with(
            args,
            move |text| {
                let half_life = half_life_s(text)?;
                if half_life > 0.0 {
                    Ok(half_life)
                } else {
                    Err(wrong())
                }
            },
            move || Err(wrong()),
        )
    }

    fn push(&mut self, setting: f64, at: i64, value: f64) {
        self.average = match self.at {
            None => value,
            Some(before) => {
                let kept = (-seconds(before, at) / setting).exp2();
                value + (self.average - value) * kept
            }
        };
        // Of samples of one moment only the first has weight: no time has passed for the others.
        self.at = Some(at);
    }

    fn finish(&self, _setting: f64) -> Option<f64> {
        self.at.map(|_| self.average)
    }
}

/// An average in which a value weighs as long as it holds: until the next sample (`locf`, setting 0), or
/// on the straight line to the next one (`linear`, setting 1).
#[derive(Clone, Debug, Default)]
pub(super) struct Average {
    last: Option<(i64, f64)>,
    area: f64,
    spent: f64,
    sum: f64,
    samples: usize,
}

impl Fold for Average {
    fn rows(args: &[ArrayRef]) -> Result<Rows<'_>> {
        timed_with(
            args,
            |text| match text.to_ascii_lowercase().as_str() {
                "locf" => Ok(0.0),
                "linear" => Ok(1.0),
                _ => Err(Error::invalid(format!(
                    "'{text}' is no way to weigh: time_weighted_avg() knows 'locf' and 'linear'"
                ))
                .with_hint("'locf' holds a value until the next one, 'linear' draws a line to it")),
            },
            || Ok(0.0),
        )
    }

    fn push(&mut self, setting: f64, at: i64, value: f64) {
        if let Some((before, held)) = self.last {
            let spent = seconds(before, at);
            let height = if setting == 0.0 {
                held
            } else {
                f64::midpoint(held, value)
            };
            self.area += height * spent;
            self.spent += spent;
        }
        self.last = Some((at, value));
        self.sum += value;
        self.samples += 1;
    }

    fn finish(&self, _setting: f64) -> Option<f64> {
        if self.spent > 0.0 {
            return Some(self.area / self.spent);
        }
        // Of one moment no sample held longer than another.
        (self.samples > 0).then(|| self.sum / self.samples as f64)
    }
}
