//! What a full outbox does for tables that do not hold: `sync_at_limit`. Room is made when rows are sealed, a little
//! before the outbox is full, and at the latest before a write is refused.
//!
//! Live rows that wait are cut into backlogs of a part of the bound each, for a chain is what is gone through at once.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use activestore_catalog::{AtLimit, CatalogState, Sharing};
use activestore_env::Env;
use activestore_store::Store;
use activestore_types::{Error, Result, TableName};
use parking_lot::Mutex;

use super::filter::Filters;
use super::let_go::Gone;
use super::segment::{Section, Segment, Stays};
use super::{Addressee, Sealer, Shared};
use crate::events::Kind;
use crate::options::FullOutbox;
use crate::plugins::Plugins;

/// Live rows that take this part of the bound become a backlog.
const PARTS: u64 = 16;

pub(super) struct Room {
    bytes_max: Option<u64>,
    /// What holds for every table of a further cloud; for others the tables say.
    at_limit: Option<FullOutbox>,
    /// What rows pass that are shipped in part.
    filters: Filters,
    /// Whether rows are being let go: said once.
    letting_go: AtomicBool,
    /// The version of the definitions that say what may be.
    definitions: AtomicU64,
    /// Why some cannot be, since these definitions are in force.
    failed: Mutex<Option<String>>,
}

impl Room {
    pub(super) fn new(
        addressee: &Addressee,
        plugins: &Arc<Plugins>,
        store: &Arc<Store>,
        env: &Env,
    ) -> Self {
        Room {
            bytes_max: addressee.bytes_max,
            at_limit: addressee.at_limit,
            filters: Filters::new(plugins.clone(), store.clone(), env.clone()),
            letting_go: AtomicBool::new(false),
            definitions: AtomicU64::new(0),
            failed: Mutex::new(None),
        }
    }

    /// What becomes of the table's rows; `None` where they hold.
    fn said<'a>(&self, state: &'a CatalogState, table: &TableName) -> Option<&'a AtLimit> {
        match self.at_limit {
            Some(FullOutbox::DropOldest) => Some(&AtLimit::DropOldest),
            Some(FullOutbox::Hold) => None,
            None => state.at_limit.get(table),
        }
    }

    /// Whether rows of any table may be let go.
    fn lets_go(&self, state: &CatalogState) -> bool {
        match self.at_limit {
            Some(said) => said == FullOutbox::DropOldest,
            None => !state.at_limit.is_empty(),
        }
    }

    /// What stays of a table's part of a segment.
    fn stays(&self, state: &CatalogState, section: &Section) -> Result<Stays> {
        let said = self.said(state, &section.table);
        let (Some(said), Some(schema)) = (said, state.tables.get(&section.table)) else {
            return Ok(Stays::All);
        };
        if section.rows == 0 {
            return Ok(Stays::All);
        }
        let rows = u64::from(section.rows);
        let (leaving, went) = match said {
            AtLimit::DropOldest if !section.has_deletes() => (Vec::new(), rows),
            AtLimit::DropOldest => {
                let deletes = Filters::deletes(schema, &section.batch(schema, 0)?)?;
                let stay: u64 = deletes.iter().map(|batch| batch.rows as u64).sum();
                (deletes, rows.saturating_sub(stay))
            }
            AtLimit::Downsample { filter } => {
                let through = Sharing {
                    filter: Some(filter.clone()),
                    ..Sharing::default()
                };
                let batch = section.batch(schema, 0)?;
                let (leaving, held) = self.filters.leaving(schema, &through, &[&batch])?;
                (leaving, held.rows)
            }
        };
        Ok(Stays::Rows(schema.clone(), leaving, went))
    }

    fn fails(&self, error: &Error) {
        let error = error.to_string();
        let mut failed = self.failed.lock();
        if failed.as_ref() != Some(&error) {
            tracing::warn!(error, "the outbox is nearly full and rows cannot be let go");
        }
        *failed = Some(error);
    }
}

