//! Buckets of time as numbers: of a fixed length, or of months; in UTC, or in a time zone's own days.

use std::str::FromStr;

use activestore_catalog::parse_duration;
use activestore_types::{Error, Result};
use arrow::array::timezone::Tz;
use chrono::{DateTime, Datelike, MappedLocalTime, NaiveDate, NaiveDateTime, Offset, TimeZone};
use datafusion::scalar::ScalarValue;

/// 2000-01-03, a Monday: where buckets of a fixed length are counted from.
const MONDAY_NS: i64 = 946_857_600_000_000_000;
const DAY_NS: i64 = 86_400_000_000_000;
const MONTHS_PER_YEAR: i64 = 12;

/// How wide a bucket is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Width {
    Ns(i64),
    Months(i64),
}

/// A division of time into buckets.
#[derive(Clone, Debug)]
pub(crate) struct Buckets {
    width: Width,
    /// Where buckets are counted from, in local time: nanoseconds, or the number of a month.
    origin: i64,
    zone: Option<(String, Tz)>,
}

impl PartialEq for Buckets {
    fn eq(&self, other: &Self) -> bool {
        self.key() == other.key()
    }
}

impl Eq for Buckets {}

impl std::hash::Hash for Buckets {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        self.key().hash(state);
    }
}

impl Buckets {
    fn key(&self) -> (Width, i64, Option<&str>) {
        let zone = self.zone.as_ref().map(|(name, _)| name.as_str());
        (self.width, self.origin, zone)
    }

    /// Buckets of a width in UTC.
    ///
    /// # Errors
    /// `Invalid` for what is no width, and for months mixed with days.
    pub(crate) fn of_width(width: &ScalarValue) -> Result<Buckets> {
        let width = read_width(width)?;
        let origin = match width {
            Width::Ns(_) => MONDAY_NS,
            Width::Months(_) => month_number(2000, 1),
        };
        Ok(Buckets {
            width,
            origin,
            zone: None,
        })
    }

    /// The same counted from a moment.
    ///
    /// # Errors
    /// `Invalid` where buckets of months would begin within a month.
    pub(super) fn with_origin(mut self, origin: i64) -> Result<Buckets> {
        // The clock on the wall at the origin, as everything is counted by it.
        let local = self.local(origin);
        self.origin = match self.width {
            Width::Ns(_) => local,
            Width::Months(_) => {
                let date = DateTime::from_timestamp_nanos(local).naive_utc();
                if date.day() != 1 || local.rem_euclid(DAY_NS) != 0 {
                    return Err(Error::invalid(
                        "the origin of buckets of months is the first of a month, at midnight",
                    ));
                }
                month_number(date.year(), date.month())
            }
        };
        Ok(self)
    }

    /// The same by the clocks of a time zone.
    ///
    /// # Errors
    /// `Invalid` for one that nobody knows.
    pub(super) fn with_zone(mut self, zone: &str) -> Result<Buckets> {
        let known = Tz::from_str(zone)
            .map_err(|_| Error::invalid(format!("'{zone}' is not a time zone")))?;
        self.zone = Some((zone.to_owned(), known));
        Ok(self)
    }

    /// The start of the bucket that holds a moment.
    pub(crate) fn start_of(&self, ns: i64) -> i64 {
        if let Some(width) = self.within_days() {
            return self.start_within(width, ns);
        }
        let start = self.utc(self.shown_start(self.local(ns))).min(ns);
        if self.zone.is_none() {
            return start;
        }
        // A clock that is turned back may show the day before once more: the next day has begun all the same.
        let next = self.next(start);
        if start < next && next <= ns {
            next
        } else {
            start
        }
    }

    /// The start of the bucket after the one that starts here; the same where time ends.
    pub(crate) fn next(&self, start: i64) -> i64 {
        if let Some(width) = self.within_days() {
            return self.next_within(width, start);
        }
        // Where the clock leapt over the bucket's start it shows later than that.
        let shown = self.shown_start(self.local(start));
        let next = match self.width {
            Width::Ns(width) => shown.saturating_add(width),
            Width::Months(width) => {
                let date = DateTime::from_timestamp_nanos(shown).naive_utc();
                first_of(month_number(date.year(), date.month()).saturating_add(width))
            }
        };
        self.utc(next).max(start)
    }

