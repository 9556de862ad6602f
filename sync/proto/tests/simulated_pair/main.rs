//! Both ends of the protocol in one thread, with virtual time, a bad network and hosts that crash:
//! whatever happens, every sealed segment is applied exactly once and in order, nothing is
//! acknowledged that is not durable, memory stays bounded, and after the network heals the ends
//! agree. Every run follows from its seed; a failure prints it.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, missing_docs)]

mod hosts;
mod lanes;
mod plan;
#[path = "../streams/mod.rs"]
mod streams;
mod world;

use plan::{Mutation, Plan, Summary};
use world::{FLEET, World};

/// Runs a seed and returns what it found wrong.
fn run(seed: u64, plan: Plan, mutation: Mutation) -> Result<Summary, String> {
    World::new(seed, plan, mutation)
        .run()
        .map_err(|wrong| format!("seed {seed}: {wrong}"))
}

/// The one seed to replay, or all of them.
fn seeds() -> Vec<u64> {
    match std::env::var("ACTIVESTORE_SEED") {
        Ok(seed) => vec![seed.parse().unwrap()],
        Err(_) => (0..160).collect(),
    }
}

/// What all seeds together must have gone through; one seed alone need not.
fn expect(enough: bool, total: &Summary) {
    assert!(
        enough || std::env::var("ACTIVESTORE_SEED").is_ok(),
        "{total:?}"
    );
}

#[test]
fn a_bad_network_and_crashes_lose_nothing() {
    let mut total = Summary::default();
    for seed in seeds() {
        let summary = run(seed, Plan::Storms, Mutation::None).unwrap();
        assert_eq!(
            summary.epochs_set_aside, 0,
            "seed {seed}: a crash is not a clone"
        );
        total.add(&summary);
    }
    // The storms did blow: without these the test would prove little.
    expect(total.applied > 10_000, &total);
    expect(total.repeated > 100, &total);
    expect(total.crashes > 100, &total);
    expect(total.connections > 1_000, &total);
    expect(total.adopted > 400, &total);
    expect(total.rotations > 200, &total);
    expect(total.forgotten > 100, &total);
}

#[test]
fn nothing_waits_to_be_sent_again_where_streams_overtake_each_other() {
    let mut total = Summary::default();
    for seed in seeds() {
        total.add(&run(seed, Plan::Streams, Mutation::None).unwrap());
    }
    expect(total.applied > 10_000, &total);
    expect(total.crashes > 100, &total);
    expect(total.rotations > 200, &total);
}

#[test]
fn a_fleet_of_thousands_loses_nothing() {
    let mut total = Summary::default();
    for seed in seeds().into_iter().take(2) {
        let summary = run(seed, Plan::Fleet, Mutation::None).unwrap();
        assert_eq!(summary.epochs_set_aside, 0, "seed {seed}");
        total.add(&summary);
    }
    // Every edge was there, and the cloud's crashes brought all of them back at once.
    let fleet = FLEET as u64;
    expect(total.applied > 4 * fleet, &total);
    expect(total.connections > 6 * fleet, &total);
    expect(total.crashes > 4, &total);
}

#[test]
fn copies_of_one_data_directory_continue_under_new_epochs() {
    let mut total = Summary::default();
    for seed in seeds() {
        total.add(&run(seed, Plan::Clones, Mutation::None).unwrap());
    }
    expect(total.epochs_set_aside > 100, &total);
}

#[test]
fn older_images_continue_under_new_epochs() {
    let mut total = Summary::default();
    for seed in seeds() {
        total.add(&run(seed, Plan::Rollbacks, Mutation::None).unwrap());
    }
    expect(total.epochs_set_aside > 100, &total);
}

#[test]
fn acknowledging_before_applying_is_caught() {
    let caught = (0..100)
        .filter(|seed| run(*seed, Plan::Storms, Mutation::AckBeforeApply).is_err())
        .count();
    assert!(caught >= 50, "only {caught} of 100 seeds noticed");
}

#[test]
fn applying_a_repeated_segment_again_is_caught() {
    let caught = (0..100)
        .filter(|seed| run(*seed, Plan::Storms, Mutation::ApplyRepeats).is_err())
        .count();
    assert!(caught >= 10, "only {caught} of 100 seeds noticed");
}
