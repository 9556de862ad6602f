//! Statements that took long: a line of the log, and a row of `system.slow_queries`, a ring in memory. What was asked
//! is told without its values: a slow statement is looked at by those who run the node, and what it was about may
//! not be for them.

mod watch;

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use activestore_env::Clock;
use activestore_query::{QueryStats, Statement};
use parking_lot::Mutex;

use crate::counters::Figures;
use crate::db::{Db, Inner};
use watch::Watch;

/// Slow statements that are kept; the oldest go.
const KEPT_MAX: usize = 256;

/// What is watched of all statements of a database.
pub(crate) struct Statements {
    clock: Arc<dyn Clock>,
    /// `None` is never.
    slow_after: Option<Duration>,
    slow: Mutex<Ring>,
}

#[derive(Default)]
struct Ring {
    kept: VecDeque<Arc<Slow>>,
    /// How many there were since the start.
    count: u64,
}

/// A statement that took long.
#[derive(Clone, Debug)]
pub(crate) struct Slow {
    /// Its number since the start, from 1.
    pub(crate) number: u64,
    /// When it ended, by this node's clock, in milliseconds since 1970.
    pub(crate) ended_ms: u64,
    pub(crate) who: String,
    pub(crate) kind: &'static str,
    /// Without values.
    pub(crate) text: String,
    /// How long it worked; the time that its reader took is not in it.
    pub(crate) took: Duration,
    /// When its first rows were there.
    pub(crate) first: Option<Duration>,
    /// Rows given or written.
    pub(crate) rows: u64,
    pub(crate) scanned: QueryStats,
    /// `done`, `abandoned`, or the code of the error that ended it.
    pub(crate) outcome: &'static str,
}

impl Statements {
    pub(crate) fn new(clock: Arc<dyn Clock>, slow_after: Option<Duration>) -> Self {
        Statements {
            clock,
            slow_after,
            slow: Mutex::default(),
        }
    }

    /// The slow ones that are kept, oldest first.
    pub(crate) fn slow(&self) -> Vec<Arc<Slow>> {
        self.slow.lock().kept.iter().cloned().collect()
    }

    fn keep(&self, mut slow: Slow) {
        tracing::warn!(
            target: "activestore::slow",
            kind = slow.kind,
            took_ms = slow.took.as_secs_f64() * 1e3,
            first_ms = slow.first.map(|first| first.as_secs_f64() * 1e3),
            rows = slow.rows,
            rows_scanned = slow.scanned.rows_scanned,
            vectors_read = slow.scanned.vectors_read,
            bytes_decoded = slow.scanned.bytes_decoded,
            who = %slow.who,
            outcome = slow.outcome,
            statement = %slow.text,
            "a statement was slow"
        );
        let mut ring = self.slow.lock();
        ring.count += 1;
        slow.number = ring.count;
        if ring.kept.len() >= KEPT_MAX {
            ring.kept.pop_front();
        }
        ring.kept.push_back(Arc::new(slow));
    }
}

impl Db {
    /// A statement begins.
    pub(crate) fn watch(&self, statement: &Statement) -> Watch {
        Watch::begin(&self.inner.statements, statement, self.principal.name())
    }
}

impl Inner {
    pub(crate) fn statement_figures(&self, all: &mut Figures) {
        all.counter(
            "activestore_statements_slow_total",
            "Statements that took longer than what counts as slow.",
            self.statements.slow.lock().count as f64,
        );
    }
}

#[cfg(test)]
mod tests;
