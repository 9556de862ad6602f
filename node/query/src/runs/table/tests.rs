//! Runs against a look at every row.
#![allow(missing_docs, clippy::unwrap_used, clippy::indexing_slicing)]

use arrow::array::{AsArray, DictionaryArray, Int64Array, StringArray, TimestampNanosecondArray};
use arrow::datatypes::{
    DataType as ArrowType, Field, Int32Type, Int64Type, Schema, TimestampNanosecondType,
};
use datafusion::scalar::ScalarValue;
use proptest::prelude::*;

use super::*;
use crate::bucket::{Buckets, TIMESTAMP};

fn columns(rows: &[(Option<u8>, Option<i64>)], coded: bool) -> Vec<Grouped> {
    let text = rows
        .iter()
        .map(|(text, _)| text.map(|text| "x".repeat(usize::from(text))));
    let text: ArrayRef = if coded {
        let text: Vec<Option<String>> = text.collect();
        let text: DictionaryArray<Int32Type> = text.iter().map(Option::as_deref).collect();
        Arc::new(text)
    } else {
        Arc::new(text.collect::<StringArray>())
    };
    let numbers = rows.iter().map(|(_, number)| *number);
    let numbers = Arc::new(numbers.collect::<Int64Array>());
    vec![Grouped::plain(text), Grouped::plain(numbers)]
}

proptest! {
    /// Every row lies in one run, of the group that its values say; groups give their values back.
    #[test]
    fn rows_find_their_groups(
        batches in prop::collection::vec(
            (prop::collection::vec((prop::option::of(0..3_u8), prop::option::of(0..2_i64)), 1..40), any::<bool>()),
            1..5,
        ),
        forget in any::<bool>(),
    ) {
        let mut groups = Groups::default();
        let mut seen: Vec<Option<(Option<u8>, Option<i64>)>> = Vec::new();
        let mut runs = Vec::new();
        for (rows, coded) in &batches {
            groups.runs(&columns(rows, *coded), rows.len(), forget, &mut runs).unwrap();
            let mut next = 0;
            for run in &runs {
                prop_assert_eq!(run.start, next);
                next += run.rows;
                seen.resize(groups.len(), None);
                for row in &rows[run.start..next] {
                    let group = seen[run.group].get_or_insert(*row);
                    prop_assert_eq!(*group, *row);
                }
            }
            prop_assert_eq!(next, rows.len());
        }
        let mut distinct: Vec<_> = seen.iter().map(|row| row.unwrap()).collect();
        let schema = Arc::new(Schema::new(vec![
            Field::new("text", ArrowType::Utf8, true),
            Field::new("number", ArrowType::Int64, true),
        ]));
        let values = groups.take(2, &schema).unwrap();
        let texts = values[0].as_string::<i32>().iter().map(|text| text.map(|text| text.len() as u8));
        let numbers = values[1].as_primitive::<Int64Type>().iter();
        prop_assert_eq!(&texts.zip(numbers).collect::<Vec<_>>(), &distinct);
        if !forget {
            let all = distinct.len();
            distinct.sort_unstable();
            distinct.dedup();
            prop_assert_eq!(distinct.len(), all, "a group came twice");
        }
    }
    /// Moments are grouped by their buckets as the starts of these would be, in whatever order they come.
    #[test]
    fn moments_find_the_groups_of_their_buckets(
        batches in prop::collection::vec(
            prop::collection::vec((0..3_u8, prop_oneof![0..400_i64, Just(i64::MIN), Just(i64::MAX)]), 1..120),
            1..4,
        ),
        zone in any::<bool>(),
    ) {
        let width = if zone { "1 day" } else { "90 nanoseconds" };
        let mut constants = vec![ScalarValue::from(width)];
        if zone {
            constants.push(ScalarValue::from("Europe/Berlin"));
        }
        let buckets = Arc::new(Buckets::of_args(&constants).unwrap());
        let schema = Arc::new(Schema::new(vec![
            Field::new("number", ArrowType::Int64, true),
            Field::new("bucket", TIMESTAMP, true),
        ]));
        let found = [true, false].map(|in_buckets| {
            let mut groups = Groups::default();
            let (mut runs, mut of_rows) = (Vec::new(), Vec::new());
            for rows in &batches {
                let numbers: Int64Array = rows.iter().map(|(number, _)| i64::from(*number)).collect();
                // Hours make days of them, so that clocks change among them.
                let of = |ns: i64| if zone { ns.saturating_mul(25 * 3_600_000_000_000) } else { ns };
                let moments: TimestampNanosecondArray = rows.iter().map(|(_, ns)| Some(of(*ns))).collect();
                let bucket = if in_buckets {
                    Grouped::in_buckets(Arc::new(moments), buckets.clone())
                } else {
                    let starts = moments.unary::<_, TimestampNanosecondType>(|ns| buckets.start_of(ns));
                    Grouped::plain(Arc::new(starts))
                };
                let columns = [Grouped::plain(Arc::new(numbers)), bucket];
                groups.runs(&columns, rows.len(), false, &mut runs).unwrap();
                of_rows.extend(runs.iter().flat_map(|run| vec![run.group; run.rows]));
            }
            (of_rows, groups.take(2, &schema).unwrap())
        });
        prop_assert_eq!(&found[0], &found[1]);
    }
}
