//! A fleet of whole nodes in one process: real databases with real files, virtual time, and a network that
//! loses, delays, repeats and turns around what it carries. Nodes crash, lose their disk, are cloned, are put back to
//! older images, run out of space and believe the wrong time. Everything follows from one seed.
//!
//! What is not simulated: what a power cut leaves of unsynced bytes (the store's own crash tests do), and sockets
//! (the tests of the transport do). A crash here is the end of a process: what it wrote is there.
//!
//! [`World`] runs; [`Plan`] says what goes wrong, [`Mutation`] which defect is put in on purpose, [`Ledger`] what was
//! written and must be found.
#![allow(missing_docs, clippy::unwrap_used, clippy::indexing_slicing)]

mod check;
mod connection;
mod driving;
mod faulty_disk;
mod goods;
mod ledger;
mod mishap;
mod mutation;
mod node;
mod plan;
mod work;
mod world;

pub use ledger::Ledger;
pub use mutation::Mutation;
pub use plan::{Plan, Summary};
pub use world::World;
