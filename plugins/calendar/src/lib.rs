//! Times as rows: moments at a distance, and the shifts of a plant, to join readings with.

use activestore_plugin::scalar::Timestamp;

/// Rows that one call may give: a mistake in the arguments ends.
const ROWS_MAX: i64 = 100_000_000;
const SECOND: i64 = 1_000_000_000;
const MINUTE: i64 = 60 * SECOND;
const DAY: i64 = 24 * 60 * MINUTE;

activestore_plugin::table! {
    /// Moments from the first to before the last, so many seconds apart.
    fn ticks(first: Timestamp, last: Timestamp, seconds: f64) -> (n: i64, ts: Timestamp) {
        let step = (seconds * SECOND as f64) as i64;
        if step <= 0 {
            return Err(format!("seconds = {seconds} is not above zero"));
        }
        let count = (last.0.saturating_sub(first.0).max(0) / step).saturating_add(1);
        if count > ROWS_MAX {
            return Err(format!("{count} moments are more than {ROWS_MAX}"));
        }
        let ticks = (0..count)
            .map(move |n| (n, Timestamp(first.0.saturating_add(n * step))))
            .take_while(move |(_, ts)| *ts < last);
        Ok(Box::new(ticks))
    }

    /// The shifts that meet the time from the first to before the last: where they begin each day, as
    /// hours and minutes in UTC, separated by commas.
    fn shifts(first: Timestamp, last: Timestamp, starts: String)
        -> (shift: i64, start_ts: Timestamp, end_ts: Timestamp) {
        let starts = starts_of_day(&starts)?;
        if last.0.saturating_sub(first.0) / DAY > ROWS_MAX / starts.len() as i64 {
            return Err(format!("the shifts are more than {ROWS_MAX}"));
        }
        // A shift of the day before may reach into the first day.
        let begin = first.0.div_euclid(DAY) - 1;
        let end = last.0.div_euclid(DAY);
        let number = starts.len();
        let shifts = (begin..=end)
            .flat_map(move |day| {
                let starts = starts.clone();
                (0..number).map(move |shift| {
                    let midnight = day.saturating_mul(DAY);
                    let start = midnight.saturating_add(starts[shift]);
                    let next = match starts.get(shift + 1) {
                        Some(next) => midnight.saturating_add(*next),
                        None => midnight.saturating_add(DAY).saturating_add(starts[0]),
                    };
                    (shift as i64 + 1, Timestamp(start), Timestamp(next))
                })
            })
            .filter(move |(_, start, next)| *next > first && *start < last);
        Ok(Box::new(shifts))
    }
}

/// `06:00,14:00,22:00` in nanoseconds of the day, rising.
fn starts_of_day(text: &str) -> Result<Vec<i64>, String> {
    let wrong = |part: &str| format!("'{part}' is not a time of day like 06:00");
    let starts: Vec<i64> = text
        .split(',')
        .map(|part| {
            let part = part.trim();
            let (hours, minutes) = part.split_once(':').ok_or_else(|| wrong(part))?;
            let number = |text: &str, below: i64| match text.parse::<i64>() {
                Ok(number) if (0..below).contains(&number) => Ok(number),
                _ => Err(wrong(part)),
            };
            Ok((number(hours, 24)? * 60 + number(minutes, 60)?) * MINUTE)
        })
        .collect::<Result<_, String>>()?;
    if starts.is_sorted_by(|a, b| a < b) {
        Ok(starts)
    } else {
        Err(format!("the times of day '{text}' do not rise"))
    }
}

#[cfg(test)]
mod tests;
