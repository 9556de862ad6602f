//! Which part of a view a range of keys is about.

use activestore_query::ViewQuery;
use activestore_types::{KeyRange, TableSchema, encode_keys};
use arrow::array::{ArrayRef, AsArray};
use arrow::datatypes::TimestampNanosecondType;
use arrow::record_batch::RecordBatch;

use super::saved::Region;
use crate::subscribe::Bounds;

/// The groups and windows of the rows of a range of the table's keys, and maybe more than those. It says whether all
/// rows of those groups and windows that the table ever had are in the range, or behind and before it in time: then
/// nothing that the table lost to its age is in them that somebody wants to keep.
pub(super) fn region(query: &ViewQuery, range: KeyRange) -> Region {
    let base = &query.base;
    let mut region = Region::all();
    if range.start.is_empty() && range.end.is_empty() {
        region.aged = true;
        return region;
    }
    let start = Bounds::of(
        base,
        KeyRange {
            start: range.start.clone(),
            end: Vec::new(),
        },
    );
    let through = start
        .from
        .as_ref()
        .and_then(|row| through(base, row, &range.end));
    let bounds = match through {
        Some(_) => start,
        None => Bounds::of(base, range),
    };
    // Whether the columns so far are those that groups are told apart by.
    let mut named = bounds.exact;
    let to = through.or(bounds.to);
    let cell = |row: &Option<RecordBatch>, place: usize| -> Option<ArrayRef> {
        row.as_ref()?.columns().get(place).cloned()
    };
    for (place, key) in base.key_columns().enumerate() {
        let (from, to) = (cell(&bounds.from, place), cell(&to, place));
        if key.id == query.time {
            let moment = |cell: &Option<ArrayRef>| {
                let cell = cell
                    .as_ref()?
                    .as_primitive_opt::<TimestampNanosecondType>()?;
                (!cell.is_empty()).then(|| cell.value(0))
            };
            let (first, last) = if key.descending {
                (to, from)
            } else {
                (from, to)
            };
            if let Some(ns) = moment(&first) {
                region.from = query.windows.from(ns);
            }
            if let Some(ns) = moment(&last) {
                region.to = query.windows.upto(ns);
            }
            break;
        }
        let (Some(from), Some(to)) = (from.clone(), to.clone()) else {
            // All rows that begin so, or some that nobody can name.
            named &= from.is_none() && to.is_none();
            break;
        };
        if from.as_ref() != to.as_ref() {
            named = false;
            break;
        }
        let groups = query.anchors.iter().any(|(id, _)| *id == key.id);
        named &= groups;
        if groups && let Ok(value) = encode_keys(&[(from, false)]) {
            region.among.push((key.id.0, value.key(0).to_vec()));
        }
    }
    region.aged = named;
    region
}

/// The values that all keys of a range begin with, where it ends with the last key of them. The end by itself may read
/// as the next value.
fn through(base: &TableSchema, row: &RecordBatch, end: &[u8]) -> Option<RecordBatch> {
    let order = base.key_columns().map(|key| key.descending);
    let columns: Vec<(ArrayRef, bool)> = row.columns().iter().cloned().zip(order).collect();
    (1..=columns.len()).rev().find_map(|length| {
        let prefix = encode_keys(columns.get(..length)?).ok()?;
        let ends = KeyRange::prefix(prefix.key(0)).end == end;
        let places: Vec<usize> = (0..length).collect();
        ends.then(|| row.project(&places).ok()).flatten()
    })
}

#[cfg(test)]
mod tests;
