//! The real program, as a user runs it: processes, files, exit codes and what they say.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, missing_docs)]

mod clouds;
mod configurations;
mod developer;
mod files;
mod fleet;
mod flowing_down;
mod gateways;
mod languages;
mod life;
mod namespaces;
mod over_tcp;
mod postgres;
mod process;
mod query_time;
mod receipts;
mod repair;
mod roles;
mod rollouts;
mod seen;
mod signatures;
mod slt;
mod stopped;
mod subscriptions;
mod templates;
mod two_nodes;
mod webhook;
mod whole;
