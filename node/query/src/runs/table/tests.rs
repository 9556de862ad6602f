//! Runs against a look at every row.
#![allow(missing_docs, clippy::unwrap_used, clippy::indexing_slicing)]

use arrow::array::{AsArray, DictionaryArray, Int64Array, StringArray};
use arrow::datatypes::{DataType as ArrowType, Field, Int32Type, Int64Type, Schema};
use proptest::prelude::*;

use super::*;

fn columns(rows: &[(Option<u8>, Option<i64>)], coded: bool) -> Vec<ArrayRef> {
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
    vec![text, Arc::new(numbers.collect::<Int64Array>())]
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
}
