//! What one call may name, read and write.

use super::*;

struct Nothing;

impl StateReader for Nothing {
    fn get(&self, _key: &[u8]) -> Option<Vec<u8>> {
        None
    }
}

fn call() -> StateCall {
    StateCall {
        reader: &Nothing,
        writes: Writes::default(),
        written_bytes: 0,
    }
}

fn numbers(range: std::ops::Range<u32>) -> OwnedVarBytes {
    let count = range.len() as i32;
    OwnedVarBytes {
        offsets: (0..=count).map(|at| at * 4).collect(),
        data: range.flat_map(u32::to_le_bytes).collect(),
    }
}

fn empty(count: usize) -> OwnedVarBytes {
    OwnedVarBytes {
        offsets: vec![0; count + 1],
        data: Vec::new(),
    }
}

#[test]
fn what_is_written_is_read_back_in_the_same_call() {
    let mut state = call();
    state
        .put_many(numbers(0..3), &[0b101], numbers(7..10))
        .unwrap();
    let found = state.get_many(numbers(0..4)).unwrap();
    assert_eq!(found.present, [0b101]);
    assert_eq!(found.values.offsets, [0, 4, 4, 8, 8]);
    assert!(state.put_many(numbers(0..3), &[], empty(3)).is_err());
    assert!(state.put_many(numbers(0..3), &[0], empty(2)).is_err());
}

#[test]
fn a_timer_is_set_moved_and_taken_away() {
    let mut state = call();
    state.set_many(numbers(0..2), &[5, 7]).unwrap();
    state.set_many(numbers(1..3), &[9, -1]).unwrap();
    let timers = &state.writes.timers;
    let after = |key: u32| timers.get(key.to_le_bytes().as_slice()).copied();
    assert_eq!(
        [after(0), after(1), after(2), after(3)],
        [Some(Some(5)), Some(Some(9)), Some(None), None]
    );
    assert!(state.writes.state.is_empty());
    assert!(state.set_many(numbers(0..2), &[5]).is_err());
}

#[test]
fn many_small_keys_cost_more_than_their_bytes() {
    let mut state = call();
    let mut written = 0;
    let error = (0..100_u32)
        .find_map(|round| {
            let keys = numbers(round * 10_000..(round + 1) * 10_000);
            let refused = state.put_many(keys, &[0xff; 1250], empty(10_000)).err();
            written += 10_000;
            refused
        })
        .unwrap();
    assert!(error.to_string().contains("bytes of state"), "{error}");
    assert!(written < 300_000, "{written}");
    // Timers count together with values.
    let error = state
        .set_many(numbers(0..10_000), &[0; 10_000])
        .unwrap_err();
    assert!(error.to_string().contains("bytes of state"), "{error}");
}

#[test]
fn a_call_names_so_many_keys_at_once() {
    let mut state = call();
    let many = || empty(KEYS_MAX + 1);
    for error in [
        state.get_many(many()).unwrap_err(),
        state
            .put_many(many(), &vec![0; KEYS_MAX / 8 + 1], many())
            .unwrap_err(),
        state.set_many(many(), &[0; KEYS_MAX + 1]).unwrap_err(),
    ] {
        assert!(error.to_string().contains("named at once"), "{error}");
    }
    assert!(state.get_many(empty(KEYS_MAX)).is_ok());
}
