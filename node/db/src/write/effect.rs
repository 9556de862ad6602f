//! What statements do to rows, worked out and not stamped yet. Nothing is looked up and nothing is
//! stored here.

use std::sync::Arc;

use activestore_types::{KeyRange, TableSchema};
use arrow::record_batch::RecordBatch;

use super::resolve::Staged;

/// Rows that go.
pub(crate) enum Erasure {
    /// These keys, as columns in key order, whether there is such a row or not.
    Rows {
        schema: Arc<TableSchema>,
        keys: RecordBatch,
    },
    /// Everything in these ranges of keys.
    Ranges {
        schema: Arc<TableSchema>,
        ranges: Vec<KeyRange>,
    },
}

impl Erasure {
    /// The table it is about.
    pub(crate) fn schema(&self) -> &Arc<TableSchema> {
        match self {
            Erasure::Rows { schema, .. } | Erasure::Ranges { schema, .. } => schema,
        }
    }

    /// How many stamps it takes.
    pub(crate) fn stamps(&self) -> u64 {
        match self {
            Erasure::Rows { keys, .. } => keys.num_rows() as u64,
            Erasure::Ranges { ranges, .. } => ranges.len() as u64,
        }
    }
}

/// The effects of one or more statements, in their order.
#[derive(Default)]
pub(crate) struct Effects {
    /// Each knows the place of its statement.
    pub(crate) upserts: Vec<Staged>,
    /// With the place of the statement.
    pub(crate) erasures: Vec<(usize, Erasure)>,
}

impl Effects {
    /// One erasure and nothing else.
    pub(crate) fn erasing(erasure: Erasure) -> Self {
        Effects {
            upserts: Vec::new(),
            erasures: vec![(0, erasure)],
        }
    }

    /// Rows written and erased, ranges counting one each.
    pub(crate) fn rows(&self) -> u64 {
        let upserts = self.upserts.iter().map(|batch| batch.rows as u64);
        let erasures = self.erasures.iter().map(|(_, part)| part.stamps());
        upserts.chain(erasures).sum()
    }
}
