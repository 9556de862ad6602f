//! Notes count their bytes, list by prefix and checkpoint what changed.

use super::*;

fn put(key: &str, value: &str) -> Note {
    Note {
        key: key.as_bytes().to_vec(),
        value: Some(value.as_bytes().to_vec()),
    }
}

fn remove(key: &str) -> Note {
    Note {
        key: key.as_bytes().to_vec(),
        value: None,
    }
}

#[test]
fn notes_are_found_by_prefix_and_change() {
    let mut notes = Notes::default();
    notes.apply(vec![
        put("a/1", "x"),
        put("a/2", "y"),
        put("b", "z"),
        put("a", "w"),
    ]);
    let found: Vec<_> = notes
        .with_prefix(b"a/")
        .into_iter()
        .map(|(key, _)| key)
        .collect();
    assert_eq!(found, [b"a/1".to_vec(), b"a/2".to_vec()]);
    notes.apply(vec![
        put("a/1", "longer"),
        remove("b"),
        remove("never there"),
    ]);
    assert_eq!(notes.get(b"a/1").unwrap(), b"longer");
    assert_eq!(notes.get(b"b"), None);
    let counted: usize = notes.with_prefix(b"").iter().map(|(k, v)| size(k, v)).sum();
    assert_eq!(notes.bytes(), counted);
}

#[test]
fn a_checkpoint_takes_each_change_once() {
    let mut notes = Notes::from_checkpoint([(b"old".to_vec(), b"1".to_vec())].into());
    notes.apply(vec![put("new", "1"), put("new", "2"), remove("old")]);
    assert_eq!(notes.take_changes(), [put("new", "2"), remove("old")]);
    assert!(notes.take_changes().is_empty());
}

#[test]
fn the_bound_refuses_growth_and_lets_notes_shrink() {
    let mut notes = Notes::default();
    notes.apply(vec![put("k", &"x".repeat(900))]);
    let admit = |changes: &[Note], most| notes.admit(changes.iter().map(Note::parts), most);
    admit(&[put("l", "1")], 1000).unwrap_err();
    admit(&[put("k", "1"), put("l", "1")], 1000).unwrap();
    admit(&[remove("k")], 10).unwrap();
}
