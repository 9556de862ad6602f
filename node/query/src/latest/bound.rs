//! What is known of the latest groups while rows are read.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use activestore_store::{Narrowing, Wanted, WantedValues, ZonePredicate, ZoneValue};
use activestore_types::ColumnId;
use parking_lot::Mutex;

/// The starts of the latest groups that all partitions of a query have seen.
#[derive(Debug)]
pub(crate) struct Bound {
    column: ColumnId,
    groups: usize,
    starts: Mutex<BTreeSet<i64>>,
    /// The first moment of the earliest of them, once there are enough: nothing before it is wanted.
    from: AtomicI64,
    wanted: Mutex<(i64, Arc<[Wanted]>)>,
}

impl Bound {
    /// Of the latest `groups` groups, at least one, by moments in a column.
    pub(crate) fn new(column: ColumnId, groups: usize) -> Self {
        Bound {
            column,
            groups,
            starts: Mutex::default(),
            from: AtomicI64::new(i64::MIN),
            wanted: Mutex::new((i64::MIN, Arc::default())),
        }
    }

    /// The same, with nothing seen.
    pub(super) fn anew(&self) -> Self {
        Bound::new(self.column, self.groups)
    }

    pub(super) fn groups(&self) -> usize {
        self.groups
    }

    /// The first moment that is wanted.
    pub(super) fn from(&self) -> i64 {
        self.from.load(Ordering::Relaxed)
    }

    /// Notes starts of groups that rows were seen of.
    pub(super) fn note(&self, seen: impl Iterator<Item = i64>) {
        let mut starts = self.starts.lock();
        for start in seen {
            starts.insert(start);
            if starts.len() > self.groups {
                starts.pop_first();
            }
        }
        // Before 1970 the start that a function gives may lie behind the moment.
        if starts.len() == self.groups
            && let Some(first) = starts.first().filter(|first| **first > 0)
        {
            self.from.store(*first, Ordering::Relaxed);
        }
    }
}

impl Narrowing for Bound {
    fn now(&self) -> Arc<[Wanted]> {
        let from = self.from();
        let mut wanted = self.wanted.lock();
        if wanted.0 != from {
            let range = ZonePredicate {
                column: self.column,
                low: Some(ZoneValue::Int(from)),
                high: None,
            };
            let values = WantedValues {
                column: self.column,
                range: Some(range),
                nulls: false,
            };
            let one_of = vec![values];
            *wanted = (from, Arc::new([Wanted { one_of }]));
        }
        wanted.1.clone()
    }
}
