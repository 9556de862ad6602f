//! The ring of events: its bound, repeats, and what has to be written.

use std::collections::BTreeMap;
use std::sync::Arc;

use activestore_env::Env;
use activestore_types::NodeId;

use super::*;

fn ring() -> (tempfile::TempDir, Events) {
    let dir = tempfile::tempdir().unwrap();
    let env = Env::real(dir.path()).unwrap();
    (dir, Events::new(Arc::clone(&env.clock), BTreeMap::new()))
}

/// As the notes say after all that was taken.
fn read(notes: Vec<Note>, into: &mut BTreeMap<u64, Event>) {
    for note in notes {
        let number = number(&note.key).unwrap();
        match note.value {
            Some(value) => into.insert(number, postcard::from_bytes(&value).unwrap()),
            None => into.remove(&number),
        };
    }
}

#[test]
fn what_is_written_is_what_is_kept() {
    let (_dir, events) = ring();
    let mut written = BTreeMap::new();
    for round in 0..3 {
        for number in 0..EVENTS_KEPT_MAX / 2 {
            events.tell(Kind::Connected, None, format!("{round} {number}"));
        }
        read(events.take_unwritten(), &mut written);
        let kept: BTreeMap<_, _> = events.all().into_iter().collect();
        assert_eq!(written, kept);
        assert!(kept.len() <= EVENTS_KEPT_MAX);
    }
    assert_eq!(written.len(), EVENTS_KEPT_MAX);
    assert_eq!(written.first_key_value().unwrap().1.text, "1 0");
    assert!(events.take_unwritten().is_empty());
    // What could not be written comes again.
    events.tell(Kind::Disconnected, None, "gone");
    let lost = events.take_unwritten();
    events.put_back(&lost);
    read(events.take_unwritten(), &mut written);
    assert_eq!(written.last_key_value().unwrap().1.text, "gone");
    let next = Events::new(Arc::clone(&events.clock), written);
    next.tell(Kind::Connected, None, "again");
    assert_eq!(
        next.all().last().unwrap().0,
        events.all().last().unwrap().0 + 1
    );
}

#[test]
fn what_repeats_is_counted_apart_for_each_node() {
    let (_dir, events) = ring();
    let (one, two) = (NodeId([1; 16]), NodeId([2; 16]));
    for number in 0..10 {
        events.tell(Kind::Receipt, Some(one), format!("up to {number}"));
        events.tell(Kind::Receipt, Some(two), "another");
    }
    events.tell(Kind::Connected, Some(one), "x");
    events.tell(Kind::Connected, Some(one), "x");
    let all = events.all();
    assert_eq!(all.len(), 4);
    assert_eq!((all[0].1.times, all[0].1.text.as_str()), (10, "up to 9"));
    let long = "é".repeat(TEXT_BYTES_MAX);
    events.tell(Kind::Evicted, None, long);
    assert_eq!(events.all().last().unwrap().1.text.len(), TEXT_BYTES_MAX);
}
