//! A group comes back as it was, within its bounds.

use super::{BYTES_MAX, Group};

fn row(values: &[&str]) -> Vec<String> {
    values.iter().map(|value| (*value).to_owned()).collect()
}

#[test]
fn it_comes_back_as_it_was() {
    let mut group = Group::default();
    assert_eq!(Group::decode(&group.encode(), 2), Some(group.clone()));
    group.add(row(&["\"ä\"", "1.5"]), 2);
    group.add(row(&["", "null"]), 2);
    group.add(row(&["\"c\"", "3"]), 2);
    assert_eq!((group.count, group.rows.len()), (3, 2));
    assert_eq!(Group::decode(&group.encode(), 2), Some(group.clone()));
    // Of other columns the count is left.
    let other = Group::decode(&group.encode(), 3).unwrap();
    assert_eq!((other.count, other.rows.len()), (3, 0));
    for end in 1..group.encode().len() {
        let _nothing_breaks = Group::decode(&group.encode()[..end], 2);
    }
}

#[test]
fn large_rows_are_counted_only() {
    let mut group = Group::default();
    for _ in 0..3 {
        group.add(row(&[&"x".repeat(BYTES_MAX / 2)]), 100);
    }
    assert_eq!((group.count, group.rows.len()), (3, 1));
}
