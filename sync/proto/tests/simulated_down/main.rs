//! The cloud's stream of rows and two edges in one thread, with virtual time, a bad network, crashes,
//! a stream that is trimmed under slow edges and a cloud that starts another one: whatever happens, after
//! the network heals every edge holds the cloud's rows, each segment was applied in turn and once, and
//! memory stayed bounded. Every run follows from its seed; a failure prints it.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, missing_docs)]

mod hosts;
mod lying;
#[path = "../streams/mod.rs"]
mod streams;
mod world;

use world::{Plan, Summary, World};

/// The one seed to replay, or all of them.
fn seeds() -> Vec<u64> {
    match std::env::var("ACTIVESTORE_SEED") {
        Ok(seed) => vec![seed.parse().unwrap()],
        Err(_) => (0..120).collect(),
    }
}

fn run(plan: Plan) -> Summary {
    let mut total = Summary::default();
    for seed in seeds() {
        let summary = World::new(seed, plan)
            .run()
            .unwrap_or_else(|wrong| panic!("seed {seed}: {wrong}"));
        total.add(&summary);
    }
    total
}

/// What all seeds together must have gone through; one seed alone need not.
fn expect(enough: bool, total: &Summary) {
    assert!(
        enough || std::env::var("ACTIVESTORE_SEED").is_ok(),
        "{total:?}"
    );
}

#[test]
fn a_bad_network_and_crashes_lose_no_row() {
    let total = run(Plan::Storms);
    expect(total.applied > 5_000, &total);
    expect(total.crashes > 100, &total);
    // Each edge starts over once: at the very beginning.
    expect(total.started_over < total.edges * 2, &total);
}

#[test]
fn edges_that_were_away_for_too_long_start_over() {
    let total = run(Plan::Trims);
    expect(total.started_over > total.edges * 2, &total);
    expect(total.pieces > 2_000, &total);
}

#[test]
fn another_stream_of_the_cloud_is_taken_up() {
    let total = run(Plan::Epochs);
    expect(total.started_over > total.edges * 2, &total);
}

#[test]
fn nothing_waits_to_be_sent_again_where_streams_overtake_each_other() {
    let total = run(Plan::Streams);
    expect(total.applied > 5_000, &total);
    expect(total.crashes > 100, &total);
}
