//! What may cross the link now: by a schedule, and by a month's budget of bytes. A task looks twice a second; the
//! sessions go by what it found.

mod budget;
mod calendar;
mod schedule;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use activestore_types::{Error, Result};
use parking_lot::Mutex;
use tokio::sync::watch;
use tokio::time::Instant;

pub use budget::{AtBudget, BudgetOptions, BudgetStatus};
use budget::{Budget, Goes, Moment, Record};
pub use schedule::Schedule;

use crate::clock::wall_ms;
use crate::files;

/// How often it is looked at what may go.
pub(crate) const LOOK_EVERY: Duration = Duration::from_millis(500);

/// The settings.
#[derive(Clone, Debug, Default)]
pub struct AllowanceOptions {
    /// When rows that are not urgent may be sent.
    pub schedule: Schedule,
    /// A month's bytes, and the file that keeps what was used of them.
    pub budget: Option<(BudgetOptions, PathBuf)>,
}

impl AllowanceOptions {
    /// Whether anything is held back by it.
    pub(crate) fn holds(&self) -> bool {
        self.budget.is_some() || self.schedule != Schedule::default()
    }
}

/// What may go, and why not more.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Passes {
    /// Rows that are not urgent.
    pub(crate) rows: bool,
    /// Anything at all.
    pub(crate) anything: bool,
    /// Why something waits, and until when.
    pub(crate) waits: Option<String>,
}

impl Passes {
    /// Why nothing may cross the link, where nothing may.
    pub(crate) fn held(&self) -> Option<String> {
        self.waits.clone().filter(|_| !self.anything)
    }
}

impl Default for Passes {
    fn default() -> Self {
        Passes {
            rows: true,
            anything: true,
            waits: None,
        }
    }
}

/// What is known of the time.
#[derive(Debug, Default)]
struct Time {
    /// What the cloud's clock said, and when.
    told: Option<(u64, Instant)>,
}

/// Schedule and budget of one connection to a cloud.
pub(crate) struct Allowance {
    schedule: Schedule,
    budget: Option<(Mutex<Budget>, PathBuf)>,
    time: Mutex<Time>,
    passes: watch::Sender<Passes>,
    /// What had crossed the link at the last look.
    counted: Mutex<u64>,
}

impl Allowance {
    /// Reads what was used of the month.
    ///
    /// # Errors
    /// When the file cannot be read, or is damaged.
    pub(crate) fn open(options: AllowanceOptions) -> Result<Arc<Allowance>> {
        let time = Time::default();
        let now = time.now();
        let budget = options.budget.map(|(options, path)| {
            let kept = files::read(&path)?;
            let kept = kept.map(|bytes| {
                postcard::from_bytes::<Record>(&bytes).map_err(|error| {
                    Error::corrupt(format!(
                        "what was used of the month's bytes cannot be read: {error}"
                    ))
                    .context(path.display())
                    .with_hint("remove the file to begin with nothing used")
                })
            });
            let budget = Budget::new(options, kept.transpose()?, now);
            Ok::<_, Error>((Mutex::new(budget), path))
        });
        let allowance = Arc::new(Allowance {
            schedule: options.schedule,
            budget: budget.transpose()?,
            time: Mutex::new(time),
            passes: watch::Sender::new(Passes::default()),
            counted: Mutex::new(0),
        });
        allowance.look(0);
        Ok(allowance)
    }

    /// What may go now; changes are told.
    pub(crate) fn watch(&self) -> watch::Receiver<Passes> {
        self.passes.subscribe()
    }

    pub(crate) fn passes(&self) -> Passes {
        self.passes.borrow().clone()
    }

    /// The cloud's clock said so.
    pub(crate) fn told_time(&self, server_wall_ms: u64) {
        self.time.lock().told = Some((server_wall_ms, Instant::now()));
    }

    /// How the month's budget stands.
    pub(crate) fn budget(&self) -> Option<BudgetStatus> {
        let (budget, _) = self.budget.as_ref()?;
        Some(budget.lock().status())
    }

    /// Looks what may go; `crossed` is what has crossed the link since the start. May write to the disk.
    pub(crate) fn look(&self, crossed: u64) {
        let now = self.time.lock().now();
        let mut passes = Passes::default();
        if let Some(until) = self.schedule.waits_until(now.wall_ms) {
            let until = calendar::shown(until, self.schedule.offset_min());
            passes.rows = false;
            passes.waits = Some(format!(
                "rows that are not urgent wait until {until}: outside of sync.schedule"
            ));
        }
        if let Some((budget, path)) = &self.budget {
            let mut budget = budget.lock();
            let mut counted = self.counted.lock();
            let more = crossed.saturating_sub(*counted);
            *counted = crossed.max(*counted);
            let (due, warning) = budget.used(now, more);
            if let Some(record) = due
                && let Err(error) = save(path, record)
            {
                budget.not_saved();
                tracing::warn!(%error, "what was used of the month's bytes could not be written; trying again");
            }
            let status = budget.status();
            if let Some(percent) = warning {
                tracing::warn!(
                    used = status.used,
                    bytes = status.bytes,
                    "{percent} % of sync.monthly_bytes are used"
                );
            }
            let until = calendar::shown(status.ends_ms, 0);
            match budget.goes(now) {
                Goes::Everything => {}
                Goes::Urgent => {
                    passes.rows = false;
                    passes.waits = Some(format!(
                        "rows that are not urgent wait until {until}: the rest of sync.monthly_bytes is for alarms"
                    ));
                }
                Goes::Nothing => {
                    passes.rows = false;
                    passes.anything = false;
                    passes.waits = Some(format!(
                        "everything waits until {until}: sync.monthly_bytes is used"
                    ));
                }
            }
        }
        let changed = self.passes.send_if_modified(|known| {
            let changed = *known != passes;
            if changed {
                *known = passes.clone();
            }
            changed
        });
        if changed {
            match &passes.waits {
                Some(waits) => tracing::info!("{waits}"),
                None => tracing::info!("all rows may be sent again"),
            }
        }
    }

    /// The last look of an orderly end: nothing that was charged ahead is lost.
    pub(crate) fn close(&self, crossed: u64) {
        self.look(crossed);
        if let Some((budget, path)) = &self.budget
            && let Err(error) = save(path, budget.lock().last_record())
        {
            tracing::warn!(%error, "what was used of the month's bytes could not be written");
        }
    }
}

impl Time {
    /// The cloud's time, as far as it was told since the start; else this machine's.
    fn now(&self) -> Moment {
        match self.told {
            Some((told_ms, at)) => Moment {
                wall_ms: told_ms.saturating_add(at.elapsed().as_millis() as u64),
                sure: true,
            },
            None => Moment {
                wall_ms: wall_ms(),
                sure: false,
            },
        }
    }
}

fn save(path: &std::path::Path, record: Record) -> Result<()> {
    let bytes = postcard::to_stdvec(&record)
        .map_err(|error| Error::internal(format!("the month's bytes: {error}")))?;
    files::write_private(path, &bytes)
}

#[cfg(test)]
mod tests;
