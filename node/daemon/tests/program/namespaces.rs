//! A few rounds of what happens to links and nodes, in network namespaces; `cargo xtask bench netns` plays more.

use std::path::Path;

use activestore_test_links::lab::Lab;
use activestore_test_links::rounds;

/// Another seed with each state of the sources would make a failure of nobody's.
const SEED: u64 = 7;
const ROUNDS: u32 = 3;

#[test]
fn nothing_is_lost_or_doubled_over_links_that_fail() {
    if let Some(why) = Lab::missing() {
        eprintln!("not played: {why}");
        return;
    }
    let program = Path::new(env!("CARGO_BIN_EXE_activestore"));
    rounds::play(program, SEED, ROUNDS, None);
}
