//! What was evicted of a table: a note, so that it is known after a start and beside the rows that stay.

use activestore_store::{Note, WriteSet};
use activestore_types::{Error, Result, TableSchema};
use serde::{Deserialize, Serialize};

use crate::counters::{CounterKind, Figures};
use crate::db::Inner;
use crate::outbox::News;

/// Followed by the table's id, u32 big-endian.
const PREFIX: &[u8] = b"evicted/";

/// What of a table is gone from this node alone.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct EvictedRows {
    /// Rows about a time before this may be gone, in nanoseconds since 1970.
    pub(crate) before_ns: Option<i64>,
    /// Row fragments that went.
    pub(crate) rows: u64,
    /// Bytes of the files that went.
    pub(crate) bytes: u64,
}

pub(crate) fn evicted_key(schema: &TableSchema) -> Vec<u8> {
    [PREFIX, &schema.id.0.to_be_bytes()].concat()
}

impl Inner {
    /// What was evicted of a table; `None` where nothing was.
    pub(crate) fn evicted_rows(&self, schema: &TableSchema) -> Option<EvictedRows> {
        let value = self.store.note(&evicted_key(schema))?;
        postcard::from_bytes(&value).ok()
    }

    pub(super) fn note_evicted(&self, schema: &TableSchema, rows: &EvictedRows) -> Result<()> {
        let value = postcard::to_stdvec(rows).map_err(|error| {
            Error::internal(format!("what was evicted cannot be noted: {error}"))
        })?;
        self.store.commit(WriteSet {
            batches: Vec::new(),
            tombstones: Vec::new(),
            notes: vec![Note {
                key: evicted_key(schema),
                value: Some(value),
            }],
        })?;
        self.wake_sealers(News::default());
        Ok(())
    }

    pub(crate) fn eviction_figures(&self, all: &mut Figures) {
        let state = self.catalog.state();
        let evicted: Vec<_> = state
            .tables
            .values()
            .filter_map(|schema| Some((schema.name.to_string(), self.evicted_rows(schema)?)))
            .collect();
        for (table, rows) in &evicted {
            all.push(
                "activestore_evicted_rows_total",
                "Row fragments that went from this node because its cloud holds them.",
                CounterKind::Counter,
                vec![("table", table.clone())],
                rows.rows as f64,
            );
        }
        for (table, rows) in &evicted {
            all.push(
                "activestore_evicted_bytes_total",
                "Bytes of files that went from this node because its cloud holds their rows.",
                CounterKind::Counter,
                vec![("table", table.clone())],
                rows.bytes as f64,
            );
        }
    }
}
