//! Keys of partitions: given, changed and destroyed.
//!
//! Giving one takes these steps:
//! 1. the key into the keyring;
//! 2. the note of it into the log;
//! 3. publish, and wait for the commits that did not know it: from here on all rows are written
//!    under it;
//! 4. bring over what is there, and wipe the log;
//! 5. note that the partition is whole.
//!
//! Erasing what was deleted before:
//! 1. flush;
//! 2. as 1 to 3 above, the key that was there now a past one;
//! 3. flush;
//! 4. bring over the files that are under past keys, without what was deleted;
//! 5. destroy the past keys;
//! 6. note it.
//!
//! A crash leaves a key unused, or a partition whose note says what is to be done still.

use std::sync::Arc;

use activestore_env::Keyring;
use activestore_types::{Error, ErrorKind, KeyRange, Result, TableId};

use super::compact::bring_over;
use super::erase::wiping;
use super::wait_for_flush;
use crate::group::CheckedSet;
use crate::store::shared::Shared;
use crate::version::own::{DESTROYED_NOTE, destroyed, destroyed_note, no_note};
use crate::version::{OwnKeys, OwnState, TableVersion};
use crate::write_set::{Note, WriteSet};

/// Partitions with keys at most: each has files of its own. The keyring has room for many times as
/// many keys, so that an erasure and a restore always find one.
const SEALED_MAX: usize = 1000;

/// See [`crate::Store::seal_partition`].
pub(crate) fn seal_partition(
    shared: &Shared,
    id: TableId,
    prefix: &[u8],
    name: &str,
) -> Result<()> {
    let keyring = keyring(shared)?;
    let _erasing = shared.erasing.lock();
    let state = match state_of(shared, id, prefix) {
        Some(state) => state,
        None => {
            let version = shared.version();
            let sealed: usize = version.tables().map(|table| table.own.iter().count()).sum();
            if sealed >= SEALED_MAX {
                return Err(Error::overloaded(format!(
                    "{SEALED_MAX} partitions with keys of their own are the most"
                ))
                .with_hint("a table that is dropped gives back the keys of its partitions"));
            }
            let state = OwnState {
                key: keyring.add_own()?,
                past: Vec::new(),
                whole: false,
                name: name.to_owned(),
                made_ms: shared.env.clock.wall_ms(),
            };
            put_new(shared, keyring, id, prefix, state)?
        }
    };
    if state.whole {
        return Ok(());
    }
    let range = KeyRange::prefix(prefix);
    wiping(shared, || {
        bring_over(shared, id, state.key, |_, meta| {
            range.overlaps(&meta.first_key, &meta.last_key)
        })
    })?;
    let whole = OwnState {
        whole: true,
        ..state
    };
    put(shared, id, prefix, &whole)
}

/// See [`crate::Store::renew_key`].
pub(crate) fn renew_key(shared: &Shared, id: TableId, prefix: &[u8]) -> Result<u32> {
    let keyring = keyring(shared)?;
    let _erasing = shared.erasing.lock();
    let state = whole_state(shared, id, prefix)?;
    flush(shared)?;
    let key = keyring.add_own()?;
    let mut past = state.past;
    past.push(state.key);
    let next = OwnState { key, past, ..state };
    put_new(shared, keyring, id, prefix, next).map(|state| state.key)
}

/// See [`crate::Store::destroy_past_keys`].
pub(crate) fn destroy_past_keys(shared: &Shared, id: TableId, prefix: &[u8]) -> Result<()> {
    let keyring = keyring(shared)?;
    let _erasing = shared.erasing.lock();
    let state = whole_state(shared, id, prefix)?;
    if state.past.is_empty() {
        return Ok(());
    }
    flush(shared)?;
    bring_over(shared, id, state.key, |own, meta| {
        let place = own.place_of(prefix);
        place.is_some() && own.place_of_file(meta) == place
    })?;
    keyring.destroy_own(&state.past)?;
    let destroyed = noted_destroyed(shared, &state.past);
    let clean = OwnState {
        past: Vec::new(),
        ..state
    };
    put_with(shared, id, prefix, &clean, vec![destroyed])
}

/// At the start: a partition whose key is not there, as in a backup of before it was destroyed, gets
/// another one, and the keys of tables that are gone are destroyed.
///
/// # Errors
/// As the disk.
pub(crate) fn tend_own_keys(shared: &Shared) -> Result<()> {
    let Some(keyring) = &shared.options.encryption else {
        return Ok(());
    };
    let version = shared.version();
    for table in version.tables() {
        for own in table.own.iter() {
            let mut state = own.state.clone();
            state.past.retain(|key| keyring.holds(*key));
            let (id, prefix) = (table.schema.id, &own.prefix);
            if !keyring.holds(state.key) {
                state.key = keyring.add_own()?;
                put_new(shared, keyring, id, prefix, state)?;
            }
        }
    }
    forget_dropped(shared)
}

