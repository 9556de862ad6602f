//! The real program, as a user runs it: processes, files, exit codes and what they say.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, missing_docs)]

mod browser;
mod clouds;
mod configurations;
mod console;
mod developer;
mod door;
mod files;
mod fleet;
mod flowing_down;
mod gateways;
mod languages;
mod life;
mod loading;
mod loading_again;
mod loading_refused;
mod namespaces;
mod over_tcp;
#[path = "../../../gateway/tests/pg/client.rs"]
#[expect(dead_code, reason = "the tests of the wire itself use more of it")]
mod pg_client;
mod postgres;
mod process;
mod query_time;
mod receipts;
mod repair;
mod roles;
mod rollouts;
mod seen;
mod signatures;
mod sinks;
mod slt;
mod stopped;
mod subscriptions;
mod templates;
mod two_nodes;
mod views;
mod watching;
mod webhook;
mod whole;
