//! What an answer means, and where a sink stands as a note.

#![allow(missing_docs, clippy::unwrap_used, clippy::indexing_slicing)]

use std::time::Duration;

use super::port::{Carried, Setback};
use super::saved::{Counts, PREFIX, Saved, name_of};

#[test]
fn only_what_speaks_of_the_event_refuses_it() {
    let soon = Some(Duration::from_secs(7));
    for status in 100..700 {
        let carried = Carried::by_status(status, soon, 3);
        let (taken, refuses) = match &carried.setback {
            None => (3, false),
            Some(Setback::Refused(_)) => (0, true),
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
fn a_note_is_read_by_its_own_sink_alone() {
    let counts = Counts {
        sent: 3,
        ..Counts::default()
    };
    let saved = Saved::new([7; 16], "token".to_owned(), counts);
    let note = saved.note("hot").unwrap();
    assert_eq!(note.key, [PREFIX, b"hot"].concat());
    assert_eq!(name_of(&note.key), Some("hot"));
    let read: Saved = postcard::from_bytes(&note.value.unwrap()).unwrap();
    assert_eq!(read, saved);
}
