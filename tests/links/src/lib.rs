//! Real processes over links as they are outside: a relay that loses and delays, network namespaces
//! whose link is cut, slowed down and moved, and peers that do the same job over the same link.
#![allow(missing_docs, clippy::unwrap_used, clippy::indexing_slicing)]

pub mod backlog;
pub mod cost;
pub mod idle;
pub mod lab;
pub mod line;
pub mod memory;
pub mod namespace;
pub mod node;
pub mod options;
pub mod peers;
pub mod process;
pub mod random;
pub mod readings;
pub mod rounds;
pub mod storm;
pub mod wait;
pub mod wall;
