//! Rounds of what happens to links and nodes: an edge writes without a pause, its cloud writes rows that
//! flow down, and meanwhile packets are lost, the link is narrow, goes down, falls silent, the edge's
//! address changes, and either end is killed. After each round both ends hold every acknowledged row once.
//!
//! `cargo xtask bench netns [--rounds 50] [--seed N] [--transport quic|tcp]`, as root. The seed is printed and
//! repeats what happens; not when, since the processes are real.

mod fleet;
mod plan;

use std::time::{Duration, Instant};

use crate::lab::Lab;
use crate::options::Options;
use fleet::Fleet;
use plan::Round;

/// What a round's rows may take until they are everywhere.
const CONVERGE_WITHIN: Duration = Duration::from_secs(90);

pub fn run(options: &Options) {
    options.only(&["rounds", "seed", "transport"]);
    if let Some(why) = Lab::missing() {
        eprintln!("links: {why}");
        std::process::exit(1);
    }
    let clock = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    let seed = options.number("seed", clock.map_or(1, |now| now.as_secs()));
    play(
        &options.program,
        seed,
        options.number("rounds", 50),
        options.text("transport"),
    );
}

/// Plays rounds with a program; panics where a row is lost or comes twice. The edge is told the
/// transport where one is named.
pub fn play(program: &std::path::Path, seed: u64, rounds: u32, transport: Option<&str>) {
    println!("{rounds} rounds of seed {seed}");
    let begun = Instant::now();
    let mut fleet = Fleet::start(program, transport);
    let mut plan = plan::Plan::new(seed);
    let mut slowest = Duration::ZERO;
    for number in 1..=rounds {
        let round = plan.round();
        let (rows, converged) = one(&mut fleet, &round);
        slowest = slowest.max(converged);
        println!(
            "round {number:2}: {round}; {rows} rows, everywhere after {:.1} s",
            converged.as_secs_f64()
        );
    }
    fleet.finish();
    println!(
        "no row lost, none twice: {} rows up, {} down, {rounds} rounds of seed {seed} in {:.0} s, the slowest converged in {:.1} s",
        fleet.written_up(),
        fleet.written_down(),
        begun.elapsed().as_secs_f64(),
        slowest.as_secs_f64()
    );
}

/// Plays one round; how many rows were written, and how long after it they were everywhere.
fn one(fleet: &mut Fleet, round: &Round) -> (u64, Duration) {
    let before = fleet.written_up() + fleet.written_down();
    fleet.lab.lose(round.lost_per_mille);
    fleet.lab.rate(round.kbit_s);
    fleet.write_while(|fleet| {
        for event in &round.events {
            std::thread::sleep(event.after);
            fleet.suffer(event.fault);
        }
    });
    // What is left is the sync's: to be through it has to get there over a link that loses a little.
    fleet
        .lab
        .lose(round.lost_per_mille.min(plan::HEALED_PER_MILLE));
    let begun = Instant::now();
    fleet.converge(CONVERGE_WITHIN);
    (
        fleet.written_up() + fleet.written_down() - before,
        begun.elapsed(),
    )
}
