//! Sealed segments that wait for their acknowledgement, kept in redb so that a segment, its place in
//! the hash chain and the log position it reaches to become durable together.
//!
//! Invariants: the sequences of a chain are consecutive; every record before `cursor` is in sealed segments, as
//! is what is urgent of those before `urgent`; a segment leaves the queue only when the receiver has said that
//! it is durable there. In an encrypted directory a segment is kept encrypted under its sequence, one of a
//! partition that has a data key of its own under that; the standing is numbers and hashes and stays plain.

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use activestore_env::{Keyring, Rng, ValueSealer};
use activestore_sync_proto::{ChainHash, SealedSegment};
use activestore_types::{
    Epoch, Error, ErrorKind, Lsn, NodeId, Result, SyncClass, TableId, TableName,
};
use parking_lot::{Mutex, RwLock};
use redb::{Database, Durability, ReadableDatabase, ReadableTable};

use super::chain::{Chain, Closed, Payload, Sealed, Standing};
use super::file::{
    OWED, SEGMENTS, STATE, Segments, change, copy, create, encoded, failed, load, new_path, remove,
};
use super::let_go::{Gone, Handing};

/// At most this many backlogs wait at once; then live rows are not set aside any more.
const BACKLOGS_MAX: usize = 16;

/// The queue of one node.
pub(crate) struct Queue {
    node: NodeId,
    path: PathBuf,
    rng: Arc<dyn Rng>,
    /// Held for writing while the file is replaced.
    database: RwLock<Database>,
    /// The segments from whose acknowledgement on the file is to be wiped.
    owed: Mutex<Vec<(Epoch, u64)>>,
    sealer: Option<ValueSealer>,
    standing: Mutex<Standing>,
    handing: Handing,
}

impl Queue {
    /// Opens or makes the queue; `cursor` is used only when it is new.
    pub(crate) fn open(
        path: &Path,
        node: NodeId,
        rng: &Arc<dyn Rng>,
        cursor: Lsn,
        keyring: Option<&Arc<Keyring>>,
    ) -> Result<Self> {
        remove(&new_path(path))?;
        let database = create(path)?;
        let (standing, owed) = load(&database, || Standing::fresh(epoch(rng), cursor))?;
        Ok(Queue {
            node,
            path: path.to_owned(),
            rng: rng.clone(),
            database: RwLock::new(database),
            owed: Mutex::new(owed),
            sealer: keyring.map(|keyring| keyring.values("outbox")),
            handing: Handing::of(&standing),
            standing: Mutex::new(standing),
        })
    }

    /// Where the queue stands now.
    pub(crate) fn standing(&self) -> Standing {
        self.standing.lock().clone()
    }

    /// Where the chain of live rows stands now; the only one of a stream.
    pub(crate) fn live(&self) -> Chain {
        self.standing.lock().live()
    }

    /// The first log record of which something may not be sealed.
    pub(crate) fn cursor(&self) -> Lsn {
        self.standing.lock().cursor
    }

    /// Appends the segments that hold what can be shipped of the records that are now sealed; all of them
    /// are durable on return, or none.
    pub(crate) fn append(&self, payloads: Vec<(SyncClass, Payload)>, sealed: Sealed) -> Result<()> {
        self.append_all_but(BTreeMap::new(), payloads, sealed)
    }

    /// The same, and counts the rows of the records that there was no room for.
    pub(crate) fn append_all_but(
        &self,
        gone: BTreeMap<TableName, Gone>,
        payloads: Vec<(SyncClass, Payload)>,
        sealed: Sealed,
    ) -> Result<()> {
        self.edit(Durability::Immediate, |segments, mut next| {
            next.moved(sealed);
            for (table, gone) in gone {
                next.let_go.tables.entry(table).or_default().add(gone);
            }
            for (class, payload) in payloads {
                if !next.chains.iter().any(|chain| chain.class == class) {
                    next.chains.push(Chain::fresh(class, epoch(&self.rng)));
                }
                let mut chains = next.chains.iter_mut();
                if let Some(chain) = chains.find(|chain| chain.class == class) {
                    self.put(segments, chain, payload)?;
                }
            }
            Ok(next)
        })
    }

