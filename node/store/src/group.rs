//! Group commit: writers queue their records, the one at the front leads and writes for all that
//! wait behind it, and hands the lead on. No thread of its own: a lone writer meets no other.
//! The queue is bounded by bytes; who would pass the bound waits.

use std::collections::VecDeque;
use std::sync::Arc;

use activestore_types::{Error, KeyBuffer, Lsn, RangeTombstone, Result, RowBatch};
use parking_lot::{Condvar, Mutex};

use crate::wal::record::Encoded;
use crate::write_set::Note;

/// Bytes of records that may wait; one record is always let in.
const QUEUE_BYTES_MAX: usize = 16 << 20;

/// Bytes of records that one leader writes together; one record is always taken.
const GROUP_BYTES_MAX: usize = 4 << 20;

/// Records that one leader writes together.
const GROUP_RECORDS_MAX: usize = 1024;

/// A commit that passed every check, as it is applied once its record is durable.
#[derive(Debug)]
pub(crate) struct CheckedSet {
    pub(crate) batches: Vec<(RowBatch, KeyBuffer)>,
    pub(crate) tombstones: Vec<RangeTombstone>,
    pub(crate) notes: Vec<Note>,
}

/// A record on its way.
#[derive(Debug)]
struct Waiting {
    record: Encoded,
    set: CheckedSet,
    ticket: Arc<Ticket>,
}

#[derive(Debug, Default)]
struct Ticket {
    turn: Mutex<Turn>,
    changed: Condvar,
}

#[derive(Debug, Default)]
enum Turn {
    #[default]
    Wait,
    Lead,
    Done(Result<Lsn>),
}

impl Ticket {
    fn set(&self, turn: Turn) {
        *self.turn.lock() = turn;
        self.changed.notify_one();
    }
}

#[derive(Debug, Default)]
pub(crate) struct GroupQueue {
    state: Mutex<State>,
    room: Condvar,
}

#[derive(Debug, Default)]
struct State {
    waiting: VecDeque<Waiting>,
    bytes: usize,
    /// Whether some thread leads or is about to.
    led: bool,
}

impl GroupQueue {
    /// Queues a record and returns when it is done. `write` is called by whoever leads, with a group
    /// of at most `records_max` records in the order of their arrival, and answers for each.
    pub(crate) fn submit(
        &self,
        record: Encoded,
        set: CheckedSet,
        records_max: usize,
        write: impl Fn(Vec<Encoded>, Vec<CheckedSet>) -> Vec<Result<Lsn>>,
    ) -> Result<Lsn> {
        let ticket = Arc::new(Ticket::default());
        {
            let mut state = self.state.lock();
            while !state.waiting.is_empty() && state.bytes + record.bytes.len() > QUEUE_BYTES_MAX {
                self.room.wait(&mut state);
            }
            state.bytes += record.bytes.len();
            state.waiting.push_back(Waiting {
                record,
                set,
                ticket: Arc::clone(&ticket),
            });
            if !state.led {
                state.led = true;
                ticket.set(Turn::Lead);
            }
        }
        loop {
            let turn = {
                let mut turn = ticket.turn.lock();
                while let Turn::Wait = *turn {
                    ticket.changed.wait(&mut turn);
                }
                std::mem::take(&mut *turn)
            };
            match turn {
                Turn::Done(result) => return result,
                Turn::Lead => self.lead(records_max.clamp(1, GROUP_RECORDS_MAX), &write),
                Turn::Wait => {}
            }
        }
    }

    fn lead(
        &self,
        records_max: usize,
        write: impl Fn(Vec<Encoded>, Vec<CheckedSet>) -> Vec<Result<Lsn>>,
    ) {
        let mut records = Vec::new();
        let mut sets = Vec::new();
        let mut group = Group {
            queue: self,
            tickets: Vec::new(),
        };
        {
            let mut state = self.state.lock();
            let mut bytes = 0;
            while let Some(next) = state.waiting.front().map(|next| next.record.bytes.len()) {
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
            state.bytes -= bytes;
            self.room.notify_all();
        }
        let results = write(records, sets);
        for (ticket, result) in group.tickets.drain(..).zip(results) {
            ticket.set(Turn::Done(result));
        }
    }
}

/// Passes the lead on, also if the leader panics: nobody waits for an answer that never comes.
struct Group<'a> {
    queue: &'a GroupQueue,
    tickets: Vec<Arc<Ticket>>,
}

impl Drop for Group<'_> {
    fn drop(&mut self) {
        for ticket in self.tickets.drain(..) {
            ticket.set(Turn::Done(Err(Error::internal(
                "the commit was given up halfway; whether it is stored will show at the next start",
            ))));
        }
        let mut state = self.queue.state.lock();
        match state.waiting.front() {
            Some(next) => next.ticket.set(Turn::Lead),
            None => state.led = false,
        }
    }
}

#[cfg(test)]
mod tests;
