//! Making room in a queue that is full: rows that may be let go are taken out of the oldest segments that nobody
//! has seen. What remains of those segments goes into a chain of its own.
//!
//! A chain ends where it was last handed out; its segments up to there stay what they are, so what a receiver knows of
//! it always fits. How far that is, is durable before a segment is handed out, some segments ahead.

use std::collections::BTreeMap;

use activestore_sync_proto::SealedSegment;
use activestore_types::{Epoch, ErrorKind, Result, SyncClass, TableName};
use redb::{Durability, ReadableTable};

use super::{BACKLOGS_MAX, Queue, epoch, failed};
use crate::outbox::chain::{Chain, Payload, Standing};
use crate::outbox::file::Segments;
use crate::outbox::let_go::Gone;

/// So many segments ahead it is noted that they may have been handed out.
const NOTED_AHEAD: u64 = 16;

/// A segment without the rows that were let go.
pub(crate) struct Thinned {
    /// Rows and bytes of what remains; `None` where nothing does.
    pub(crate) rest: Option<(u64, bytes::Bytes)>,
    pub(crate) gone: BTreeMap<TableName, Gone>,
}

/// What making room came to.
#[derive(Debug, Default)]
pub(crate) struct Freed {
    pub(crate) bytes: u64,
    pub(crate) gone: BTreeMap<TableName, Gone>,
}

/// What becomes of a segment; `None` where it stays as it is.
pub(crate) type Thin<'a> = dyn Fn(&SealedSegment) -> Result<Option<Thinned>> + 'a;

impl Queue {
    /// From now on it is noted what is handed out, or not any more.
    pub(crate) fn note_handed(&self, noted: bool) -> Result<()> {
        if self.standing.lock().let_go.noted == noted {
            return Ok(());
        }
        self.edit(Durability::Immediate, |_, mut next| {
            next.let_go.noted = noted;
            // Nobody wrote down how much of what waits now was.
            let all = next.chains.iter().filter(|_| noted);
            next.let_go.handed = all.map(|chain| (chain.epoch, chain.last_sealed)).collect();
            Ok(next)
        })?;
        *self.handing.handed.lock() = self.standing.lock().let_go.handed.clone();
        Ok(())
    }

    /// A segment that waits, for a receiver: from now on it stays what it is.
    pub(crate) fn hand_out(&self, epoch: Epoch, sequence: u64) -> Result<Option<SealedSegment>> {
        let noted = |standing: &Standing| {
            let handed = standing.let_go.handed.get(&epoch);
            !standing.let_go.noted || handed.is_some_and(|handed| *handed >= sequence)
        };
        if !noted(&self.standing.lock()) {
            self.edit(Durability::Immediate, |_, mut next| {
                let handed = next.let_go.handed.entry(epoch).or_default();
                *handed = (*handed).max(sequence.saturating_add(NOTED_AHEAD - 1));
                Ok(next)
            })?;
        }
        // Held while it is read: what is let go meanwhile would be handed out all the same.
        let standing = self.standing.lock();
        {
            let mut all = self.handing.handed.lock();
            all.retain(|epoch, _| standing.chain(*epoch).is_some());
            let handed = all.entry(epoch).or_default();
            *handed = (*handed).max(sequence);
        }
        self.segment(epoch, sequence)
    }

    /// What may be let go has changed: chains are looked through again.
    pub(crate) fn look_again(&self) {
        self.handing.spared.lock().clear();
    }

    /// Bytes that wait.
    pub(crate) fn pending_bytes(&self) -> u64 {
        self.standing.lock().pending_bytes()
    }

    /// As [`Queue::rotate`], where more than so many bytes of live rows wait.
    pub(crate) fn rotate_over_bytes(&self, bytes: u64) -> Result<bool> {
        self.rotate_if(|live| live.pending_bytes > bytes)
    }