    /// Moves on over records that hold nothing to ship. Not synced: after a crash the same records are
    /// looked at again.
    pub(crate) fn skip(&self, sealed: Sealed) -> Result<()> {
        self.edit(Durability::None, |_, mut next| {
            next.moved(sealed);
            Ok(next)
        })
    }

    /// From here on these tables' rows are urgent. Everything is sealed under what was said before.
    pub(crate) fn take_classes(&self, classes: BTreeMap<TableId, SyncClass>) -> Result<()> {
        self.edit(Durability::None, |_, mut next| {
            next.classes = classes;
            Ok(next)
        })
    }

    /// Makes a backlog of the live rows that wait, if more than `over` segments of them do: live rows go on in
    /// a chain of their own. Returns whether it did. Order between chains does not matter, stamps decide.
    pub(crate) fn rotate(&self, over: u64) -> Result<bool> {
        self.rotate_if(|live| live.waiting() > over)
    }

    fn rotate_if(&self, due: impl Fn(Chain) -> bool) -> Result<bool> {
        let standing = self.standing.lock();
        let of_backlog = |chain: &&Chain| chain.class == SyncClass::Backlog;
        let backlogs = standing.chains.iter().filter(of_backlog).count();
        let rotates = due(standing.live()) && backlogs < BACKLOGS_MAX;
        drop(standing);
        if rotates {
            self.edit(Durability::Immediate, |_, mut next| {
                self.set_live_aside(&mut next);
                Ok(next)
            })?;
        }
        Ok(rotates)
    }

    /// Makes a backlog of the live rows that wait.
    fn set_live_aside(&self, next: &mut Standing) {
        let fresh = Chain::fresh(SyncClass::Live, epoch(&self.rng));
        if let Some(live) = next.chains.first_mut() {
            let mut backlog = std::mem::replace(live, fresh);
            backlog.class = SyncClass::Backlog;
            next.chains.push(backlog);
        }
    }

    /// A segment that waits.
    pub(crate) fn segment(&self, epoch: Epoch, sequence: u64) -> Result<Option<SealedSegment>> {
        // Held while it reads: the file is not replaced meanwhile.
        let database = self.database.read();
        let read = database.begin_read().map_err(failed)?;
        let table = read.open_table(SEGMENTS).map_err(failed)?;
        let Some(bytes) = table.get((epoch.0, sequence)).map_err(failed)? else {
            return Ok(None);
        };
        self.read_kept(sequence, bytes.value()).map(Some)
    }

    /// Drops what the receiver holds: every segment of the chain up to `sequence`, and a backlog with its last
    /// one. Not synced: after a crash a dropped segment is offered again, which the receiver answers with an
    /// acknowledgement. Only that a backlog is done is durable, for then the receiver may forget it.
    pub(crate) fn acknowledge(&self, epoch: Epoch, sequence: u64) -> Result<()> {
        let Some(known) = self.standing.lock().chain(epoch).copied() else {
            return Ok(());
        };
        if sequence <= known.acknowledged || sequence > known.last_sealed {
            return Ok(());
        }
        let ends = known.class == SyncClass::Backlog && sequence == known.last_sealed;
        let durability = if ends {
            Durability::Immediate
        } else {
            Durability::None
        };
        self.edit(durability, |segments, mut next| {
            let Some(chain) = next.chain_mut(epoch) else {
                return Ok(next);
            };
            for dropped in chain.acknowledged + 1..=sequence {
                let removed = segments.remove((epoch.0, dropped)).map_err(failed)?;
                if let Some(bytes) = removed {
                    let kept = self.read_kept(dropped, bytes.value())?;
                    chain.pending_rows = chain.pending_rows.saturating_sub(kept.rows);
                    chain.pending_bytes = chain
                        .pending_bytes
                        .saturating_sub(kept.payload.len() as u64);
                    chain.acknowledged_hash = kept.hash;
                }
            }
            chain.acknowledged = chain.acknowledged.max(sequence);
            next.close_backlogs();
            Ok(next)
        })?;
        self.pay()
    }

