//! Plugins as they are built and run: the first-party ones do their work, the hostile one breaks each
//! rule in turn and the host holds. One binary, because linking the engine is slow.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test that fails here says where"
)]

mod aggregate;
mod bombs;
mod built;
mod contract;
mod faults;
mod filtering;
mod hand;
mod hostile;
mod images;
mod loading;
mod merging;
mod model;
mod native;
mod processor;
mod reach;
mod scalar;
mod tables;
mod thinning;
mod timers;
mod traps;
