//! What the store promises about its commits, held against a simulated disk that loses, tears,
//! fails, fills up and lies, and against a plain map as the model.
//!
//! Every test runs from a seed. `ACTIVESTORE_SEED=n` replays one seed in place of many;
//! `ACTIVESTORE_CRASH_RUNS=10000` runs ten times as many.
#![allow(missing_docs, clippy::unwrap_used, clippy::indexing_slicing)]

mod atomic;
mod backup;
mod every_step;
mod evicting;
mod faults;
mod model;
mod power;
mod repair;
mod world;
