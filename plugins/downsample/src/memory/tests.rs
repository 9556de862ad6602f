//! What was remembered comes back by name; other bytes are no memory.

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

fn open() -> Open {
    let mut bucket = Bucket::default();
    (0..5).for_each(|time| bucket.add(time, time as f64 * 1.5));
    Open {
        begin: Some(-60),
        late: 3,
        columns: vec![bucket, Bucket::default()],
    }
}

fn pickers() -> Vec<Picker> {
    let point = |time, value: f64| Point {
        time,
        bits: Bits(value.to_bits()),
        value,
    };
    let full = Picker {
        picked: Some(point(1, 2.5)),
        points: vec![point(2, -0.5), point(3, 1e300)],
    };
    vec![Picker::default(), full]
}

#[test]
fn memory_comes_back_by_name() {
    let (here, other) = (layout(&["a", "b"]), layout(&["b", "new", "a"]));
    let mut bytes = Vec::new();
    write_open(&open(), &here, &mut bytes);
    assert_eq!(read_open(&bytes, &here), open());
    assert_eq!(read_open(&bytes, &other).columns[2], open().columns[0]);
    assert_eq!(read_pickers(&bytes, &here), vec![Picker::default(); 2]);
    let mut bytes = Vec::new();
    write_pickers(&pickers(), &here, &mut bytes);
    assert_eq!(read_pickers(&bytes, &here), pickers());
    assert_eq!(read_pickers(&bytes, &other)[0], pickers()[1]);
    assert_eq!(read_open(&bytes, &here).begin, None);
}

#[test]
fn no_bytes_make_it_fail() {
    let here = layout(&["a", "b"]);
    let mut both = [Vec::new(), Vec::new()];
    write_open(&open(), &here, &mut both[0]);
    write_pickers(&pickers(), &here, &mut both[1]);
    for bytes in both {
        for at in 0..bytes.len() {
            for value in [0, 1, 2, 255] {
                let mut changed = bytes.clone();
                changed[at] = value;
                for bytes in [&changed[..], &bytes[..at]] {
                    assert_eq!(read_open(bytes, &here).columns.len(), 2);
                    assert_eq!(read_pickers(bytes, &here).len(), 2);
                }
            }
        }
    }
}
