//! How far back a cloud remembers deletes of shared tables, and whose old rows it takes.
//!
//! A tombstone may go once no older row can come any more. A cloud cannot know that of edges that are away, so it
//! draws a line, the *horizon* of each shared table: not younger than `max_offline`, and not younger than the moment at
//! which it last held all that each edge had sealed, of the edges that were heard of within `max_offline`. It is not
//! drawn before a table was shared here for that long: what edges wrote before, and what a cloud before this one had,
//! comes first. The line is durable before compaction goes by it, and rows that come from behind it are looked at one by
//! one ([`super::forgotten`]).

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};

use activestore_store::{Note, WriteSet};
use activestore_types::{Error, Hlc, NodeId, Result, SyncMode, TableId, TableSchema};
use parking_lot::{RwLock, RwLockReadGuard};

use super::travels_down;
use crate::counters::Figures;
use crate::db::Inner;
use crate::options::Role;
use crate::outbox::News;
use crate::write::SETTLED_AFTER_MS;

/// Before a table's number: its horizon, u64 little-endian.
const PREFIX: &[u8] = b"sync/horizon/";
/// Before a table's number: since when it is shared here without a break, milliseconds since 1970, u64 little-endian.
const SINCE_PREFIX: &[u8] = b"sync/shared-since/";
/// The horizon moves in steps of this part of `max_offline`: each is a record in the log.
const STEP_PART: u64 = 64;

/// What a cloud keeps of horizons.
#[derive(Default)]
pub(crate) struct Horizons {
    /// Held from the look at a row until it is committed, so that no tombstone goes between.
    tables: RwLock<BTreeMap<TableId, Hlc>>,
    /// When it was looked last whether they are to move on, in milliseconds since 1970.
    looked_ms: AtomicU64,
    /// Rows from behind the horizon that were set aside.
    pub(super) late: AtomicU64,
    /// Rows from behind it that change nothing.
    pub(super) needless: AtomicU64,
}

/// The horizons, which stay where they are while this is held.
pub(crate) struct Standing<'a>(RwLockReadGuard<'a, BTreeMap<TableId, Hlc>>);

impl Standing<'_> {
    /// The stamp below which deletes in a table may be forgotten.
    pub(crate) fn of(&self, schema: &TableSchema) -> Option<Hlc> {
        let shared = schema.sync == SyncMode::Both;
        self.0.get(&schema.id).copied().filter(|_| shared)
    }
}

impl Standing<'_> {
    /// The newest of all.
    pub(crate) fn newest(&self) -> Hlc {
        self.0.values().max().copied().unwrap_or(Hlc::ZERO)
    }
}

