//! A fleet of whole nodes goes through storms and ordeals; afterwards every acknowledged row is in the cloud, nothing
//! deleted is back, and shared and reference tables are the same everywhere. Every run follows from its seed; a failure
//! prints it.
//!
//! `ACTIVESTORE_SEED=N` replays one seed; `cargo xtask bench fleet --runs N` runs as many.
#![allow(missing_docs, clippy::unwrap_used, clippy::indexing_slicing)]

use std::ops::Range;

use activestore_test_sim::{Mutation, Plan, Summary, World};

/// Seeds of a run of the tests.
const SEEDS: u64 = 6;
/// Seeds of ten days each.
const DAYS_SEEDS: u64 = 20;

fn run(seed: u64, plan: Plan, mutation: Mutation) -> Result<Summary, String> {
    World::new(seed, plan, mutation)
        .run()
        .map_err(|wrong| format!("seed {seed}: {wrong}"))
}

/// The one seed to replay, or all of them; and whether together they must have gone through enough.
fn seeds() -> (Range<u64>, bool) {
    let number = |name| std::env::var(name).ok().map(|text| text.parse().unwrap());
    if let Some(seed) = number("ACTIVESTORE_SEED") {
        return (seed..seed + 1, false);
    }
    let from = number("ACTIVESTORE_FLEET_FROM").unwrap_or(0);
    let count = number("ACTIVESTORE_FLEET_SEEDS").unwrap_or(SEEDS);
    (from..from + count, count >= SEEDS)
}

#[test]
fn storms_lose_nothing_and_bring_nothing_back() {
    let (seeds, all) = seeds();
    let mut total = Summary::default();
    for seed in seeds {
        let summary = run(seed, Plan::storms(5), Mutation::None).unwrap();
        assert_eq!(
            summary.epochs_set_aside, 0,
            "seed {seed}: a crash is no clone"
        );
        total.add(&summary);
    }
    println!("{total:?}");
    assert!(
        !all || total.crashes > 10 && total.lost_frames > 500 && total.full_disks > 0,
        "{total:?}"
    );
}

#[test]
fn ordeals_lose_what_was_only_on_a_lost_disk_and_nothing_else() {
    let (seeds, all) = seeds();
    let mut total = Summary::default();
    for seed in seeds {
        total.add(&run(seed, Plan::ordeals(5), Mutation::None).unwrap());
    }
    println!("{total:?}");
    assert!(
        !all || total.clones > 3 && total.rollbacks > 0 && total.lost_disks > 3,
        "{total:?}"
    );
}

/// Three levels: edges, gateways that crash in the middle of everything, and the cloud.
#[test]
fn what_gateways_bring_is_in_the_cloud_once_and_is_its_writers() {
    let (seeds, all) = seeds();
    let mut total = Summary::default();
    for seed in seeds {
        let storms = run(seed, Plan::storms(4).through(2), Mutation::None).unwrap();
        assert_eq!(
            storms.epochs_set_aside, 0,
            "seed {seed}: a crash is no clone"
        );
        total.add(&storms);
        for plan in [Plan::ordeals(4).through(2), Plan::ordeals(3).tower(3)] {
            total.add(&run(seed, plan, Mutation::None).unwrap());
        }
    }
    println!("{total:?}");
    assert!(
        !all || total.crashes > 20 && total.moves > 2 && total.lost_disks > 1,
        "{total:?}"
    );
}

#[test]
fn what_an_older_cloud_lacks_is_brought_back_by_its_edges() {
    let (seeds, all) = seeds();
    let mut total = Summary::default();
    for seed in seeds {
        total.add(&run(seed, Plan::old_clouds(4), Mutation::None).unwrap());
    }
    println!("{total:?}");
    assert!(
        !all || total.old_clouds > 2 && total.mended > 20,
        "{total:?}"
    );
}

/// Edges come back with old writes after deletes were forgotten; nothing that was deleted for good may come back.
#[test]
fn what_was_deleted_while_edges_were_away_for_too_long_stays_deleted() {
    let (seeds, all) = seeds();
    let mut total = Summary::default();
    for seed in seeds {
        total.add(&run(seed, Plan::absences(4), Mutation::None).unwrap());
    }
    println!("{total:?}");
    assert!(
        !all || total.absences > 20 && total.late > 20 && total.started_over > 20,
        "{total:?}"
    );
}

/// The same where the edges are below gateways, which keep all deletes.
#[test]
fn what_gateways_bring_too_late_stays_deleted() {
    let (seeds, all) = seeds();
    let mut total = Summary::default();
    for seed in seeds {
        let plan = Plan::absences(3).through(2);
        total.add(&run(seed, plan, Mutation::None).unwrap());
    }
    println!("{total:?}");
    assert!(!all || total.absences > 20, "{total:?}");
}

#[test]
fn a_seed_says_everything() {
    let once = run(3, Plan::ordeals(3), Mutation::None).unwrap();
    let again = run(3, Plan::ordeals(3), Mutation::None).unwrap();
    assert_eq!(once, again);
}

/// Days of a fleet in which work and mishaps are rare.
#[test]
fn days_pass() {
    let (seeds, all) = seeds();
    // More than of the others: they are quick.
    let seeds = seeds.start..if all {
        seeds.end.max(DAYS_SEEDS)
    } else {
        seeds.end
    };
    for seed in seeds {
        run(seed, Plan::ordeals(4).days(10), Mutation::None).unwrap();
    }
}

/// Whether one of some seeds notices a defect.
fn is_caught(mutation: Mutation, plan: Plan) {
    const TRIES: u64 = 12;
    let caught = (0..TRIES).any(|seed| run(seed, plan, mutation).is_err());
    assert!(caught, "{mutation:?} was not noticed by {TRIES} seeds");
}

#[test]
fn acknowledging_before_rows_are_durable_is_caught() {
    is_caught(Mutation::AcknowledgesEarly, Plan::storms(3));
}

#[test]
fn ignoring_epochs_is_caught() {
    is_caught(Mutation::IgnoresEpochs, Plan::ordeals(3));
}

#[test]
fn never_starting_over_is_caught() {
    is_caught(Mutation::NeverStartsOver, Plan::storms(3));
}
