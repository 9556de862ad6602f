//! The thread that writes events down, and how they are read at a start.

use std::collections::BTreeMap;
use std::sync::{Arc, Weak};
use std::time::Duration;

use activestore_store::{Note, Store, WriteSet};
use activestore_types::Result;

use super::{Event, Events, PREFIX, number};
use crate::db::Inner;
use crate::outbox::News;
use crate::visit::Visits;

/// Events are not written where notes would take more than so many eighths of the memory they may: what they are
/// there for goes first.
const NOTE_EIGHTHS: usize = 6;

/// The events that were written.
pub(crate) fn read(store: &Store) -> BTreeMap<u64, Event> {
    let kept = store.notes(PREFIX);
    let kept = kept
        .iter()
        .filter_map(|(key, value)| Some((number(key)?, postcard::from_bytes(value).ok()?)));
    kept.collect()
}

/// Starts the thread; it ends with the database.
///
/// # Errors
/// When the machine has no thread left.
pub(crate) fn start(inner: &Arc<Inner>) -> Result<()> {
    if inner.options.seal_after == Duration::MAX {
        return Ok(()); // nothing here is done by time
    }
    let events = inner.events.clone();
    let visits = inner.visits.clone();
    let inner = Arc::downgrade(inner);
    std::thread::Builder::new()
        .name("events".to_owned())
        .spawn(move || run(&events, &visits, &inner))?;
    Ok(())
}

fn run(events: &Events, visits: &Arc<Visits>, inner: &Weak<Inner>) {
    while events.due() {
        let Some(inner) = visits.enter(inner) else {
            return;
        };
        inner.write_events();
    }
}

impl Inner {
    /// Writes down what happened.
    pub(crate) fn write_events(&self) {
        let notes = self.events.take_unwritten();
        if notes.is_empty() {
            return;
        }
        if let Err(error) = self.written(&notes) {
            tracing::warn!(%error, "events of the sync could not be written; tried again later");
            self.events.put_back(&notes);
        }
    }

    fn written(&self, notes: &[Note]) -> Result<()> {
        let changes = notes
            .iter()
            .map(|note| (note.key.as_slice(), note.value.as_deref()));
        self.store.admit_notes(changes, NOTE_EIGHTHS)?;
        self.store.commit(WriteSet {
            notes: notes.to_vec(),
            ..WriteSet::default()
        })?;
        // The record holds nothing to ship, and the log is held until the outbox has seen that.
        self.wake_sealers(News::default());
        Ok(())
    }
}
