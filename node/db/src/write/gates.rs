//! Gates, one a table: plain writes pass a table's gate together, a conditional write passes alone,
//! from before it looks at the rows until its own are committed. So no write of this node comes
//! between a condition and what hangs on it. Rows that other nodes wrote pass as plain writes.
//!
//! Who passes several gates takes them in the order of the tables' ids, and takes no place in the
//! queue of writes while it waits for one that holds a gate: there is no circle to wait in.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use activestore_types::TableId;
use parking_lot::Mutex;
use tokio::sync::{OwnedRwLockReadGuard, OwnedRwLockWriteGuard, RwLock};

/// Gates that are kept although nobody is in them.
const IDLE_MAX: usize = 1024;

/// How a gate is passed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Way {
    /// With others.
    Together,
    /// By one at a time.
    Alone,
}

/// The gates of a database.
#[derive(Default)]
pub(crate) struct Gates(Mutex<HashMap<TableId, Arc<RwLock<()>>>>);

/// Gates held until this is dropped.
pub(crate) struct Passage {
    _together: Vec<OwnedRwLockReadGuard<()>>,
    _alone: Vec<OwnedRwLockWriteGuard<()>>,
}

impl Gates {
    /// Passes the gates of these tables; waits while somebody else is alone in one, or, to be alone,
    /// while anybody is in it. First come, first served.
    pub(crate) async fn pass(&self, tables: BTreeMap<TableId, Way>) -> Passage {
        let mut passage = Passage {
            _together: Vec::with_capacity(tables.len()),
            _alone: Vec::new(),
        };
        for (table, way) in tables {
            let gate = self.gate(table);
            match way {
                Way::Together => passage._together.push(gate.read_owned().await),
                Way::Alone => passage._alone.push(gate.write_owned().await),
            }
        }
        passage
    }

    /// [`Gates::pass`] for blocking threads.
    pub(crate) fn pass_blocking(&self, tables: BTreeMap<TableId, Way>) -> Passage {
        // Unconstrained: a thread that works for a runtime has a budget of polls there, and would turn
        // here for ever once that is spent.
        futures::executor::block_on(tokio::task::unconstrained(self.pass(tables)))
    }

    fn gate(&self, table: TableId) -> Arc<RwLock<()>> {
        let mut gates = self.0.lock();
        if gates.len() > IDLE_MAX {
            gates.retain(|_, gate| Arc::strong_count(gate) > 1);
        }
        gates.entry(table).or_default().clone()
    }
}

#[cfg(test)]
mod tests;