    /// Takes rows that may be let go out of the oldest chain that holds any; `None` where none does. Urgent chains
    /// are left alone. Durable on return.
    pub(crate) fn let_go(&self, thin: &Thin<'_>) -> Result<Option<Freed>> {
        let mut freed = None;
        let mut rest_end = None;
        self.edit(Durability::Immediate, |segments, mut next| {
            let before = next.pending_bytes();
            for epoch in candidates(&next) {
                let Some(gone) = self.let_go_of(segments, &mut next, epoch, thin)? else {
                    continue;
                };
                for (table, gone) in &gone {
                    next.let_go
                        .tables
                        .entry(table.clone())
                        .or_default()
                        .add(*gone);
                }
                let rest = next.let_go.rest.and_then(|rest| next.chain(rest));
                rest_end = rest.map(|rest| (rest.epoch, rest.last_sealed));
                next.close_backlogs();
                freed = Some(Freed {
                    bytes: before.saturating_sub(next.pending_bytes()),
                    gone,
                });
                break;
            }
            Ok(next)
        })?;
        let mut owed = self.owed.lock().clone();
        if let (Some(_), Some(end), false) = (&freed, rest_end, owed.is_empty()) {
            // What the file is to be wiped of may be there now.
            owed.push(end);
            self.owe(owed)?;
        }
        Ok(freed)
    }

    /// The same, of one chain.
    fn let_go_of(
        &self,
        segments: &mut Segments<'_>,
        next: &mut Standing,
        of: Epoch,
        thin: &Thin<'_>,
    ) -> Result<Option<BTreeMap<TableName, Gone>>> {
        let Some(chain) = next.chain(of).copied() else {
            return Ok(None);
        };
        let handed = self.handing.handed.lock().get(&of).copied();
        let end = handed
            .unwrap_or_default()
            .clamp(chain.acknowledged, chain.last_sealed);
        let spared = self.handing.spared.lock().get(&of).copied();
        if end == chain.last_sealed || spared == Some(chain.last_sealed) {
            return Ok(None);
        }
        let mut loses = false;
        for sequence in end + 1..=chain.last_sealed {
            let kept = segments.get((of.0, sequence)).map_err(failed)?;
            let bytes: Option<Vec<u8>> = kept.map(|kept| kept.value().to_vec());
            let found = bytes.map(|bytes| self.thinned(sequence, &bytes, thin));
            if matches!(found.transpose()?, Some(Found::Thinned(_))) {
                loses = true;
                break;
            }
        }
        if !loses {
            let mut spared = self.handing.spared.lock();
            spared.retain(|epoch, _| next.chain(*epoch).is_some());
            spared.insert(of, chain.last_sealed);
            return Ok(None);
        }
        if chain.class == SyncClass::Live {
            self.fold_oldest(segments, next)?;
            self.set_live_aside(next);
        }
        let mut gone: BTreeMap<TableName, Gone> = BTreeMap::new();
        // One segment at a time is in memory.
        for sequence in end + 1..=chain.last_sealed {
            let removed = segments.remove((of.0, sequence)).map_err(failed)?;
            let Some(bytes) = removed.map(|removed| removed.value().to_vec()) else {
                continue;
            };
            let own = self.own_key_of(&bytes);
            let rest = match self.thinned(sequence, &bytes, thin)? {
                Found::Erased => None,
                Found::Whole(kept) => Some((kept.rows, kept.payload)),
                Found::Thinned(thinned) => {
                    for (table, lost) in thinned.gone {
                        gone.entry(table).or_default().add(lost);
                    }
                    thinned.rest
                }
            };
            if let Some((rows, bytes)) = rest {
                self.put_rest(segments, next, Payload { rows, bytes, own })?;
            }
        }
        let last = segments.get((of.0, end)).map_err(failed)?;
        let last_hash = match last {
            Some(bytes) => self.read_kept(end, bytes.value())?.hash,
            None => chain.acknowledged_hash,
        };
        let (mut rows, mut bytes) = (0, 0);
        for sequence in chain.acknowledged + 1..=end {
            if let Some(kept) = segments.get((of.0, sequence)).map_err(failed)? {
                let kept = self.read_kept(sequence, kept.value())?;
                rows += kept.rows;
                bytes += kept.payload.len() as u64;
            }
        }
        if let Some(chain) = next.chain_mut(of) {
            chain.last_sealed = end;
            chain.last_hash = last_hash;
            chain.pending_rows = rows;
            chain.pending_bytes = bytes;
        }
        if end == 0 {
            // Nobody knows of it.
            next.chains.retain(|chain| chain.epoch != of);
        }
        for lost in gone.values_mut() {
            lost.times = 1;
        }
        Ok(Some(gone))
    }

