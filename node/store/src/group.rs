//! Group commit: writers queue their records, the one at the front leads and writes for all that
//! wait behind it. No thread of its own: a lone writer meets no other.
//!
//! A leader has two steps: it *logs* its group, and passes the lead on; then it *applies* what it
//! logged, in its turn, and answers. So the next group is written and synced while this one is
//! applied and its writers wake up.
//!
//! Memory is bounded by bytes: a commit is admitted before its record is made, and counts until it
//! is answered; who would pass the bound waits.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::Thread;

use activestore_types::{Error, Lsn, RangeTombstone, Result, RowBatch, TableId};
use parking_lot::{Condvar, Mutex};

use crate::memtable::RowKeys;
use crate::wal::Appended;
use crate::wal::encoded::Encoded;
use crate::write_set::Note;

/// Bytes of records that one leader writes together; one record is always taken.
const GROUP_BYTES_MAX: usize = 4 << 20;

/// Records that one leader writes together.
const GROUP_RECORDS_MAX: usize = 1024;

/// How often a leader lets others run before it takes its group.
const YIELDS_MAX: usize = 4;

/// A commit that passed every check, as it is applied once its record is durable.
#[derive(Debug)]
pub(crate) struct CheckedSet {
    pub(crate) batches: Vec<(RowBatch, RowKeys)>,
    pub(crate) tombstones: Vec<RangeTombstone>,
    pub(crate) notes: Vec<Note>,
}

/// Rows of several commits, by table, that are appended together: small ones are then joined once.
#[derive(Debug, Default)]
pub(crate) struct Pending {
    tables: Vec<(TableId, Vec<(RowBatch, RowKeys)>)>,
    rows: usize,
}

impl Pending {
    pub(crate) fn push(&mut self, batch: RowBatch, keys: RowKeys) {
        self.rows += batch.rows;
        let known = self.tables.iter_mut().find(|(id, _)| *id == batch.table);
        match known {
            Some((_, batches)) => batches.push((batch, keys)),
            None => self.tables.push((batch.table, vec![(batch, keys)])),
        }
    }

    pub(crate) fn rows(&self) -> usize {
        self.rows
    }

    /// Everything by table, each table's batches in the order in which they came.
    pub(crate) fn take(&mut self) -> Vec<(TableId, Vec<(RowBatch, RowKeys)>)> {
        self.rows = 0;
        std::mem::take(&mut self.tables)
    }
}

/// The two steps of a group.
pub(crate) trait Steps {
    /// Appends the records to the log and makes them durable.
    fn log(&self, records: &mut [Encoded]) -> Appended;

    /// Makes what was logged from record `first` on visible. After an error nothing more is applied.
    fn apply(&self, first: Lsn, sets: impl Iterator<Item = CheckedSet>) -> Result<()>;
}

/// A record on its way.
#[derive(Debug)]
struct Waiting {
    record: Encoded,
    set: CheckedSet,
    ticket: Arc<Ticket>,
}

/// Where a writer waits for its turn or its answer.
#[derive(Debug)]
struct Ticket {
    thread: Thread,
    /// Whether `turn` holds something.
    called: AtomicBool,
    turn: Mutex<Option<Turn>>,
}

#[derive(Debug)]
enum Turn {
    Lead,
    Done(Result<Lsn>),
}

impl Ticket {
    fn call(&self, turn: Turn) {
        *self.turn.lock() = Some(turn);
        self.called.store(true, Ordering::Release);
        self.thread.unpark();
    }

    fn wait(&self) -> Turn {
        loop {
            if self.called.swap(false, Ordering::Acquire)
                && let Some(turn) = self.turn.lock().take()
            {
                return turn;
            }
            std::thread::park();
        }
    }
}

#[derive(Debug)]
pub(crate) struct GroupQueue {
    bytes_max: usize,
    state: Mutex<State>,
    room: Condvar,
    /// Held by the leader that applies: taken before the lead is passed on, so that groups are
    /// applied in the order in which they were logged. True while, and for ever after, one was
    /// applied in part.
    applying: Mutex<bool>,
}

#[derive(Debug, Default)]
struct State {
    waiting: VecDeque<Waiting>,
    /// Bytes of all commits admitted.
    bytes: usize,
    /// Whether some thread leads or is about to.
    led: bool,
    /// Records in the group before.
    last_group: usize,
}

/// The right to hold some bytes of a commit in memory; ends when it is dropped.
#[derive(Debug)]
pub(crate) struct Admission<'a> {
    queue: &'a GroupQueue,
    bytes: usize,
}

impl Drop for Admission<'_> {
    fn drop(&mut self) {
        self.queue.state.lock().bytes -= self.bytes;
        self.queue.room.notify_one();
    }
}

impl GroupQueue {
    /// A queue whose commits take at most so many bytes together, or one commit of any size.
    pub(crate) fn new(bytes_max: usize) -> Self {
        GroupQueue {
            bytes_max,
            state: Mutex::default(),
            room: Condvar::new(),
            applying: Mutex::new(false),
        }
    }