    /// Gives a chain another epoch; what waits is numbered again, and nothing is dropped but what a key was
    /// destroyed of since. Returns the new epoch; `None` where there is no such chain.
    pub(crate) fn restart(&self, before: Epoch) -> Result<Option<Epoch>> {
        let mut started = None;
        self.edit(Durability::Immediate, |segments, mut next| {
            let Some(chain) = next.chain_mut(before) else {
                return Ok(next);
            };
            let mut waiting = Vec::new();
            for sequence in chain.acknowledged + 1..=chain.last_sealed {
                let removed = segments.remove((before.0, sequence)).map_err(failed)?;
                let Some(bytes) = removed else {
                    continue;
                };
                let own = self.own_key_of(bytes.value());
                match self.read_kept(sequence, bytes.value()) {
                    Ok(kept) => waiting.push(Payload {
                        rows: kept.rows,
                        bytes: kept.payload,
                        own,
                    }),
                    Err(error) if own.is_some() && error.kind() == ErrorKind::Denied => {}
                    Err(error) => return Err(error),
                }
            }
            *chain = Chain::fresh(chain.class, epoch(&self.rng));
            let after = chain.epoch;
            for payload in waiting {
                self.put(segments, chain, payload)?;
            }
            started = Some((chain.epoch, chain.last_sealed));
            next.let_go.renamed(before, after);
            next.disown();
            Ok(next)
        })?;
        let mut owed = self.owed.lock().clone();
        let all = owed.len();
        owed.retain(|(epoch, _)| *epoch != before);
        if let Some(after) = started
            && owed.len() < all
        {
            owed.push(after);
            self.owe(owed)?;
        }
        Ok(started.map(|(epoch, _)| epoch))
    }

    /// As [`Queue::restart`] for all chains; returns the new epoch of live rows.
    pub(crate) fn restart_all(&self) -> Result<Epoch> {
        let epochs: Vec<Epoch> = self.standing().chains.iter().map(|c| c.epoch).collect();
        for epoch in epochs {
            self.restart(epoch)?;
        }
        Ok(self.live().epoch)
    }

    /// Lets go of everything that waits and starts anew under another epoch.
    pub(crate) fn clear(&self) -> Result<()> {
        self.edit(Durability::Immediate, |segments, next| {
            segments.retain(|_, _| false).map_err(failed)?;
            let fresh = Standing::fresh(epoch(&self.rng), next.cursor);
            Ok(Standing {
                urgent: next.urgent,
                classes: next.classes,
                generation: next.generation + 1,
                let_go: next.let_go,
                ..fresh
            })
        })?;
        self.wipe()
    }

    /// The hash of a segment that is kept, or of the last one of its chain that was sealed or let go.
    pub(crate) fn hash_at(&self, epoch: Epoch, sequence: u64) -> Result<Option<ChainHash>> {
        let standing = self.standing();
        let mut closed = standing.closed.iter();
        if let Some(closed) = closed.find(|closed| closed.epoch == epoch) {
            return Ok((closed.last_sealed == sequence).then_some(closed.last_hash));
        }
        match standing.chain(epoch) {
            Some(chain) if chain.last_sealed == sequence => Ok(Some(chain.last_hash)),
            Some(chain) if chain.acknowledged == sequence => Ok(Some(chain.acknowledged_hash)),
            Some(_) => Ok(self.segment(epoch, sequence)?.map(|segment| segment.hash)),
            None => Ok(None),
        }
    }

    /// A receipt covers the chain up to there. Not synced: the receipt says it again.
    pub(crate) fn covered_up_to(&self, epoch: Epoch, sequence: u64) -> Result<()> {
        let covers = |closed: &Closed| closed.epoch == epoch && closed.last_sealed <= sequence;
        if !self.standing.lock().closed.iter().any(covers) {
            return Ok(());
        }
        self.edit(Durability::None, |_, mut next| {
            next.closed.retain(|closed| !covers(closed));
            Ok(next)
        })
    }

    /// What was sealed until now may have gone without a receipt that will still come.
    pub(crate) fn miss_receipts(&self) -> Result<()> {
        if self.standing.lock().closed.is_empty() {
            return Ok(());
        }
        self.edit(Durability::Immediate, |_, mut next| {
            next.disown();
            Ok(next)
        })
    }

