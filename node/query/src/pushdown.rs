//! What of a filter the store can do: key ranges from conditions on a prefix of the primary key,
//! and bounds per column for its zone maps.
//!
//! 1. Each conjunct is read as a condition on one column ([`condition`]), or left to DataFusion.
//! 2. The conditions of a column are intersected.
//! 3. Following the key, points extend every prefix and a bound closes it; the first column
//!    without a condition ends it.
//! 4. A conjunct is *exact* when its column was used for the ranges, whole; DataFusion then need not
//!    check it again. Floats never are: keys fold -0.0 and NaN, comparisons do not.

mod condition;
mod ranges;

use std::collections::BTreeMap;

use activestore_store::ZonePredicate;
use activestore_types::{ColumnId, DataType, KeyRange, TableSchema};
use datafusion::logical_expr::Expr;
use datafusion::logical_expr::utils::split_conjunction;
use datafusion::scalar::ScalarValue;

pub(crate) use condition::zone_value;
use condition::{Limits, read};
pub(crate) use ranges::intersect;

/// The most key ranges of one scan; beyond it a column's points are left to its zone maps.
pub(crate) const MAX_RANGES: usize = 1024;

/// What the store is asked for.
#[derive(Clone, Debug, Default)]
pub(crate) struct Pushed {
    /// Sorted, disjoint key ranges; `None` means all keys, none at all that no row can match.
    pub(crate) ranges: Option<Vec<KeyRange>>,
    /// Bounds for zone maps.
    pub(crate) zones: Vec<ZonePredicate>,
    /// The conditions that made the ranges, for EXPLAIN.
    pub(crate) key_text: Vec<String>,
    /// The conditions that made the bounds, for EXPLAIN.
    pub(crate) zone_text: Vec<String>,
    /// Whether every conjunct is exact.
    pub(crate) exact: bool,
    /// Key columns that the ranges follow by points.
    pub(crate) point_columns: usize,
    /// How many different prefixes those points make.
    pub(crate) prefixes: usize,
    /// The keys themselves, where every key column has points: one list of values a key.
    pub(crate) keys: Vec<Vec<ScalarValue>>,
    /// The same keys encoded, in key order, each once.
    pub(crate) encoded_keys: Vec<Vec<u8>>,
    /// The prefixes that those points make, encoded, in key order, each once.
    encoded_prefixes: Vec<Vec<u8>>,
    consumed: Vec<ColumnId>,
}

impl Pushed {
    /// The prefixes of the partitions that are asked for, where the filters name whole partitions
    /// and nothing else; `Some(None)` where there are no filters.
    pub(crate) fn whole_partitions(&self, schema: &TableSchema) -> Option<Option<Vec<Vec<u8>>>> {
        if self.ranges.is_none() {
            return (self.exact && self.zones.is_empty()).then_some(None);
        }
        let partition = schema.partition_key.len();
        let whole = self.exact
            && self.zones.is_empty()
            && self.point_columns == partition
            && self.consumed.len() == partition;
        whole.then(|| Some(self.encoded_prefixes.clone()))
    }
}

/// Reads filters, all of which must hold.
pub(crate) fn push_down<'a>(
    schema: &TableSchema,
    filters: impl IntoIterator<Item = &'a Expr>,
) -> Pushed {
    let mut limits: BTreeMap<ColumnId, Limits> = BTreeMap::new();
    let mut conjuncts = Vec::new();
    for conjunct in filters.into_iter().flat_map(split_conjunction) {
        let condition = read(schema, conjunct);
        conjuncts.push(condition.as_ref().map(|condition| condition.column));
        if let Some(condition) = condition {
            limits
                .entry(condition.column)
                .or_default()
                .intersect(condition.limits);
        }
    }
    let mut pushed = ranges::follow_key(schema, &limits);
    pushed.exact = conjuncts
        .iter()
        .all(|column| column.is_some_and(|id| pushed.consumed.contains(&id)));
    for (id, limits) in &limits {
        let Some(column) = schema.column_by_id(*id) else {
            continue;
        };
        let consumed = pushed.consumed.contains(id);
        if consumed {
            pushed.key_text.push(limits.describe(&column.name));
        }
        // The ranges say all there is to say about a prefix of points; anything else prunes too.
        if let Some(zone) = limits.zone(*id)
            && !consumed
        {
            pushed.zone_text.push(limits.describe(&column.name));
            pushed.zones.push(zone);
        }
    }
    pushed
}

/// Whether one filter among `all` is exact.
pub(crate) fn is_exact(schema: &TableSchema, pushed: &Pushed, filter: &Expr) -> bool {
    split_conjunction(filter).into_iter().all(|conjunct| {
        read(schema, conjunct).is_some_and(|condition| pushed.consumed.contains(&condition.column))
    })
}

/// Whether key order and ranges over this type mean the same as comparisons of it.
pub(crate) fn is_folded(data_type: DataType) -> bool {
    matches!(data_type, DataType::Real | DataType::Double)
}

#[cfg(test)]
mod tests;
