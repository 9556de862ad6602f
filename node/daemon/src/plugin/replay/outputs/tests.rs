//! Outputs of two versions find each other by their key, whenever they come.

use arrow::array::{Float64Array, StringArray};

use super::*;

fn rows(of: &[(&str, f64)]) -> RecordBatch {
    let names: StringArray = of.iter().map(|(name, _)| Some(*name)).collect();
    let values: Float64Array = of.iter().map(|(_, value)| Some(*value)).collect();
    let names: ArrayRef = Arc::new(names);
    RecordBatch::try_from_iter([("value", Arc::new(values) as ArrayRef), ("name", names)]).unwrap()
}

/// Names and values.
type Sent<'a> = &'a [(&'a str, f64)];

fn compared(key: &[&str], batches: &[(Sent<'_>, Sent<'_>)]) -> (Outputs, Vec<Difference>) {
    let schema = rows(&[]).schema();
    let key: Vec<String> = key.iter().map(|name| (*name).to_owned()).collect();
    let mut outputs = Outputs::new(&schema, &schema, &key).unwrap();
    let mut shown = Shown::new(10);
    for (old, new) in batches {
        outputs
            .compare(Some(&rows(old)), Some(&rows(new)), &mut shown)
            .unwrap();
    }
    outputs.settle(&mut shown).unwrap();
    (outputs, shown.all)
}

#[test]
fn rows_are_told_apart_by_their_key_across_batches() {
    let (outputs, shown) = compared(
        &["name"],
        &[
            (
                &[("a", 1.0), ("b", f64::NAN), ("late", 3.0)],
                &[("a", 1.0), ("b", -f64::NAN)],
            ),
            (
                &[("c", 0.0), ("d", 4.0)],
                &[("c", -0.0), ("d", 4.5), ("late", 3.0)],
            ),
            (
                &[("old", 1.0), ("twice", 1.0), ("twice", 2.0)],
                &[("new", 2.0), ("twice", 1.0)],
            ),
        ],
    );
    let counts = Counts {
        same: 5,
        only_old: 2,
        only_new: 1,
        changed: 1,
    };
    assert_eq!(outputs.counts, counts, "{shown:?}");
    assert_eq!(outputs.key_columns(), ["name"]);
    let texts: Vec<_> = shown
        .iter()
        .map(|one| {
            (
                one.what,
                one.key.as_str(),
                one.old.as_deref(),
                one.new.as_deref(),
            )
        })
        .collect();
    assert_eq!(
        texts,
        [
            ("changed", "name=d", Some("value=4.0"), Some("value=4.5")),
            ("only new", "name=new", None, Some("value=2.0")),
            ("only old", "name=old", Some("value=1.0"), None),
            ("only old", "name=twice", Some("value=2.0"), None),
        ]
    );
}

#[test]
fn without_a_key_rows_are_alike_or_not() {
    for key in [&[][..], &["nothing"]] {
        let (outputs, shown) = compared(
            key,
            &[(&[("a", 1.0), ("a", 1.0)], &[("a", 2.0), ("a", 1.0)])],
        );
        let counts = Counts {
            same: 1,
            only_old: 1,
            only_new: 1,
            changed: 0,
        };
        assert_eq!(outputs.counts, counts, "{shown:?}");
        assert!(outputs.key_columns().is_empty());
    }
}

#[test]
fn columns_that_only_one_declares_are_said_and_left_out() {
    let old = rows(&[("a", 1.0)]);
    let new = old.project(&[1]).unwrap();
    let mut outputs = Outputs::new(&old.schema(), &new.schema(), &["name".to_owned()]).unwrap();
    let mut shown = Shown::new(10);
    outputs.compare(Some(&old), Some(&new), &mut shown).unwrap();
    assert_eq!(outputs.counts.same, 1);
    assert_eq!(
        outputs.declared.as_deref(),
        Some("the new version lacks value Float64")
    );
}
