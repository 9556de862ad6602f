//! Whatever the history of flushes and compactions, a table shows what a naive per-cell model
//! shows: scans of any range in either direction, point reads, predicates, limits and digests.

mod apart;
mod bulk;
mod fragments;
mod histories;
mod last;
pub(crate) mod model;
mod narrowing;
mod paths;
pub(crate) mod table;
mod woven;
