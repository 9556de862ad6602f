//! What an outbox that was full let go, by table, and how far its chains were handed out: what a receiver may have
//! seen is not changed any more.

use std::collections::BTreeMap;

use activestore_types::{Epoch, Hlc, RowBatch, TableName};
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};

use super::chain::Standing;

/// Rows of a table that will not be shipped.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Gone {
    /// How many.
    pub(crate) rows: u64,
    /// When the oldest of them was written, in milliseconds since 1970.
    pub(crate) first_ms: u64,
    /// When the newest was.
    pub(crate) last_ms: u64,
    /// How often some were let go: what receipts cover of the table begins anew each time.
    pub(crate) times: u64,
}

impl Gone {
    /// All rows of a batch.
    pub(super) fn of(batch: &RowBatch) -> Self {
        let wall_ms = |stamp: Option<&u64>| stamp.map_or(0, |stamp| Hlc(*stamp).wall_ms());
        Gone {
            rows: batch.rows as u64,
            first_ms: wall_ms(batch.hlc.iter().min()),
            last_ms: wall_ms(batch.hlc.iter().max()),
            times: 0,
        }
    }

    /// Takes more in.
    pub(super) fn add(&mut self, more: Gone) {
        let first_ms = if self.rows == 0 {
            more.first_ms
        } else {
            self.first_ms.min(more.first_ms)
        };
        self.first_ms = first_ms;
        self.last_ms = self.last_ms.max(more.last_ms);
        self.rows += more.rows;
        self.times += more.times;
    }
}

/// Part of where an outbox stands.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct LetGo {
    /// Whether `handed` speaks of all chains.
    pub(super) noted: bool,
    /// Up to which segment a chain may have been handed out.
    pub(super) handed: BTreeMap<Epoch, u64>,
    /// The backlog of what remained of segments of which rows were let go.
    pub(super) rest: Option<Epoch>,
    /// What was let go, by table.
    pub(crate) tables: BTreeMap<TableName, Gone>,
}

impl LetGo {
    /// A chain has another epoch, under which nothing was handed out.
    pub(super) fn renamed(&mut self, before: Epoch, after: Epoch) {
        self.handed.remove(&before);
        if self.rest == Some(before) {
            self.rest = Some(after);
        }
    }
}

impl Standing {
    /// Forgets what was noted of chains that are gone.
    pub(super) fn forget_handed(&mut self) {
        let chains = &self.chains;
        let there = |epoch: Epoch| chains.iter().any(|chain| chain.epoch == epoch);
        self.let_go.handed.retain(|epoch, _| there(*epoch));
        self.let_go.rest = self.let_go.rest.filter(|epoch| there(*epoch));
    }
}

/// How far the chains were handed out in this run: the notes on the disk go a little ahead of it, so that few of
/// them are written.
#[derive(Debug, Default)]
pub(super) struct Handing {
    pub(super) handed: Mutex<BTreeMap<Epoch, u64>>,
    /// Chains that were looked through and hold nothing that may be let go, up to that segment.
    pub(super) spared: Mutex<BTreeMap<Epoch, u64>>,
}

impl Handing {
    /// After a start: what may have been handed out was.
    pub(super) fn of(standing: &Standing) -> Self {
        Handing {
            handed: Mutex::new(standing.let_go.handed.clone()),
            spared: Mutex::default(),
        }
    }
}
