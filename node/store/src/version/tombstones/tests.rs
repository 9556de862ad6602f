//! The cut pieces answer exactly as the list of tombstones would.

use activestore_types::{Hlc, TableId};
use proptest::prelude::*;

use super::*;

fn node(origin: OriginId) -> NodeId {
    NodeId([u8::try_from(origin.0).unwrap(); 16])
}

proptest! {
    #[test]
    fn pieces_answer_as_the_list_does(
        ranges in prop::collection::vec((0_u8..12, 0_u8..14, 1_u64..5, 0_u32..3), 0..12),
        first in 0_u8..14, length in 0_u8..4,
    ) {
        let list: Vec<RangeTombstone> = ranges.iter().map(|(start, end, hlc, origin)| RangeTombstone {
            table: TableId(1),
            start: vec![*start],
            end: if *end == 13 { Vec::new() } else { vec![*end] },
            hlc: Hlc(*hlc),
            origin: OriginId(*origin),
        }).collect();
        let map = TombstoneMap::build(&list, &node);
        let naive = |key: &[u8]| list.iter().filter(|t| t.covers(key))
            .map(|t| Stamp { hlc: t.hlc.0, node: node(t.origin) }).max();
        for key in 0..15_u8 {
            prop_assert_eq!(map.covering(&[key]), naive(&[key]));
            prop_assert_eq!(map.covering(&[key, 7]), naive(&[key, 7]));
            let stretch = map.stretch(&[key]);
            prop_assert_eq!(stretch.stamp, naive(&[key]));
            prop_assert!(stretch.start <= &[key][..] && (stretch.end.is_empty() || stretch.end > &[key][..]));
            for other in 0..15_u8 {
                let inside = stretch.start <= &[other][..] && (stretch.end.is_empty() || &[other][..] < stretch.end);
                if inside {
                    prop_assert_eq!(naive(&[other]), stretch.stamp);
                }
            }
        }
        let last = first + length;
        let hit = (first..=last).any(|key| naive(&[key]).is_some() || (key < last && naive(&[key, 0]).is_some()));
        prop_assert_eq!(map.overlaps(&[first], &[last]), hit);
    }
}