    /// Waits until there is room for a commit of so many bytes.
    pub(crate) fn admit(&self, bytes: usize) -> Admission<'_> {
        let mut state = self.state.lock();
        while state.bytes > 0 && state.bytes.saturating_add(bytes) > self.bytes_max {
            self.room.wait(&mut state);
        }
        state.bytes += bytes;
        let more = state.bytes < self.bytes_max;
        drop(state);
        if more {
            // What was given back may be room enough for a second one.
            self.room.notify_one();
        }
        Admission { queue: self, bytes }
    }

    /// Bytes of all commits admitted now.
    pub(crate) fn bytes(&self) -> usize {
        self.state.lock().bytes
    }

    /// Queues a record and returns when it is done. Whoever leads carries out `steps`, with a group
    /// of at most `records_max` records in the order of their arrival.
    pub(crate) fn submit(
        &self,
        record: Encoded,
        set: CheckedSet,
        records_max: usize,
        steps: &impl Steps,
    ) -> Result<Lsn> {
        let ticket = Arc::new(Ticket {
            thread: std::thread::current(),
            called: AtomicBool::new(false),
            turn: Mutex::new(None),
        });
        let leads = {
            let mut state = self.state.lock();
            state.waiting.push_back(Waiting {
                record,
                set,
                ticket: Arc::clone(&ticket),
            });
            !std::mem::replace(&mut state.led, true)
        };
        if leads {
            self.lead(records_max.clamp(1, GROUP_RECORDS_MAX), steps);
        }
        loop {
            match ticket.wait() {
                Turn::Done(result) => return result,
                Turn::Lead => self.lead(records_max.clamp(1, GROUP_RECORDS_MAX), steps),
            }
        }
    }

    /// Where several write at once, those that the group before has just answered are about to come
    /// again: a sync that they share costs each of them less than it makes the first one wait. A
    /// lone writer does not wait.
    fn let_others_queue(&self) {
        let queued = || {
            let state = self.state.lock();
            (state.waiting.len(), state.last_group)
        };
        let (mut before, last_group) = queued();
        for _ in 0..YIELDS_MAX {
            if last_group < 2 {
                return;
            }
            std::thread::yield_now();
            let (now, _) = queued();
            if now == before {
                return;
            }
            before = now;
        }
    }

    fn lead(&self, records_max: usize, steps: &impl Steps) {
        let mut records = Vec::new();
        let mut sets = Vec::new();
        let mut group = Group {
            queue: self,
            tickets: Vec::new(),
            leads: true,
        };
        self.let_others_queue();
        {
            let mut state = self.state.lock();
            let mut bytes = 0;
            while let Some(next) = state.waiting.front().map(|next| next.record.length()) {
                let full = records.len() >= records_max || bytes + next > GROUP_BYTES_MAX;
                if full && !records.is_empty() {
                    break;
                }
                if let Some(waiting) = state.waiting.pop_front() {
                    bytes += next;
                    records.push(waiting.record);
                    sets.push(waiting.set);
                    group.tickets.push(waiting.ticket);
                }
            }
            state.last_group = records.len();
        }
        let appended = steps.log(&mut records);
        // Their bytes are in the file.
        drop(records);
        let mut halfway = self.applying.lock();
        group.pass_on();
        let logged = sets.into_iter().take(appended.done);
        let applied = if *halfway {
            Err(Error::internal("an earlier commit was applied in part"))
        } else {
            *halfway = true;
            let applied = steps.apply(appended.first, logged);
            *halfway = applied.is_err();
            applied
        };
        drop(halfway);
        let failed = appended
            .error
            .unwrap_or_else(|| Error::internal("a record was left out of its group"));
        for (at, ticket) in group.tickets.drain(..).enumerate() {
            let answer = match &applied {
                _ if at >= appended.done => Err(failed.clone()),
                Ok(()) => Ok(Lsn(appended.first.0 + at as u64)),
                Err(error) => Err(error.clone()),
            };
            ticket.call(Turn::Done(answer));
        }
    }
}

/// Passes the lead on, also if the leader panics: nobody waits for an answer that never comes.
struct Group<'a> {
    queue: &'a GroupQueue,
    tickets: Vec<Arc<Ticket>>,
    leads: bool,
}

impl Group<'_> {
    fn pass_on(&mut self) {
        if !std::mem::replace(&mut self.leads, false) {
            return;
        }
        let mut state = self.queue.state.lock();
        let next = state.waiting.front().map(|next| Arc::clone(&next.ticket));
        state.led = next.is_some();
        drop(state);
        if let Some(next) = next {
            next.call(Turn::Lead);
        }
    }
}

impl Drop for Group<'_> {
    fn drop(&mut self) {
        for ticket in self.tickets.drain(..) {
            ticket.call(Turn::Done(Err(Error::internal(
                "the commit was given up halfway; whether it is stored will show at the next start",
            ))));
        }
        self.pass_on();
    }
}

#[cfg(test)]
mod tests;
