//! Key ranges from the conditions on a prefix of the primary key.

use std::collections::BTreeMap;

use activestore_types::key::prefix_end;
use activestore_types::{ColumnId, KeyRange, TableSchema};
use datafusion::scalar::ScalarValue;

use super::condition::{Edge, Limits};
use super::{MAX_RANGES, Pushed, is_folded};

/// A key's bytes so far and the values they stand for.
type Prefix = (Vec<u8>, Vec<ScalarValue>);

/// Follows the key as far as there are conditions. `Pushed::exact` and the texts are not set here.
pub(super) fn follow_key(schema: &TableSchema, limits: &BTreeMap<ColumnId, Limits>) -> Pushed {
    let mut pushed = Pushed::default();
    let mut prefixes: Vec<Prefix> = vec![(Vec::new(), Vec::new())];
    let mut ranges = None;
    for key in schema.key_columns() {
        let Some(limits) = limits.get(&key.id) else {
            break;
        };
        let Some(column) = schema.column_by_id(key.id) else {
            break;
        };
        // Keys fold -0.0 into 0.0, comparisons do not: a float column is left to its zone maps.
        if is_folded(column.data_type) {
            break;
        }
        let Some(points) = limits.points() else {
            ranges = Some(close(&prefixes, limits, key.descending));
            pushed.consumed.push(key.id);
            break;
        };
        if prefixes.len().saturating_mul(points.len()) > MAX_RANGES {
            break;
        }
        prefixes = prefixes
            .iter()
            .flat_map(|prefix| {
                points.iter().map(|(bytes, value)| {
                    let (mut key_bytes, mut values) = prefix.clone();
                    key_bytes.extend(directed(bytes, key.descending));
                    values.push((*value).clone());
                    (key_bytes, values)
                })
            })
            .collect();
        pushed.consumed.push(key.id);
        pushed.point_columns += 1;
    }
    if pushed.consumed.is_empty() {
        return pushed;
    }
    let ranges = ranges.unwrap_or_else(|| {
        prefixes
            .iter()
            .map(|(bytes, _)| KeyRange::prefix(bytes))
            .collect()
    });
    pushed.prefixes = prefixes.len();
    pushed.encoded_prefixes = prefixes.iter().map(|(bytes, _)| bytes.clone()).collect();
    pushed.encoded_prefixes.sort_unstable();
    pushed.encoded_prefixes.dedup();
    if pushed.point_columns == schema.key_len() {
        (pushed.encoded_keys, pushed.keys) = prefixes.into_iter().unzip();
        pushed.encoded_keys.sort_unstable();
        pushed.encoded_keys.dedup();
    }
    pushed.ranges = Some(sorted(ranges));
    pushed
}

/// Each prefix with the edges of the next column.
fn close(prefixes: &[Prefix], limits: &Limits, descending: bool) -> Vec<KeyRange> {
    let (first, last) = if descending {
        (&limits.high, &limits.low)
    } else {
        (&limits.low, &limits.high)
    };
    let joined = |prefix: &[u8], edge: &Edge| {
        let mut bytes = prefix.to_vec();
        bytes.extend(directed(&edge.bound.key, descending));
        bytes
    };
    prefixes
        .iter()
        .filter_map(|(prefix, _)| {
            let start = match first {
                None => prefix.clone(),
                Some(edge) if edge.inclusive => joined(prefix, edge),
                // After everything with this value; none where that is the last key there is.
                Some(edge) => {
                    Some(prefix_end(&joined(prefix, edge))).filter(|end| !end.is_empty())?
                }
            };
            let end = match last {
                None => prefix_end(prefix),
                Some(edge) if edge.inclusive => prefix_end(&joined(prefix, edge)),
                Some(edge) => joined(prefix, edge),
            };
            (end.is_empty() || start < end).then_some(KeyRange { start, end })
        })
        .collect()
}

fn directed(bytes: &[u8], descending: bool) -> impl Iterator<Item = u8> + '_ {
    bytes
        .iter()
        .map(move |byte| if descending { !*byte } else { *byte })
}

/// In key order, neighbours joined.
fn sorted(mut ranges: Vec<KeyRange>) -> Vec<KeyRange> {
    ranges.sort_by(|left, right| left.start.cmp(&right.start));
    let mut joined: Vec<KeyRange> = Vec::with_capacity(ranges.len());
    for range in ranges {
        match joined.last_mut() {
            Some(last) if !last.end.is_empty() && last.end == range.start => last.end = range.end,
            _ => joined.push(range),
        }
    }
    joined
}

/// The parts of sorted disjoint `ranges` that lie in `part`.
pub(crate) fn intersect(ranges: &[KeyRange], part: &KeyRange) -> Vec<KeyRange> {
    let earlier = |left: &[u8], right: &[u8]| match (left.is_empty(), right.is_empty()) {
        (true, _) => right.to_vec(),
        (_, true) => left.to_vec(),
        _ => left.min(right).to_vec(),
    };
    ranges
        .iter()
        .filter_map(|range| {
            let start = range.start.clone().max(part.start.clone());
            let end = earlier(&range.end, &part.end);
            (end.is_empty() || start < end).then_some(KeyRange { start, end })
        })
        .collect()
}