impl Inner {
    pub(crate) fn horizons(&self) -> Standing<'_> {
        Standing(self.down.horizons.tables.read())
    }

    /// Reads them as they were when this database was closed.
    pub(super) fn load_horizons(&self) -> Result<()> {
        let mut tables = BTreeMap::new();
        for (key, value) in self.store.notes(PREFIX) {
            let id = key.get(PREFIX.len()..).and_then(|id| id.try_into().ok());
            let hlc = value.try_into().ok();
            let (Some(id), Some(hlc)) = (id.map(u32::from_be_bytes), hlc.map(u64::from_le_bytes))
            else {
                return Err(Error::corrupt(
                    "how far back deletes are remembered cannot be read",
                ));
            };
            tables.insert(TableId(id), Hlc(hlc));
        }
        *self.down.horizons.tables.write() = tables;
        Ok(())
    }

    /// Since when a table is shared here, in milliseconds since 1970.
    fn shared_since(&self, table: TableId) -> Option<u64> {
        let kept = self.store.note(&since_key(table))?;
        kept.try_into().ok().map(u64::from_le_bytes)
    }

    /// How far a horizon moves at least, in milliseconds.
    pub(crate) fn horizon_step_ms(&self) -> u64 {
        let keep_ms = u64::try_from(self.options.down_keep.as_millis()).unwrap_or(u64::MAX);
        (keep_ms / STEP_PART).max(1)
    }

    /// Moves the horizons on where that is due by the clock: every word of an edge and every write ask for it.
    pub(crate) fn mind_horizons(&self) {
        let looked_ms = self.down.horizons.looked_ms.load(Ordering::Relaxed);
        if self.wall_ms().abs_diff(looked_ms) >= self.horizon_step_ms() {
            self.advance_horizons();
        }
    }

    /// Moves the horizons on and lets compaction go by them. Where rows are just being looked at, the next call does.
    pub(crate) fn advance_horizons(&self) {
        // A gateway remembers all: its cloud decides.
        let stream = self.down.stream();
        let Some(stream) = stream.filter(|_| self.options.role == Role::Cloud) else {
            return;
        };
        let Some(mut held) = self.down.horizons.tables.try_write() else {
            return;
        };
        let keep_ms = u64::try_from(self.options.down_keep.as_millis()).unwrap_or(u64::MAX);
        let now_ms = self.wall_ms();
        self.down
            .horizons
            .looked_ms
            .store(now_ms, Ordering::Relaxed);
        let kept = Hlc::from_ms(now_ms.saturating_sub(keep_ms.max(SETTLED_AFTER_MS)));
        let level_ms = stream.level_ms(now_ms).unwrap_or(u64::MAX);
        let level = Hlc::from_ms(level_ms.saturating_sub(SETTLED_AFTER_MS).min(now_ms));
        let upto = kept.min(level);
        let state = self.catalog.state();
        let mut next = BTreeMap::new();
        let mut settled = BTreeMap::new();
        let mut notes = Vec::new();
        let wait_ms = keep_ms.max(SETTLED_AFTER_MS);
        let step_ms = self.horizon_step_ms();
        for schema in state.tables.values() {
            let known = held.get(&schema.id).copied();
            let line = known.unwrap_or(Hlc::ZERO);
            let due = |upto: Hlc| upto.wall_ms() >= line.wall_ms().saturating_add(step_ms);
            let since = self.shared_since(schema.id);
            if schema.sync != SyncMode::Both && since.is_some() {
                notes.push(Note {
                    key: since_key(schema.id),
                    value: None,
                });
            }
            let hlc = match schema.sync {
                // Nobody else writes to it; what was shared once may be again.
                SyncMode::Down if known.is_none() => {
                    settled.insert(schema.id, kept);
                    continue;
                }
                SyncMode::Down if due(kept) => kept,
                SyncMode::Both => {
                    // One in the future is of a clock that was wrong.
                    let since = since.filter(|since| *since <= now_ms).unwrap_or_else(|| {
                        notes.push(Note {
                            key: since_key(schema.id),
                            value: Some(now_ms.to_le_bytes().to_vec()),
                        });
                        now_ms
                    });
                    if line.wall_ms() > now_ms {
                        // Of a clock that was far ahead: every delete before now may be forgotten.
                        Hlc::from_ms(now_ms)
                    } else if due(upto) && now_ms - since >= wait_ms {
                        upto
                    } else {
                        line
                    }
                }
                SyncMode::Down | SyncMode::None | SyncMode::Up => line,
            };
            if hlc > Hlc::ZERO {
                // Where it is not shared now: what is forgotten is so when it is again.
                next.insert(schema.id, hlc);
                if travels_down(schema.sync) {
                    settled.insert(schema.id, hlc);
                }
            }
            if hlc != line {
                notes.push(note(schema.id, Some(hlc)));
            }
        }
        for id in held.keys().filter(|id| state.table_by_id(**id).is_none()) {
            notes.push(note(*id, None));
            notes.push(Note {
                key: since_key(*id),
                value: None,
            });
        }
        if !notes.is_empty() {
            let set = WriteSet {
                notes,
                ..WriteSet::default()
            };
            if let Err(error) = self.store.commit(set) {
                tracing::warn!(%error, "how far back deletes are remembered could not be moved on");
                return;
            }
            self.wake_sealers(News::default());
        }
        *held = next;
        self.store.settle_tables(settled);
    }

    /// Whether old rows of a node are looked at now: one that has not said where it stands in the stream since it
    /// came back, or is fetching the tables, does that first.
    pub(crate) fn takes_old_rows_of(&self, node: NodeId) -> bool {
        let stream = self.down.stream();
        stream.is_none_or(|stream| stream.is_current(node))
    }

    /// Whether nothing flows down to a node from here: it speaks the first version, or follows another cloud.
    pub(crate) fn takes_nothing(&self, node: NodeId) -> bool {
        let peers = self.peers.lock();
        peers.get(&node).is_some_and(|peer| !peer.follows)
    }

    pub(super) fn horizon_figures(&self, all: &mut Figures) {
        if self.options.role != Role::Cloud {
            return;
        }
        let count = |counter: &AtomicU64| counter.load(Ordering::Relaxed) as f64;
        all.counter(
            "activestore_sync_rows_late_total",
            "Rows of shared tables that came later than deletes are remembered and were set aside.",
            count(&self.down.horizons.late),
        );
        all.counter(
            "activestore_sync_rows_late_needless_total",
            "Rows of shared tables that came later than deletes are remembered and change nothing.",
            count(&self.down.horizons.needless),
        );
        let oldest = self.down.horizons.tables.read().values().min().copied();
        all.gauge(
            "activestore_sync_deletes_remembered_since_seconds",
            "From when on deletes in shared tables are remembered, in seconds since 1970; 0 for ever.",
            oldest.unwrap_or(Hlc::ZERO).wall_ms() as f64 / 1000.0,
        );
    }
}

fn since_key(table: TableId) -> Vec<u8> {
    [SINCE_PREFIX, &table.0.to_be_bytes()].concat()
}

fn note(table: TableId, hlc: Option<Hlc>) -> Note {
    Note {
        key: [PREFIX, &table.0.to_be_bytes()].concat(),
        value: hlc.map(|hlc| hlc.0.to_le_bytes().to_vec()),
    }
}
