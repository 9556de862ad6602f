//! What two ends say of one row, and whether one of them knows more.

use super::KEY_BYTES_MAX;
use super::holdings::{CellAt, Erasure, KeyAt};

/// Whether the writer's cells of a row say anything that others do not say already.
pub(super) fn adds(cells: &[CellAt], others: &[CellAt]) -> bool {
    cells.iter().filter(|cell| cell.own).any(|cell| {
        let known = others.iter().find(|other| other.column == cell.column);
        known.is_none_or(|known| known.hlc < cell.hlc)
    })
}

/// Whether a delete removes none of the cells.
pub(super) fn all_after(cells: &[CellAt], erased: &Erasure) -> bool {
    cells.iter().all(|cell| cell.hlc > erased.hlc)
}

/// Notes an erasure once.
pub(super) fn keep(all: &mut Vec<Erasure>, erasure: Erasure) {
    if !all.contains(&erasure) {
        all.push(erasure);
    }
}

/// As many keys as a frame may carry, one at least.
pub(super) fn within(mut keys: Vec<KeyAt>) -> Vec<KeyAt> {
    let mut bytes = 0;
    let fits = keys.iter().take_while(|key| {
        bytes += key.key.len();
        bytes <= KEY_BYTES_MAX
    });
    let most = fits.count().max(1);
    keys.truncate(most);
    keys
}
