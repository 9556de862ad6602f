//! The Arrow Flight SQL wire over a real port and a real database, with Arrow's own client, and bytes that no client
//! sends.

#![allow(missing_docs, clippy::unwrap_used, clippy::indexing_slicing)]
#![cfg(feature = "flight")]

#[path = "flight/catalog.rs"]
mod catalog;
#[path = "flight/client.rs"]
mod client;
#[path = "flight/hostile.rs"]
mod hostile;
#[path = "flight/ingest.rs"]
mod ingest;
#[path = "flight/logins.rs"]
mod logins;
#[path = "wire/node.rs"]
mod node;
#[path = "flight/prepared.rs"]
mod prepared;
#[path = "flight/statements.rs"]
mod statements;