/// Destroys the keys of tables that are gone.
///
/// # Errors
/// As the disk; the next start tries again.
pub(crate) fn forget_dropped(shared: &Shared) -> Result<()> {
    let Some(keyring) = &shared.options.encryption else {
        return Ok(());
    };
    let notes = shared.notes.read().with_prefix(OwnKeys::notes_prefix());
    let version = shared.version();
    let mut keys = Vec::new();
    let mut gone = Vec::new();
    for (id, own) in OwnKeys::of_notes(notes)? {
        if version.table(id).is_none() {
            for own in own.iter() {
                keys.extend(own.state.keys());
                gone.push(no_note(id, &own.prefix));
            }
        }
    }
    if gone.is_empty() {
        return Ok(());
    }
    keyring.destroy_own(&keys)?;
    gone.push(noted_destroyed(shared, &keys));
    commit(shared, gone)
}

/// The note that keys were destroyed.
fn noted_destroyed(shared: &Shared, keys: &[u32]) -> Note {
    let before = shared.notes.read().get(DESTROYED_NOTE);
    destroyed_note(before.as_deref(), keys)
}

/// The keys that were destroyed, the latest of them.
pub(crate) fn destroyed_keys(shared: &Shared) -> Vec<u32> {
    destroyed(shared.notes.read().get(DESTROYED_NOTE).as_deref())
}

fn keyring(shared: &Shared) -> Result<&Arc<Keyring>> {
    shared.options.encryption.as_ref().ok_or_else(|| {
        Error::conflict("the data directory is not encrypted, so a partition has no key of its own")
            .with_hint(
                "load the rows into a directory that is made with [storage] encryption_key_file",
            )
    })
}

fn state_of(shared: &Shared, id: TableId, prefix: &[u8]) -> Option<OwnState> {
    let version = shared.version();
    let own = version.table(id)?.own.find(prefix)?;
    Some(own.state.clone())
}

/// What is noted of a partition all of whose rows are under a key of its own.
///
/// # Errors
/// `Conflict` where it is not one.
pub(crate) fn whole_state(shared: &Shared, id: TableId, prefix: &[u8]) -> Result<OwnState> {
    keyring(shared)?;
    match state_of(shared, id, prefix) {
        Some(state) if state.whole => Ok(state),
        Some(_) => Err(Error::conflict(
            "not all rows of the partition are under a key of its own yet",
        )
        .with_hint("ALTER TABLE … SEAL PARTITION brings that to its end")),
        None => Err(
            Error::conflict("the partition has no key of its own").with_hint(
                "ALTER TABLE … SEAL PARTITION gives it one; without, DELETE and ALTER TABLE … COMPACT remove its bytes from this node",
            ),
        ),
    }
}

fn flush(shared: &Shared) -> Result<()> {
    shared.freeze();
    wait_for_flush(shared)
}

/// [`put`] of a state whose key is new; it is destroyed again where the note of it failed.
fn put_new(
    shared: &Shared,
    keyring: &Keyring,
    id: TableId,
    prefix: &[u8],
    state: OwnState,
) -> Result<OwnState> {
    match put(shared, id, prefix, &state) {
        Ok(()) => Ok(state),
        // Whether the note is there will show at the next start.
        Err(error) if error.kind() == ErrorKind::Poisoned => Err(error),
        Err(error) => {
            keyring.destroy_own(&[state.key])?;
            Err(error)
        }
    }
}

/// Notes a partition's state, publishes it, and waits for the commits that did not know it.
fn put(shared: &Shared, id: TableId, prefix: &[u8], state: &OwnState) -> Result<()> {
    put_with(shared, id, prefix, state, Vec::new())
}

fn put_with(
    shared: &Shared,
    id: TableId,
    prefix: &[u8],
    state: &OwnState,
    mut notes: Vec<Note>,
) -> Result<()> {
    notes.push(state.note(id, prefix)?);
    // In the log before any row that is under the key.
    commit(shared, notes)?;
    {
        let _structure = shared.structure.lock();
        let mut slot = shared.version.write();
        if let Some(table) = slot.table(id) {
            let own = table.own.with(prefix, state.clone());
            let table = TableVersion {
                own: Arc::new(own),
                ..table.as_ref().clone()
            };
            *slot = Arc::new(slot.with_table(table));
        }
    }
    drop(shared.sealing.write());
    Ok(())
}

fn commit(shared: &Shared, notes: Vec<Note>) -> Result<()> {
    let set = WriteSet {
        notes,
        ..WriteSet::default()
    };
    let admission = shared.queue.admit(set.commit_bytes());
    let record = shared.wal.encode(&set, &[])?;
    let checked = CheckedSet {
        batches: Vec::new(),
        tombstones: Vec::new(),
        notes: set.notes,
    };
    let steps = shared.records_max();
    shared.queue.submit(record, checked, steps, shared)?;
    drop(admission);
    // What follows relies on it, also where commits are synced by the clock.
    shared.wal.sync()
}
