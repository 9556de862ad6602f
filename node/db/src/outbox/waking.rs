//! When rows are sealed. Live rows gather for a while, so that a segment holds more than one write; urgent ones
//! hardly do. While nobody is there to ship to, live rows gather until they fill a segment or for much longer:
//! a backlog then is a few full segments, and a flash sees a few syncs.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use activestore_catalog::CatalogState;
use activestore_env::Clock;
use activestore_store::WriteSet;
use activestore_types::{SyncClass, TableId};
use parking_lot::{Condvar, Mutex};

use super::SEAL_BYTES;

/// Alarms gather for so long, since they come in bursts …
const ALARMS_GATHER: Duration = Duration::from_millis(50);
/// … and control rows for so long; neither for longer than live rows do.
const CONTROL_GATHERS: Duration = Duration::from_millis(200);
/// While nobody is there to ship to, live rows gather so many times as long …
const AWAY_FACTOR: u32 = 60;
/// … and no longer than this, if they do not anyway. It bounds what of the log is held.
const AWAY_GATHERS: Duration = Duration::from_secs(60);

/// What was committed.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct News {
    /// What its rows take in memory.
    pub(crate) bytes: usize,
    /// The class of the most urgent rows, if any are urgent.
    pub(crate) urgent: Option<SyncClass>,
}

impl News {
    /// What sealers are to know of rows that are about to be committed.
    pub(crate) fn of(set: &WriteSet, state: &CatalogState) -> Self {
        let urgent = if state.classes.is_empty() {
            None
        } else {
            let tables = urgent_tables(state);
            let of_rows = set.batches.iter().map(|batch| batch.table);
            let of_ranges = set.tombstones.iter().map(|range| range.table);
            of_rows
                .chain(of_ranges)
                .filter_map(|table| tables.get(&table).copied())
                .min()
        };
        News {
            bytes: set.batches.iter().map(|batch| batch.memory_bytes()).sum(),
            urgent,
        }
    }
}

/// The tables whose rows are urgent.
pub(super) fn urgent_tables(state: &CatalogState) -> BTreeMap<TableId, SyncClass> {
    let urgent = state.classes.iter().filter(|(_, class)| class.is_urgent());
    urgent
        .filter_map(|(name, class)| Some((state.tables.get(name)?.id, *class)))
        .collect()
}

/// What is to be sealed now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Work {
    All,
    Urgent,
    /// Everything, for the last time.
    Last,
}

#[derive(Default)]
struct Wishes {
    /// When the first record came that is not sealed.
    since: Option<Duration>,
    /// What gathered since, in memory.
    bytes: usize,
    /// When urgent rows are to be sealed.
    urgent_by: Option<Duration>,
    /// Whether everything is to be sealed without gathering.
    now: bool,
    /// After a failure, when to try again.
    not_before: Option<Duration>,
    away: bool,
    stopping: bool,
}

/// What wakes the sealer's thread.
pub(super) struct Bell {
    clock: Arc<dyn Clock>,
    seal_after: Duration,
    wishes: Mutex<Wishes>,
    changed: Condvar,
}

impl Bell {
    /// Something may wait to be sealed from an earlier run; `away` is whether nobody is there to ship to.
    pub(super) fn new(clock: Arc<dyn Clock>, seal_after: Duration, away: bool) -> Self {
        let wishes = Wishes {
            since: Some(clock.monotonic()),
            away,
            ..Wishes::default()
        };
        Bell {
            clock,
            seal_after,
            wishes: Mutex::new(wishes),
            changed: Condvar::new(),
        }
    }

    fn change(&self, change: impl FnOnce(&mut Wishes)) {
        change(&mut self.wishes.lock());
        self.changed.notify_one();
    }

    /// Records were committed.
    pub(super) fn committed(&self, news: News) {
        let now = self.clock.monotonic();
        let mut wishes = self.wishes.lock();
        let first = wishes.since.is_none();
        wishes.since.get_or_insert(now);
        let before = wishes.bytes;
        wishes.bytes = before.saturating_add(news.bytes);
        let fills = before < SEAL_BYTES && wishes.bytes >= SEAL_BYTES;
        let by = news.urgent.map(|class| now + self.gathers(class));
        let sooner = by.is_some_and(|by| wishes.urgent_by.is_none_or(|known| by < known));
        if sooner {
            wishes.urgent_by = by;
        }
        drop(wishes);
        if first || fills || sooner {
            self.changed.notify_one();
        }
    }

    /// Everything is to be sealed now.
    pub(super) fn ring(&self) {
        self.change(|wishes| wishes.now = true);
    }

    /// Urgent rows, or what is urgent, may have changed.
    pub(super) fn look(&self) {
        let now = self.clock.monotonic();
        self.change(|wishes| wishes.urgent_by = Some(now));
    }

    /// Somebody is there to ship to, or is gone.
    pub(super) fn away(&self, away: bool) {
        self.change(|wishes| {
            wishes.away = away;
            wishes.now |= !away;
        });
    }

    /// What was to be sealed could not be; it is tried again after a pause.
    pub(super) fn failed(&self, work: Work, pause: Duration) {
        let again = self.clock.monotonic() + pause;
        self.change(|wishes| match work {
            Work::Urgent => wishes.urgent_by = Some(again),
            Work::All | Work::Last => {
                wishes.now = true;
                wishes.not_before = Some(again);
            }
        });
    }

    pub(super) fn stop(&self) {
        self.change(|wishes| wishes.stopping = true);
    }

    fn gathers(&self, class: SyncClass) -> Duration {
        match class {
            SyncClass::Alarm => ALARMS_GATHER.min(self.seal_after),
            SyncClass::Control => CONTROL_GATHERS.min(self.seal_after),
            SyncClass::Live | SyncClass::Backlog => self.seal_after,
        }
    }

    fn away_gathers(&self) -> Duration {
        let longer = self.seal_after.saturating_mul(AWAY_FACTOR);
        longer.min(AWAY_GATHERS).max(self.seal_after)
    }

    /// Waits until something is to be sealed.
    pub(super) fn wait(&self) -> Work {
        let mut wishes = self.wishes.lock();
        loop {
            if wishes.stopping {
                return Work::Last;
            }
            if self.seal_after == Duration::MAX {
                self.changed.wait(&mut wishes);
                continue;
            }
            let now = self.clock.monotonic();
            let mut all_by = wishes.since.map(|since| {
                if !wishes.away {
                    since.saturating_add(self.seal_after)
                } else if wishes.bytes >= SEAL_BYTES {
                    now
                } else {
                    since.saturating_add(self.away_gathers())
                }
            });
            if wishes.now {
                all_by = Some(now);
            }
            let all_by = all_by.map(|by| by.max(wishes.not_before.unwrap_or(by)));
            if all_by.is_some_and(|by| by <= now) {
                wishes.since = None;
                wishes.bytes = 0;
                wishes.urgent_by = None;
                wishes.now = false;
                wishes.not_before = None;
                return Work::All;
            }
            if wishes.urgent_by.is_some_and(|by| by <= now) {
                wishes.urgent_by = None;
                return Work::Urgent;
            }
            match [all_by, wishes.urgent_by].into_iter().flatten().min() {
                Some(by) => {
                    self.changed.wait_for(&mut wishes, by.saturating_sub(now));
                }
                None => self.changed.wait(&mut wishes),
            }
        }
    }
}
