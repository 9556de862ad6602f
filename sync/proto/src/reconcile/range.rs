//! Ranges of a day that differ, and what is found in them.

use super::packed::PackedRanges;
use super::question::Pick;
use super::report::Side;
use super::{FAN_OUT, IDS_MAX, ITEMS_MAX, LISTED_MAX, SYMBOLS_MAX};

/// What a miss costs in coded symbols, in bytes …
const CODED_BYTES: u64 = 21;
/// … and a range that is compared by them.
const CODED_RANGE_BYTES: u64 = 140;
/// What splitting a range costs for each level, in bytes: a sum and a bound for each part …
const SPLIT_BYTES: u64 = 21 * FAN_OUT as u64;
/// … and the listing of rows at its end.
const LISTED_BYTES: u64 = 130;

/// Rows that one end lacks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Missing {
    /// Who lacks them.
    pub(super) side: Side,
    /// Which.
    pub(super) pick: Pick,
    /// How many.
    pub(super) rows: u64,
}

/// A range that differs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Node {
    pub(super) low: u64,
    pub(super) high: u64,
    pub(super) here: u64,
    pub(super) there: u64,
    /// Whether many of its neighbours differ as well.
    pub(super) scattered: bool,
    /// Whether coded symbols were of no use.
    pub(super) uncodable: bool,
}

/// Whether coded symbols cost less than splitting, as far as the numbers of rows tell.
pub(super) fn codes_well(node: &Node) -> bool {
    let most = node.here.max(node.there);
    if node.uncodable || most as usize > ITEMS_MAX {
        return false;
    }
    let misses = node.here.abs_diff(node.there).max(1);
    // Down to parts that are listed, if the misses are beside each other.
    let parts = most.div_ceil(LISTED_MAX as u64).max(1);
    let levels = u64::from(parts.ilog2().div_ceil(FAN_OUT.ilog2()));
    misses * CODED_BYTES + CODED_RANGE_BYTES <= levels * SPLIT_BYTES + LISTED_BYTES
        || (node.scattered && misses * 4 <= most && (misses as usize) < SYMBOLS_MAX / 2)
}

/// Spans that follow each other as one.
pub(super) fn merged(mut spans: Vec<Missing>) -> Vec<Missing> {
    spans.sort_by_key(|span| (span.side, span.pick.low));
    let mut all: Vec<Missing> = Vec::new();
    for span in spans {
        match all.last_mut() {
            Some(last)
                if last.side == span.side
                    && last.pick.high == span.pick.low
                    && last.pick.ids.len() + span.pick.ids.len() <= IDS_MAX =>
            {
                last.pick.high = span.pick.high;
                last.pick.ids.extend(span.pick.ids);
                last.pick.ids.sort_unstable();
                last.rows += span.rows;
            }
            _ => all.push(span),
        }
    }
    all
}

pub(super) fn packed<'a>(nodes: impl Iterator<Item = &'a Node>) -> PackedRanges {
    let ranges: Vec<(u64, u64)> = nodes.map(|node| (node.low, node.high)).collect();
    PackedRanges::pack(&ranges)
}
