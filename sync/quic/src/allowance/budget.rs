//! A month's bytes. What was used is charged ahead on the disk, a block at a time: a crash wastes at most a block and
//! a flash sees few writes, and after a crash nothing that was used is forgotten.
//!
//! Only the cloud's clock begins another month. A clock that jumps ahead, goes back or starts in 1970 brings no new
//! budget, and one that was believed too far ahead ends without one: what was used stays used.

use serde::{Deserialize, Serialize};

use super::calendar::Months;

/// Charged ahead: this part of the budget …
const BLOCKS: u64 = 1024;
/// … within these bounds, in bytes …
const BLOCK_MIN: u64 = 64 << 10;
const BLOCK_MAX: u64 = 4 << 20;
/// … and so many times what was last used at once, where that is more.
const AHEAD_OF_LAST: u64 = 4;
/// A warning is given when so much is used, in percent.
const WARNED_AT: [u8; 2] = [80, 100];

/// What happens when a month's bytes are used.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum AtBudget {
    /// Alarms and control rows still go, and what they need.
    #[default]
    Alarms,
    /// Nothing goes; the connection ends until the next month.
    Hold,
}

/// A budget as it is set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BudgetOptions {
    /// Bytes of a month, both ways.
    pub bytes: u64,
    /// The day of the month it begins on, 1 to 28.
    pub first_day: u8,
    /// The part that is kept for alarms and control rows, in percent.
    pub reserve_percent: u8,
    /// What happens when all is used.
    pub at_budget: AtBudget,
}

/// What is on the disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Record {
    /// The month, as [`Months::of`] numbers them.
    pub(crate) month: i64,
    /// Whether the cloud's clock said so.
    pub(crate) sure: bool,
    /// At least what was used.
    pub(crate) charged: u64,
    /// The highest of the warnings that were given, in percent.
    pub(crate) warned: u8,
}

/// A moment, and whether the cloud's clock says so.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Moment {
    pub(crate) wall_ms: u64,
    pub(crate) sure: bool,
}

/// What may go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Goes {
    Nothing,
    Urgent,
    Everything,
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct Budget {
    options: BudgetOptions,
    record: Record,
    used: u64,
    last: u64,
    saved: bool,
}

impl Budget {
    /// Goes on with what is on the disk.
    pub(crate) fn new(options: BudgetOptions, kept: Option<Record>, now: Moment) -> Budget {
        let record = kept.unwrap_or(Record {
            month: Months {
                first_day: options.first_day,
            }
            .of(now.wall_ms),
            sure: now.sure,
            charged: 0,
            warned: 0,
        });
        Budget {
            options,
            used: record.charged,
            record,
            last: 0,
            saved: kept.is_some(),
        }
    }

    fn months(&self) -> Months {
        Months {
            first_day: self.options.first_day,
        }
    }

    fn block(&self) -> u64 {
        let block = (self.options.bytes / BLOCKS).clamp(BLOCK_MIN, BLOCK_MAX);
        block.max(self.last.saturating_mul(AHEAD_OF_LAST))
    }

    /// The bytes that only alarms and control rows may use.
    fn reserve(&self) -> u64 {
        let percent = u128::from(self.options.reserve_percent.min(100));
        let reserve = u128::from(self.options.bytes) * percent / 100;
        u64::try_from(reserve).unwrap_or(self.options.bytes)
    }

    /// Time has passed and so many bytes crossed the link since. What to write to the disk, if that is due, and a
    /// warning in percent.
    pub(crate) fn used(&mut self, now: Moment, bytes: u64) -> (Option<Record>, Option<u8>) {
        self.turn(now);
        self.used = self.used.saturating_add(bytes);
        if bytes > 0 {
            self.last = bytes;
        }
        let percent = u128::from(self.used) * 100 / u128::from(self.options.bytes.max(1));
        let mut warned = WARNED_AT.into_iter().rev();
        let warning = warned.find(|at| percent >= u128::from(*at));
        let warning = warning.filter(|at| *at > self.record.warned);
        if let Some(at) = warning {
            self.record.warned = at;
            self.saved = false;
        }
        // Half a block ahead is left, so what is used until the next look is charged already.
        if self.record.charged.saturating_sub(self.used) < self.block() / 2 {
            self.record.charged = self.used.saturating_add(self.block());
            self.saved = false;
        }
        let due = (!self.saved).then_some(self.record);
        self.saved = true;
        (due, warning)
    }

    /// What was to be written could not be: it is due again.
    pub(crate) fn not_saved(&mut self) {
        self.saved = false;
    }

    /// An orderly end wastes nothing.
    pub(crate) fn last_record(&self) -> Record {
        Record {
            charged: self.used,
            ..self.record
        }
    }

    fn turn(&mut self, now: Moment) {
        let month = self.months().of(now.wall_ms);
        if !now.sure || (self.record.sure && month == self.record.month) {
            return;
        }
        if month > self.record.month && self.record.sure {
            self.used = 0;
            self.record.charged = 0;
            self.record.warned = 0;
        }
        self.record.month = month;
        self.record.sure = true;
        self.saved = false;
    }

    /// What may go now. Where a month may have begun of which only the cloud can tell, it may be asked.
    pub(crate) fn goes(&self, now: Moment) -> Goes {
        let free = self.options.bytes.saturating_sub(self.reserve());
        if self.used < free {
            return Goes::Everything;
        }
        // A clock that stands before the month is wrong, as after a start without a battery: then too only the cloud
        // knows.
        let perhaps_over = !now.sure && self.months().of(now.wall_ms) != self.record.month;
        let all_used = self.used >= self.options.bytes;
        if all_used && self.options.at_budget == AtBudget::Hold && !perhaps_over {
            Goes::Nothing
        } else {
            Goes::Urgent
        }
    }

    /// How it stands.
    pub(crate) fn status(&self) -> BudgetStatus {
        BudgetStatus {
            bytes: self.options.bytes,
            used: self.used,
            reserved: self.reserve(),
            ends_ms: self.months().end_ms(self.record.month),
        }
    }
}

/// How a month's budget stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BudgetStatus {
    /// Bytes of the month.
    pub bytes: u64,
    /// Bytes that crossed the link since it began, both ways, with their headers.
    pub used: u64,
    /// Bytes that only alarms and control rows may use.
    pub reserved: u64,
    /// When the next month begins, in milliseconds since 1970.
    pub ends_ms: u64,
}