    /// What the clock on the wall shows at the start of the bucket in which it shows this; of buckets that are not
    /// shorter than a day, or without a time zone.
    fn shown_start(&self, local: i64) -> i64 {
        match self.width {
            Width::Ns(width) => {
                let since = i128::from(local) - i128::from(self.origin);
                clamp(i128::from(local) - since.rem_euclid(i128::from(width)))
            }
            Width::Months(width) => {
                let date = DateTime::from_timestamp_nanos(local).naive_utc();
                let number = month_number(date.year(), date.month());
                first_of(number - (number - self.origin).rem_euclid(width))
            }
        }
    }

    /// The width of buckets that are shorter than a day of a time zone. They follow each other by the clock on the wall,
    /// and where it is changed to show what lies in another bucket, a bucket begins.
    fn within_days(&self) -> Option<i64> {
        match (self.width, &self.zone) {
            (Width::Ns(width), Some(_)) if width < DAY_NS => Some(width),
            _ => None,
        }
    }

    fn start_within(&self, width: i64, ns: i64) -> i64 {
        let start = ns.saturating_sub(self.since_start(width, ns));
        let Some(change) = self.change(start, ns) else {
            return start;
        };
        let before = change.saturating_sub(1);
        if self.shown(width, before) == self.shown(width, ns) {
            return before.saturating_sub(self.since_start(width, before));
        }
        change
    }

    fn next_within(&self, width: i64, start: i64) -> i64 {
        let end = |from: i64| from.saturating_add(width - self.since_start(width, from));
        let next = end(start);
        match self.change(start, next) {
            None => next,
            // The clock shows a later part of the same bucket once more.
            Some(change)
                if self.since_start(width, change) > 0
                    && self.shown(width, change) == self.shown(width, start) =>
            {
                end(change)
            }
            Some(change) => change,
        }
    }

    /// How far a moment lies in its bucket, by the clock on the wall.
    fn since_start(&self, width: i64, ns: i64) -> i64 {
        let since = i128::from(self.local(ns)) - i128::from(self.origin);
        clamp(since.rem_euclid(i128::from(width)))
    }

    /// What the clock on the wall shows at the start of a moment's bucket.
    fn shown(&self, width: i64, ns: i64) -> i64 {
        let local = self.local(ns);
        local.saturating_sub(self.since_start(width, ns))
    }

    /// The first moment of a span at which the clock on the wall is as far from UTC as at the span's end, where it is
    /// not at its beginning.
    fn change(&self, start: i64, end: i64) -> Option<i64> {
        let ahead = |ns: i64| i128::from(self.local(ns)) - i128::from(ns);
        let then = ahead(end);
        if ahead(start) == then {
            return None;
        }
        let (mut before, mut after) = (start, end);
        while after.saturating_sub(before) > 1 {
            let middle = before + (after - before) / 2;
            if ahead(middle) == then {
                after = middle;
            } else {
                before = middle;
            }
        }
        Some(after)
    }

    /// About how many buckets a span of time has.
    pub(crate) fn count(&self, start: i64, finish: i64) -> u64 {
        let width = match self.width {
            Width::Ns(width) => width,
            Width::Months(months) => months.saturating_mul(28 * DAY_NS),
        };
        let span = (i128::from(finish) - i128::from(start)).max(0);
        u64::try_from(span / i128::from(width.max(1))).unwrap_or(u64::MAX)
    }

    /// What the clock on the wall shows, as if it were UTC.
    fn local(&self, ns: i64) -> i64 {
        let Some((_, zone)) = &self.zone else {
            return ns;
        };
        let utc = DateTime::from_timestamp_nanos(ns).naive_utc();
        let offset = zone.offset_from_utc_datetime(&utc).fix();
        let shift = i64::from(offset.local_minus_utc()).saturating_mul(1_000_000_000);
        ns.saturating_add(shift)
    }