    fn thinned(&self, sequence: u64, bytes: &[u8], thin: &Thin<'_>) -> Result<Found> {
        let kept = match self.read_kept(sequence, bytes) {
            Ok(kept) => kept,
            // The key of its partition was destroyed.
            Err(error) if self.own_key_of(bytes).is_some() && error.kind() == ErrorKind::Denied => {
                return Ok(Found::Erased);
            }
            Err(error) => return Err(error),
        };
        Ok(match thin(&kept)? {
            None => Found::Whole(kept),
            Some(thinned) => Found::Thinned(thinned),
        })
    }

    /// Where there are as many backlogs as there may be, what waits in the oldest is sealed again behind what remains:
    /// a connection that breaks again and again would leave one each time. What the receiver has of it comes again,
    /// which changes nothing there, but receipts of it will not come.
    fn fold_oldest(&self, segments: &mut Segments<'_>, next: &mut Standing) -> Result<()> {
        let backlogs = next.chains.iter().filter(|chain| {
            chain.class == SyncClass::Backlog && Some(chain.epoch) != next.let_go.rest
        });
        let (count, oldest) = (backlogs.clone().count(), backlogs.copied().next());
        let Some(oldest) = oldest.filter(|_| count >= BACKLOGS_MAX) else {
            return Ok(());
        };
        for sequence in oldest.acknowledged + 1..=oldest.last_sealed {
            let removed = segments
                .remove((oldest.epoch.0, sequence))
                .map_err(failed)?;
            let Some(bytes) = removed.map(|removed| removed.value().to_vec()) else {
                continue;
            };
            let own = self.own_key_of(&bytes);
            match self.read_kept(sequence, &bytes) {
                Ok(kept) => self.put_rest(
                    segments,
                    next,
                    Payload {
                        rows: kept.rows,
                        bytes: kept.payload,
                        own,
                    },
                )?,
                Err(error) if own.is_some() && error.kind() == ErrorKind::Denied => {}
                Err(error) => return Err(error),
            }
        }
        next.chains.retain(|chain| chain.epoch != oldest.epoch);
        next.disown();
        Ok(())
    }

    /// Seals what remains of a segment.
    fn put_rest(
        &self,
        segments: &mut Segments<'_>,
        next: &mut Standing,
        rest: Payload,
    ) -> Result<()> {
        let mut chain = self.rest_chain(next);
        self.put(segments, &mut chain, rest)?;
        if let Some(known) = next.chain_mut(chain.epoch) {
            *known = chain;
        }
        Ok(())
    }

    /// The chain of what remains; made where there is none.
    fn rest_chain(&self, next: &mut Standing) -> Chain {
        let known = next.let_go.rest.and_then(|rest| next.chain(rest).copied());
        known.unwrap_or_else(|| {
            let fresh = Chain::fresh(SyncClass::Backlog, epoch(&self.rng));
            next.chains.push(fresh);
            next.let_go.rest = Some(fresh.epoch);
            fresh
        })
    }
}

/// What was found in a segment.
enum Found {
    Whole(SealedSegment),
    Thinned(Thinned),
    /// Nobody can read it any more.
    Erased,
}

/// The chains to look through: backlogs in their order, then live rows.
fn candidates(standing: &Standing) -> Vec<Epoch> {
    let of_class = |class: SyncClass| {
        let rest = standing.let_go.rest;
        let chains = standing.chains.iter();
        let of_class = chains.filter(move |chain| chain.class == class);
        of_class.filter(move |chain| Some(chain.epoch) != rest)
    };
    let backlogs = of_class(SyncClass::Backlog);
    let all = backlogs.chain(of_class(SyncClass::Live));
    all.map(|chain| chain.epoch).collect()
}

#[cfg(test)]
mod tests;