    /// Keeps a few bytes beside the segments under a name of the caller's, durably if that is asked for.
    pub(crate) fn keep(&self, name: &str, bytes: Option<&[u8]>, durably: bool) -> Result<()> {
        let database = self.database.read();
        let mut write = database.begin_write().map_err(failed)?;
        if !durably {
            write.set_durability(Durability::None).map_err(failed)?;
        }
        {
            let mut table = write.open_table(STATE).map_err(failed)?;
            match bytes {
                Some(bytes) => table.insert(name, bytes).map_err(failed)?,
                None => table.remove(name).map_err(failed)?,
            };
        }
        write.commit().map_err(failed)
    }

    /// What is kept under names that begin so.
    pub(crate) fn kept(&self, prefix: &str) -> Result<Vec<(String, Vec<u8>)>> {
        let database = self.database.read();
        let read = database.begin_read().map_err(failed)?;
        let table = read.open_table(STATE).map_err(failed)?;
        let mut all = Vec::new();
        for entry in table.range(prefix..).map_err(failed)? {
            let (name, bytes) = entry.map_err(failed)?;
            let Some(rest) = name.value().strip_prefix(prefix) else {
                break;
            };
            all.push((rest.to_owned(), bytes.value().to_vec()));
        }
        Ok(all)
    }

    /// Keeps the segments that are under one of the keys `past` under `own`, or under the common key;
    /// they stay what they are.
    pub(crate) fn reseal(&self, past: &[u32], own: Option<u32>) -> Result<()> {
        let Some(sealer) = &self.sealer else {
            return Ok(());
        };
        self.edit(Durability::Immediate, |segments, next| {
            let mut under_past = Vec::new();
            for entry in segments.iter().map_err(failed)? {
                let (place, kept) = entry.map_err(failed)?;
                let key = self.own_key_of(kept.value());
                if key.is_some_and(|key| past.contains(&key)) {
                    under_past.push(place.value());
                }
            }
            for place in under_past {
                let kept = segments.get(place).map_err(failed)?;
                let Some(kept) = kept.map(|kept| kept.value().to_vec()) else {
                    continue;
                };
                let name = place.1.to_le_bytes();
                let mut bytes = sealer.open_vec(&name, kept)?;
                match own {
                    Some(own) => sealer.seal_under(own, &name, &mut bytes, 0)?,
                    None => sealer.seal(&name, &mut bytes, 0)?,
                }
                segments.insert(place, bytes.as_slice()).map_err(failed)?;
            }
            Ok(next)
        })
    }

