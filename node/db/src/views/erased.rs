//! Which part of a view a range of keys is about.

use activestore_query::ViewQuery;
use activestore_types::{KeyRange, encode_keys};
use arrow::array::{ArrayRef, AsArray};
use arrow::datatypes::TimestampNanosecondType;
use arrow::record_batch::RecordBatch;

use super::saved::Region;
use crate::subscribe::Bounds;

/// The groups and windows of the rows of a range of the table's keys, and maybe more than those.
pub(super) fn region(query: &ViewQuery, range: KeyRange) -> Region {
    let base = &query.base;
    let bounds = Bounds::of(base, range);
    let mut region = Region::all();
    let cell = |row: &Option<RecordBatch>, place: usize| -> Option<ArrayRef> {
        row.as_ref()?.columns().get(place).cloned()
    };
    for (place, key) in base.key_columns().enumerate() {
        let (from, to) = (cell(&bounds.from, place), cell(&bounds.to, place));
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
                region.from = query.windows.first(query.windows.slot(ns));
            }
            if let Some(ns) = moment(&last) {
                region.to = query.windows.slot(ns);
            }
            break;
        }
        let (Some(from), Some(to)) = (from, to) else {
            break;
        };
        if from.as_ref() != to.as_ref() {
            break;
        }
        let groups = query.anchors.iter().any(|(id, _)| *id == key.id);
        if groups && let Ok(value) = encode_keys(&[(from, false)]) {
            region.among.push((key.id.0, value.key(0).to_vec()));
        }
    }
    region
}

#[cfg(test)]
mod tests;
