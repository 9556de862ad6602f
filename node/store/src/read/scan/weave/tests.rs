//! Woven rows come in order, each once, until something ends it.

use proptest::prelude::*;

use super::*;

fn strand(source: usize, values: Vec<i64>, descending: bool) -> Strand {
    let mut values = values;
    values.sort_unstable();
    values.dedup();
    if descending {
        values.reverse();
    }
    Strand {
        source,
        piece: source,
        rows: 0..values.len(),
        values: values.into(),
        descending,
        taken: 0,
    }
}

proptest! {
    #[test]
    fn rows_come_in_order(
        all in prop::collection::vec(prop::collection::vec(-40..40_i64, 1..30), 2..5),
        descending in any::<bool>(),
        reverse in any::<bool>(),
        room in 0..60_usize,
    ) {
        let mut strands: Vec<Strand> = all
            .into_iter()
            .enumerate()
            .map(|(source, values)| strand(source, values, descending))
            .collect();
        let sources: Vec<Vec<i64>> = strands.iter().map(|strand| strand.values.to_vec()).collect();
        let mut spans = Vec::new();
        weave(&mut strands, room, reverse, |span| spans.push(span));
        let mut found = Vec::new();
        for span in &spans {
            let mut rows = sources[span.piece][span.start..span.start + span.rows].to_vec();
            if span.reverse {
                rows.reverse();
            }
            found.extend(rows);
        }
        prop_assert!(found.len() <= room);
        // What each strand handed out is one stretch of it.
        for strand in &strands {
            let spans = spans.iter().filter(|span| span.piece == strand.piece);
            let rows = spans.clone().map(|span| span.rows).sum::<usize>();
            let start = spans.map(|span| span.start).min();
            let whole = strand.span(reverse).map(|span| (span.start, span.rows));
            prop_assert_eq!(whole, start.map(|start| (start, rows)));
        }
        let mut expected: Vec<i64> = sources.concat();
        expected.sort_unstable();
        if descending != reverse {
            expected.reverse();
        }
        prop_assert_eq!(&found[..], &expected[..found.len()]);
        for (strand, source) in strands.iter().zip(&sources) {
            prop_assert_eq!(strand.rows.len() + strand.taken, source.len());
        }
        // It stops for a reason.
        let next = expected.get(found.len()..).unwrap_or(&[]);
        let tied = next.len() > 1 && next[0] == next[1];
        let ended = strands.iter().any(|strand| strand.rows.is_empty());
        prop_assert!(found.len() == room || tied || ended);
    }
}

proptest! {
    /// The same rows are handed out as in order, and the weaving stops at the same place.
    #[test]
    fn any_order_hands_out_the_same_rows(
        all in prop::collection::vec(prop::collection::vec(-40..40_i64, 1..30), 2..5),
        turns in any::<bool>(),
        torn in prop::option::of((0..4_usize, 0..30_usize)),
        descending in any::<bool>(),
        reverse in any::<bool>(),
        room in 0..90_usize,
    ) {
        let mut all = all;
        if turns {
            // Strands that take turns, one of which may skip a turn or meet another's key.
            let strands = all.len() as i64;
            for (place, values) in (0..).zip(&mut all) {
                *values = (0..20).map(|round| round * strands + place).collect();
            }
            if let Some((strand, row)) = torn {
                let strand = strand % all.len();
                let row = row % 20;
                all[strand][row] += 1;
            }
        }
        let make = || -> Vec<Strand> {
            let numbered = all.iter().cloned().enumerate();
            numbered.map(|(source, values)| strand(source, values, descending)).collect()
        };
        let (mut ordered, mut any) = (make(), make());
        weave(&mut ordered, room, reverse, |_| {});
        let mut spans = Vec::new();
        weave_in_any_order(&mut any, room, reverse, &mut spans);
        for (left, right) in ordered.iter().zip(&any) {
            prop_assert_eq!((&left.rows, left.taken), (&right.rows, right.taken));
        }
        let rows: usize = spans.iter().map(|span| span.rows).sum();
        prop_assert_eq!(rows, any.iter().map(|strand| strand.taken).sum::<usize>());
        prop_assert!(rows <= room);
    }
}
