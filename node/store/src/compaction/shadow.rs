//! Shadows: below which stamp a merge's tombstones and expired fragments hide nothing any more.
//!
//! Two files can hold fragments of one key only where their key ranges overlap and, in a table
//! whose first clustering column is a time, their times do as well: the time is part of the key.

use activestore_sst::SstMeta;
use activestore_types::{Hlc, RangeTombstone};

use crate::version::{TableFile, TableVersion};

/// Below this, nothing is in a memtable or still to come.
pub(super) fn settled(version: &TableVersion, promised: Option<Hlc>) -> Option<Hlc> {
    let in_memory = version
        .memtables()
        .filter_map(|memtable| memtable.min_hlc());
    promised.map(|promised| in_memory.fold(promised, Hlc::min))
}

/// Below this, every fragment that may share a key with one of `inputs` is in a file of `merged`.
pub(super) fn drop_below(
    version: &TableVersion,
    promised: Option<Hlc>,
    inputs: &[&TableFile],
    merged: &[&TableFile],
) -> Option<Hlc> {
    let settled = settled(version, promised)?;
    let others = version
        .files
        .iter()
        .map(|file| file.as_ref())
        .filter(|file| {
            let is_input = merged.iter().any(|input| input.id == file.id);
            let meets = |input: &&TableFile| {
                let (input, file) = (input.sst.meta(), file.sst.meta());
                may_share_keys(input, file) && !version.own.apart(input, file)
            };
            !is_input && inputs.iter().any(meets)
        });
    let below = others
        .map(|file| file.sst.meta().min_hlc)
        .fold(settled, Hlc::min);
    (below > Hlc::ZERO).then_some(below)
}

/// The range tombstones that shadow nothing once the files of `merged` have gone through a merge.
pub(super) fn spent_tombstones(
    version: &TableVersion,
    settled: Option<Hlc>,
    merged: &[u64],
) -> Vec<RangeTombstone> {
    let Some(settled) = settled else {
        return Vec::new();
    };
    let spent = |tombstone: &&RangeTombstone| {
        let mut others = version
            .files
            .iter()
            .filter(|file| !merged.contains(&file.id));
        tombstone.hlc < settled
            && !others.any(|file| {
                let meta = file.sst.meta();
                let ends_before = !tombstone.end.is_empty() && tombstone.end <= meta.first_key;
                let meets = !ends_before && tombstone.start <= meta.last_key;
                meta.min_hlc <= tombstone.hlc && meets && !version.own.beside(tombstone, meta)
            })
    };
    version.tombstones.iter().filter(spent).cloned().collect()
}

pub(super) fn may_share_keys(left: &SstMeta, right: &SstMeta) -> bool {
    let keys = left.first_key <= right.last_key && right.first_key <= left.last_key;
    keys && overlap_times(left, right)
}

fn overlap_times(left: &SstMeta, right: &SstMeta) -> bool {
    let times = |meta: &SstMeta| meta.min_time_ns.zip(meta.max_time_ns);
    match (times(left), times(right)) {
        (Some(left), Some(right)) => left.0 <= right.1 && right.0 <= left.1,
        _ => true,
    }
}
