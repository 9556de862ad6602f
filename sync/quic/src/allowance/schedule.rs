//! When rows that are not urgent may be sent: windows of the week, `22:00-06:00` or `sat 00:00-24:00`, in UTC or at a
//! fixed offset from it.

use std::str::FromStr;

use activestore_types::{Error, Result};

use super::calendar::{DAY_MS, MINUTE_MS, weekday};

/// Windows of one schedule, at most.
const WINDOWS_MAX: usize = 64;
const DAY_MIN: i64 = 24 * 60;
const WEEKDAYS: [&str; 7] = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"];
/// No offset of any country is further from UTC, in minutes.
const OFFSET_MAX: i32 = 14 * 60;

/// A stretch of some days: it may end on the day after.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Window {
    /// The days on which it begins, Monday first.
    days: [bool; 7],
    /// In minutes of the day.
    from: i64,
    /// After `from`; beyond the day's end where it ends on the next.
    to: i64,
}

/// The windows; without any, rows are always sent.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Schedule {
    windows: Vec<Window>,
    offset_min: i32,
}

impl Schedule {
    /// Reads windows, and the offset from UTC that they are given in: `+01:00`; UTC without one.
    ///
    /// # Errors
    /// `Invalid` for what is no window or no offset.
    pub fn parse(windows: &[String], offset: Option<&str>) -> Result<Schedule> {
        if windows.len() > WINDOWS_MAX {
            return Err(Error::invalid(format!(
                "sync.schedule has more than {WINDOWS_MAX} windows"
            )));
        }
        let windows = windows.iter().map(|text| text.parse::<Window>());
        Ok(Schedule {
            windows: windows.collect::<Result<_>>()?,
            offset_min: offset.map_or(Ok(0), offset_minutes)?,
        })
    }

    /// Minutes ahead of UTC.
    pub(crate) fn offset_min(&self) -> i32 {
        self.offset_min
    }

    /// When the rows may be sent: `None` for now, else the beginning of the next window.
    pub(crate) fn waits_until(&self, wall_ms: u64) -> Option<u64> {
        if self.windows.is_empty() {
            return None;
        }
        let offset_ms = i64::from(self.offset_min) * MINUTE_MS;
        let local = i64::try_from(wall_ms).unwrap_or(i64::MAX / 2) + offset_ms;
        let today = local.div_euclid(DAY_MS);
        let mut next: Option<i64> = None;
        // A window of the day before may reach into this one; every window begins within a week.
        for day in today - 1..=today + 7 {
            let on = weekday(day);
            for window in &self.windows {
                if !window.days.get(on).copied().unwrap_or_default() {
                    continue;
                }
                let begins = day * DAY_MS + window.from * MINUTE_MS;
                let ends = day * DAY_MS + window.to * MINUTE_MS;
                if (begins..ends).contains(&local) {
                    return None;
                }
                if begins > local && next.is_none_or(|next| begins < next) {
                    next = Some(begins);
                }
            }
        }
        let next = next.unwrap_or(local.saturating_add(DAY_MS));
        u64::try_from(next - offset_ms).ok()
    }
}

impl FromStr for Window {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let wrong = || {
            Error::invalid(format!("sync.schedule: '{text}' is no window")).with_hint(
                "write \"22:00-06:00\" for every night, \"sat 00:00-24:00\" or \"mon-fri 19:00-07:00\" for some days",
            )
        };
        let lower = text.trim().to_ascii_lowercase();
        let (names, times) = lower.rsplit_once(' ').unwrap_or(("", &lower));
        let days = days_of(names.trim()).ok_or_else(wrong)?;
        let (from, to) = times.split_once('-').ok_or_else(wrong)?;
        let (from, to) = (
            minutes(from).ok_or_else(wrong)?,
            minutes(to).ok_or_else(wrong)?,
        );
        if from == to || from == DAY_MIN {
            return Err(wrong());
        }
        let to = if to < from { to + DAY_MIN } else { to };
        Ok(Window { days, from, to })
    }
}

/// The days that a list of names and ranges means; all for none.
fn days_of(names: &str) -> Option<[bool; 7]> {
    if names.is_empty() {
        return Some([true; 7]);
    }
    let number = |name: &str| WEEKDAYS.iter().position(|day| *day == name.trim());
    let mut days = [false; 7];
    for part in names.split(',') {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        let (mut at, last) = (number(first)?, number(last)?);
        loop {
            *days.get_mut(at)? = true;
            if at == last {
                break;
            }
            at = (at + 1) % 7;
        }
    }
    Some(days)
}

/// Minutes of the day, of `06:30`; the day's end is `24:00`.
fn minutes(text: &str) -> Option<i64> {
    let (hours, minutes) = text.trim().split_once(':')?;
    let two = |digits: &str| {
        (digits.len() == 2)
            .then(|| digits.parse::<i64>().ok())
            .flatten()
    };
    let (hours, minutes) = (two(hours)?, two(minutes)?);
    let all = hours * 60 + minutes;
    (minutes < 60 && (0..=DAY_MIN).contains(&all)).then_some(all)
}

fn offset_minutes(text: &str) -> Result<i32> {
    let text = text.trim();
    if text.eq_ignore_ascii_case("utc") || text == "Z" {
        return Ok(0);
    }
    let sign = match text.chars().next() {
        Some('+') => Some(1),
        Some('-') => Some(-1),
        _ => None,
    };
    let minutes = text.get(1..).and_then(minutes);
    let minutes = minutes.and_then(|minutes| i32::try_from(minutes).ok());
    match (sign, minutes) {
        (Some(sign), Some(minutes)) if minutes <= OFFSET_MAX => Ok(sign * minutes),
        _ => Err(Error::invalid(format!(
            "sync.schedule_offset: '{text}' is no offset from UTC"
        ))
        .with_hint("write \"+01:00\", or leave it out for UTC")),
    }
}
