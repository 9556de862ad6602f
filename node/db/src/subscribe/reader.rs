//! The log read by one who holds it: what a query makes of the records from a place on, in steps that its reader asks
//! for. Nothing waits in a queue, and nobody is dropped: who reads slowly reads later.

use activestore_query::{LiveFor, Subscribe, WhenSlow};
use activestore_store::LogRecord;
use activestore_types::{ErrorKind, Hlc, Lsn, Result};

use super::changes::{Change, Changes};
use super::definitions::Definitions;
use super::follower::{LOG_STEP_BYTES, still_stands};
use super::look::{Glance, Looking};
use super::subscription::clocks_went_ahead;
use super::token::Place;
use super::wish::Wish;
use crate::auth::Principal;
use crate::db::Inner;

/// A query's view of the log, from a place on.
pub(crate) struct LogReader {
    wish: Wish,
    looking: Looking,
}

/// What was read in a step.
pub(crate) enum Stretch {
    /// These changes, maybe none; whether the log holds no more.
    Read(Vec<Changes>, bool),
    /// The log does not hold what follows the place: it begins with this record.
    Gone(Lsn),
}

/// Where a reader stands, as text that it can be begun from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Spot {
    pub(crate) token: String,
    /// The first record that it needs.
    pub(crate) needs: Lsn,
}

impl Spot {
    fn of(place: Place, inner: &Inner) -> Spot {
        Spot {
            token: place.token(inner.node),
            needs: place.next(),
        }
    }

    /// Behind all that is committed.
    pub(crate) fn now(inner: &Inner) -> Spot {
        Spot::of(Place::behind(inner.store.last_lsn()), inner)
    }

    /// Behind a record.
    pub(crate) fn past(lsn: Lsn, inner: &Inner) -> Spot {
        Spot::of(Place::behind(lsn), inner)
    }

    /// Before a record.
    pub(crate) fn before(lsn: Lsn, inner: &Inner) -> Spot {
        Spot::of(Place::behind(Lsn(lsn.0.saturating_sub(1))), inner)
    }

    /// Behind an event.
    pub(crate) fn behind(changes: &Changes, change: &Change) -> Spot {
        Spot {
            token: changes.token(change),
            needs: change.place.next(),
        }
    }

    /// # Errors
    /// `Invalid` for what is no token of this node.
    pub(crate) fn read(token: &str, inner: &Inner) -> Result<Spot> {
        Ok(Spot::of(Place::read(token, inner.node)?, inner))
    }
}

impl Change {
    /// The stamp of the row, by which its age is told; none of a range's.
    pub(crate) fn stamp(&self) -> Option<Hlc> {
        (self.place.stamp > 0).then_some(Hlc(self.place.stamp))
    }
}

impl LogReader {
    /// Compiles the query under the node's own rights, to be asked of what follows a place; `ranges` where those that are
    /// deleted are told.
    ///
    /// # Errors
    /// Why it cannot be compiled.
    pub(crate) fn begin(
        inner: &Inner,
        sql: &str,
        leaving: bool,
        ranges: bool,
        from: &Spot,
    ) -> Result<LogReader> {
        let place = Place::read(&from.token, inner.node)?;
        let wish = Wish {
            statement: Subscribe {
                sql: sql.to_owned(),
                snapshot: false,
                leaving,
                when_slow: WhenSlow::Disconnect,
                after: None,
            },
            params: Vec::new(),
            principal: Principal::Node,
            by: LiveFor::Sink,
        };
        let known = Definitions::now(inner);
        let query = futures::executor::block_on(wish.compile(inner))?;
        let highest = clocks_went_ahead(inner);
        let mut looking = Looking::new(query, known, leaving, inner.node, place, highest);
        if !ranges {
            looking.without_ranges();
        }
        Ok(LogReader { wish, looking })
    }

    /// Behind everything that was read.
    pub(crate) fn spot(&self, inner: &Inner) -> Spot {
        Spot::of(self.looking.after(), inner)
    }

    /// The record that the last error was about, where it was about one: others can be read.
    pub(crate) fn failed(&self) -> Option<Lsn> {
        self.looking.failed()
    }

    /// Reads on. After an error it has to be begun anew.
    ///
    /// # Errors
    /// `Conflict` where the record that the place names is another one now; what the query and the store say.
    pub(crate) fn read(&mut self, inner: &Inner) -> Result<Stretch> {
        read_on(inner, &self.wish, &mut self.looking)
    }
}

/// The next part of the log as one subscription sees it.
///
/// # Errors
/// As [`LogReader::read`]. What the records before the one that failed come to is told first.
pub(super) fn read_on(inner: &Inner, wish: &Wish, looking: &mut Looking) -> Result<Stretch> {
    let now = Definitions::now(inner);
    let before = std::mem::replace(&mut looking.definitions, now);
    if !before.are(&looking.definitions) {
        still_stands(inner, wish, looking, &before)?;
    }
    let store = &inner.store;
    let newest = store.last_lsn();
    let from = looking.after().next();
    if newest < from {
        return Ok(Stretch::Read(Vec::new(), true));
    }
    let records = match store.log(from, LOG_STEP_BYTES) {
        Err(error) if error.kind() == ErrorKind::NotFound => {
            return Ok(Stretch::Gone(store.first_log_lsn()));
        }
        read => read?,
    };
    let mut told = Vec::new();
    if let Err(error) = look_at_each(inner, looking, &records, &mut told) {
        if told.is_empty() {
            return Err(error);
        }
        return Ok(Stretch::Read(told, false));
    }
    let upto = records.last().map_or(newest, |last| last.lsn);
    looking.pass(upto);
    Ok(Stretch::Read(told, upto >= store.last_lsn()))
}

/// One record after the other, so that one that fails takes none along that can be told.
fn look_at_each(
    inner: &Inner,
    looking: &mut Looking,
    records: &[LogRecord],
    told: &mut Vec<Changes>,
) -> Result<()> {
    let mut glance = Glance::new(inner);
    for record in records {
        let good = told.len();
        let looked = looking.look(&mut glance, std::slice::from_ref(record), &mut |changes| {
            told.push(changes);
        });
        if let Err(error) = looked {
            told.truncate(good);
            return Err(error);
        }
    }
    Ok(())
}
