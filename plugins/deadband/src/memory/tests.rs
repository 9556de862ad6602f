//! What was remembered comes back; other bytes are no memory.

use super::*;
use activestore_plugin::{Config, Field, ScalarType};

fn layout(names: &[&str]) -> Layout {
    let field = |name: &str, kind, nullable| Field {
        name: name.to_owned(),
        kind,
        nullable,
    };
    let mut fields = vec![field("ts", ScalarType::Timestamp, false)];
    fields.extend(
        names
            .iter()
            .map(|name| field(name, ScalarType::Float64, true)),
    );
    Layout::of(&Config::default(), &fields, |_| true).unwrap()
}

fn filters(mode: Mode) -> Vec<Filter> {
    let point = |time, value: f64| Point::of(time, Bits(value.to_bits()), ScalarType::Float64);
    let door = |held| {
        Some(Door {
            hinge: point(-3, 1.5),
            held,
            slopes: (f64::NEG_INFINITY, 0.25),
        })
    };
    match mode {
        Mode::Deadband => vec![
            Filter::Deadband(Some(point(7, 1.0))),
            Filter::Deadband(None),
            Filter::Deadband(Some(point(i64::MAX, -0.0))),
        ],
        Mode::SwingingDoor => vec![
            Filter::SwingingDoor(door(None)),
            Filter::SwingingDoor(door(Some(point(9, 2.5)))),
            Filter::SwingingDoor(None),
        ],
    }
}

#[test]
fn memory_comes_back_by_name() {
    for mode in [Mode::Deadband, Mode::SwingingDoor] {
        let (here, mut bytes, mut back) = (layout(&["a", "b", "c"]), Vec::new(), Vec::new());
        write(&filters(mode), &here, &mut bytes);
        read(&bytes, &here, mode, &mut back);
        assert_eq!(back, filters(mode));
        // Columns that came and went change nothing for the others.
        read(&bytes, &layout(&["c", "new", "b"]), mode, &mut back);
        let before = filters(mode);
        assert_eq!(back, [before[2], Filter::new(mode), before[1]]);
        let other = match mode {
            Mode::Deadband => Mode::SwingingDoor,
            Mode::SwingingDoor => Mode::Deadband,
        };
        read(&bytes, &here, other, &mut back);
        assert_eq!(back, vec![Filter::new(other); 3]);
    }
}

#[test]
fn no_bytes_make_it_fail() {
    let (here, mut bytes, mut back) = (layout(&["a", "b", "c"]), Vec::new(), Vec::new());
    write(&filters(Mode::SwingingDoor), &here, &mut bytes);
    for at in 0..bytes.len() {
        read(&bytes[..at], &here, Mode::SwingingDoor, &mut back);
        assert_eq!(back.len(), 3);
        for value in [0, 1, 4, 255] {
            let mut changed = bytes.clone();
            changed[at] = value;
            read(&changed, &here, Mode::SwingingDoor, &mut back);
            assert_eq!(back.len(), 3);
        }
    }
    read(&[], &layout(&[]), Mode::Deadband, &mut back);
    assert!(back.is_empty());
}
