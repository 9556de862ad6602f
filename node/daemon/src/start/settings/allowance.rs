//! What may cross the link to the cloud, and when: `[sync] schedule` and `monthly_bytes`.

use std::path::Path;

use activestore_sync_quic::{AllowanceOptions, AtBudget, BudgetOptions, Schedule};
use activestore_types::{Error, Result};

use crate::config::{AtBudgetSetting, Sync};

/// Keeps what was used of the month, inside the data directory.
pub const MONTH_FILE: &str = "link-month";
/// Less than this a month hardly keeps a connection.
const MONTHLY_BYTES_MIN: u64 = 1_000_000;
/// Every month has this day.
const LAST_DAY: u8 = 28;
/// The part that is kept for alarms unless told otherwise, in percent.
const ALARM_SHARE: u8 = 10;

/// From the file's section and the environment.
///
/// # Errors
/// `Invalid`, naming the setting.
pub fn allowance(sync: &Sync, data_dir: &Path) -> Result<AllowanceOptions> {
    let schedule = Schedule::parse(&sync.schedule, sync.schedule_offset.as_deref())?;
    let Some(bytes) = sync.monthly_bytes else {
        for (name, given) in [
            ("month_starts", sync.month_starts.is_some()),
            ("alarm_share", sync.alarm_share.is_some()),
            ("at_budget", sync.at_budget.is_some()),
        ] {
            if given {
                return Err(Error::invalid(format!(
                    "sync.{name} says something of a budget, and sync.monthly_bytes gives none"
                )));
            }
        }
        return Ok(AllowanceOptions {
            schedule,
            budget: None,
        });
    };
    if bytes.0 < MONTHLY_BYTES_MIN {
        return Err(Error::invalid(format!(
            "sync.monthly_bytes of {} is less than the {MONTHLY_BYTES_MIN} that keep a connection",
            bytes.0
        ))
        .with_hint("write the bytes of a month, as in monthly_bytes = \"2GB\""));
    }
    let first_day = sync.month_starts.unwrap_or(1);
    if !(1..=LAST_DAY).contains(&first_day) {
        return Err(Error::invalid(format!(
            "sync.month_starts is {first_day}: a day from 1 to {LAST_DAY}, which every month has, is expected"
        )));
    }
    let reserve_percent = sync.alarm_share.unwrap_or(ALARM_SHARE);
    if reserve_percent > 100 {
        return Err(Error::invalid(format!(
            "sync.alarm_share is {reserve_percent} percent of the month's bytes"
        )));
    }
    let at_budget = match sync.at_budget.unwrap_or_default() {
        AtBudgetSetting::Alarms => AtBudget::Alarms,
        AtBudgetSetting::Hold => AtBudget::Hold,
    };
    let budget = BudgetOptions {
        bytes: bytes.0,
        first_day,
        reserve_percent,
        at_budget,
    };
    Ok(AllowanceOptions {
        schedule,
        budget: Some((budget, data_dir.join(MONTH_FILE))),
    })
}

#[cfg(test)]
mod tests;
