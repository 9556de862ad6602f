//! Days, weekdays and months of a fixed offset from UTC; no time zone changes under them.

use time::{Date, Month, OffsetDateTime};

pub(crate) const MINUTE_MS: i64 = 60_000;
pub(crate) const DAY_MS: i64 = 24 * 60 * MINUTE_MS;
/// The date of a moment, in milliseconds since 1970; the first day of 1970 beyond what a calendar knows.
fn date(ms: i64) -> Date {
    OffsetDateTime::from_unix_timestamp(ms.div_euclid(1000))
        .map_or(date_of_1970(), OffsetDateTime::date)
}

fn date_of_1970() -> Date {
    OffsetDateTime::UNIX_EPOCH.date()
}

/// 0 for Monday, of a count of days since 1970.
pub(crate) fn weekday(days: i64) -> usize {
    let date = date(days.saturating_mul(DAY_MS));
    usize::from(date.weekday().number_days_from_monday())
}

/// Months begin on a day of theirs that everybody has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Months {
    /// 1 to 28.
    pub(crate) first_day: u8,
}

impl Months {
    /// The number of the month that a moment lies in: months since the year 0.
    pub(crate) fn of(self, wall_ms: u64) -> i64 {
        let ms = i64::try_from(wall_ms).unwrap_or(i64::MAX);
        let date = date(ms);
        let began = date.day() >= self.first_day;
        i64::from(date.year()) * 12 + i64::from(u8::from(date.month())) - 1 - i64::from(!began)
    }

    /// When a month ends, in milliseconds since 1970.
    pub(crate) fn end_ms(self, month: i64) -> u64 {
        let next = month + 1;
        let year = i32::try_from(next.div_euclid(12));
        let month = u8::try_from(next.rem_euclid(12) + 1)
            .ok()
            .and_then(|month| Month::try_from(month).ok());
        let (Ok(year), Some(month)) = (year, month) else {
            return u64::MAX;
        };
        let date = Date::from_calendar_date(year, month, self.first_day);
        let ms = date
            .ok()
            .map(|date| date.midnight().assume_utc().unix_timestamp());
        ms.and_then(|seconds| u64::try_from(seconds.saturating_mul(1000)).ok())
            .unwrap_or(u64::MAX)
    }
}

/// A moment for people, as `2026-11-29 22:00` and the offset.
pub(crate) fn shown(wall_ms: u64, offset_min: i32) -> String {
    let ms = i64::try_from(wall_ms).unwrap_or(i64::MAX / 2) + i64::from(offset_min) * MINUTE_MS;
    let date = date(ms);
    let minutes = ms.rem_euclid(DAY_MS) / MINUTE_MS;
    let zone = match offset_min {
        0 => "UTC".to_owned(),
        _ => {
            let sign = if offset_min < 0 { '-' } else { '+' };
            let off = offset_min.unsigned_abs();
            format!("{sign}{:02}:{:02}", off / 60, off % 60)
        }
    };
    let (year, month, day) = (date.year(), u8::from(date.month()), date.day());
    format!(
        "{year}-{month:02}-{day:02} {:02}:{:02} {zone}",
        minutes / 60,
        minutes % 60
    )
}