    /// Whether something waits that no key opens any more.
    pub(crate) fn lacks_a_key(&self, keyring: &Keyring) -> Result<bool> {
        let database = self.database.read();
        let read = database.begin_read().map_err(failed)?;
        let waiting = read.open_table(SEGMENTS).map_err(failed)?;
        for entry in waiting.iter().map_err(failed)? {
            let (_, kept) = entry.map_err(failed)?;
            let own = self.own_key_of(kept.value());
            if own.is_some_and(|own| !keyring.holds(own)) {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Has the file wiped as soon as everything that waits now is acknowledged: at once where nothing
    /// waits. Returns the last segments that do, by their chains' epochs. It is kept through restarts.
    pub(crate) fn owe_wipe(&self) -> Result<Vec<(Epoch, u64)>> {
        let standing = self.standing();
        let waiting = standing.chains.iter().filter(|chain| chain.waiting() > 0);
        let waiting: Vec<_> = waiting.map(|one| (one.epoch, one.last_sealed)).collect();
        if waiting.is_empty() {
            self.wipe()?;
        } else {
            self.owe(waiting.clone())?;
        }
        Ok(waiting)
    }

    fn owe(&self, owed: Vec<(Epoch, u64)>) -> Result<()> {
        self.keep(OWED, Some(&encoded(&owed)?), true)?;
        *self.owed.lock() = owed;
        self.pay()
    }

    /// Wipes the file where that is owed and everything that was waited for is acknowledged.
    fn pay(&self) -> Result<()> {
        let owed = self.owed.lock().clone();
        if owed.is_empty() || !self.standing.lock().holds_none_of(&owed) {
            return Ok(());
        }
        self.wipe()
    }

    fn own_key_of(&self, kept: &[u8]) -> Option<u32> {
        self.sealer.as_ref()?;
        ValueSealer::data_key_of(kept).filter(|key| Keyring::is_own(*key))
    }

    /// Writes the file anew with what waits, and fills the old one with zeros.
    pub(crate) fn wipe(&self) -> Result<()> {
        let new = new_path(&self.path);
        remove(&new)?;
        let standing = self.standing.lock();
        let mut database = self.database.write();
        // Open before it has its name: from then on nothing may be written to the old one.
        let fresh = copy(&database, &standing, &new)?;
        let old = OpenOptions::new().write(true).open(&self.path)?;
        std::fs::rename(&new, &self.path)?;
        *database = fresh;
        let folder = self.path.parent().unwrap_or(Path::new("."));
        File::open(folder)?.sync_all()?;
        self.owed.lock().clear();
        drop((database, standing));
        let length = old.metadata()?.len();
        std::io::copy(&mut std::io::repeat(0).take(length), &mut &old)?;
        old.sync_all()?;
        Ok(())
    }

    /// Writes the queue as it is now to a new file, which must not exist; durable on return. What is
    /// encrypted is copied as it stands.
    pub(crate) fn copy_to(&self, path: &Path) -> Result<()> {
        let standing = self.standing.lock();
        copy(&self.database.read(), &standing, path).map(drop)
    }

    /// Changes segments and standing together, in one transaction.
    fn edit(
        &self,
        durability: Durability,
        edit: impl FnOnce(&mut Segments<'_>, Standing) -> Result<Standing>,
    ) -> Result<()> {
        let mut standing = self.standing.lock();
        let before = standing.clone();
        *standing = change(&self.database.read(), durability, |segments| {
            let mut next = edit(segments, before)?;
            next.forget_handed();
            Ok(next)
        })?;
        Ok(())
    }

    /// Seals one payload at the chain's end and stores it.
    fn put(&self, segments: &mut Segments<'_>, chain: &mut Chain, payload: Payload) -> Result<()> {
        let Payload { rows, bytes, own } = payload;
        chain.last_sealed += 1;
        let sealed = SealedSegment::seal(
            self.node,
            chain.epoch,
            chain.last_sealed,
            chain.last_hash,
            rows,
            bytes,
        );
        chain.last_hash = sealed.hash;
        chain.pending_rows += rows;
        chain.pending_bytes += sealed.payload.len() as u64;
        let mut bytes = postcard::to_stdvec(&sealed)
            .map_err(|error| Error::internal(format!("a segment cannot be kept: {error}")))?;
        let name = chain.last_sealed.to_le_bytes();
        match (&self.sealer, own) {
            (None, _) => {}
            (Some(sealer), None) => sealer.seal(&name, &mut bytes, 0)?,
            (Some(sealer), Some(own)) => sealer.seal_under(own, &name, &mut bytes, 0)?,
        }
        segments
            .insert((chain.epoch.0, chain.last_sealed), bytes.as_slice())
            .map_err(failed)?;
        Ok(())
    }

    fn read_kept(&self, sequence: u64, bytes: &[u8]) -> Result<SealedSegment> {
        let broken = |error: postcard::Error| {
            Error::corrupt(format!("a waiting segment cannot be read: {error}"))
        };
        match &self.sealer {
            None => postcard::from_bytes(bytes).map_err(broken),
            Some(sealer) => {
                let bytes = sealer
                    .open_vec(&sequence.to_le_bytes(), bytes.to_vec())
                    .map_err(|error| error.context("the outbox"))?;
                postcard::from_bytes(&bytes).map_err(broken)
            }
        }
    }
}

mod room;

pub(crate) use room::Thinned;

fn epoch(rng: &Arc<dyn Rng>) -> Epoch {
    Epoch(rng.next_u64().max(1))
}

#[cfg(test)]
mod tests;
