//! Digests of tables: what two ends compare to know that they hold the same cells. They are computed
//! by the hosts; this module only carries and compares them.

mod exchange;

use std::collections::BTreeMap;

use activestore_types::TableName;
use serde::{Deserialize, Serialize};

pub(crate) use exchange::{Exchange, Exchanged};

/// The rows one origin wrote to one table, reduced to a count and an order-free hash.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct TableDigest {
    /// The table, by name.
    pub table: TableName,
    /// Visible rows with at least one cell of that origin.
    pub rows: u64,
    /// The wrapping 128-bit sum over their cells.
    pub hash: [u8; 16],
}

/// Both ends' digests side by side, one entry per table that either has.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct DigestComparison {
    /// Table, this end's digest, the other end's; `None` where an end has no such table.
    pub tables: Vec<(TableName, Option<TableDigest>, Option<TableDigest>)>,
}

impl DigestComparison {
    /// Pairs the digests of both ends by table name.
    pub fn new(here: &[TableDigest], there: &[TableDigest]) -> Self {
        let mut pairs: BTreeMap<&TableName, (Option<&TableDigest>, Option<&TableDigest>)> =
            BTreeMap::new();
        for digest in here {
            pairs.entry(&digest.table).or_default().0 = Some(digest);
        }
        for digest in there {
            pairs.entry(&digest.table).or_default().1 = Some(digest);
        }
        let tables = pairs
            .into_iter()
            .map(|(table, (a, b))| (table.clone(), a.cloned(), b.cloned()))
            .collect();
        DigestComparison { tables }
    }

    /// The tables that differ. A table without rows at one end equals a table that is missing at
    /// the other.
    pub fn differing(&self) -> Vec<&TableName> {
        let empty = |digest: &Option<TableDigest>| {
            digest
                .as_ref()
                .is_none_or(|digest| digest.rows == 0 && digest.hash == [0; 16])
        };
        self.tables
            .iter()
            .filter(|(_, here, there)| here != there && !(empty(here) && empty(there)))
            .map(|(table, _, _)| table)
            .collect()
    }

    /// Whether both ends hold the same cells.
    pub fn equal(&self) -> bool {
        self.differing().is_empty()
    }
}
