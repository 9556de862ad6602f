//! What waits to be written to the one stream, by rank: each record goes whole, and the next is always the most
//! urgent one that waits, so that an alarm waits for one segment and not for a backlog.

use std::collections::VecDeque;

use activestore_sync_proto::{Frame, Lane};
use activestore_types::{Error, Result, SyncClass};

use super::record::Record;
use crate::lanes::WRITE_QUEUE_FRAMES;

pub(crate) const RANKS: usize = 6;
/// What waits for no bandwidth: control frames, alarms and control rows.
pub(crate) const URGENT_RANKS: usize = 3;

/// Where a frame stands in the queue; 0 goes first.
pub(crate) fn rank(frame: &Frame) -> usize {
    match frame.lane() {
        Lane::Control => 0,
        Lane::Rows(SyncClass::Alarm) => 1,
        Lane::Rows(SyncClass::Control) => 2,
        Lane::Rows(SyncClass::Live) => 3,
        Lane::Rows(SyncClass::Backlog) => 4,
        Lane::Blobs => 5,
    }
}

/// The next thing for the writer to do.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Next {
    Write(Vec<u8>),
    /// Nothing waits.
    Wait,
    /// Write this, the last record, if there is one, and end.
    End(Option<Vec<u8>>),
}

#[derive(Debug, Default)]
pub(crate) struct Queue {
    ranks: [VecDeque<Vec<u8>>; RANKS],
    ended: Option<Option<Vec<u8>>>,
}

impl Queue {
    /// Adds a record behind the others of its rank.
    ///
    /// # Errors
    /// `Overloaded` when the peer has not read for so long that the queue is full.
    pub(crate) fn push(&mut self, rank: usize, record: &Record) -> Result<()> {
        if self.ended.is_some() {
            return Ok(()); // the connection says why
        }
        let Some(waiting) = self.ranks.get_mut(rank) else {
            return Err(Error::internal(format!("there is no rank {rank}")));
        };
        if waiting.len() >= WRITE_QUEUE_FRAMES {
            return Err(Error::overloaded("the peer does not read"));
        }
        waiting.push_back(record.encode());
        Ok(())
    }

    /// Nothing is sent any more but this farewell; the first end counts.
    pub(crate) fn end(&mut self, farewell: Option<&Record>) {
        if self.ended.is_none() {
            self.ended = Some(farewell.map(Record::encode));
            self.ranks = Default::default();
        }
    }

    /// The next record of the first so many ranks.
    pub(crate) fn pop(&mut self, ranks: usize) -> Next {
        if let Some(farewell) = &mut self.ended {
            return Next::End(farewell.take());
        }
        let waiting = self
            .ranks
            .iter_mut()
            .take(ranks)
            .find_map(VecDeque::pop_front);
        waiting.map_or(Next::Wait, Next::Write)
    }
}

#[cfg(test)]
mod tests;
