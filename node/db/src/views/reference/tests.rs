//! What is remembered of changed rows is bounded, and forgets nothing that matters.

use std::sync::Arc;

use arrow::array::StringArray;

use super::*;

fn row(number: usize) -> Row {
    (0, number.to_be_bytes().to_vec())
}

#[test]
fn writes_of_what_is_not_read_stay_quiet_until_one_is_not() {
    let mut joined = Joined::new(Some(NEVER), true);
    assert!(!joined.has_work());
    joined.change(row(1), Some(9));
    joined.change(row(1), Some(7));
    joined.change(row(2), Some(5));
    joined.change(row(2), None);
    joined.change(row(2), Some(3));
    let taken = joined.take().unwrap();
    assert_eq!(taken, BTreeMap::from([(row(1), Some(7)), (row(2), None)]));
    assert!(joined.is_idle());
    // What was written meanwhile goes together with what could not be followed.
    joined.change(row(1), None);
    joined.put_back(taken);
    assert_eq!(joined.take().unwrap().get(&row(1)), Some(&None));
}

#[test]
fn rows_that_are_too_many_are_all() {
    let mut joined = Joined::new(Some(NEVER), true);
    for number in 0..CHANGED_AT_ONCE_MAX {
        joined.change(row(number), None);
        assert_eq!(joined.is_full(), number + 1 >= CHANGED_MAX);
    }
    assert!(joined.take().is_some() && !joined.is_full());
    for number in 0..=CHANGED_AT_ONCE_MAX {
        joined.change(row(number), None);
    }
    assert!(joined.changed.is_empty() && !joined.is_idle());
    // Nobody looked when they expire.
    assert_eq!(joined.first_ms(), 0);
    assert!(joined.take().is_none());
}

#[test]
fn rows_that_change_while_all_do_may_expire_at_any_time() {
    let mut joined = Joined::new(Some(NEVER), true);
    joined.learned(Expiring::default());
    let by = [Some(ColumnId(0)), Some(ColumnId(1))];
    let mut number = 0;
    while !joined.everything {
        let rows: Vec<Vec<ArrayRef>> = (0..TOGETHER_MAX)
            .map(|_| {
                number += 1;
                let value = Arc::new(StringArray::from(vec![number.to_string()])) as ArrayRef;
                vec![value.clone(), value]
            })
            .collect();
        joined.hunt(&by, &rows).unwrap();
        // It has begun, so that others wait for a search of their own.
        joined
            .hunts
            .iter_mut()
            .for_each(|hunt| hunt.left = Some((0, 0)));
    }
    // The searches were of rows whose moments are known.
    assert_eq!(joined.first_ms(), NEVER);
    joined.change(row(1), None);
    assert_eq!(joined.first_ms(), 0);
    assert!(joined.take().is_none());
}

#[test]
fn a_start_behind_a_moment_changes_all_rows_and_one_before_it_none() {
    for (noted, holds_rows, all) in [
        (Some(50), true, true),
        (Some(51), true, false),
        (None, true, true),
        (None, false, false),
    ] {
        let mut joined = Joined::new(noted, holds_rows);
        assert!(joined.is_unknown);
        joined.expire(50);
        assert_eq!(joined.take().is_none(), all, "{noted:?}");
    }
}

#[test]
fn what_has_expired_is_held_until_the_note_of_it_moves() {
    let mut joined = Joined::new(Some(NEVER), true);
    joined.expiring.set(row(1), Some(50));
    joined.expiring.set(row(2), Some(90));
    assert_eq!(joined.holds_until_ms(Some(50)), 50);
    // The row is on its way: marked, looked for or computed.
    joined.expire(60);
    assert!(joined.take().is_some());
    assert_eq!(
        (joined.first_ms(), joined.holds_until_ms(Some(50))),
        (90, 50)
    );
    assert_eq!(joined.holds_until_ms(Some(90)), 90);
    // One that was written since the note, and one of which nothing is noted yet.
    joined.expiring.set(row(3), Some(70));
    assert_eq!(joined.holds_until_ms(Some(90)), 70);
    assert_eq!(joined.holds_until_ms(None), 0);
    assert_eq!(Joined::default().holds_until_ms(None), NEVER);
}

#[test]
fn what_is_looked_for_waits_together_and_is_bounded() {
    let by = |column| [Some(ColumnId(column)), None];
    let rows = |many: usize| {
        let value =
            |row: usize| vec![Arc::new(StringArray::from(vec![row.to_string()])) as ArrayRef];
        (0..many).map(value).collect::<Vec<_>>()
    };
    let held = |joined: &Joined| joined.hunts.iter().map(Hunt::values).collect::<Vec<_>>();
    let mut joined = Joined::new(Some(NEVER), true);
    joined.learned(Expiring::default());
    joined.hunt(&by(1), &rows(3)).unwrap();
    joined.hunt(&by(2), &rows(1)).unwrap();
    joined.hunt(&by(1), &rows(TOGETHER_MAX)).unwrap();
    assert_eq!(held(&joined), [TOGETHER_MAX, 1, 3]);
    // One that has begun takes no more.
    joined.hunts[1].left = Some((0, 9));
    joined.hunt(&by(2), &rows(2)).unwrap();
    assert_eq!(held(&joined), [TOGETHER_MAX, 1, 3, 2]);
    joined
        .hunt(&by(1), &rows(HUNTS_MAX * TOGETHER_MAX))
        .unwrap();
    assert!(joined.hunts.is_empty() && joined.take().is_none());
    // When they expire was looked at before they were looked for: the tables are not walked for it.
    assert!(!joined.is_unknown);
}
