//! Prepared statements: each is of the role that prepared it, and goes when it is closed, is not used for long, or has
//! to make place for another. A client that is told so prepares anew.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use activestore_db::{Db, Prepared};
use activestore_query::{ParamTypes, Statement};
use activestore_types::{Error, Result};
use arrow::record_batch::RecordBatch;
use bytes::Bytes;
use parking_lot::Mutex;

use super::tally::Tally;

/// Bytes of all statements and of the values that are bound to them.
const BYTES_MAX: usize = 32 * 1024 * 1024;
/// After so long unused a prepared statement goes.
const IDLE_MAX: Duration = Duration::from_secs(3600);

/// A statement with what is known of it.
pub(super) struct Planned {
    pub(super) statement: Statement,
    pub(super) prepared: Prepared,
}

impl Planned {
    /// Plans it, with the types of parameters that are known.
    pub(super) async fn new(db: &Db, statement: Statement, known: &ParamTypes) -> Result<Planned> {
        let prepared = db.prepare(&statement, known).await?;
        Ok(Planned {
            statement,
            prepared,
        })
    }
}

/// A prepared statement, and the rows of values that it is to be run with.
#[derive(Clone)]
pub(super) struct Bound {
    pub(super) planned: Arc<Planned>,
    pub(super) values: Option<RecordBatch>,
}

struct Entry {
    owner: Arc<str>,
    bound: Bound,
    text_bytes: usize,
    used: Instant,
}

impl Entry {
    fn bytes(&self) -> usize {
        let values = self.bound.values.as_ref();
        self.text_bytes + values.map_or(0, RecordBatch::get_array_memory_size)
    }
}

/// Those of all clients.
pub(super) struct PreparedStatements {
    all: Mutex<HashMap<Bytes, Entry>>,
    most: usize,
    tally: Arc<Tally>,
}

impl PreparedStatements {
    pub(super) fn new(most: usize, tally: Arc<Tally>) -> Self {
        PreparedStatements {
            all: Mutex::default(),
            most: most.max(1),
            tally,
        }
    }

    /// Keeps one, under a name that nobody guesses.
    pub(super) fn add(&self, db: &Db, owner: Arc<str>, planned: Planned, sql: &str) -> Bytes {
        let handle = Bytes::from([db.secret(), db.secret()].concat());
        let entry = Entry {
            owner,
            bound: Bound {
                planned: Arc::new(planned),
                values: None,
            },
            text_bytes: sql.len(),
            used: Instant::now(),
        };
        let mut all = self.all.lock();
        all.insert(handle.clone(), entry);
        self.make_place(&mut all, &handle);
        handle
    }

    /// The one of that name.
    ///
    /// # Errors
    /// `NotFound` for a name that is none, not any more, or another role's.
    pub(super) fn get(&self, owner: &str, handle: &[u8]) -> Result<Bound> {
        let mut all = self.all.lock();
        let entry = all.get_mut(handle).filter(|entry| *entry.owner == *owner);
        let entry = entry.ok_or_else(unknown)?;
        entry.used = Instant::now();
        Ok(entry.bound.clone())
    }

    /// Gives it values.
    ///
    /// # Errors
    /// As [`PreparedStatements::get`].
    pub(super) fn bind(&self, owner: &str, handle: &Bytes, bound: Bound) -> Result<()> {
        let mut all = self.all.lock();
        let entry = all.get_mut(handle).filter(|entry| *entry.owner == *owner);
        let entry = entry.ok_or_else(unknown)?;
        entry.bound = bound;
        entry.used = Instant::now();
        self.make_place(&mut all, handle);
        Ok(())
    }

    /// Lets it go; one that is not there is gone already.
    pub(super) fn close(&self, owner: &str, handle: &[u8]) {
        let mut all = self.all.lock();
        if all.get(handle).is_some_and(|entry| *entry.owner == *owner) {
            all.remove(handle);
        }
        self.count(&all);
    }

    /// Lets those go that were not used for long, and the ones used least lately while there are too many, but `kept`.
    fn make_place(&self, all: &mut HashMap<Bytes, Entry>, kept: &Bytes) {
        let before = all.len();
        all.retain(|_, entry| entry.used.elapsed() < IDLE_MAX);
        let mut bytes: usize = all.values().map(Entry::bytes).sum();
        while all.len() > self.most || bytes > BYTES_MAX {
            let others = all.iter().filter(|(handle, _)| *handle != kept);
            let oldest = others.min_by_key(|(_, entry)| entry.used);
            let Some(oldest) = oldest.map(|(handle, _)| handle.clone()) else {
                break;
            };
            bytes -= all.remove(&oldest).map_or(0, |entry| entry.bytes());
        }
        let gone = u64::try_from(before - all.len()).unwrap_or(u64::MAX);
        self.tally
            .prepared_forgotten
            .fetch_add(gone, Ordering::Relaxed);
        self.count(all);
    }

    fn count(&self, all: &HashMap<Bytes, Entry>) {
        let open = u64::try_from(all.len()).unwrap_or(u64::MAX);
        self.tally.prepared.store(open, Ordering::Relaxed);
    }
}

fn unknown() -> Error {
    Error::not_found("this prepared statement is not known, or not any more")
        .with_hint("prepare it again")
}
