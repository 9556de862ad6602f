//! What an answer means, and where a sink stands as a note.

#![allow(missing_docs, clippy::unwrap_used, clippy::indexing_slicing)]

use std::collections::BTreeMap;
use std::time::Duration;

use activestore_catalog::SinkDef;
use activestore_store::Note;

use super::port::{Carried, Setback};
use super::saved::{Counts, PREFIX, Saved, tidied};

#[test]
fn only_what_speaks_of_the_event_refuses_it() {
    let soon = Some(Duration::from_secs(7));
    for status in 100..700 {
        let carried = Carried::by_status(status, soon, 3);
        let (taken, refuses) = match &carried.setback {
            None => (3, false),
            Some(Setback::Refused(_)) => (0, true),
            Some(Setback::Away(_) | Setback::Late(_) | Setback::BrokeOff(_)) => {
                panic!("{status} is an answer")
            }
            Some(Setback::Later(why, after)) => {
                assert!(why.contains(&status.to_string()));
                assert_eq!(*after, soon);
                (0, false)
            }
        };
        assert_eq!(carried.taken, taken, "{status}");
        assert_eq!(carried.setback.is_none(), (200..300).contains(&status));
        let speaks_of_it = [400, 406, 411, 412, 413, 414, 415, 422];
        if speaks_of_it.contains(&status) {
            assert!(refuses, "{status}");
        }
        let may_pass = [401, 402, 403, 404, 408, 409, 410, 426, 429, 431, 451];
        if !(400..500).contains(&status) || may_pass.contains(&status) {
            assert!(!refuses, "{status}");
        }
    }
}

#[test]
fn a_note_is_its_own_sinks_alone_and_those_of_earlier_releases_move() {
    let counts = Counts {
        sent: 3,
        ..Counts::default()
    };
    let saved = |id: u8, composed: Option<&str>| {
        let composed = composed.map(str::to_owned);
        Saved::new([id; 16], "token".to_owned(), counts, composed)
    };
    let def = |name: &str, id: u8| SinkDef {
        name: name.to_owned(),
        id: [id; 16],
        query: String::new(),
        base: "k.t".parse().unwrap(),
        address: "mqtt://h/t".to_owned(),
        options: BTreeMap::new(),
        paused: false,
    };
    let sinks = [("hot", 7), ("cold", 8), ("new", 9)];
    let sinks = sinks.map(|(name, id)| (name.to_owned(), def(name, id)));
    let stored = |note: Note| (note.key, note.value.unwrap());
    let early = |name: &str, id: u8| {
        let (_, value) = stored(saved(id, None).note(name).unwrap());
        ([PREFIX, name.as_bytes()].concat(), value)
    };
    let mut notes = vec![
        stored(saved(7, Some("end")).note("hot").unwrap()),
        stored(saved(6, None).note("hot").unwrap()),
        early("hot", 7),
        early("cold", 8),
        early("new", 1),
        early("gone", 2),
    ];
    notes.sort();
    let tidied = tidied(&notes, &sinks.into());
    let mut left: BTreeMap<_, _> = notes.into_iter().collect();
    for note in tidied {
        match note.value {
            Some(value) => left.insert(note.key, value),
            None => left.remove(&note.key),
        };
    }
    let wanted = [
        stored(saved(7, Some("end")).note("hot").unwrap()),
        stored(saved(8, None).note("cold").unwrap()),
    ];
    assert_eq!(left, wanted.into());
}