    /// The first moment at which the clock on the wall shows this; where clocks leapt over it, the moment of the leap.
    fn utc(&self, local: i64) -> i64 {
        let Some((_, zone)) = &self.zone else {
            return local;
        };
        let shown = DateTime::from_timestamp_nanos(local).naive_utc();
        match zone.from_local_datetime(&shown) {
            MappedLocalTime::Single(moment) => nanos(&moment.naive_utc()),
            MappedLocalTime::Ambiguous(early, late) => {
                let (early, late) = (nanos(&early.naive_utc()), nanos(&late.naive_utc()));
                early.min(late)
            }
            MappedLocalTime::None => {
                // Clocks leap by an hour mostly, and by a day where the date line was moved.
                const LEAP_NS: i64 = DAY_NS + DAY_NS / 12;
                let before = DateTime::from_timestamp_nanos(local.saturating_sub(LEAP_NS));
                let before = match zone.from_local_datetime(&before.naive_utc()) {
                    MappedLocalTime::Single(moment) | MappedLocalTime::Ambiguous(moment, _) => {
                        nanos(&moment.naive_utc())
                    }
                    MappedLocalTime::None => return local,
                };
                let unchanged = before.saturating_add(LEAP_NS);
                self.change(before, unchanged).unwrap_or(unchanged)
            }
        }
    }
}

fn nanos(moment: &NaiveDateTime) -> i64 {
    let moment = moment.and_utc();
    moment.timestamp_nanos_opt().unwrap_or_else(|| {
        if moment.timestamp() < 0 {
            i64::MIN
        } else {
            i64::MAX
        }
    })
}

fn clamp(ns: i128) -> i64 {
    i64::try_from(ns).unwrap_or(if ns < 0 { i64::MIN } else { i64::MAX })
}

fn month_number(year: i32, month: u32) -> i64 {
    i64::from(year) * MONTHS_PER_YEAR + i64::from(month) - 1
}

/// The first of the month of a number, at midnight.
fn first_of(number: i64) -> i64 {
    let year = i32::try_from(number.div_euclid(MONTHS_PER_YEAR)).ok();
    let month = u32::try_from(number.rem_euclid(MONTHS_PER_YEAR) + 1).ok();
    let date = year
        .zip(month)
        .and_then(|(year, month)| NaiveDate::from_ymd_opt(year, month, 1));
    match date {
        Some(date) => nanos(&date.and_time(chrono::NaiveTime::MIN)),
        None if number < 0 => i64::MIN,
        None => i64::MAX,
    }
}

fn read_width(width: &ScalarValue) -> Result<Width> {
    let wrong = |shown: &str| {
        Error::invalid(format!("'{shown}' is not the width of a bucket"))
            .with_hint("write an interval above zero: '5 minutes', '1 day', '1 month'")
    };
    let (months, ns) = match width {
        ScalarValue::Utf8(Some(text)) => match read_months(text) {
            Some(months) => (months, 0),
            None => {
                let ns = i64::try_from(parse_duration(text)?.as_nanos());
                (0, ns.map_err(|_| wrong(text))?)
            }
        },
        ScalarValue::IntervalMonthDayNano(Some(interval)) => {
            let days = i64::from(interval.days).checked_mul(DAY_NS);
            let ns = days.and_then(|days| days.checked_add(interval.nanoseconds));
            let ns = ns.ok_or_else(|| wrong(&width.to_string()))?;
            (i64::from(interval.months), ns)
        }
        _ => return Err(wrong(&width.to_string())),
    };
    match (months, ns) {
        (0, ns) if ns > 0 => Ok(Width::Ns(ns)),
        (months, 0) if months > 0 => Ok(Width::Months(months)),
        (1.., 1..) => Err(Error::invalid(
            "a bucket is some months wide or some days, not both",
        )),
        _ => Err(wrong(&width.to_string())),
    }
}

/// `3 months`, `1 year`.
fn read_months(text: &str) -> Option<i64> {
    let text = text.trim();
    let digits = text.len() - text.trim_start_matches(|c: char| c.is_ascii_digit()).len();
    let (number, unit) = text.split_at_checked(digits)?;
    let each = match unit.trim().to_ascii_lowercase().as_str() {
        "mon" | "mons" | "month" | "months" => 1,
        "quarter" | "quarters" => 3,
        "y" | "year" | "years" => MONTHS_PER_YEAR,
        _ => return None,
    };
    number.parse::<i64>().ok()?.checked_mul(each)
}

#[cfg(test)]
mod tests;
