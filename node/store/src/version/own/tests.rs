//! Which partition a key belongs to, against a search without order.

use std::sync::Arc;

use activestore_types::{KeyBuffer, encode_keys};
use arrow::array::{ArrayRef, BinaryArray};
use proptest::prelude::*;

use super::*;

fn prefix(name: &[u8]) -> Vec<u8> {
    let names: ArrayRef = Arc::new(BinaryArray::from_vec(vec![name]));
    encode_keys(&[(names, false)]).unwrap().key(0).to_vec()
}

fn keys_of(names: &[Vec<u8>]) -> OwnKeys {
    (0..)
        .zip(names)
        .fold(OwnKeys::default(), |keys, (key, name)| {
            let state = OwnState {
                key,
                past: Vec::new(),
                whole: true,
                name: String::new(),
                made_ms: 0,
            };
            keys.with(&prefix(name), state)
        })
}

fn name() -> impl Strategy<Value = Vec<u8>> {
    proptest::collection::vec(
        prop_oneof![Just(0_u8), Just(1), Just(0xff), Just(b'a')],
        0..4,
    )
}

proptest! {
    #[test]
    fn a_row_is_found_to_be_of_its_partition_and_of_no_other(
        names in proptest::collection::vec(name(), 0..6),
        rows in proptest::collection::vec((name(), any::<u8>()), 0..40),
    ) {
        let own = keys_of(&names);
        let mut keys = KeyBuffer::default();
        for (name, clustering) in &rows {
            keys.push(&[prefix(name), vec![*clustering]].concat()).unwrap();
        }
        let mut next = 0;
        for (place, run) in own.split(&keys) {
            prop_assert_eq!(run.start, next);
            next = run.end;
            for (name, _) in &rows[run] {
                let expected = names.contains(name).then(|| prefix(name));
                let found = place.map(|at| own.iter().nth(at).unwrap().prefix.clone());
                prop_assert_eq!(expected, found);
            }
        }
        prop_assert_eq!(next, rows.len());
    }

    #[test]
    fn the_list_survives_its_notes(names in proptest::collection::vec(name(), 0..6)) {
        let own = keys_of(&names);
        let notes: BTreeMap<Vec<u8>, Vec<u8>> = own
            .iter()
            .map(|own| own.state.note(TableId(7), &own.prefix).unwrap())
            .map(|note| (note.key, note.value.unwrap()))
            .collect();
        let found = OwnKeys::of_notes(notes).unwrap().remove(&TableId(7));
        prop_assert_eq!(found.unwrap_or_default(), own);
    }
}