impl Shared {
    /// Makes room where the outbox is nearly full; for who holds `sealing`. That it fails is told, and ends nothing.
    pub(super) fn mind_limit(&self) {
        let Some(limit) = self.room.bytes_max else {
            return;
        };
        let state = self.catalog.state();
        if !self.room.lets_go(&state) {
            return;
        }
        if self.room.definitions.swap(state.version, Ordering::AcqRel) != state.version {
            self.queue.look_again();
            *self.room.failed.lock() = None;
        }
        let part = (limit / PARTS).max(1);
        let made = self.queue.rotate_over_bytes(part).and_then(|_| {
            let nearly = limit.saturating_sub(part);
            self.make_room(&state, nearly)
        });
        if let Err(error) = made {
            self.room.fails(&error);
        }
        self.mind_end_of_it(limit);
        self.marks.sealed(&self.queue.standing());
    }

    fn mind_end_of_it(&self, limit: u64) {
        let waiting = self.queue.pending_bytes();
        if waiting < limit / 2 && self.room.letting_go.swap(false, Ordering::AcqRel) {
            let addressee = self.addressee.for_people();
            tracing::info!(waiting, limit, addressee, "the outbox has room again");
        }
    }

    /// Whether nothing more may wait for a further cloud: then its rows are passed over, and the node's writes go on. The
    /// writes of tables that wait for the node's own cloud are refused instead, before they get here.
    pub(super) fn is_full(&self) -> bool {
        let (Some(limit), Some(_)) = (self.room.bytes_max, self.room.at_limit) else {
            return false;
        };
        if self.queue.pending_bytes() >= limit {
            self.mind_limit();
        }
        self.mind_end_of_it(limit);
        self.queue.pending_bytes() >= limit
    }

    /// Says, once for a full outbox, that rows are passed over.
    pub(super) fn tell_of_passing_over(&self, gone: &BTreeMap<TableName, Gone>) {
        if self.room.letting_go.swap(true, Ordering::AcqRel) {
            return;
        }
        let tables: Vec<String> = gone.keys().map(ToString::to_string).collect();
        let text = format!(
            "the outbox of {} is full: rows of {} are not shipped to it until there is room",
            self.addressee.for_people(),
            tables.join(", ")
        );
        tracing::warn!("{text}");
        self.events.tell(Kind::OutboxFull, None, text);
    }

    /// Lets rows go until less than so much waits, or nothing is left that may go.
    fn make_room(&self, state: &CatalogState, below: u64) -> Result<()> {
        let failed = RefCell::new(None);
        while self.queue.pending_bytes() >= below.max(1) {
            let freed = self.queue.let_go(&|segment| {
                let content = Segment::unpack(&segment.payload)?;
                let mut named = content.sections.iter();
                if !named.any(|section| self.room.said(state, &section.table).is_some()) {
                    return Ok(None);
                }
                // What no filter can look at holds.
                let stays = |section: &Section| {
                    let stays = self.room.stays(state, section);
                    stays.or_else(|error| {
                        *failed.borrow_mut() = Some(error);
                        Ok(Stays::All)
                    })
                };
                content.thinned(stays)
            })?;
            let Some(freed) = freed else {
                break;
            };
            let rows: u64 = freed.gone.values().map(|gone| gone.rows).sum();
            if !self.room.letting_go.swap(true, Ordering::AcqRel) {
                let tables: Vec<String> = freed.gone.keys().map(ToString::to_string).collect();
                tracing::warn!(
                    rows,
                    tables = tables.join(", "),
                    addressee = self.addressee.for_people(),
                    "the outbox is full: the oldest rows that wait are let go, as was said for them"
                );
            }
            if let Some(waker) = self.waker.lock().as_ref() {
                waker();
            }
            if freed.bytes == 0 {
                break;
            }
        }
        failed.into_inner().map_or(Ok(()), Err)
    }
}

impl Sealer {
    /// Makes room now, where something may be let go.
    pub(crate) fn make_room(&self) {
        let _sealing = self.shared.sealing.lock();
        self.shared.mind_limit();
    }

    /// Whether nothing more may wait for a further cloud.
    pub(crate) fn is_full(&self) -> bool {
        self.shared.is_full()
    }

    /// Bytes that wait.
    pub(crate) fn pending_bytes(&self) -> u64 {
        self.shared.queue.pending_bytes()
    }

    /// What was let go, by table.
    pub(crate) fn let_go(&self) -> BTreeMap<TableName, Gone> {
        self.standing().let_go.tables
    }

    /// Why no room can be made in an outbox that is nearly full.
    pub(crate) fn no_room(&self) -> Option<String> {
        self.shared.room.failed.lock().clone()
    }
}
