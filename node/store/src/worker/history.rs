//! What compaction does and did: the running merge, the latest ones, and sums by table.

use std::collections::{BTreeMap, VecDeque};

use activestore_types::TableId;
use parking_lot::Mutex;

use crate::stats::CompactionInfo;

/// Merges that are remembered after they ended.
const FINISHED_MAX: usize = 256;

/// Sums of one table since the store was opened.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct TableSums {
    pub(crate) flush_bytes: u64,
    pub(crate) compaction_bytes: u64,
    rows_in: u64,
    rows_out: u64,
}

impl TableSums {
    /// The part of what merges read that they left out.
    pub(crate) fn dropped(&self) -> f64 {
        if self.rows_in == 0 {
            return 0.0;
        }
        self.rows_in.saturating_sub(self.rows_out) as f64 / self.rows_in as f64
    }
}

#[derive(Debug, Default)]
pub(crate) struct History(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    running: Option<CompactionInfo>,
    finished: VecDeque<CompactionInfo>,
    tables: BTreeMap<TableId, TableSums>,
}

impl History {
    pub(crate) fn begin(&self, info: CompactionInfo) {
        self.0.lock().running = Some(info);
    }

    /// Counts what the running merge has written.
    pub(crate) fn written(&self, bytes: u64) {
        if let Some(running) = &mut self.0.lock().running {
            running.bytes_out += bytes;
        }
    }

    /// Ends the running merge; `end` fills in what is known now.
    pub(crate) fn end(&self, end: impl FnOnce(&mut CompactionInfo)) {
        let mut state = self.0.lock();
        let Some(mut info) = state.running.take() else {
            return;
        };
        end(&mut info);
        if info.error.is_none() {
            let sums = state.tables.entry(info.table).or_default();
            sums.compaction_bytes += info.bytes_out;
            sums.rows_in += info.rows_in;
            sums.rows_out += info.rows_out;
        }
        state.finished.push_back(info);
        if state.finished.len() > FINISHED_MAX {
            state.finished.pop_front();
        }
    }

    /// Whether the latest merge failed.
    pub(crate) fn is_failing(&self) -> bool {
        let state = self.0.lock();
        state
            .finished
            .back()
            .is_some_and(|last| last.error.is_some())
    }

    pub(crate) fn flushed(&self, table: TableId, bytes: u64) {
        self.0.lock().tables.entry(table).or_default().flush_bytes += bytes;
    }

    pub(crate) fn forget(&self, table: TableId) {
        self.0.lock().tables.remove(&table);
    }

    pub(crate) fn sums(&self, table: TableId) -> TableSums {
        let state = self.0.lock();
        state.tables.get(&table).copied().unwrap_or_default()
    }

    /// The running merge first, then the latest ones, newest first.
    pub(crate) fn all(&self) -> Vec<CompactionInfo> {
        let state = self.0.lock();
        let finished = state.finished.iter().rev();
        state.running.iter().chain(finished).cloned().collect()
    }
}
